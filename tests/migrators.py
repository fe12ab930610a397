"""Migrators that start in the same moment: ``python migrators.py COUNT``.

Each is a process of its own, forked off one that has imported what takes them longest.
"""

import os
import runpy
import sys
from importlib import import_module

from homethrive_db.migrate import migrations_folder

OURS = ["homethrive_db.cli", "migrate"]
STOCK = ["peewee_migrate", "migrate", "--directory", str(migrations_folder())]

IMPORTED = ["homethrive_db.cli.migrations", "homethrive_db.migrate.stock", "peewee_migrate.cli"]


def become(command):
    """Run a command as ``python -m`` does, in place of this program."""
    sys.argv = command
    runpy.run_module(command[0], run_name="__main__", alter_sys=True)


def main(count):
    """End with how many of them failed."""
    for module in IMPORTED:
        import_module(module)
    pids = []
    for number in range(count):
        pid = os.fork()
        if not pid:
            return become(OURS if number % 2 else STOCK)
        pids.append(pid)
    return sum(os.waitpid(pid, 0)[1] != 0 for pid in pids)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
