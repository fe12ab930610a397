"""On AWS: address and login from Secrets Manager or IAM, and what AWS Lambda needs.

Needs the extra ``aws`` (boto3), imported on use.
"""

from homethrive_db.aws.credentials import (
    SecretCredentials,
    TokenCredentials,
    connection_parameters,
    create_db,
)
from homethrive_db.aws.functions import (
    MARGIN_SECONDS,
    LambdaContext,
    MigrationFailure,
    MigrationResult,
    lambda_deadline,
    migrate_handler,
)

__all__ = [
    "MARGIN_SECONDS",
    "LambdaContext",
    "MigrationFailure",
    "MigrationResult",
    "SecretCredentials",
    "TokenCredentials",
    "connection_parameters",
    "create_db",
    "lambda_deadline",
    "migrate_handler",
]
