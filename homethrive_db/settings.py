"""From the environment to one ``Settings`` value, and what a database URL means."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg2
from psycopg2.extensions import parse_dsn

from homethrive_db.errors import ConfigurationError
from homethrive_db.secrecy import without_locals

if TYPE_CHECKING:
    from pathlib import Path

AUTHORITIES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Alpine
    "/etc/pki/tls/certs/ca-bundle.crt",  # Amazon Linux, Red Hat
    "/etc/ssl/cert.pem",  # macOS
)
"""Where machines keep the certificates that they trust, if Python's OpenSSL looks elsewhere."""

SERVER_SCHEME = "postgresql://"
EMBEDDED_SCHEME = "embedded://"

_HOW_TO_SET = (
    "set it to postgresql://user:password@host:5432/database, "
    "or to embedded:// for a PostgreSQL server of your own that needs no installation"
)

# An @ or a / that a password holds plainly ends it for libpq, which would take the rest for a host,
# a port or a database, and show it in every message.
_PASSWORD_CUT_SHORT = re.compile(r"[^@/]*:[^@/]*[@/][^?]*@")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*", re.ASCII | re.IGNORECASE)
_PORTS = re.compile(r"[0-9,]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says. URLs hold passwords, so no ``repr`` shows them."""

    database_url: str | None = field(default=None, repr=False)
    database_url_test: str | None = field(default=None, repr=False)
    ignore_tables: tuple[str, ...] = ()
    """Tables that are not ours, names or patterns: ``check`` and ``adopt`` pass them over."""
    proxy: bool = False
    """Whether a proxy such as RDS Proxy is between."""

    @classmethod
    @without_locals  # the repr of the environment shows all of it
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Read the variables; an empty one counts as unset. Raises ConfigurationError."""
        proxy = environment.get("DATABASE_PROXY") or "0"
        if proxy not in {"0", "1"}:
            raise ConfigurationError("DATABASE_PROXY: 0 or 1 expected")
        return cls(
            database_url=environment.get("DATABASE_URL") or None,
            database_url_test=environment.get("DATABASE_URL_TEST") or None,
            ignore_tables=tuple(
                environment.get("DATABASE_IGNORE_TABLES", "").replace(",", " ").split()
            ),
            proxy=proxy == "1",
        )

    def required_database_url(self) -> str:
        """Give the main database's URL.

        Raises ConfigurationError where it is unset: a worker must never write to a database that
        nobody meant.
        """
        if self.database_url is None:
            raise ConfigurationError(f"DATABASE_URL is not set: {_HOW_TO_SET}")
        return self.database_url


@dataclass(frozen=True, slots=True)
class EmbeddedLocation:
    """Where an embedded server keeps its data; None stands for the default."""

    folder: Path | None = None
    postgres_version: int | None = None


def is_embedded(url: str) -> bool:
    """Say whether *url* asks for the embedded server."""
    return url.startswith(EMBEDDED_SCHEME)


def embedded_location(url: str) -> EmbeddedLocation:
    """Read ``embedded://``, ``embedded:///a/folder`` and ``?version=16``.

    Raises ConfigurationError for anything else.
    """
    from pathlib import Path
    from urllib.parse import parse_qs, unquote, urlsplit

    parts = urlsplit(url)
    if parts.netloc:
        raise ConfigurationError(
            "an embedded URL has three slashes before an absolute folder: embedded:///a/folder"
        )
    query = parse_qs(parts.query)
    version = query.pop("version", [None])[0]
    if query or not (version is None or version.isdecimal()):
        raise ConfigurationError("an embedded URL takes no parameter but a number ?version=")
    return EmbeddedLocation(
        folder=Path(unquote(parts.path)) if parts.path.strip("/") else None,
        postgres_version=None if version is None else int(version),
    )


@without_locals
def connection_parameters(url: str) -> dict[str, str]:
    """Split a libpq URI into libpq's keywords, percent-encoding undone.

    Raises ConfigurationError, which never repeats the URL: it may hold a password.
    """
    if not url.startswith(SERVER_SCHEME):
        scheme = url.partition("://")[0] if "://" in url else ""
        came = f"it begins with {scheme}://" if _SCHEME.fullmatch(scheme) else "it has no scheme"
        raise ConfigurationError(f"the database URL must begin with {SERVER_SCHEME}, but {came}")
    parameters = None
    with suppress(psycopg2.Error, ValueError, TypeError):
        parameters = dict(parse_dsn(url))
    # Raised outside of the block: libpq quotes the part it could not read, maybe the password.
    if (
        parameters is None
        or _PASSWORD_CUT_SHORT.match(url, len(SERVER_SCHEME))
        or not _PORTS.fullmatch(parameters.get("port", ""))
    ):
        raise ConfigurationError(
            "the database URL cannot be read: percent-encode special characters in its user and "
            "password, and use only parameters of libpq after the question mark"
        )
    return parameters


def with_verified_tls(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Add libpq's keywords for TLS with a server whose certificate is checked, name included.

    Against the machine's own certificates: libpq would look for a file in the home folder. Where
    *parameters* choose a mode that checks nothing no file is named: given one, libpq does check.
    """
    import ssl  # here: a tenth of what the package takes to import

    mode = parameters.get("sslmode") or "verify-full"
    if not mode.startswith("verify-"):
        return dict(parameters)
    authorities = (ssl.get_default_verify_paths().cafile, *AUTHORITIES)
    there = (file for file in authorities if file and os.path.isfile(file))
    return {"sslrootcert": next(there, "system"), **parameters, "sslmode": mode}


def describe(parameters: Mapping[str, str]) -> str:
    """Name a database for a person, password left out: ``database on host:port as user``."""
    words = [parameters.get("dbname") or "the default database"]
    words.append(f"on {parameters.get('host') or 'the local socket'}")
    if parameters.get("port"):
        words[-1] += f":{parameters['port']}"
    if parameters.get("user"):
        words.append(f"as {parameters['user']}")
    return " ".join(words)
