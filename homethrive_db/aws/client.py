"""Clients of AWS whose errors are ours, and whose logs keep quiet about secrets."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from homethrive_db.errors import ConfigurationError, HomethriveDbError, UnavailableError

# Left alone, boto3 waits for minutes where the network leads nowhere: longer than functions live.
PATIENCE = {
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

# These log whole responses, signed requests and what a token is signed with.
_TALKATIVE = ("botocore.auth", "botocore.endpoint", "botocore.parsers")
_asks_for_secrets = ContextVar("asks_for_secrets", default=False)


def _may_be_logged(_record: logging.LogRecord) -> bool:
    return not _asks_for_secrets.get()


@contextmanager
def client_of(service: str) -> Iterator[Any]:
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
        yield session.client(service, config=Config(**PATIENCE))
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
