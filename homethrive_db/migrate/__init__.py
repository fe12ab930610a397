"""Migrations, on top of peewee-migrate."""

from homethrive_db.migrate.runner import (
    Applied,
    MigrationStatus,
    migrate,
    migrations_folder,
    rollback,
    status,
)

__all__ = ["Applied", "MigrationStatus", "migrate", "migrations_folder", "rollback", "status"]
