"""Attempts that are repeated, with pauses that grow."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 2.0


def attempts(patience: float, longest_pause: float = _LONGEST_PAUSE) -> Iterator[bool]:
    """Yield at each attempt whether it is the last, which begins *patience* seconds later."""
    end = time.monotonic() + patience
    pause = _FIRST_PAUSE
    while (left := end - time.monotonic()) > 0:
        yield False
        # So that those who were in each other's way do not meet again.
        time.sleep(min(pause * random.uniform(0.5, 1), left))  # noqa: S311
        pause = min(2 * pause, longest_pause)
    yield True
