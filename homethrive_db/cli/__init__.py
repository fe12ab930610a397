"""``homethrive-db``: the command line.

Exit status: 0 done, 1 something was found (rejected events, differences, unsafe statements, zones
to mend), 2 an error, in one line on standard error, 130 interrupted.
"""

import os
import signal
from typing import Any, NoReturn

__all__ = ["main"]


def main(*arguments: Any, **options: Any) -> Any:
    """Run the program, with what click's ``Command.main`` takes; it ends the process.

    Its imports take a part of a second: an interrupt ends them without a word.
    """
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _end)
    from homethrive_db.cli import commands

    return commands.main(*arguments, **options)


def _end(_number: int, _frame: object) -> NoReturn:
    # No exception: some imports would catch it, or say that they ignored it.
    os._exit(130)
