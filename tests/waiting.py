"""Waits for what another process or session brings about."""

import time


def wait_until(is_so, seconds=30):
    """Ask again and again until *is_so* says yes; fail after *seconds*."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"it did not come about in {seconds} s"
        time.sleep(0.005)
