"""Empties a database for development; refuses every other."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from homethrive_db.database import Database
from homethrive_db.errors import ConfigurationError, Translation
from homethrive_db.migrate import history
from homethrive_db.migrate.files import read_folder
from homethrive_db.migrate.lock import migration_lock
from homethrive_db.migrate.scratch import catalogs_of_migrations
from homethrive_db.models import ENUMS, MODELS
from homethrive_db.secrecy import without_locals
from homethrive_db.settings import connection_parameters, is_embedded

_ADDRESSES = ("host", "hostaddr")
_ENDINGS = ("_dev", "_test")


@without_locals
def resettable_name(db: Database, url: str) -> str:
    """Give the name of the database that *db* reaches by *url*, where it may be emptied.

    Raises ConfigurationError for any but an embedded one, and those of ``check_resettable``; for a
    remote address before it is connected to.
    """
    if not is_embedded(url):
        _check_named_addresses(connection_parameters(url))
    with db.connection_context():
        # What libpq did connect to, in which the environment may have had a say.
        parameters = db.connection().info.dsn_parameters
    if not is_embedded(url):
        check_resettable(parameters)
    return str(parameters["dbname"])


def check_resettable(parameters: Mapping[str, str]) -> None:
    """Refuse all but a loopback address with a database whose name ends in _dev or _test.

    The address alone says nothing: a tunnel to production is on a loopback address too. Raises
    ConfigurationError.
    """
    _check_addresses([parameters[key] for key in _ADDRESSES if parameters.get(key)] or ["a socket"])
    if not parameters["dbname"].endswith(_ENDINGS):
        raise ConfigurationError(
            f"the name {parameters['dbname']} does not end in _dev or _test: "
            "only a database for development is reset"
        )


def _check_named_addresses(parameters: Mapping[str, str]) -> None:
    """Refuse what the URL or the environment names, where that is no loopback address."""
    named = [parameters.get(key) or os.environ.get(f"PG{key.upper()}") for key in _ADDRESSES]
    _check_addresses([address for address in named if address])


def _check_addresses(addresses: Iterable[str]) -> None:
    for address in addresses:
        if not _is_loopback(address):
            raise ConfigurationError(
                f"{address} is no loopback address: only a database for development is reset"
            )


def drop_everything(db: Database, folder: Path, *, wait: float = 60) -> None:
    """Drop our tables with all rows, our types and the history, in one transaction.

    Ours are those of the models, and of the migrations in *folder*.
    """
    made = catalogs_of_migrations(db, read_folder(folder))[-1]
    tables = {model._meta.table_name for model in MODELS} | history.TABLES | made.tables.keys()
    types = ENUMS.keys() | made.enums.keys()
    with db.connection_context(), Translation(), migration_lock(db, wait=wait):
        # CASCADE takes only what others have pointing at a table: constraints and views.
        db.execute_sql(f"DROP TABLE IF EXISTS {', '.join(sorted(tables))} CASCADE")
        db.execute_sql(f"DROP TYPE IF EXISTS {', '.join(sorted(types))}")


def _is_loopback(address: str) -> bool:
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
