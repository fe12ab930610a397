"""What the command line does with signals that end it."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from homethrive_db import embedded
from homethrive_db.cli import program


@pytest.fixture
def listening(monkeypatch):
    """Hear what ends the program, as a command does, for as long as a test takes."""
    before = {number: signal.getsignal(number) for number in program._ENDINGS}
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    program._Interrupt().listen()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Forgotten:
    """Meets *error* while it is being forgotten, where Python drops whatever is raised."""

    def __init__(self, error):
        self.error = error

    def __del__(self):
        if self.error is KeyboardInterrupt:
            signal.raise_signal(signal.SIGINT)
        else:
            raise self.error


def test_an_interrupt_is_raised_once_so_that_what_it_breaks_off_can_clean_up():
    interrupt = program._Interrupt()
    with pytest.raises(KeyboardInterrupt):
        interrupt(signal.SIGINT, None)
    for number in (signal.SIGINT, signal.SIGTERM):
        assert interrupt(number, None) is None


def test_an_interrupt_that_python_dropped_does_not_keep_the_next_from_being_heard(monkeypatch):
    monkeypatch.setattr(program, "_UNWINDING_SECONDS", -1)
    interrupt = program._Interrupt()
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            interrupt(signal.SIGINT, None)


def test_an_interrupt_that_python_says_it_dropped_comes_again_in_its_place(listening, capsys):
    with pytest.raises(KeyboardInterrupt):
        Forgotten(KeyboardInterrupt)
        threading.Event().wait(30)
    assert capsys.readouterr() == ("", "")


def test_python_says_what_else_it_dropped_as_always(listening, capsys):
    Forgotten(ZeroDivisionError)
    assert "ZeroDivisionError" in capsys.readouterr().err


BROKEN_OFF = """
from homethrive_db.cli.program import main

@main.command()
def dataclass():
    exec("raise KeyboardInterrupt")  # where one comes as a class is made of text

main(["dataclass"])
"""


def test_the_status_is_the_same_where_text_was_being_executed(tmp_path):
    """A module would end by the signal: Python remembers that nobody caught it in there."""
    (tmp_path / "broken_off.py").write_text(BROKEN_OFF)
    ended = subprocess.run(
        [sys.executable, "-m", "broken_off"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (130, "homethrive-db: interrupted\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGALRM])
def test_an_interrupt_waits_until_an_embedded_server_is_accounted_for(listening, number):
    """One that comes again, too: a server that no process is listed for would never stop."""
    done = []
    with pytest.raises(KeyboardInterrupt), embedded._uninterrupted():
        signal.raise_signal(number)
        done.append(number)
    assert done == [number]
