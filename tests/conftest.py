"""What holds for every test, and what unit and integration tests share."""

import os
from functools import cache
from uuid import uuid4

import pytest
from hypothesis import settings

# A busy machine is no failure: no example has a deadline.
settings.register_profile("homethrive", deadline=None)
settings.load_profile("homethrive")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """Let three tests share two cores: they wait for servers and clocks much of the time."""
    return max(2, (os.cpu_count() or 1) * 3 // 2)


@pytest.fixture(scope="session")
def botocores_loader():
    """Give what loads botocore's data, once for all of its sessions."""
    from botocore.loaders import create_loader

    return cache(create_loader)


@pytest.fixture
def aws_environment(monkeypatch, botocores_loader):
    """Give an environment with a region and made-up credentials, and nothing of this machine's."""
    monkeypatch.setattr("botocore.session.create_loader", botocores_loader)
    for name in [name for name in os.environ if name.startswith(("AWS_", "DATABASE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "made-up")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "made-up")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/no/such/file")
    return monkeypatch


@pytest.fixture
def store_secret(aws_environment):
    """Give what keeps a secret in a Secrets Manager of the test's own, and names it."""
    import boto3  # here: most runs of a few tests need none of it
    from moto import mock_aws

    def store(value):
        kind = "SecretBinary" if isinstance(value, bytes) else "SecretString"
        made = client.create_secret(Name=f"database-{uuid4()}", **{kind: value})
        aws_environment.setenv("DATABASE_SECRET_ARN", made["ARN"])

    with mock_aws():
        client = boto3.session.Session(region_name="eu-central-1").client("secretsmanager")
        yield store
