"""PgBouncer in transaction mode, of a test's own."""

import shutil
import signal
from contextlib import contextmanager

import psycopg2

from tests.faults.servers import Daemon, folder_of_its_own, free_port
from tests.waiting import wait_until

CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={target} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {size}
max_client_conn = 200
"""


TLS = """
client_tls_sslmode = require
client_tls_cert_file = certificate.pem
client_tls_key_file = key.pem
"""


class PgBouncer:
    """Shares *size* connections to a server among its clients, transaction by transaction.

    With a *certificate* of trustme's it takes no connection without TLS.
    """

    def __init__(self, folder, target, size, certificate=None):
        self.folder = folder
        self.port = free_port()
        self.daemon = None
        self._sslmode = "disable" if certificate is None else "require"
        text = CONFIGURATION.format(target=target, port=self.port, size=size)
        if certificate is not None:
            text += TLS
            certificate.cert_chain_pems[0].write_to_path(folder / "certificate.pem")
            certificate.private_key_pem.write_to_path(folder / "key.pem")
            folder.joinpath("key.pem").chmod(0o644)  # it runs as somebody else
        folder.joinpath("pgbouncer.ini").write_text(text)

    def url(self, database):
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}?sslmode={self._sslmode}"

    def start(self):
        program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
        assert program, "pgbouncer is not there: apt-get install pgbouncer"
        self.daemon = Daemon(self.folder, [program, "pgbouncer.ini"], signal.SIGKILL)
        wait_until(self.answers)

    def answers(self):
        try:
            psycopg2.connect(self.url("postgres")).close()
        except psycopg2.OperationalError:
            assert self.daemon.runs, self.folder.joinpath("log").read_text()
            return False
        return True

    def stop(self):
        self.daemon.stop(signal.SIGKILL)

    def restart(self):
        self.stop()
        self.start()


@contextmanager
def running(target, size=5, certificate=None):
    """Run PgBouncer in front of the port *target* for the block."""
    with folder_of_its_own() as folder:
        bouncer = PgBouncer(folder, target, size, certificate)
        bouncer.start()
        try:
            yield bouncer
        finally:
            bouncer.stop()
