"""What a pool tells of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class PoolStats:
    """What a pool did, and does."""

    size: int
    """How many connections may be open at once."""
    in_use: int
    idle: int
    waiting: int
    """How many threads wait for a connection."""
    wait_seconds: float
    """How long all waits so far took, together."""
    opened: int
    dropped: Mapping[str, int] = field(default_factory=dict)
    """How many connections were given up, by cause: ``dead`` and ``unresponsive`` (found so before
    use), ``expired``, ``idle``, ``lost`` (in use), ``unclean`` (returned inside a transaction),
    ``leaked`` (its thread had ended, or was interrupted), ``closed`` (on request)."""
