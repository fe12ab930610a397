"""What the command line does with signals that end it."""

import signal

import pytest

from homethrive_db.cli import program


def test_an_interrupt_is_raised_once_so_that_what_it_breaks_off_can_clean_up():
    interrupt = program._Interrupt()
    with pytest.raises(KeyboardInterrupt):
        interrupt(signal.SIGINT, None)
    for number in (signal.SIGINT, signal.SIGTERM):
        assert interrupt(number, None) is None


def test_an_interrupt_that_python_dropped_does_not_keep_the_next_from_being_heard(monkeypatch):
    monkeypatch.setattr(program, "_UNWINDING_SECONDS", -1)
    interrupt = program._Interrupt()
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            interrupt(signal.SIGINT, None)
