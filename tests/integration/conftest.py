"""What several integration tests need."""

import tempfile
from pathlib import Path

import pytest

from homethrive_db import create_db, embedded
from homethrive_db.settings import EmbeddedLocation


@pytest.fixture(scope="session", params=[16, 18], ids=["postgres16", "postgres18"])
def server(request):
    """Run an embedded server of each version that the package supports at both ends."""
    folder = Path(tempfile.mkdtemp(prefix="homethrive-test-"))
    return embedded.start(EmbeddedLocation(folder, request.param), delete_after=True)


@pytest.fixture
def empty_db(server):
    """Give an empty database on each version."""
    server.recreate_database()
    db = create_db(server.url)
    yield db
    db.close_all()
