"""Keeps passwords out of what shows the local variables of frames: pytest, error trackers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from traceback import clear_frames
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def without_locals(function: Callable[P, T]) -> Callable[P, T]:
    """Let what *function* raises show no arguments and no local variables, its causes included.

    Frames keep their lines. What was being handled before the call is the caller's, and stays.
    """

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        before = sys.exception()
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            _forget_locals(error, before)
            raise
        finally:
            del args, kwargs

    return call


def _forget_locals(error: BaseException | None, before: BaseException | None) -> None:
    while error is not None and error is not before:
        clear_frames(error.__traceback__)
        error = error.__context__
