"""The error tree; errors of a real server are tested in integration/test_driver_errors.py."""

import pickle

import pytest

import homethrive_db
from homethrive_db import HomethriveDbError, UnavailableError, ValidationError

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


def test_details_cannot_be_changed():
    with pytest.raises(TypeError):
        ValidationError.of("name", "text expected").details["field"] = "other"
