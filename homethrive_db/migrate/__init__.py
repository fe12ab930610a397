"""Migrations, on top of peewee-migrate."""

from homethrive_db.migrate.runner import (
    MigrationStatus,
    migrate,
    migrations_folder,
    prepare_pw_migrate,
    rollback,
    status,
)

__all__ = [
    "MigrationStatus",
    "migrate",
    "migrations_folder",
    "prepare_pw_migrate",
    "rollback",
    "status",
]
