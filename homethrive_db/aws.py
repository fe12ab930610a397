"""On AWS: the database's address and password from Secrets Manager or IAM, and a Lambda migrator.

Needs the extra ``aws`` (boto3), imported on use. A password or a token is in no message, cause or
log, at whatever level botocore logs.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

from homethrive_db import validation
from homethrive_db.database import Database, database_of
from homethrive_db.errors import (
    ConfigurationError,
    HomethriveDbError,
    UnavailableError,
    ValidationError,
)

if TYPE_CHECKING:
    from homethrive_db.migrate.router import MigrationOptions

DATABASE_NAME = "homethrive"
PORT = 5432

_TLS = frozenset({"require", "verify-ca", "verify-full"})

# Left alone, boto3 waits for minutes where the network leads nowhere: longer than functions live.
_PATIENCE = {
    "connect_timeout": 5,
    "read_timeout": 5,
    "retries": {"mode": "standard", "total_max_attempts": 3},
}

_THROTTLED = frozenset(
    {"Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded"}
)

_WHAT_IS_MISSING = {
    "NoRegionError": "no region is set: set AWS_REGION",
    "NoCredentialsError": "AWS credentials are missing: give the function or the machine a role",
}

MARGIN_SECONDS = 5.0
"""How much of a function's time is left for the migrations when it waits for another migrator."""


def create_db(
    *, max_connections: int = 10, pool_timeout: float = 30, **parameters: Any
) -> Database:
    """Make a database for what the environment says of AWS; nothing is connected to it yet.

    As ``homethrive_db.create_db``: *parameters* are keywords of libpq and win. Raises what
    ``connection_parameters`` raises, and ConfigurationError for an ``sslmode`` without TLS.
    """
    parameters = {**connection_parameters(), **parameters}
    if parameters["sslmode"] not in _TLS:
        raise ConfigurationError(f"sslmode: TLS is required, so one of {', '.join(sorted(_TLS))}")
    return database_of(parameters, max_connections=max_connections, pool_timeout=pool_timeout)


def connection_parameters() -> dict[str, str]:
    """Find libpq's keywords: host, port, database and user, with a password or a token.

    ``DATABASE_IAM_USER`` chooses a token, which opens connections for 15 minutes; else the secret
    of ``DATABASE_SECRET_ARN`` is read. Raises ConfigurationError for a variable that is missing, a
    secret that cannot be used and a missing extra, and UnavailableError where AWS does not answer.
    """
    find = _by_token if os.environ.get("DATABASE_IAM_USER") else _by_secret
    return {**find(), "sslmode": "require"}


def _by_secret() -> dict[str, str]:
    secret = _read_secret(_required("DATABASE_SECRET_ARN"))
    host = os.environ.get("DATABASE_PROXY_ENDPOINT") or _text(secret, "host")
    if host is None:
        raise ConfigurationError("DATABASE_PROXY_ENDPOINT is not set, and the secret has no host")
    dbname = os.environ.get("DATABASE_NAME") or _text(secret, "dbname") or DATABASE_NAME
    return {
        "host": host,
        "port": _port(secret.get("port"), "the secret's port"),
        "dbname": dbname,
        "user": _required_text(secret, "username"),
        "password": _required_text(secret, "password"),
    }


def _by_token() -> dict[str, str]:
    host = _required("DATABASE_PROXY_ENDPOINT")
    port = _port(os.environ.get("DATABASE_PORT"), "DATABASE_PORT")
    user = _required("DATABASE_IAM_USER")
    with _client("rds") as client:
        token = client.generate_db_auth_token(DBHostname=host, Port=int(port), DBUsername=user)
    return {
        "host": host,
        "port": port,
        "dbname": os.environ.get("DATABASE_NAME") or DATABASE_NAME,
        "user": user,
        "password": token,
    }


def _read_secret(arn: str) -> Mapping[str, object]:
    with _client("secretsmanager") as client:
        text = client.get_secret_value(SecretId=arn).get("SecretString")
    secret = None
    with suppress(ValueError, RecursionError):
        secret = json.loads(text) if isinstance(text, str) else None
    # Raised outside of the block: the decoder's error holds the whole secret.
    if not isinstance(secret, dict):
        raise ConfigurationError("the secret of DATABASE_SECRET_ARN holds no JSON object")
    return secret


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


# These log whole responses, signed requests and what a token is signed with.
_TALKATIVE = ("botocore.auth", "botocore.endpoint", "botocore.parsers")
_asks_for_secrets = ContextVar("asks_for_secrets", default=False)


def _may_be_logged(_record: logging.LogRecord) -> bool:
    return not _asks_for_secrets.get()


@contextmanager
def _client(service: str) -> Iterator[Any]:
    """Open a client of *service* for the block: its errors become ours, its logs keep quiet."""
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError as error:
        raise ConfigurationError("boto3 is an extra: pip install 'homethrive-db[aws]'") from error
    for name in _TALKATIVE:
        logging.getLogger(name).addFilter(_may_be_logged)
    before = _asks_for_secrets.set(True)
    try:
        # Boto3 reads AWS_DEFAULT_REGION only; AWS's other kits, and containers, have AWS_REGION.
        session = boto3.session.Session(region_name=os.environ.get("AWS_REGION") or None)
        yield session.client(service, config=Config(**_PATIENCE))
    except ClientError as error:
        raise _refusal(error) from error
    except BotoCoreError as error:
        raise _failure(error) from error
    finally:
        _asks_for_secrets.reset(before)


def _refusal(error: Any) -> HomethriveDbError:
    """Find our error for an answer of AWS."""
    code = error.response.get("Error", {}).get("Code", "Unknown")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    details = {"aws_code": code}
    message = f"AWS answered {error.operation_name} with {code}"
    if code in _THROTTLED or status == 429 or status >= 500:
        return UnavailableError(f"{message}: try again", details=details, retryable=True)
    return ConfigurationError(
        f"{message}: check DATABASE_SECRET_ARN, the region and the rights of the role",
        details=details,
    )


def _failure(error: Any) -> HomethriveDbError:
    """Find our error for what kept AWS from being asked."""
    from botocore import exceptions

    name = type(error).__name__
    passing = (
        exceptions.ConnectionError,
        exceptions.HTTPClientError,
        exceptions.CredentialRetrievalError,
        exceptions.MetadataRetrievalError,
    )
    if isinstance(error, passing):
        return UnavailableError(f"AWS could not be reached ({name})", retryable=True)
    return ConfigurationError(_WHAT_IS_MISSING.get(name, f"AWS could not be asked ({name})"))


class LambdaContext(Protocol):
    """What the migrator needs of the context that AWS Lambda gives to a function."""

    def get_remaining_time_in_millis(self) -> int:
        """Give the milliseconds until the function is ended."""


class MigrationFailure(TypedDict):
    """One of our codes, or ``INTERNAL_ERROR`` with the name of an exception's class."""

    code: str
    message: str


class MigrationResult(TypedDict):
    """What became of a migration: ``applied`` names what was, also before a failure."""

    success: bool
    message: str
    applied: list[str]
    error: MigrationFailure | None


def migrate_handler(event: object, context: LambdaContext | None) -> MigrationResult:  # noqa: ARG001  # Lambda's signature
    """Apply the pending migrations to the database of ``connection_parameters``, for AWS Lambda.

    May be repeated, and run any number of times at once: each migration is applied by one of them,
    the others wait as long as their time allows. Raises nothing: a failure is a result. Its
    connection is closed whatever happens.
    """
    applied: list[str] = []
    try:
        _migrate(context, applied)
    except HomethriveDbError as error:
        return _failed(applied, error.code, error.message)
    except Exception as error:  # noqa: BLE001  # its text is a stranger's and may hold anything
        return _failed(applied, "INTERNAL_ERROR", type(error).__name__)
    message = f"applied {len(applied)}" if applied else "nothing to apply"
    return {"success": True, "message": message, "applied": applied, "error": None}


def _migrate(context: LambdaContext | None, applied: list[str]) -> None:
    from homethrive_db.migrate import migrate, status  # brings click: not for a worker's password

    db = create_db(max_connections=1)
    try:
        names: list[str | None] = [*status(db).pending]
        # One by one: what is left of the time is asked for anew. Without any the files are checked.
        for name in names or [None]:
            applied.extend(migrate(db, name, **_patience(context)))
    finally:
        db.close_all()


def _patience(context: LambdaContext | None) -> MigrationOptions:
    if context is None:  # called by hand
        return {}
    seconds_left = context.get_remaining_time_in_millis() / 1000
    return {"wait": max(0.0, seconds_left - MARGIN_SECONDS)}


def _failed(applied: list[str], code: str, message: str) -> MigrationResult:
    return {
        "success": False,
        "message": f"failed after {len(applied)} applied: {message}",
        "applied": applied,
        "error": {"code": code, "message": message},
    }
