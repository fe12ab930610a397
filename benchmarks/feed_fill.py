"""Fills a database with care recipients all over the world, schedules and caregivers."""

ZONES = [
    "Africa/Cairo",
    "Africa/Johannesburg",
    "Africa/Lagos",
    "Africa/Nairobi",
    "America/Anchorage",
    "America/Argentina/Buenos_Aires",
    "America/Bogota",
    "America/Chicago",
    "America/Denver",
    "America/Halifax",
    "America/Havana",
    "America/Lima",
    "America/Los_Angeles",
    "America/Mexico_City",
    "America/New_York",
    "America/Phoenix",
    "America/Santiago",
    "America/Sao_Paulo",
    "America/St_Johns",
    "America/Toronto",
    "America/Vancouver",
    "Asia/Bangkok",
    "Asia/Dhaka",
    "Asia/Dubai",
    "Asia/Hong_Kong",
    "Asia/Jakarta",
    "Asia/Karachi",
    "Asia/Kathmandu",
    "Asia/Kolkata",
    "Asia/Manila",
    "Asia/Seoul",
    "Asia/Shanghai",
    "Asia/Singapore",
    "Asia/Tehran",
    "Asia/Tokyo",
    "Atlantic/Azores",
    "Australia/Adelaide",
    "Australia/Brisbane",
    "Australia/Perth",
    "Australia/Sydney",
    "Europe/Athens",
    "Europe/Berlin",
    "Europe/Istanbul",
    "Europe/Lisbon",
    "Europe/London",
    "Europe/Moscow",
    "Pacific/Apia",
    "Pacific/Auckland",
    "Pacific/Honolulu",
    "UTC",
]

SCHEDULES_A_RECIPIENT = 4

# Half of the schedules are at the times when people take their medications, the others at any
# quarter of an hour; half have a zone of their own, their recipient's; every fifth is on three days
# of the week.
_STATEMENTS = (
    """
    INSERT INTO users (clerk_user_id, email, display_name)
    SELECT 'user_' || n, 'user_' || n || '@example.org', 'Person ' || n
      FROM generate_series(1, %(recipients)s) n
    """,
    """
    INSERT INTO care_recipients (id, created_by_user_id, user_id, display_name, timezone)
    SELECT md5('recipient' || n)::uuid, 'user_' || n, CASE WHEN n %% 2 = 0 THEN 'user_' || n END,
           'Person ' || n, (%(zones)s::text[])[1 + n %% 50]
      FROM generate_series(1, %(recipients)s) n
    """,
    """
    INSERT INTO caregiver_access (caregiver_user_id, recipient_user_id, status, approved_at)
    SELECT 'user_' || n - 1, 'user_' || n, 'approved', now()
      FROM generate_series(2, %(recipients)s, 2) n
    """,
    """
    INSERT INTO medications (id, recipient_id, name, instructions, created_by_user_id)
    SELECT md5('medication' || n)::uuid, md5('recipient' || (n + 1) / 2)::uuid,
           'Medication ' || n %% 500, 'With a glass of water', 'user_' || (n + 1) / 2
      FROM generate_series(1, %(recipients)s * 2) n
    """,
    """
    INSERT INTO medication_schedules
           (id, medication_id, recurrence, time_of_day, timezone, days_of_week, start_date,
            created_by_user_id)
    SELECT md5('schedule' || n)::uuid, md5('medication' || (n + 1) / 2)::uuid,
           (CASE WHEN n %% 5 = 0 THEN 'weekly' ELSE 'daily' END)::recurrence_type_enum,
           CASE WHEN random() < 0.5
                THEN ('{07:00,07:30,08:00,08:30,09:00,12:00,13:00,18:00,19:00,20:00,21:00,22:00}'
                      ::text[])[1 + floor(random() * 12)::int]
                ELSE to_char(time '00:00' + floor(random() * 96) * interval '15 minutes', 'HH24:MI')
           END,
           CASE WHEN n %% 2 = 0 THEN (%(zones)s::text[])[1 + (n + 3) / 4 %% 50] END,
           CASE WHEN n %% 5 = 0 THEN '{1,3,5}'::smallint[] END,
           '2025-01-01', 'user_' || (n + 3) / 4
      FROM generate_series(1, %(recipients)s * 4) n
    """,
)


def fill(connection: object, schedules: int) -> None:
    """Fill the migrated, empty database of a psycopg2 connection."""
    values = {"recipients": schedules // SCHEDULES_A_RECIPIENT, "zones": ZONES}
    with connection, connection.cursor() as cursor:
        # What is made is sound: triggers would look up foreign keys, row by row.
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("SELECT setseed(0.5)")
        for statement in _STATEMENTS:
            cursor.execute(statement, values)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
