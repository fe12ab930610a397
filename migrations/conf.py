"""Read by ``pw_migrate --directory migrations``: which database to migrate."""

from homethrive_db import HomethriveDbError
from homethrive_db.migrate import database_for_pw_migrate

try:
    DATABASE = database_for_pw_migrate()
except HomethriveDbError as error:
    raise SystemExit(f"pw_migrate: {error}") from None
