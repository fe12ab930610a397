"""What several integration tests need."""

import tempfile
from pathlib import Path

import pytest

from homethrive_db import create_db, embedded
from homethrive_db.migrate import runner
from homethrive_db.settings import EmbeddedLocation
from homethrive_db.testing.databases import let_forget
from tests.migrations import copy_first_two


@pytest.fixture(scope="session", params=[16, 18], ids=["postgres16", "postgres18"])
def server(request):
    """Run an embedded server of each version that the package supports at both ends."""
    folder = Path(tempfile.mkdtemp(prefix="homethrive-test-"))
    started = embedded.start(EmbeddedLocation(folder, request.param), delete_after=True)
    let_forget(started.url)
    return started


@pytest.fixture
def empty_db(server):
    """Give an empty database on each version."""
    server.recreate_database()
    db = create_db(server.url)
    yield db
    db.close_all()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Let the runner read a copy of the first two migrations, for a test to change or to add to."""
    copy = copy_first_two(tmp_path / "migrations")
    monkeypatch.setattr(runner, "migrations_folder", lambda: copy)
    return copy


@pytest.fixture(scope="session")
def home_folder():
    """Make a folder for the servers of demos."""
    with tempfile.TemporaryDirectory(prefix="homethrive-test-") as folder:
        yield Path(folder)


@pytest.fixture
def home(home_folder, monkeypatch):
    """Keep demos out of the user's own home, in one that the tests share."""
    return move_home(home_folder, monkeypatch)


@pytest.fixture
def fresh_home(monkeypatch):
    """Keep demos in a home of the test's own, where none has ever run."""
    with tempfile.TemporaryDirectory(prefix="homethrive-test-") as folder:
        yield move_home(Path(folder), monkeypatch)


def move_home(folder, monkeypatch):
    """Let embedded servers keep their data under *folder*; gives where, and leaves home empty."""
    monkeypatch.setenv("XDG_DATA_HOME", str(folder))
    monkeypatch.setenv("HOME", str(folder / "empty"))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    return folder / "homethrive-db"
