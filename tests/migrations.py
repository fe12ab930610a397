"""The migrations of this repository: their names, and a copy of the first ones to add to."""

import shutil

from homethrive_db.migrate import migrations_folder
from homethrive_db.migrate.files import read_folder

NAMES = [file.name for file in read_folder(migrations_folder())]

# The first two make what the Node service has; what comes later is ours alone.
FIRST, SECOND, *LATER = NAMES


def copy_first_two(folder):
    """Make *folder*, with the first two migrations in it."""
    folder.mkdir()
    for name in ("conf", FIRST, SECOND):
        shutil.copy(migrations_folder() / f"{name}.py", folder)
    return folder
