"""A network that is gone: nothing comes back, not even an acknowledgement of the kernel's."""

import socket
import struct
import threading
import time

import pytest

from homethrive_db import Repositories, UnavailableError, create_db
from tests.faults import network
from tests.faults.children import ended_well, fork
from tests.faults.conftest import DATABASE
from tests.faults.proxy import Proxy
from tests.waiting import wait_until

# A test runner has threads of its own, of which the child has none.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")

KEEPALIVES = {"keepalives_idle": 1, "keepalives_interval": 1, "keepalives_count": 2}
QUICK = {
    "unsent": {"tcp_user_timeout": 1500},
    "awaited": {"tcp_user_timeout": 0, **KEEPALIVES},
}
NO_TLS = "?sslmode=disable&gssencmode=disable"


def unacknowledged(descriptor):
    """Count the segments that a socket has sent and the other side has not acknowledged."""
    with socket.socket(fileno=socket.dup(descriptor)) as duplicate:
        state = duplicate.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 28)
    return struct.unpack_from("I", state, 24)[0]


def lose_the_network(server, state):
    """See that a statement ends in one error, and the next one works once the network is back."""
    network.enter()
    with Proxy(server.socket) as proxy:
        url = server.url(DATABASE, port=proxy.port) + NO_TLS
        db = create_db(url, call_timeout=None, **QUICK[state])
        users = Repositories(db).users

        def unplug_once_it_waits():
            proxy.wait_for_statement('FROM "users"')
            wait_until(lambda: unacknowledged(descriptor) == 0)
            network.unplug()

        with db.connection_context(), db.deadline(20):
            descriptor = db.connection().fileno()
            if state == "unsent":
                network.unplug()
            else:
                threading.Thread(target=unplug_once_it_waits).start()
            began = time.monotonic()
            with pytest.raises(UnavailableError) as caught:
                users.find_by_clerk_user_id("nobody")
            assert 1 < time.monotonic() - began < 10
            assert (caught.value.code, caught.value.retryable) == ("CONNECTION_LOST", True)
            network.plug()
        if state == "unsent":
            assert users.find_by_clerk_user_id("nobody") is None


@pytest.mark.own_network
@pytest.mark.parametrize("state", QUICK)
def test_a_dead_network_ends_in_an_error(server, state):
    """Fault 10: ``tcp_user_timeout`` ends the first, keepalives the second."""
    if state == "unsent":
        assert ended_well(fork(lambda: lose_the_network(server, state)))
        return
    with server.locked("users", DATABASE):
        assert ended_well(fork(lambda: lose_the_network(server, state)))


def timeouts_of(db):
    """Read what the kernel was told for a connection."""
    options = (
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
    )
    with (
        db.connection_context(),
        socket.socket(fileno=socket.dup(db.connection().fileno())) as duplicate,
    ):
        return [duplicate.getsockopt(*option) for option in options]


def test_the_kernel_is_told_when_to_give_up(url, make_db):
    """Soon enough for a read to be repeated, with its connect, and to end within 30 seconds."""
    db = make_db(url)
    left = 30 - int(db.connect_params["connect_timeout"])
    on, idle, interval, count, unacknowledged = timeouts_of(db)
    assert on == 1
    assert 0 < idle + interval * count < left
    assert 0 < unacknowledged < left * 1000


@pytest.mark.parametrize("where", ["URL", "keywords"])
def test_other_times_may_be_chosen(url, make_db, where):
    chosen = {**KEEPALIVES, "tcp_user_timeout": 7000}
    if where == "URL":
        url += "?" + "&".join(f"{name}={value}" for name, value in chosen.items())
        chosen = {}
    assert timeouts_of(make_db(url, **chosen)) == [1, 1, 1, 2, 7000]


def test_they_can_be_left_out(url, make_db):
    *_, unacknowledged = timeouts_of(make_db(url, tcp_user_timeout=0, keepalives=0))
    assert (unacknowledged, timeouts_of(make_db(url, keepalives=0))[0]) == (0, 0)
