"""All commands: importing them adds them to the program."""

from homethrive_db.cli import checks, migrations, report, tools, worker, zones
from homethrive_db.cli.program import main

__all__ = ["checks", "main", "migrations", "report", "tools", "worker", "zones"]
