"""A TCP proxy in front of PostgreSQL that delays, cuts, swallows, and notes what clients send."""

import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass, field

from tests.waiting import wait_until

_STARTUP = 196608
_RESET = struct.pack("ii", 1, 0)  # close with RST in place of FIN


@dataclass
class Message:
    """A message of a client: its type (``startup``, ``Q``, ``X``, ...) and its body."""

    kind: str
    body: bytes
    length: int = field(init=False)

    def __post_init__(self):
        self.length = len(self.body) + 5

    @property
    def text(self):
        return self.body.rstrip(b"\0").decode(errors="replace")


class Reader:
    """Cuts what a client sends into messages."""

    def __init__(self, messages):
        self._messages = messages
        self._bytes = b""
        self._has_started = False

    def feed(self, data):
        self._bytes += data
        while self._has_started and len(self._bytes) >= 5:
            (length,) = struct.unpack("!I", self._bytes[1:5])
            if len(self._bytes) <= length:
                return
            self._messages.append(Message(chr(self._bytes[0]), self._bytes[5 : length + 1]))
            self._bytes = self._bytes[length + 1 :]
        while not self._has_started and len(self._bytes) >= 8:
            length, code = struct.unpack("!II", self._bytes[:8])
            if len(self._bytes) < length:
                return
            if code == _STARTUP:
                self._has_started = True
                self._messages.append(Message("startup", self._bytes[8:length]))
            self._bytes = self._bytes[length:]


class Proxy:
    """``with Proxy(port) as proxy:``; clients connect to ``proxy.port``. A path is a socket's."""

    def __init__(self, target):
        self._target = target
        self.messages = []
        self.connections = 0
        self.is_black_hole = False
        self._swallow = None
        self._swallows_left = 0
        self._sockets = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # ends the wait in accept()
        self._listener.close()
        self.cut()

    def cut(self):
        """Reset every connection, on both sides."""
        with self._lock:
            sockets, self._sockets = self._sockets, set()
        for one in sockets:
            self._reset(one)

    def swallow_answer_to(self, word, times=1):
        """Let the next statements that begin with *word* through, and cut instead of answering."""
        self._swallow, self._swallows_left = word.encode(), times

    @property
    def statements(self):
        return [message.text for message in self.messages if message.kind == "Q"]

    def wait_for_statement(self, text):
        wait_until(lambda: any(text in one for one in self.statements))

    def _accept(self):
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                with self._lock:
                    self._sockets.add(client)
                if self.is_black_hole:
                    threading.Thread(target=self._swallow_all, args=[client], daemon=True).start()
                    continue
                try:
                    server = self._connect()
                except OSError:
                    self._reset(client)
                    continue
                with self._lock:
                    self._sockets.add(server)
                doomed = threading.Event()
                for target in (
                    (self._from_client, client, server, doomed),
                    (self._from_server, server, client, doomed),
                ):
                    threading.Thread(target=target[0], args=target[1:], daemon=True).start()

    def _connect(self):
        if isinstance(self._target, int):
            return socket.create_connection(("127.0.0.1", self._target))
        server = socket.socket(socket.AF_UNIX)
        server.connect(str(self._target))
        return server

    def _swallow_all(self, client):
        with suppress(OSError):
            while client.recv(65536):
                pass

    def _from_client(self, client, server, doomed):
        reader = Reader(self.messages)
        with suppress(OSError):
            while data := client.recv(65536):
                reader.feed(data)
                if self._swallows_left and data[5:].startswith(self._swallow):
                    self._swallows_left -= 1
                    doomed.set()
                if not self.is_black_hole:
                    server.sendall(data)
        self._close(client, server)

    def _from_server(self, server, client, doomed):
        with suppress(OSError):
            while data := server.recv(65536):
                if doomed.is_set():
                    self._reset(client)
                    break
                if not self.is_black_hole:
                    client.sendall(data)
        self._close(client, server)

    def _close(self, *sockets):
        if self.is_black_hole:
            return
        for one in sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _reset(self, one):
        with suppress(OSError):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            one.shutdown(socket.SHUT_RDWR)
        one.close()
