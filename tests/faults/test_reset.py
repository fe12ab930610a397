"""``reset`` over a loopback address."""

import pytest

from homethrive_db import create_db
from homethrive_db.migrate import status
from tests.process import run_command


@pytest.fixture
def database(server, request):
    """Make a database of the name that a test asks for."""
    server.execute(f"CREATE DATABASE {request.param}")
    yield request.param
    server.execute(f"DROP DATABASE {request.param} WITH (FORCE)")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("database", ["homethrive_dev", "homethrive_test"], indirect=True)
def test_a_database_for_development_is_emptied(server, database, host):
    url = server.url(database, host=host)
    assert run_command("migrate", url=url).returncode == 0
    server.execute("INSERT INTO users (clerk_user_id) VALUES ('user_1')", database=database)
    assert run_command("reset", "--yes", url=url).returncode == 0
    assert server.execute("SELECT count(*) FROM users", database=database) == [(0,)]
    db = create_db(url)
    assert status(db).is_current
    db.close_all()


@pytest.mark.parametrize("database", ["homethrive", "development"], indirect=True)
def test_another_is_not_though_the_address_is_loopback(server, database):
    """A tunnel to production is one too."""
    url = server.url(database)
    assert run_command("migrate", url=url).returncode == 0
    done = run_command("reset", "--yes", url=url)
    assert done.returncode == 2
    assert "does not end in _dev or _test" in done.stderr
    assert server.execute("SELECT count(*) FROM users", database=database) == [(0,)]
