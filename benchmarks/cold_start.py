"""How long a new process takes to its first answer: this package, psycopg2 by itself, others.

    python -m benchmarks.cold_start --rounds 40

Fresh interpreters, by turns; each tells what its imports took, and after them the first query:
connection, one look-up by the access rule. Install the package for this, not as an editable one:
that adds an import hook of its own.
"""

import os
import statistics
import subprocess
import sys
from importlib.util import find_spec

import click

from benchmarks.by_hand import _FIND_MEDICATION
from benchmarks.fill import filled, url_of

WANTED = 5.0
"""How many milliseconds over psycopg2's the first query may take."""

_TIMED = """
import os, sys
from time import perf_counter
began = perf_counter()
{imports}
imported = perf_counter()
url, values = sys.argv[1], {{"user_id": sys.argv[2], "medication_id": sys.argv[3]}}
{query}
answered = perf_counter()
assert found
print(imported - began, answered - imported)
"""

_PSYCOPG2 = f"""
connection = psycopg2.connect(url)
connection.autocommit = True
cursor = connection.cursor()
cursor.execute({_FIND_MEDICATION!r}, values)
found = cursor.fetchone()
"""

_PEEWEE = f"""
db = PooledPostgresqlDatabase(url)
found = db.execute_sql({_FIND_MEDICATION!r}, values).fetchone()
"""

_OURS = """
found = Repositories(create_db(url)).medications.find_by_id(**values)
"""

_SQLALCHEMY = """
engine = create_engine(url.replace("postgresql:", "postgresql+psycopg2:"))
medications = Medications.__new__(Medications)
medications._session = lambda: Session(engine)
found = medications.find_by_id(**values)
"""

OURS, SQLALCHEMY = "homethrive_db", "SQLAlchemy ORM"
CONTENDERS = {
    "psycopg2": ("import psycopg2", _PSYCOPG2),
    "Peewee, playhouse's pool": (
        "import peewee, psycopg2\nfrom playhouse.pool import PooledPostgresqlDatabase",
        _PEEWEE,
    ),
    OURS: ("from homethrive_db import Repositories, create_db", _OURS),
    SQLALCHEMY: (
        "from sqlalchemy import create_engine\nfrom sqlalchemy.orm import Session\n"
        "from benchmarks.sqlalchemy_orm import Medications",
        _SQLALCHEMY,
    ),
}


def seconds(name: str, arguments: list[str]) -> tuple[float, float]:
    """Time imports and first query in an interpreter of its own."""
    imports, query = CONTENDERS[name]
    code = _TIMED.format(imports=imports, query=query)
    run = subprocess.run(  # noqa: S603  # only the constants above
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, check=True, env=os.environ
    )
    imported, answered = map(float, run.stdout.split())
    return imported, answered


@click.command(help=__doc__.partition("\n")[0])
@click.option("--rounds", type=click.IntRange(min=1), default=30, show_default=True)
def main(rounds: int) -> None:
    """Print the medians."""
    names = list(CONTENDERS)
    if find_spec("sqlalchemy") is None:
        names.remove(SQLALCHEMY)
        print(f"{SQLALCHEMY} is left out: it is not installed (extra bench)")
    with filled("tiny") as (db, households):
        arguments = [url_of(db), households.caregiver(1), str(households.medication(1))]
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
        for turn in range(rounds + 1):  # the first warms the file cache
            for name in names:
                taken = seconds(name, arguments)
                if turn:
                    times[name].append(taken)
    show(times)


def show(times: dict[str, list[tuple[float, float]]]) -> None:
    """Print a line for each contender, and what became of what is wanted."""
    print("milliseconds, medians of the rounds; over psycopg2: of what it was in each round")
    print(f"{'':28}{'imports':>10}{'first query':>14}{'over psycopg2':>16}")
    reached = False
    for name, one in times.items():
        imported = statistics.median(taken for taken, _ in one) * 1e3
        answered = statistics.median(taken for _, taken in one) * 1e3
        pairs = zip(one, times["psycopg2"], strict=True)
        over = statistics.median(a - b for (_, a), (_, b) in pairs) * 1e3
        print(f"{name:28}{imported:10.1f}{answered:14.1f}{over:+16.1f}")
        if name == OURS:
            reached = over <= WANTED
    outcome = "reached" if reached else "missed"
    print(f"{OURS}: at most {WANTED:+.0f} ms over psycopg2's first query wanted, {outcome}")


if __name__ == "__main__":
    main()
