"""``homethrive-db migrate``, ``rollback``, ``status``, ``generate``, ``adopt`` and ``reset``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

import click

from homethrive_db.cli.program import database, main
from homethrive_db.errors import ConfigurationError
from homethrive_db.settings import Settings

if TYPE_CHECKING:
    from homethrive_db.migrate import Applied
    from homethrive_db.migrate.router import MigrationOptions

F = TypeVar("F", bound=Callable[..., Any])

FORMAT = click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="JSON is for programs.",
)


def _migration_options(command: F) -> F:
    """Give a command the options that say how long migrations wait."""
    for option in (
        click.option(
            "--accept-edits",
            is_flag=True,
            help="Take applied files as they are now, though they were edited since.",
        ),
        click.option(
            "--attempts",
            type=click.IntRange(min=1),
            default=8,
            show_default=True,
            help="How often to try a migration that does not get its locks.",
        ),
        click.option(
            "--lock-timeout",
            type=click.FloatRange(min=0.001),
            default=5,
            show_default=True,
            help="How many seconds a statement may queue for a lock, others behind it.",
        ),
        click.option(
            "--wait",
            type=click.FloatRange(min=0),
            default=60,
            show_default=True,
            help="How many seconds to wait for another migration.",
        ),
    ):
        command = option(command)
    return command


def _say(event: object) -> None:
    click.echo(f"  waiting: {event}", err=True)


@main.command(short_help="Apply the pending migrations.")
@click.argument("name", required=False)
@_migration_options
def migrate(name: str | None, **options: Unpack[MigrationOptions]) -> None:
    """Apply the pending migrations one by one, up to NAME if given."""
    from homethrive_db import migrate as migrations

    options["on_wait"] = _say
    with database() as db:
        click.echo(f"Migrating {db.database}")
        applied = None
        for applied in migrations.migrate(db, name, **options):
            click.echo(f"  applied {applied}")
        if applied is None:
            click.echo("  nothing to apply")
        for one in migrations.status(db).applied:
            if one.is_missing:
                click.echo(f"  applied before, but its file is not there: {one.name}")


@main.command(short_help="Take back the last migration.")
@click.option(
    "--count",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="How many migrations to take back.",
)
@_migration_options
def rollback(count: int, **options: Unpack[MigrationOptions]) -> None:
    """Take back the last migration, with what its tables and columns hold."""
    from homethrive_db import migrate as migrations

    options["on_wait"] = _say
    with database() as db:
        click.echo(f"Rolling back {db.database}")
        for taken_back in migrations.rollback(db, count, **options):
            click.echo(f"  took back {taken_back}")


@main.command(short_help="Show what is applied, and what is pending.")
@FORMAT
@click.option(
    "--exit-code",
    is_flag=True,
    help="Exit with 1 where any is pending, edited or without its file.",
)
def status(form: str, exit_code: bool) -> None:
    """Show which migrations are applied, when, and which are pending. Changes nothing."""
    from homethrive_db import migrate as migrations

    with database() as db:
        state = migrations.status(db)
        if form == "json":
            shown = {"database_name": db.database, "ok": state.is_current, **asdict(state)}
            click.echo(json.dumps(shown, default=str))
        else:
            click.echo(db.database)
            width = max(map(len, [*(one.name for one in state.applied), *state.pending]), default=0)
            for one in state.applied:
                click.echo(f"  applied  {one.name:{width}}  {_applied(one)}")
            for name in state.pending:
                click.echo(f"  pending  {name}")
    if exit_code and not state.is_current:
        sys.exit(1)


def _applied(one: Applied) -> str:
    words = [f"{one.at:%Y-%m-%d %H:%M:%S} UTC"]
    if one.seconds is not None:
        words.append(f"in {one.seconds:.2f} s")
    if one.is_edited:
        words.append("edited since")
    if one.is_missing:
        words.append("its file is not there")
    return "  ".join(words)


@main.command(short_help="Draft the next migration from the models.")
@click.argument("name")
def generate(name: str) -> None:
    """Draft the next migration, NAME, from what the models say and the migrations do not.

    The database serves to try both out, and stays as it is.
    """
    from homethrive_db.migrate import migrations_folder
    from homethrive_db.migrate.draft import check_models
    from homethrive_db.migrate.draft import generate as draft
    from homethrive_db.migrate.migrator import QUESTION

    check_models(Path.cwd())
    folder = migrations_folder()
    with database() as db:
        path = draft(db, name, folder)
    if path is None:
        click.echo("The migrations make what the models say: nothing to write")
        return
    click.echo(f"Wrote {path}")
    if "ADD VALUE" in path.read_text():
        click.echo("  new labels come first: once it is written, generate what else there is")
    questions = path.read_text().count(QUESTION)
    if questions:
        click.echo(f"  {questions} to be answered in it: each is marked QUESTION")


@main.command(short_help="Note what a database of the Node service has.")
def adopt() -> None:
    """Note which migrations a database has that the Node service made.

    It writes nothing but the history; where no migration fits, it lists the differences.
    """
    from homethrive_db.migrate import migrations_folder
    from homethrive_db.migrate.adopt import adopt as take

    with database() as db:
        click.echo(f"Adopting {db.database}")
        adoption = take(db, migrations_folder(), ignore=Settings.from_environment().ignore_tables)
    for name in adoption.noted:
        click.echo(f"  noted as applied  {name}")
    for difference in adoption.differences:
        click.echo(f"  {difference}")
    if adoption.nearest:
        click.echo(f"No migration fits; the nearest is {adoption.nearest}, which differs as above")
        sys.exit(1)
    for name in adoption.pending:
        click.echo(f"  pending           {name}")
    if not adoption.noted:
        click.echo("  nothing to adopt")


def _ask(question: str) -> str:
    """Give what is typed. Raises ConfigurationError where nobody is there to type."""
    try:
        return str(click.prompt(question, type=str))
    except click.Abort as end:
        click.echo()
        if isinstance(end.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise ConfigurationError("no name was typed: nothing was dropped") from None


@main.command(short_help="Empty a database for development.")
@click.option("--yes", is_flag=True, help="Do not ask for the database's name.")
def reset(yes: bool) -> None:
    """Drop everything of ours, with all rows, and create it anew; for development.

    Only an embedded database, or one on a loopback address whose name ends in _dev or _test.
    """
    from homethrive_db import migrate as migrations
    from homethrive_db.migrate.reset import drop_everything, resettable_name

    with database() as db:
        name = resettable_name(db, Settings.from_environment().required_database_url())
        if not yes and _ask(f"All rows in {db.database} go. Type its name to say so") != name:
            raise ConfigurationError(f"that is not its name ({name}): nothing was dropped")
        drop_everything(db, migrations.migrations_folder())
        click.echo(f"Emptied {db.database}")
        for applied in migrations.migrate(db, on_wait=_say):
            click.echo(f"  applied {applied}")
