"""A household with doses to be reminded of, and what looks into the ledger."""

from datetime import UTC, date, datetime, time, timedelta

from homethrive_db import Repositories
from homethrive_db.doses.feed_occurrence import Contact, FeedOccurrence
from homethrive_db.doses.feed_places import RecipientPlace
from homethrive_db.doses.reminders import ReminderLedger
from homethrive_db.doses.repository import DoseRepository
from homethrive_db.enums import ContactRole
from homethrive_db.testing.factories import Factory

DAY = date(2026, 3, 2)
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LEASE = timedelta(minutes=5)


class Home:
    """The user "owner" takes a medication daily at 08:30 in New York; "carer" looks after them."""

    def __init__(self, db, **schedule):
        self.db = db
        self.repositories = Repositories(db)
        self.doses = DoseRepository(db)
        self.ledger = ReminderLedger(db)
        self.factory = Factory(self.repositories)
        owner = self.factory.user("owner", display_name="Olive", email="olive@example.org")
        carer = self.factory.user("carer", display_name="Carl", email="carl@example.org")
        self.profile = self.factory.own_profile(owner)
        self.access = self.factory.caregiver_access(carer, owner)
        self.medication = self.factory.medication(self.profile, name="Lisinopril 10 mg")
        defaults = {"time_of_day": time(8, 30), "start_date": DAY}
        self.schedule = self.factory.schedule(self.medication, **{**defaults, **schedule})

    def occurrences(self, days=1, users=("owner",)):
        """List the doses from ``DAY`` on, as the feed gives them."""
        contacts = tuple(Contact(one, ContactRole.RECIPIENT, None, None) for one in users)
        start = NOON - timedelta(hours=12)
        found = self.doses.list_upcoming(
            "owner",
            self.profile.id,
            start=start,
            end=start + timedelta(days=days),
            include_inactive=True,
        )
        place = RecipientPlace(self.profile.id, self.schedule.id)
        return [FeedOccurrence(dose, "Olive", contacts, "due", place) for dose in found]

    def enqueue(self, days=1, users=("owner",), kind="due"):
        return self.ledger.enqueue(self.occurrences(days, users), kind)

    def claim(self, kind="due", limit=100, lease=LEASE):
        return self.ledger.claim(kind, limit=limit, lease=lease)

    def execute(self, sql, *values):
        with self.db.connection_context():
            cursor = self.db.execute_sql(sql, values or None)
            return cursor.fetchall() if cursor.description else []

    def states(self):
        """Count the reminders of each state."""
        return dict(self.execute("SELECT state, count(*) FROM dose_reminders GROUP BY state"))

    def end_leases(self):
        """Let the time come of every lease and every pause."""
        self.execute("UPDATE dose_reminders SET available_at = statement_timestamp()")
