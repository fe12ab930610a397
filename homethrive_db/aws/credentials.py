"""The database's address and login, from Secrets Manager or IAM.

A password or a token is in no message, cause or log, at whatever level botocore logs.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from homethrive_db import settings, validation
from homethrive_db.aws.client import client_of
from homethrive_db.connector import Credentials
from homethrive_db.database import Database, database_of
from homethrive_db.errors import ConfigurationError, ValidationError
from homethrive_db.secrecy import without_locals

DATABASE_NAME = "homethrive"
PORT = 5432

TOKEN_SECONDS = 600.0
"""How long a token is used; it opens connections for 900 seconds."""

_TLS = frozenset({"require", "verify-ca", "verify-full"})
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 5.0


@without_locals
def create_db(*, max_connections: int = 10, pool_timeout: float = 30, **options: Any) -> Database:
    """Make a database for what the environment says of AWS; nothing is connected to it yet.

    As ``homethrive_db.create_db``: *options* are its options and keywords of libpq, and win. Each
    connection is made with the login as it then is. TLS is ``verify-full``. Raises what
    ``connection_parameters`` raises, and ConfigurationError for an ``sslmode`` without TLS.
    """
    address, credentials = _from_environment()
    user = credentials(refresh=False)["user"]  # and what is wrong with the settings shows now
    keywords = {**address, "user": user, "credentials": credentials, **options}
    if keywords.get("sslmode", "verify-full") not in _TLS:
        raise ConfigurationError(f"sslmode: TLS is required, so one of {', '.join(sorted(_TLS))}")
    keywords.setdefault("proxy", settings.Settings.from_environment().proxy)
    pool = {"max_connections": max_connections, "pool_timeout": pool_timeout}
    return database_of({**keywords, **pool})


@without_locals
def connection_parameters() -> dict[str, str]:
    """Find libpq's keywords: host, port, database and user, with a password or a token.

    ``DATABASE_IAM_USER`` chooses a token, which opens connections for 15 minutes; else the secret
    of ``DATABASE_SECRET_ARN`` is read. Raises ConfigurationError for a variable that is missing, a
    secret that cannot be used and a missing extra, and UnavailableError where AWS does not answer.
    """
    address, credentials = _from_environment()
    return settings.with_verified_tls({**address, **credentials(refresh=False)})


def _from_environment() -> tuple[dict[str, str], Credentials]:
    return _by_token() if os.environ.get("DATABASE_IAM_USER") else _by_secret()


def _by_secret() -> tuple[dict[str, str], Credentials]:
    credentials = SecretCredentials(_required("DATABASE_SECRET_ARN"))
    secret = credentials.secret
    host = os.environ.get("DATABASE_PROXY_ENDPOINT") or _text(secret, "host")
    if host is None:
        raise ConfigurationError("DATABASE_PROXY_ENDPOINT is not set, and the secret has no host")
    dbname = os.environ.get("DATABASE_NAME") or _text(secret, "dbname") or DATABASE_NAME
    port = _port(secret.get("port"), "the secret's port")
    return {"host": host, "port": port, "dbname": dbname}, credentials


def _by_token() -> tuple[dict[str, str], Credentials]:
    address = {
        "host": _required("DATABASE_PROXY_ENDPOINT"),
        "port": _port(os.environ.get("DATABASE_PORT"), "DATABASE_PORT"),
        "dbname": os.environ.get("DATABASE_NAME") or DATABASE_NAME,
    }
    user = _required("DATABASE_IAM_USER")
    return address, TokenCredentials(address["host"], address["port"], user)


class SecretCredentials:
    """The login that a secret of Secrets Manager holds.

    It is read once, and again where the server refuses it. In a rotation the database changes
    before the secret's current version does, so the pending one is tried too. Secrets Manager is
    asked after pauses that grow, up to 5 seconds.
    """

    verify_tls = True

    @without_locals
    def __init__(self, arn: str) -> None:
        self._arn = arn
        self.secret: Mapping[str, object] = _read_secret(arn)
        self._login = _login(self.secret)
        self._pause = _FIRST_PAUSE
        self._ask_again_at = 0.0

    @without_locals
    def __call__(self, *, refresh: bool) -> Mapping[str, str]:
        """Give user and password. Raises as ``connection_parameters`` does."""
        now = time.monotonic()
        if refresh and now >= self._ask_again_at:
            self._ask_again_at = now + self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
            self._read_again()
        return self._login

    def _read_again(self) -> None:
        refused = self._login
        login = _login(_read_secret(self._arn))
        if login == refused:
            with suppress(ConfigurationError):  # there is none
                login = _login(_read_secret(self._arn, "AWSPENDING"))
        if login != refused:
            self._login, self._pause = login, _FIRST_PAUSE


class TokenCredentials:
    """A user of IAM, whose tokens are made here and used for ten minutes."""

    verify_tls = True

    def __init__(self, host: str, port: str, user: str) -> None:
        self._host = host
        self._port = port
        self._user = user
        self._token = ""
        self._made_at = float("-inf")

    @without_locals
    def __call__(self, *, refresh: bool) -> Mapping[str, str]:
        """Give the user, and a token as the password. Raises as ``connection_parameters`` does."""
        now = time.monotonic()
        if refresh or now >= self._made_at + TOKEN_SECONDS:
            self._token, self._made_at = self._make_token(), now
        return {"user": self._user, "password": self._token}

    def _make_token(self) -> str:
        with client_of("rds") as client:
            token: str = client.generate_db_auth_token(
                DBHostname=self._host, Port=int(self._port), DBUsername=self._user
            )
        return token


def _read_secret(arn: str, stage: str = "AWSCURRENT") -> Mapping[str, object]:
    with client_of("secretsmanager") as client:
        text = client.get_secret_value(SecretId=arn, VersionStage=stage).get("SecretString")
    secret = None
    with suppress(ValueError, RecursionError):
        secret = json.loads(text) if isinstance(text, str) else None
    # Raised outside of the block: the decoder's error holds the whole secret.
    if not isinstance(secret, dict):
        raise ConfigurationError("the secret of DATABASE_SECRET_ARN holds no JSON object")
    return secret


def _login(secret: Mapping[str, object]) -> Mapping[str, str]:
    return {
        "user": _required_text(secret, "username"),
        "password": _required_text(secret, "password"),
    }


def _text(secret: Mapping[str, object], field: str) -> str | None:
    """Give a field's text; None where it is absent, null or empty."""
    value = secret.get(field)
    if value is None or value == "":
        return None
    try:
        return validation.text(value, field)
    except ValidationError as error:  # it names the field and the type
        raise ConfigurationError(f"the secret's {error}", details=error.details) from error


def _required_text(secret: Mapping[str, object], field: str) -> str:
    text = _text(secret, field)
    if text is None:
        raise ConfigurationError(f"the secret has no {field}", details={"field": field})
    return text


def _port(value: object, name: str) -> str:
    """Check a port, a number or its digits; 5432 where there is none."""
    if value is None or value == "":
        return str(PORT)
    digits = str(value) if isinstance(value, int | str) else ""
    if not (
        digits.isascii() and digits.isdecimal() and len(digits) <= 5 and 0 < int(digits) < 65536
    ):
        raise ConfigurationError(f"{name}: a number from 1 to 65535 expected")
    return digits


def _required(variable: str) -> str:
    value = os.environ.get(variable)
    if not value:
        raise ConfigurationError(f"{variable} is not set", details={"variable": variable})
    return value
