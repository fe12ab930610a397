"""Measure how long ``homethrive-db demo`` takes from its start to its end.

    python -m benchmarks.demo_time --runs 3

Status and output of a demo that fails are shown.
"""

import platform
import statistics
import subprocess
import sys
from time import perf_counter

import click

TARGET = 20.0


@click.command(help=__doc__.partition("\n")[0])
@click.option("--runs", type=click.IntRange(min=1), default=3, show_default=True)
def main(runs: int) -> None:
    """Run the demo several times and print what each run took."""
    print(f"Python {platform.python_version()}, seconds")
    times = []
    for number in range(1, runs + 1):
        started = perf_counter()
        demo = subprocess.run(  # this interpreter, this package
            [sys.executable, "-m", "homethrive_db.cli", "demo"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        times.append(perf_counter() - started)
        if demo.returncode:
            sys.exit(f"{demo.stdout}\nthe demo ended with status {demo.returncode}")
        print(f"run {number:3} {times[-1]:8.2f}")
    print(f"median  {statistics.median(times):8.2f}")
    reached = max(times) < TARGET
    print(f"every run: under {TARGET:.0f} wanted, {'reached' if reached else 'missed'}")


if __name__ == "__main__":
    main()
