"""The program: how it starts, ends, and says what went wrong in one line."""

from __future__ import annotations

import errno
import math
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
from dotenv import load_dotenv

from homethrive_db.errors import ConfigurationError, HomethriveDbError

if TYPE_CHECKING:
    from homethrive_db.database import Database

_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
"""The last one brings an interrupt again that Python dropped."""
_UNWINDING_SECONDS = 2.0
"""How long what an interrupt breaks off may take to clean up."""
_UNHEARD_SECONDS = 0.01
"""How long after Python dropped an interrupt it comes again."""


class _Commands(click.Group):
    """Turns what this package raises into one line and an exit status."""

    def invoke(self, ctx: click.Context) -> Any:
        interrupt = _Interrupt()
        try:
            interrupt.listen()
            return self._run(ctx)
        except KeyboardInterrupt as error:  # around all of it: one may come as the program ends
            _ignore_endings()
            exec("")  # noqa: S102 one of text that was broken off makes ``python -m`` end by SIGINT
            _fail(ctx, error, "interrupted", 130)

    def _run(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except HomethriveDbError as error:
            _fail(ctx, error, error.message, 2)
        except OSError as error:
            if error.errno == errno.EPIPE:  # nobody reads on: click ends quietly
                raise
            _let_go_of_output()
            where = f"{error.filename}: " if error.filename else ""
            _fail(ctx, error, f"{where}{error.strerror or error}", 2)
        finally:
            _ignore_endings()


class _Interrupt:
    """Handles what ends the program: once, so that what is being broken off can clean up.

    Python drops an exception that comes at some moments. Where it says so (in ``__del__``, in the
    callback of a weak reference), the interrupt is raised again; where it does not (in ``input``),
    the next signal is heard.
    """

    def __init__(self) -> None:
        self._raised_at = -math.inf

    def listen(self) -> None:
        for number in _ENDINGS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it for SIGHUP
                signal.signal(number, self)
        sys.unraisablehook = self._come_again

    def __call__(self, _number: int, _frame: object) -> None:
        now = time.monotonic()
        if now > self._raised_at + _UNWINDING_SECONDS:
            self._raised_at = now
            raise KeyboardInterrupt

    def _come_again(self, dropped: sys.UnraisableHookArgs) -> None:
        if dropped.exc_type is not KeyboardInterrupt:
            sys.__unraisablehook__(dropped)
            return
        self._raised_at = -math.inf
        signal.setitimer(signal.ITIMER_REAL, _UNHEARD_SECONDS)


def _ignore_endings() -> None:
    """Let cleaning up be done: the embedded server stops after the last line of this program."""
    for number in _ENDINGS:
        signal.signal(number, signal.SIG_IGN)


def _let_go_of_output() -> None:
    """Drop what standard output does not take: Python would say so again when it ends."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(ctx: click.Context, error: BaseException, message: str, status: int) -> NoReturn:
    """Say in one line what is wrong, with what was noted on the way."""
    line = ". ".join([message, *getattr(error, "__notes__", [])])
    click.echo(f"homethrive-db: {' '.join(line.split())}", err=True)
    ctx.exit(status)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="homethrive-db", message="%(version)s")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Look after the database of a medication-management system, named by DATABASE_URL.

    A .env file in the working folder is read; variables that are set already win.
    """
    if os.environ.get("NO_COLOR"):
        ctx.color = False
    try:
        load_dotenv(Path.cwd() / ".env")
    except UnicodeDecodeError:
        raise ConfigurationError("the file .env is not UTF-8") from None


@contextmanager
def database() -> Iterator[Database]:
    """Open the database of DATABASE_URL for a command; close every connection after it."""
    from homethrive_db.database import create_db

    db = create_db()
    try:
        yield db
    finally:
        db.close_all()
