"""An index to find the schedules whose dose is due at a local time of a zone.

Workers read it from one end to the other, by pages: its order is theirs.
"""

TRANSACTIONAL = False


def migrate(migrator, database, fake=False, **kwargs):
    """Build it."""
    migrator.sql("""
        CREATE INDEX CONCURRENTLY IF NOT EXISTS medication_schedules_timezone_time_of_day_id_idx
            ON medication_schedules (timezone, time_of_day, id)
    """)


def rollback(migrator, database, fake=False, **kwargs):
    """Drop it."""
    migrator.sql(
        "DROP INDEX CONCURRENTLY IF EXISTS medication_schedules_timezone_time_of_day_id_idx"
    )
