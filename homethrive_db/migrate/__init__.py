"""Migrations, on top of peewee-migrate."""

from homethrive_db.migrate.runner import (
    MigrationStatus,
    database_for_pw_migrate,
    migrate,
    migrations_folder,
    rollback,
    status,
)

__all__ = [
    "MigrationStatus",
    "database_for_pw_migrate",
    "migrate",
    "migrations_folder",
    "rollback",
    "status",
]
