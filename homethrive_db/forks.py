"""What a forked process must not share with its parent: connections, and locks that may be held."""

from __future__ import annotations

import os
import weakref
from contextlib import suppress
from typing import Any, Protocol

import psycopg2

from homethrive_db import deadlines


class Forgetful(Protocol):
    """Something that begins anew in a forked process."""

    def start_anew(self) -> None:
        """Forget what the parent had, and take locks of its own."""


_known: weakref.WeakSet[Any] = weakref.WeakSet()

# What a parent process opened, kept from being collected: that would close it for the parent too.
_inherited: list[Any] = []


def start_anew_after_fork(one: Forgetful) -> None:
    """See that *one* begins anew in each process that is forked from this one."""
    _known.add(one)


def let_go(connection: Any) -> None:
    """Leave a parent's session alone: what this process still sends on it goes nowhere."""
    _inherited.append(connection)
    with suppress(OSError, psycopg2.Error):
        descriptor = connection.fileno()  # first: one that is closed has none
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, descriptor)
        os.close(nowhere)


def _start_all_anew() -> None:
    deadlines.forget_all()
    for one in list(_known):
        one.start_anew()


os.register_at_fork(after_in_child=_start_all_anew)
