"""How the command line starts and ends: an interrupt ends it quietly from first to last."""

import subprocess
import sys
from importlib.metadata import version

import pytest

from tests.process import unmeasured

INTERRUPT_AT = """
import os, signal, sys

class Interrupt:
    def find_spec(name, *_):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt)
sys.argv = ["homethrive-db", "--version"]
"""
SCRIPT = "from homethrive_db.cli import main; sys.exit(main())"
MODULE = "import runpy; runpy.run_module('homethrive_db.cli', run_name='__main__', alter_sys=True)"


def start(module, how, before=""):
    program = INTERRUPT_AT.format(module=module) + before + how
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env=unmeasured(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return ended.returncode, ended.stdout, ended.stderr


@pytest.mark.parametrize("how", [SCRIPT, MODULE], ids=["script", "module"])
@pytest.mark.parametrize("module", ["click", "psycopg2._psycopg", "homethrive_db.cli.zones"])
def test_an_interrupt_while_it_is_imported_ends_it_quietly(module, how):
    assert start(module, how) == (130, "", "")


@pytest.mark.parametrize("how", [SCRIPT, MODULE], ids=["script", "module"])
def test_an_interrupt_that_is_ignored_stays_so(how):
    """As by what a shell starts in the background."""
    ignored = "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    assert start("click", how, ignored) == (0, f"{version('homethrive-db')}\n", "")


INTERRUPT_BETWEEN_HANDLERS = """
import signal, sys

set_handler = signal.signal

def interrupt_first(number, handler):
    if {moment}:
        signal.raise_signal(signal.SIGINT)
    return set_handler(number, handler)

signal.signal = interrupt_first
sys.argv = ["homethrive-db", *{arguments!r}]
"""


BEGINS = "handler is not signal.SIG_IGN and number == signal.SIGTERM"  # that of SIGINT is set
ENDS = "handler is signal.SIG_IGN"


@pytest.mark.parametrize(
    ("moment", "arguments"),
    [(BEGINS, ["status"]), (ENDS, ["status", "--help"]), (ENDS, ["status"])],
    ids=["begins", "is done", "has failed"],
)
def test_an_interrupt_as_it_begins_or_ends_is_told_as_any_other(moment, arguments):
    program = INTERRUPT_BETWEEN_HANDLERS.format(moment=moment, arguments=arguments) + SCRIPT
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={**unmeasured(), "DATABASE_URL": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 130
    assert ended.stderr.splitlines()[-1] == "homethrive-db: interrupted"
    assert "Aborted" not in ended.stderr
