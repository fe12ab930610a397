"""An index to look users up by email, whatever its case.

Built without holding up the Node service, which writes users all the while.
"""

TRANSACTIONAL = False


def migrate(migrator, database, fake=False, **kwargs):
    """Build it."""
    migrator.sql("""
        CREATE INDEX CONCURRENTLY IF NOT EXISTS users_lower_email_idx ON users (lower(email))
    """)


def rollback(migrator, database, fake=False, **kwargs):
    """Drop it."""
    migrator.sql("DROP INDEX CONCURRENTLY IF EXISTS users_lower_email_idx")
