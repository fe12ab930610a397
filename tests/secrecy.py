"""What error trackers show of an error: its chain, and the local variables of every frame."""

import re
import traceback
from pathlib import Path

TESTS = str(Path(__file__).parent)


def shown(error):
    """Render the whole chain with local variables, but for frames of the tests themselves."""
    rendered = traceback.TracebackException.from_exception(error, capture_locals=True)
    lines = "\n".join(line for one in _chain(rendered) for line in _lines(one))
    return re.sub(r"\b0x[0-9a-f]+", "0x", lines)  # an address may look like anything


def _chain(rendered):
    waiting = [rendered]
    while waiting:
        one = waiting.pop()
        yield one
        waiting += filter(None, [one.__cause__, one.__context__])


def _lines(one):
    yield from one.format_exception_only()
    for frame in one.stack:
        if not frame.filename.startswith(TESTS):
            yield f"{frame.filename} {frame.name} {frame.locals}"
