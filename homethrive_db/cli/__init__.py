"""``homethrive-db``: the command line.

Exit status: 0 done, 1 something was found (rejected events, differences, unsafe statements, zones
to mend), 2 an error, in one line on standard error, 130 interrupted.
"""

from homethrive_db.cli import checks, migrations, report, tools, worker, zones
from homethrive_db.cli.program import main

__all__ = ["checks", "main", "migrations", "report", "tools", "worker", "zones"]
