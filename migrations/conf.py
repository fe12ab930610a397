"""Read by ``pw_migrate --directory migrations``: which database to migrate, and how."""

from homethrive_db.migrate.stock import prepare_pw_migrate

DATABASE = prepare_pw_migrate()
