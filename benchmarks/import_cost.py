"""Measure what importing the package costs beside importing what it stands on.

    python -m benchmarks.import_cost --rounds 50

Each import is timed inside a fresh interpreter, the contenders in turn, so that a slow moment of
the machine hits all of them. The interpreter's own start does not count. Install the package for
this, not as an editable one: that adds an import hook of its own.
"""

import platform
import statistics
import subprocess
import sys

import click

BASELINE = "import peewee, psycopg2, playhouse.pool"
PACKAGE = "import homethrive_db"
CONTENDERS = (BASELINE, PACKAGE, "from homethrive_db import *")
TARGET = 1.25

_TIMED = """
from time import perf_counter
started = perf_counter()
{code}
print(perf_counter() - started)
"""


def seconds(code: str) -> float:
    """Time *code* in an interpreter of its own."""
    run = subprocess.run(  # noqa: S603  # only the constants above
        [sys.executable, "-I", "-c", _TIMED.format(code=code)],
        stdout=subprocess.PIPE,
        check=True,
    )
    return float(run.stdout)


@click.command(help=__doc__.partition("\n")[0])
@click.option("--rounds", type=click.IntRange(min=2), default=30, show_default=True)
def main(rounds: int) -> None:
    """Measure all contenders and print a table."""
    for code in CONTENDERS:
        seconds(code)  # warms the file cache and writes the bytecode
    times = {code: [] for code in CONTENDERS}
    for _ in range(rounds):
        for code in CONTENDERS:
            times[code].append(seconds(code))

    medians = {code: statistics.median(measured) for code, measured in times.items()}
    print(f"Python {platform.python_version()}, {rounds} rounds, milliseconds")
    print(f"{'':40} {'median':>8} {'quartiles':>15} {'ratio':>7}")
    for code, measured in times.items():
        low, _, high = statistics.quantiles(measured, n=4)
        quartiles = f"{low * 1e3:.1f} to {high * 1e3:.1f}"
        ratio = medians[code] / medians[BASELINE]
        print(f"{code:40} {medians[code] * 1e3:8.1f} {quartiles:>15} {ratio:7.2f}")
    reached = medians[PACKAGE] <= TARGET * medians[BASELINE]
    print(f"{PACKAGE}: at most {TARGET} wanted, {'reached' if reached else 'missed'}")


if __name__ == "__main__":
    main()
