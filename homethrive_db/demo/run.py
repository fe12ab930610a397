"""The steps of the demo, each said as it is done."""

from __future__ import annotations

import fcntl
import io
import os
import shlex
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path
from urllib.parse import quote

import click

from homethrive_db import embedded
from homethrive_db.database import Database, create_db
from homethrive_db.demo.day import show_day
from homethrive_db.demo.events import DAYS, FIRST_DAY, make_events
from homethrive_db.demo.households import make_households
from homethrive_db.doses.recording import record_doses
from homethrive_db.doses.rejects import Rejection
from homethrive_db.entities import CareRecipient
from homethrive_db.errors import UnavailableError
from homethrive_db.migrate import migrate
from homethrive_db.repositories import Repositories
from homethrive_db.settings import EmbeddedLocation

WIDTH = 70
_TABLES = ("users", "medications", "medication_schedules")


def run() -> None:
    """Run the demo and print it.

    Raises ConfigurationError where the embedded server cannot run.
    """
    started = time.monotonic()
    click.echo()
    with _step("PostgreSQL starts") as step:
        server = _fresh_server()
        step.says = f"PostgreSQL runs in {server.folder}"
    db = create_db(server.url)
    try:
        _migrate(db)
        repositories = Repositories(db)
        with _step("Households move in") as step:
            households = make_households(repositories)
            step.says = f"Households move in: {_counts(db)}"
        _record_twice(repositories, make_events(households))
        show_day(repositories, households[0])
        _say_what_is_there(db, time.monotonic() - started)
        _say_how_to_look_further(server, households[0].recipient)
    finally:
        db.close_all()


def _fresh_server() -> embedded.EmbeddedServer:
    """Start a server with an empty database, in the first folder that nobody uses."""
    for number in count(1):
        name = "demo" if number == 1 else f"demo-{number}"
        folder = embedded.data_root() / name
        if not _claim(folder) or embedded.is_in_use(folder):
            continue
        server = embedded.start(EmbeddedLocation(folder))
        try:
            server.recreate_database()
        except UnavailableError:  # somebody else has opened it just now
            continue
        return server
    raise AssertionError("there is always a next folder")


def _claim(folder: Path) -> bool:
    """Keep other demos off *folder* until this process ends; False where one was faster."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder.with_name(f"{folder.name}.lock"), os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return False
    return True  # the lock stays open until after the server has stopped: the end releases it


def _migrate(db: Database) -> None:
    click.echo("  Migrations")
    before = time.monotonic()
    for name in migrate(db):
        after = time.monotonic()
        _line(f"    {click.style('applied', fg='green')} {name}", after - before)
        before = after


def _counts(db: Database) -> str:
    with db.connection_context():
        numbers = [db.execute_sql(f"SELECT count(*) FROM {table}") for table in _TABLES]  # noqa: S608
        users, medications, schedules = (one.fetchone()[0] for one in numbers)
    return f"{users} people, {medications} medications, {schedules} schedules"


def _record_twice(repositories: Repositories, events: bytes) -> None:
    lines = len(events.splitlines())
    click.echo(f"  A worker records {lines} dose events, twice")
    rejections: list[Rejection] = []
    for title, reject in (("once", rejections.append), ("again", lambda _: None)):
        before = time.monotonic()
        summary = record_doses(io.BytesIO(events), repositories.doses_taken, reject)
        _line(
            f"    {title:<6}{summary.recorded:>5} recorded {summary.already_recorded:>5} "
            f"already recorded {summary.rejected:>3} rejected",
            time.monotonic() - before,
        )
    for one in rejections:
        reason = textwrap.fill(one.reason, WIDTH - 6, subsequent_indent=" " * 14)
        click.echo(f"    {click.style(f'line {one.line:>3}', fg='yellow')}  {reason}")


def _say_what_is_there(db: Database, seconds: float) -> None:
    with db.connection_context():
        doses = db.execute_sql("SELECT count(*) FROM dose_taken").fetchone()[0]
    click.echo(f"\n  {doses} doses are in the database. All of this took {seconds:.1f} s.\n")


def _say_how_to_look_further(server: embedded.EmbeddedServer, recipient: CareRecipient) -> None:
    url = shlex.quote(f"embedded://{quote(os.fspath(server.folder))}")
    last_day = FIRST_DAY + timedelta(days=DAYS - 1)
    click.echo("  Look further (the server stops now and starts again with these commands):\n")
    for command in (
        f"report \\\n      {recipient.id} --from {FIRST_DAY} --to {last_day}",
        "psql",
    ):
        click.secho(f"    DATABASE_URL={url} homethrive-db {command}\n", bold=True)


@dataclass(slots=True)
class _Step:
    """What a step says of itself when it is done."""

    says: str


@contextmanager
def _step(title: str) -> Iterator[_Step]:
    """Show *title* while a step runs, on a terminal, and then what it says with its duration."""
    started = time.monotonic()
    step = _Step(title)
    if sys.stdout.isatty():
        click.echo(f"  {title} …\r", nl=False)
    yield step
    _line(f"  {step.says}", time.monotonic() - started)


def _line(text: str, seconds: float) -> None:
    """Print a line with its duration at the right."""
    room = WIDTH + 8 - len(click.unstyle(text))
    duration = click.style(f" {seconds:.2f} s".rjust(room), dim=True)
    click.echo(f"{text}{duration}")
