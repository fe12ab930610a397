"""What each statement cost: for a hook of the program's own, and for the log where it was slow."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from homethrive_db.errors import HomethriveDbError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StatementEvent:
    """A statement that has ended. None of its values are in it."""

    name: str
    """The module and the constant that declare it: ``doses_taken.mark``."""
    seconds: float
    row_count: int
    error: str | None
    """The code of the error it ended with."""


class Observer:
    """Tells a hook of every statement, and the log of slow ones."""

    def __init__(
        self, hook: Callable[[StatementEvent], object] | None, slow_after: float | None
    ) -> None:
        self._hook = hook
        self._slow_after = slow_after

    @contextmanager
    def watch(self, name: str) -> Iterator[list[object]]:
        """Time the block; its rows are to be put into the list that it gets."""
        rows: list[object] = []
        error = None
        started = time.perf_counter()
        try:
            yield rows
        except HomethriveDbError as raised:
            error = raised.code
            raise
        finally:
            self._tell(StatementEvent(name, time.perf_counter() - started, len(rows), error))

    def _tell(self, event: StatementEvent) -> None:
        if self._slow_after is not None and event.seconds >= self._slow_after:
            logger.warning(
                "%s took %.3f s for %d rows%s",
                event.name,
                event.seconds,
                event.row_count,
                f", and ended with {event.error}" if event.error else "",
            )
        if self._hook is not None:
            try:
                self._hook(event)
            except Exception:  # what it counts is not worth a dose
                logger.exception("the hook on_statement failed")
