"""Asks a server to cancel a statement, without holding up this process.

psycopg2's own ``cancel()`` connects with the interpreter's lock in its hands: where the network is
gone no thread of the process would go on. ctypes lets go of the lock.
"""

from __future__ import annotations

import threading
from functools import cache
from typing import Any


def request_cancel(connection: Any) -> None:
    """Let a thread of its own ask; it may take as long as the network lets it, or never succeed.

    Returns at once, and keeps nothing of the connection.
    """
    libpq = _libpq()
    if libpq is None:
        return
    handle = libpq.PQgetCancel(connection.pgconn_ptr)
    if not handle:
        return
    asking = threading.Thread(
        target=_ask, args=[libpq, handle], name="homethrive_db cancel", daemon=True
    )
    try:
        asking.start()
    except RuntimeError:  # there are too many threads, or the program ends: the cut has to do
        libpq.PQfreeCancel(handle)


def _ask(libpq: Any, handle: int) -> None:
    import ctypes

    why_not = ctypes.create_string_buffer(256)
    libpq.PQcancel(handle, why_not, len(why_not))
    libpq.PQfreeCancel(handle)


@cache
def _libpq() -> Any:
    """Find the libpq that psycopg2 has loaded; None where it does not show it."""
    import ctypes  # rarely needed

    from psycopg2 import _psycopg

    try:
        libpq = ctypes.CDLL(_psycopg.__file__)
        libpq.PQgetCancel.argtypes = [ctypes.c_void_p]
        libpq.PQgetCancel.restype = ctypes.c_void_p
        libpq.PQcancel.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
        libpq.PQfreeCancel.argtypes = [ctypes.c_void_p]
        libpq.PQfreeCancel.restype = None
    except (AttributeError, OSError):
        return None
    return libpq
