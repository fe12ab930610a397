"""Doses: computed by recurrence, settled by records; for users, for workers and for reports.

- of one schedule: ``recurrence`` (when), ``records`` (what is stored), ``readings`` (of which date
  that is), ``agenda`` (all together)
- for users: ``dose_ids``, ``dose`` and ``dose_statements``, through ``repository``
- for workers: ``feed_window``, then ``feed_by_clock`` or ``feed_by_recipient``, through ``feed``;
  ``reminder_statements``, through ``reminders``; ``rejects``, through ``recording``
- for reports: ``adherence``, then ``report`` and ``calendar``
- for operators: ``zone_copies`` and ``stored_zones``, through ``zone_check``
"""
