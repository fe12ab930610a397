"""``python -m benchmarks.feed``: what is due in 15 minutes, and what was missed in a day."""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import click
import psycopg2

from benchmarks.feed_fill import ZONES, fill
from benchmarks.folder import server_folder
from homethrive_db import Database, DoseFeed, create_db
from homethrive_db.migrate import migrate

NOON = datetime(2025, 6, 4, 12, tzinfo=UTC)
QUARTER, HOUR, DAY = timedelta(minutes=15), timedelta(hours=1), timedelta(days=1)


@click.command()
@click.option("--schedules", type=click.IntRange(min=1), default=1_000_000, show_default=True)
@click.option("--url", help="A database of its own, kept; filled where it is empty.")
def main(schedules: int, url: str | None) -> None:
    """Fill a database, and measure the feed of it."""
    with server_folder() as folder:
        db = create_db(url or f"embedded://{folder}/data")
        try:
            list(migrate(db))
            _fill(db, schedules)
            for name, kind, start in (
                ("due from 12:00", "due", NOON),
                ("due from 12:15", "due", NOON + QUARTER),
                ("missed in a day", "missed", NOON),
            ):
                for workers in (1, 2):
                    found = _shared(kind, db.connect_params, start, workers)
                    _show(f"{name}, {workers} worker(s)", found)
        finally:
            db.close_all()


def _fill(db: Database, schedules: int) -> None:
    with _connected(db.connect_params) as (connection, cursor):
        cursor.execute("SELECT EXISTS (SELECT 1 FROM medication_schedules)")
        if not cursor.fetchone()[0]:
            connection.rollback()
            fill(connection, schedules)
        cursor.execute(
            "SELECT count(*), current_setting('shared_buffers') FROM medication_schedules"
        )
        count, buffers = cursor.fetchone()
    click.echo(f"{count:,} schedules in {len(ZONES)} zones, shared_buffers {buffers}")


@contextmanager
def _connected(address: dict[str, str]) -> Iterator[tuple[object, object]]:
    connection = psycopg2.connect(**address)
    try:
        with connection.cursor() as cursor:
            yield connection, cursor
    finally:
        connection.close()


def _shared(
    kind: str, address: dict[str, str], start: datetime, workers: int
) -> tuple[int, float, int]:
    """Measure a feed that some workers share."""
    shards = [(kind, address, start, (number, workers)) for number in range(workers)]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        found = pool.starmap(_measured, shards)
    counts, seconds, sizes = zip(*found, strict=True)
    return sum(counts), max(seconds), max(sizes)


def _measured(
    kind: str, address: dict[str, str], start: datetime, shard: tuple[int, int]
) -> tuple[int, float, int]:
    """Count what a feed gives, in how many seconds and mebibytes."""
    url = "postgresql:///?" + "&".join(f"{name}={value}" for name, value in address.items())
    db = create_db(url)
    feed, share = DoseFeed(db), None if shard == (0, 1) else shard
    began = time.perf_counter()
    if kind == "due":
        found = feed.due(start, start + QUARTER, shard=share)
    else:
        found = feed.missed(start, start + DAY, grace=HOUR, shard=share)
    count = sum(1 for _ in found)
    seconds = time.perf_counter() - began
    db.close_all()
    return count, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _show(name: str, measured: tuple[int, float, int]) -> None:
    count, seconds, size = measured
    rate = f"{count / seconds:>9,.0f} a second"
    click.echo(f"{name:28} {count:>9,} doses {seconds:7.2f} s {rate} {size:>5} MiB")


if __name__ == "__main__":
    main()
