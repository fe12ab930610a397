"""``homethrive-db check``, ``plan`` and ``lint``: they look, and change nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from homethrive_db.cli.migrations import FORMAT
from homethrive_db.cli.program import database, main
from homethrive_db.settings import Settings

if TYPE_CHECKING:
    from homethrive_db.migrate.check import CheckResult
    from homethrive_db.migrate.compare import Difference


@main.command(short_help="Compare migrations, models and the database.")
@FORMAT
def check(form: str) -> None:
    """Compare migrations, models and the database; exit with 1 where they differ.

    DATABASE_IGNORE_TABLES names tables that are not ours: names or patterns, with commas between.
    """
    from homethrive_db.migrate import migrations_folder
    from homethrive_db.migrate.check import check as compare_all

    ignore = Settings.from_environment().ignore_tables
    with database() as db:
        result = compare_all(db, migrations_folder(), ignore=ignore)
        if form == "json":
            found = {"database_name": db.database, "ok": result.is_clean, **asdict(result)}
            click.echo(json.dumps(found))
        else:
            click.echo(f"Checking {db.database}")
            _show(result)
    if not result.is_clean:
        sys.exit(1)


def _show(result: CheckResult) -> None:
    _show_differences("the migrations", result.migrations)
    _show_differences("the database", result.database)
    for name in result.pending:
        click.echo(f"  pending: {name}")
    for name in result.edited:
        click.echo(f"  edited since it was applied: {name}")
    for name in result.missing:
        click.echo(f"  applied, but its file is not there: {name}")
    if not (result.pending or result.edited or result.missing):
        click.echo("  ok: no migration is pending")


def _show_differences(what: str, differences: Sequence[Difference]) -> None:
    if not differences:
        click.echo(f"  ok: {what} and the models say the same")
    for difference in differences:
        click.echo(f"  {what}: {difference}")


@main.command(short_help="Show what the pending migrations would run.")
@click.option("--sql", is_flag=True, help="Show the SQL, for psql.")
def plan(sql: bool) -> None:
    """Show what the pending migrations would run, without running it.

    They are tried on empty tables, in a schema that is never kept.
    """
    from homethrive_db.migrate import migrations_folder
    from homethrive_db.migrate.plan import plan as plan_all

    with database() as db:
        planned = plan_all(db, migrations_folder())
        if not sql:
            click.echo(db.database)
    for migration in planned:
        if sql:
            click.echo(migration.script())
        else:
            click.echo(f"  {migration.name}: {migration.summary}")
    if not planned:
        click.echo("-- nothing is pending" if sql else "  nothing is pending")


@main.command(short_help="List what is unsafe in the pending migrations.")
@FORMAT
def lint(form: str) -> None:
    """List what is unsafe in the pending migrations; exit with 1 where there is any."""
    from homethrive_db.migrate import migrations_folder
    from homethrive_db.migrate.lint import lint as lint_file
    from homethrive_db.migrate.plan import plan as plan_all

    with database() as db:
        planned = plan_all(db, migrations_folder())
    findings = [
        finding
        for migration in planned
        for finding in lint_file(
            migration.path, migration.sql, transactional=migration.is_transactional
        )
    ]
    if form == "json":
        click.echo(json.dumps([asdict(finding) for finding in findings], default=str))
    elif planned:
        for finding in findings:
            click.echo(finding)
        click.echo(f"{len(findings)} found in {len(planned)} pending")
    else:
        click.echo("nothing is pending")
    if findings:
        sys.exit(1)
