"""The error tree; errors of a real server are tested in integration/test_driver_errors.py."""

import pickle

import peewee
import psycopg2
import pytest

import homethrive_db
from homethrive_db import HomethriveDbError, NotFoundError, UnavailableError, ValidationError
from homethrive_db.errors import Translation, translate

CLASSES = [
    one
    for name in homethrive_db.__all__
    if isinstance(one := getattr(homethrive_db, name), type) and issubclass(one, Exception)
]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda one: one.__name__)
def test_errors_have_a_root_a_code_and_details(kind):
    error = kind("what happened", "A_CODE", {"field": "name"})
    assert isinstance(error, HomethriveDbError)
    assert (str(error), error.code, error.details) == (
        "what happened",
        "A_CODE",
        {"field": "name"},
    )
    assert kind("what happened").code.isupper()


@pytest.mark.parametrize("kind", CLASSES, ids=lambda one: one.__name__)
def test_errors_survive_pickling(kind):
    error = pickle.loads(pickle.dumps(kind("what happened", "A_CODE", {"field": "name"})))
    assert (type(error), str(error), error.code, error.details) == (
        kind,
        "what happened",
        "A_CODE",
        {"field": "name"},
    )


def test_retryable_survives_pickling():
    assert pickle.loads(pickle.dumps(UnavailableError("x", retryable=True))).retryable
    assert not pickle.loads(pickle.dumps(UnavailableError("x"))).retryable


def test_only_what_is_the_drivers_is_translated():
    for error in (ValueError("x"), UnavailableError("x"), peewee.ProgrammingError("x")):
        assert translate(error) is None


@pytest.mark.parametrize("nothing_written", [True, False])
def test_a_closed_connection_is_unavailable(nothing_written):
    """Psycopg2's own, which no server has sent, and Peewee's about a connection it lost."""
    for error in (psycopg2.InterfaceError("connection already closed"), peewee.InterfaceError()):
        ours = translate(error, nothing_written=nothing_written)
        assert isinstance(ours, UnavailableError)
        assert ours.code in {"DATABASE_UNAVAILABLE", "CONNECTION_LOST"}
        assert ours.retryable is nothing_written


def test_what_a_block_raises_otherwise_passes_unchanged():
    raised = NotFoundError("no such user")
    with pytest.raises(NotFoundError) as caught, Translation():
        raise raised
    assert caught.value is raised
    with pytest.raises(ZeroDivisionError), Translation():
        raise ZeroDivisionError


def test_details_cannot_be_changed():
    with pytest.raises(TypeError):
        ValidationError.of("name", "text expected").details["field"] = "other"
    given = {"field": "name"}
    error = ValidationError("x", details=given)
    given["field"] = "other"
    assert error.details == {"field": "name"}
