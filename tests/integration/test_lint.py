"""``homethrive-db lint`` on what is pending in a real database."""

import json
import os
import subprocess
import sys

import pytest

from homethrive_db.migrate import migrate
from tests.migrations import NAMES
from tests.process import run_command

UNSAFE = '''"""Removes much, in every way there is."""

from peewee import Model, TextField

CLEAR = "DELETE FROM dose_taken WHERE taken_by_user_id LIKE %s"


class Note(Model):
    text = TextField(primary_key=True)


def clear(database):
    database.execute_sql("""
        SELECT 1;
        DELETE FROM dose_taken
    """)


def migrate(migrator, database, fake=False, **kwargs):
    migrator.sql(CLEAR, "100%")
    migrator.sql(CLEAR.partition("WHERE")[0])
    migrator.create_model(Note)
    migrator.run(clear, database)
    migrator.remove_model(Note)
    for column in ("email", "image_url"):
        migrator.sql(f"ALTER TABLE users DROP COLUMN {column} -- 100%%")
'''

SAFE = '''"""Adds an index."""

TRANSACTIONAL = False


def migrate(migrator, database, fake=False, **kwargs):
    migrator.sql("CREATE INDEX CONCURRENTLY IF NOT EXISTS users_name_idx ON users (display_name)")
'''


@pytest.fixture
def lint(server, folder):
    """Give a function that runs the command where there are more migrations."""
    program = (
        "from pathlib import Path\n"
        "from homethrive_db import migrate\n"
        "from homethrive_db.cli import main\n"
        f"migrate.migrations_folder = lambda: Path({str(folder)!r})\n"
        "main(prog_name='homethrive-db')\n"
    )

    def run(*options, **files):
        for name, text in files.items():
            folder.joinpath(f"{name.lstrip('_')}.py").write_text(text)
        return subprocess.run(
            [sys.executable, "-c", program, "lint", *options],
            env={**os.environ, "DATABASE_URL": server.url},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_what_is_unsafe_is_listed_at_its_line(empty_db, lint, folder):
    list(migrate(empty_db))
    done = lint(_003_unsafe=UNSAFE, _004_safe=SAFE)
    assert (done.returncode, done.stderr) == (1, "")
    *findings, last = done.stdout.splitlines()
    path = folder / "003_unsafe.py"
    assert [line.partition("; instead: ")[0].rpartition(": ")[0] for line in findings] == [
        f"{path}:19: full-table-delete",
        f"{path}:15: full-table-delete",
        f"{path}:19: ban-drop-table",
        f"{path}:26: ban-drop-column",
        f"{path}:26: ban-drop-column",
    ]
    assert last == "5 found in 2 pending"


def test_programs_get_json(empty_db, lint, folder):
    list(migrate(empty_db))
    done = lint("--format", "json", _003_unsafe=UNSAFE)
    assert done.returncode == 1
    first, *others = json.loads(done.stdout)
    assert len(others) == 4
    assert set(first) == {"path", "line", "rule", "message", "remedy"}
    assert first["path"] == str(folder / "003_unsafe.py")
    assert (first["line"], first["rule"]) == (19, "full-table-delete")


def test_the_migrations_of_this_repository_are_safe(empty_db, server):
    done = run_command("lint", url=server.url)
    assert (done.returncode, done.stdout) == (0, f"0 found in {len(NAMES)} pending\n")
    list(migrate(empty_db))
    assert run_command("lint", url=server.url).stdout == "nothing is pending\n"
    assert run_command("lint", "--format", "json", url=server.url).stdout == "[]\n"


def test_where_all_is_safe_it_exits_with_0(empty_db, lint):
    list(migrate(empty_db))
    done = lint(_003_safe=SAFE)
    assert (done.returncode, done.stdout) == (0, "0 found in 1 pending\n")
