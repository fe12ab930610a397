"""``homethrive-db record``: the worker."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import click

from homethrive_db.cli.program import database, main
from homethrive_db.errors import ConfigurationError


def _check_rejects(_ctx: click.Context, _option: click.Parameter, path: Path | None) -> Path | None:
    if str(path) == "-":
        raise click.BadParameter("a file expected; standard output has the summary")
    return path


@main.command(short_help="Record the dose events of a file.")
@click.argument(
    "file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
)
@click.option(
    "--rejects",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_check_rejects,
    help="Where rejected events go; FILE with the ending .rejected.ndjson unless given.",
)
def record(file: Path, rejects: Path | None) -> None:
    """Record the dose events of FILE, one JSON object a line; - reads standard input.

    Recording is idempotent: after whatever ended a run, run the same command again. Rejected
    events go to a file with line number and reason; mend them there and feed that file in turn.
    What is there under its name already is kept under another.
    """
    from homethrive_db.cli.progress import progress, sum_up
    from homethrive_db.database import check_connection
    from homethrive_db.doses.recording import record_doses
    from homethrive_db.doses.rejects import RejectsFile, check_place, rejects_path
    from homethrive_db.repositories import Repositories

    if str(file) == "-" and sys.stdin is None:
        raise ConfigurationError("standard input is closed")
    rejects = rejects or rejects_path(file)
    started = time.monotonic()
    with click.open_file(os.fspath(file), "rb") as stream:
        check_place(rejects, stream)
        with database() as db:
            check_connection(db)  # without a database no line is settled
            with progress(stream) as show, RejectsFile(rejects) as reject:
                summary = record_doses(stream, Repositories(db).doses_taken, reject, on_batch=show)
    sum_up(summary, time.monotonic() - started, reject)
    if summary.rejected:
        sys.exit(1)
