"""``homethrive-db``: the command line.

Exit status: 0 done, 1 some events were rejected, 2 an error, in one line on standard error, 130
interrupted.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click
from dotenv import load_dotenv

from homethrive_db.errors import ConfigurationError, HomethriveDbError

if TYPE_CHECKING:
    from homethrive_db.doses.recording import Summary

_SECONDS_BETWEEN_LINES = 2.0


class _Commands(click.Group):
    """Turns what this package raises into one line and an exit status."""

    def invoke(self, ctx: click.Context) -> Any:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that cleaning up is done
        try:
            return super().invoke(ctx)
        except HomethriveDbError as error:
            click.echo(f"homethrive-db: {' '.join(str(error).split())}", err=True)
            ctx.exit(2)
        except KeyboardInterrupt:
            click.echo("homethrive-db: interrupted", err=True)
            ctx.exit(130)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="homethrive-db", message="%(version)s")
def main() -> None:
    """Look after the database of a medication-management system, named by DATABASE_URL.

    A .env file in the working folder is read; variables that are set already win.
    """
    load_dotenv(Path.cwd() / ".env")


@main.command()
@click.argument("name", required=False)
def migrate(name: str | None) -> None:
    """Apply the pending migrations one by one, up to NAME if given."""
    from homethrive_db import migrate as migrations
    from homethrive_db.database import create_db

    with _closing(create_db()) as db:
        click.echo(f"Migrating {db.database}")
        count = 0
        for count, applied in enumerate(migrations.migrate(db, name), 1):  # noqa: B007
            click.echo(f"  applied {applied}")
        if not count:
            click.echo("  nothing to apply")


@main.command()
@click.option("--count", default=1, show_default=True, help="How many migrations to take back.")
def rollback(count: int) -> None:
    """Take back the last migration, with what its tables and columns hold."""
    from homethrive_db import migrate as migrations
    from homethrive_db.database import create_db

    with _closing(create_db()) as db:
        click.echo(f"Rolling back {db.database}")
        for taken_back in migrations.rollback(db, count):
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
    from homethrive_db.doses.recording import RejectsFile, record_doses
    from homethrive_db.repositories import Repositories

    from_stdin = str(file) == "-"
    rejects = rejects or (
        Path("rejected.ndjson") if from_stdin else file.with_suffix(".rejected.ndjson")
    )
    if not from_stdin and rejects.exists() and rejects.samefile(file):
        raise ConfigurationError(f"the rejects cannot go to the input itself: {rejects}")
    started = time.monotonic()
    with _closing(create_db()) as db:
        check_connection(db)  # before what an earlier run rejected is replaced
        with (
            click.open_file(os.fspath(file), "rb") as stream,
            closing(RejectsFile(rejects)) as reject,
            _progress(stream) as show,
        ):
            summary = record_doses(stream, Repositories(db).doses_taken, reject, on_batch=show)
    _sum_up(summary, time.monotonic() - started, rejects)
    if summary.rejected:
        sys.exit(1)


def _sum_up(summary: Summary, seconds: float, rejects: Path) -> None:
    rate = summary.lines / seconds if seconds else 0
    click.echo(f"{summary.lines:>10,} lines in {seconds:.1f} s, {rate:,.0f} a second")
    click.echo(f"{summary.recorded:>10,} recorded")
    click.echo(f"{summary.already_recorded:>10,} already recorded")
    where = f": {rejects}" if summary.rejected else ""
    click.echo(f"{summary.rejected:>10,} rejected{where}")


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
    program = shutil.which("psql")
    if is_embedded(url):
        from homethrive_db import embedded

        server = embedded.start(embedded_location(url))
        url, program = server.url, os.fspath(server.psql)
    if program is None:
        raise ConfigurationError("there is no psql on the PATH")
    parameters = connection_parameters(url)
    password = parameters.pop("password", None)  # by the environment, which ps does not show
    environment = {**os.environ, **({"PGPASSWORD": password} if password else {})}
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is psql's, which ends only its query
    sys.exit(
        subprocess.call(  # noqa: S603  # the program is psql, the arguments are the user's own
            [program, "--dbname", make_dsn(**parameters), *arguments], env=environment
        )
    )


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


@contextmanager
def _progress(stream: IO[bytes]) -> Iterator[Callable[[Summary], None]]:
    """Show progress on standard error: a bar on a terminal, else a line now and then.

    A run that is cut short says how far it came.
    """
    size = os.fstat(stream.fileno()).st_size
    lines, last = 0, time.monotonic()

    def show(summary: Summary) -> None:
        nonlocal lines, last
        lines = summary.lines
        if bar is not None:
            bar.update(summary.bytes - bar.pos)
        elif time.monotonic() - last >= _SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            share = f" ({summary.bytes / size:.0%})" if size else ""
            click.echo(f"{lines:,} lines{share}", err=True)

    with ExitStack() as stack:
        bar = None
        if size and sys.stderr.isatty():
            bar = stack.enter_context(
                click.progressbar(length=size, label="Recording", file=sys.stderr)
            )
        try:
            yield show
        except (HomethriveDbError, KeyboardInterrupt):
            click.echo(
                f"Stopped; lines 1 to {lines:,} are settled. "
                "Run the same command again: nothing is recorded twice.",
                err=True,
            )
            raise


if __name__ == "__main__":
    main()
