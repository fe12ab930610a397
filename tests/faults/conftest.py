"""A server that may be broken, with a migrated database, and ways to it."""

import os

import pytest

from homethrive_db import create_db
from homethrive_db.migrate import migrate
from tests.faults import network, pgbouncer, servers
from tests.faults.proxy import Proxy
from tests.waiting import wait_until

DATABASE = "faults_test"


def pytest_collection_modifyitems(config, items):
    """Leave out what needs a network of its own where the machine gives none; CI has to."""
    left_out = [item for item in items if item.get_closest_marker("own_network")]
    if not left_out or "CI" in os.environ or network.is_possible():
        return
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session")
def one_server():
    """Run a server for all of them, and make a migrated database on it."""
    with servers.running() as server:
        server.execute(f"CREATE DATABASE {DATABASE}")
        db = create_db(server.url(DATABASE))
        list(migrate(db))
        with db.atomic():
            db.execute_sql("CREATE TABLE written (what text)")
        db.close_all()
        yield server


@pytest.fixture
def server(one_server):
    """Give the server, in order."""
    if not one_server.daemon.runs:
        one_server.start()
    one_server.execute("TRUNCATE written", database=DATABASE)
    yield one_server
    if not one_server.daemon.runs:
        one_server.start()
    one_server.terminate_backends(DATABASE)
    wait_until(lambda: not one_server.backends(DATABASE))


@pytest.fixture
def url(server):
    return server.url(DATABASE)


@pytest.fixture
def proxy(server):
    with Proxy(server.port) as made:
        yield made


@pytest.fixture
def proxy_url(server, proxy):
    return server.url(DATABASE, port=proxy.port) + "?sslmode=disable&gssencmode=disable"


@pytest.fixture
def bouncer(server):
    with pgbouncer.running(server.port) as made:
        yield made


@pytest.fixture
def make_db():
    """Give ``create_db`` whose databases are closed with the test."""
    made = []

    def make(url, **options):
        made.append(create_db(url, **options))
        return made[-1]

    yield make
    for db in made:
        db.close_all()


@pytest.fixture
def written(server):
    """Give what lists the rows that tests have written."""
    return lambda: [
        what for (what,) in server.execute("SELECT what FROM written", database=DATABASE)
    ]
