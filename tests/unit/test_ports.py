"""The ports: what a core may depend on is what the repositories are."""

import inspect
import subprocess
import sys

import pytest

import homethrive_db
from homethrive_db import ports, repositories
from tests.type_checking import type_check

CLASSES = [
    *(one for name, one in vars(repositories).items() if name.endswith("Repository")),
    homethrive_db.DoseRepository,
]


def methods(kind):
    return {
        name: inspect.signature(method)
        for name, method in vars(kind).items()
        if inspect.isfunction(method) and not name.startswith("_")
    }


@pytest.mark.parametrize("repository", CLASSES, ids=lambda one: one.__name__)
def test_a_port_has_the_methods_and_signatures_of_its_repository(repository):
    assert methods(getattr(ports, repository.__name__)) == methods(repository)


def test_there_is_a_port_for_each_repository_and_no_peewee_behind_it():
    assert len(CLASSES) == 7
    script = "import sys, homethrive_db.ports; sys.exit('peewee' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


HELD = """
from homethrive_db import ports, repositories
def hold(r: repositories.Repositories) -> None:
    users: ports.UserRepository = r.users
    care_recipients: ports.CareRecipientRepository = r.care_recipients
    caregiver_access: ports.CaregiverAccessRepository = r.caregiver_access
    medications: ports.MedicationRepository = r.medications
    schedules: ports.ScheduleRepository = r.schedules
    doses_taken: ports.DoseTakenRepository = r.doses_taken
    doses: ports.DoseRepository = r.doses
"""


def test_a_type_checker_holds_the_repositories_to_their_ports(tmp_path):
    checked = type_check(HELD, tmp_path)
    assert checked.returncode == 0, checked.stdout
    wrong = type_check(HELD.replace("= r.users", "= r.medications"), tmp_path)
    assert wrong.returncode == 1
    assert "Incompatible types in assignment" in wrong.stdout
