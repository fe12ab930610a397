"""What a person sees of the worker: progress on standard error, and a summary at the end."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import IO

import click

from homethrive_db.doses.recording import Summary
from homethrive_db.doses.rejects import RejectsFile
from homethrive_db.errors import HomethriveDbError

_SECONDS_BETWEEN_LINES = 2.0


@contextmanager
def progress(stream: IO[bytes]) -> Iterator[Callable[[Summary], None]]:
    """Show how far the block came: a bar on a terminal, else a line now and then.

    What cuts the block short gets a note of that, once the bar is off the line.
    """
    size = os.fstat(stream.fileno()).st_size
    settled, last = 0, time.monotonic()

    def show(summary: Summary) -> None:
        nonlocal settled, last
        settled = summary.lines
        if bar is not None:
            bar.update(summary.bytes - bar.pos)
        elif time.monotonic() - last >= _SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            share = f" ({summary.bytes / size:.0%})" if size else ""
            click.echo(f"{settled:,} lines{share}", err=True)

    try:
        with ExitStack() as stack:
            bar = None
            if size and sys.stderr.isatty():
                bar = stack.enter_context(
                    click.progressbar(length=size, label="Recording", file=sys.stderr)
                )
            yield show
    except (HomethriveDbError, OSError, KeyboardInterrupt) as error:
        which = f"Lines 1 to {settled:,} are settled" if settled else "No line is settled yet"
        error.add_note(f"{which}. Run the same command again: nothing is recorded twice.")
        raise


def sum_up(summary: Summary, seconds: float, rejects: RejectsFile) -> None:
    """Print what became of every line, where the rejects are, and what was there before them."""
    rate = summary.lines / seconds if seconds else 0
    click.echo(f"{summary.lines:>10,} lines in {seconds:.1f} s, {rate:,.0f} a second")
    click.echo(f"{summary.recorded:>10,} recorded")
    click.echo(f"{summary.already_recorded:>10,} already recorded")
    where = f": {rejects.path}" if summary.rejected else ""
    click.echo(f"{summary.rejected:>10,} rejected{where}")
    if summary.no_objects:
        click.echo(f"{'':10} one JSON object a line, in UTF-8, expected")
    if rejects.kept is not None:
        click.echo(f"{'':10} what was there is kept: {rejects.kept}")
    if not summary.rejected and rejects.path.exists():
        click.echo(f"{'':10} left from before: {rejects.path}")
