"""The pytest plugin: a real PostgreSQL for tests, clean for each of them.

No fixture is automatic, and nothing starts before one is asked for. ``homethrive_db`` rolls back
what a test does, in well under a millisecond; ``homethrive_committed_db`` is a database of the
test's own, for what commits, in some tens of milliseconds.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from homethrive_db.database import Database
    from homethrive_db.repositories import Repositories
    from homethrive_db.testing.databases import TestDatabases
    from homethrive_db.testing.factories import Factory


@pytest.fixture(scope="session")
def homethrive_databases() -> Iterator[TestDatabases]:
    """Make databases on the server of this test run."""
    from homethrive_db.testing import databases

    run = databases.run_name()
    made = databases.TestDatabases(
        databases.server_url(run), run, os.environ.get("PYTEST_XDIST_WORKER", "main")
    )
    yield made
    made.close()


@pytest.fixture(scope="session")
def homethrive_server_url(homethrive_databases: TestDatabases) -> str:
    """Give the URL by which the server of this test run is reached; nothing writes there."""
    return homethrive_databases.server_url


@pytest.fixture(scope="session")
def homethrive_template(homethrive_databases: TestDatabases) -> str:
    """Give the name of the migrated template, made once a run."""
    return homethrive_databases.template()


@pytest.fixture(scope="session")
def homethrive_worker_db(homethrive_databases: TestDatabases) -> Iterator[Database]:
    """Clone the template once for this process; ``homethrive_db`` keeps it clean."""
    from homethrive_db.database import create_db

    with homethrive_databases.clone() as url:
        db = create_db(url)
        yield db
        db.close_all()


@pytest.fixture
def homethrive_db(homethrive_worker_db: Database) -> Iterator[Database]:
    """Give a migrated database inside a transaction that is rolled back after the test.

    The fastest. It holds for the thread of the test: other threads see a database without it.
    """
    with homethrive_worker_db.atomic() as transaction:
        yield homethrive_worker_db
        transaction.rollback()


@pytest.fixture
def homethrive_repositories(homethrive_db: Database) -> Repositories:
    """Give the repositories over ``homethrive_db``."""
    from homethrive_db.repositories import Repositories

    return Repositories(homethrive_db)


@pytest.fixture
def homethrive_factory(homethrive_repositories: Repositories) -> Factory:
    """Give a factory of entities in ``homethrive_db``."""
    from homethrive_db.testing.factories import Factory

    return Factory(homethrive_repositories)


@pytest.fixture
def homethrive_committed_url(homethrive_databases: TestDatabases) -> Iterator[str]:
    """Give the URL of a migrated database of the test's own, for threads, processes and commits."""
    with homethrive_databases.clone() as url:
        yield url


@pytest.fixture
def homethrive_committed_db(homethrive_committed_url: str) -> Iterator[Database]:
    """Give a ``Database`` on a database of the test's own."""
    from homethrive_db.database import create_db

    db = create_db(homethrive_committed_url)
    yield db
    db.close_all()


@pytest.fixture
def homethrive_committed_repositories(homethrive_committed_db: Database) -> Repositories:
    """Give the repositories over ``homethrive_committed_db``."""
    from homethrive_db.repositories import Repositories

    return Repositories(homethrive_committed_db)


@pytest.fixture
def homethrive_committed_factory(
    homethrive_committed_repositories: Repositories,
) -> Factory:
    """Give a factory of entities in ``homethrive_committed_db``."""
    from homethrive_db.testing.factories import Factory

    return Factory(homethrive_committed_repositories)
