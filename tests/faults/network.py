"""A network of a process's own, which can be unplugged: Linux only, as root or where users may."""

import ctypes
import fcntl
import os
import socket
import struct
import sys
from contextlib import suppress

from tests.faults.children import ended_well, fork

_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000
_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 1


def enter():
    """Give this process, which has one thread, a network with nothing but a loopback address."""
    libc = ctypes.CDLL(None, use_errno=True)
    for what in (_NEW_NETWORK, _NEW_USER | _NEW_NETWORK):
        if libc.unshare(what) == 0:
            plug()
            return
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number), "a network of one's own")


def plug():
    _set(is_up=True)


def unplug():
    """Let nothing through any more, without a word to anybody."""
    _set(is_up=False)


def is_possible():
    if sys.platform != "linux":
        return False

    def attempt():
        with suppress(OSError):
            enter()
            os._exit(0)
        os._exit(1)

    return ended_well(fork(attempt))


def _set(*, is_up):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        _, flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, _GET_FLAGS, request))
        flags = flags | _UP if is_up else flags & ~_UP
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh14x", b"lo", flags))
