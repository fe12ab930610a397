"""docker/: the servers are the documented ones, and test.sh cleans up after itself."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
import yaml

from homethrive_db.testing.databases import COMPOSE_URL
from tests.waiting import wait_until

DOCKER = Path(__file__).parents[2] / "docker"

UP = "compose --file docker/compose.yaml up --detach --wait test"
REMOVE = "compose --file docker/compose.yaml rm --stop --force test"


@pytest.fixture(scope="module")
def services():
    return yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("dev", "postgresql://homethrive:dev_password@localhost:5432/homethrive_dev"),
        ("test", "postgresql://homethrive_test:test_password@localhost:5433/homethrive_test"),
    ],
)
def test_a_server_is_reached_by_its_documented_url(services, name, url):
    service = services[name]
    environment = service["environment"]
    (port,) = service["ports"]
    address, host_port, container_port = port.split(":")
    assert url == (
        f"postgresql://{environment['POSTGRES_USER']}:{environment['POSTGRES_PASSWORD']}"
        f"@localhost:{host_port}/{environment['POSTGRES_DB']}"
    )
    assert address == "127.0.0.1", "nobody else on the network should reach it"
    assert container_port == "5432"
    assert service["image"] == "postgres:16-alpine"


@pytest.mark.parametrize("name", ["dev", "test"])
def test_a_server_is_healthy_once_its_own_database_answers(services, name):
    environment = services[name]["environment"]
    command = services[name]["healthcheck"]["test"]
    assert command[:2] == ["CMD", "pg_isready"]
    assert command[command.index("-U") + 1] == environment["POSTGRES_USER"]
    assert command[command.index("-d") + 1] == environment["POSTGRES_DB"]


def test_only_the_development_data_are_kept(services):
    assert services["dev"]["volumes"] == ["dev-data:/var/lib/postgresql/data"]
    assert services["test"]["tmpfs"] == ["/var/lib/postgresql/data"]
    assert "volumes" not in services["test"]


def test_the_pytest_plugin_looks_where_the_test_server_is():
    assert f"DATABASE_URL_TEST={COMPOSE_URL}\n" in (DOCKER / "test.sh").read_text()


def test_the_image_runs_the_command_line_as_nobody_in_particular():
    lines = (DOCKER / "Dockerfile").read_text().splitlines()
    final_stage = lines[max(i for i, line in enumerate(lines) if line.startswith("FROM ")) :]
    assert "USER 10001:10001" in final_stage
    assert 'ENTRYPOINT ["homethrive-db"]' in final_stage
    assert "STOPSIGNAL SIGINT" in final_stage
    assert not any("pip" in line for line in final_stage), "what builds stays in the first stage"


class Calls:
    """Stand-ins for docker and python on the PATH, which write down how they are called."""

    def __init__(self, folder):
        self.folder = folder
        self.log = folder / "log"
        self.log.touch()
        self.program("docker", 'if [ "$4" = ps ]; then cat "$(dirname "$0")/running"; fi')
        self.program("python", "exit 0")
        self.database_runs(False)

    def program(self, name, then):
        path = self.folder / name
        path.write_text(f'#!/bin/bash\necho "{name}: $*" >> {self.log}\n{then}\n')
        path.chmod(0o755)

    def tests_take_their_time(self):
        """Let them run on unless they are interrupted."""
        self.program(
            "python",
            f"""
            trap 'echo "python: tidied up" >> {self.log}; exit 2' INT
            trap '' TERM
            touch {self.folder}/started
            for _ in {{1..300}}; do sleep 0.1; done
            """,
        )

    def database_runs(self, running):
        (self.folder / "running").write_text("3f1c\n" if running else "")

    def start(self, *arguments, **variables):
        return subprocess.Popen(
            [DOCKER / "test.sh", *arguments],
            cwd=self.folder,
            env={**os.environ, "PATH": f"{self.folder}:{os.environ['PATH']}", **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments):
        with self.start(*arguments) as process:
            _, error = process.communicate(timeout=30)
        assert error == ""
        return process.returncode

    @property
    def of_docker(self):
        lines = self.log.read_text().splitlines()
        calls = [line.removeprefix("docker: ") for line in lines if line.startswith("docker: ")]
        return [call for call in calls if " ps " not in call]

    @property
    def of_python(self):
        lines = self.log.read_text().splitlines()
        return [line.removeprefix("python: ") for line in lines if line.startswith("python: ")]


@pytest.fixture
def calls(tmp_path):
    return Calls(tmp_path)


def test_a_stopped_database_is_started_and_removed_afterwards(calls):
    assert calls.run() == 0
    assert calls.of_docker == [UP, REMOVE]
    assert calls.of_python == ["-m pytest"]


def test_a_running_database_is_left_running(calls):
    calls.database_runs(True)
    assert calls.run() == 0
    assert calls.of_docker == []
    assert calls.of_python == ["-m pytest"]


def test_arguments_go_to_pytest(calls):
    assert calls.run("-k", "two words", "tests/unit") == 0
    assert calls.of_python == ["-m pytest -k two words tests/unit"]


def test_pytest_runs_in_the_project_with_the_test_database(calls):
    calls.program("python", f'echo "$PWD $DATABASE_URL_TEST" > {calls.folder}/seen')
    assert calls.run() == 0
    assert (calls.folder / "seen").read_text() == f"{DOCKER.parent} {COMPOSE_URL}\n"


@pytest.mark.parametrize("running", [False, True])
def test_failed_tests_give_the_status_and_still_clean_up(calls, running):
    calls.database_runs(running)
    calls.program("python", "exit 3")
    assert calls.run() == 3
    assert calls.of_docker == ([] if running else [UP, REMOVE])


def test_without_a_docker_engine_no_test_runs(calls):
    calls.program("docker", "exit 14")
    assert calls.run() == 14
    assert calls.of_docker == calls.of_python == []


def test_a_database_that_does_not_get_healthy_is_removed(calls):
    calls.program("docker", 'if [ "$4" = up ]; then exit 15; fi')
    assert calls.run() == 15
    assert calls.of_docker == [UP, REMOVE]
    assert calls.of_python == []


@pytest.mark.parametrize(
    ("number", "to_all", "status"),
    [(signal.SIGINT, True, 130), (signal.SIGTERM, False, 143), (signal.SIGTERM, True, 143)],
)
@pytest.mark.parametrize("running", [False, True])
def test_a_signal_ends_the_tests_first_and_the_database_afterwards(
    calls, running, number, to_all, status
):
    """Ctrl-C reaches the whole group of processes; a supervisor may tell the script alone."""
    calls.database_runs(running)
    calls.tests_take_their_time()
    with calls.start() as process:
        wait_until((calls.folder / "started").exists)
        if to_all:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        process.wait(timeout=20)
    assert process.returncode == status
    assert calls.of_python == ["-m pytest", "tidied up"]
    assert calls.of_docker == ([] if running else [UP, REMOVE])


def test_a_signal_that_comes_right_behind_the_start_of_the_tests_ends_them_first(calls):
    """Before the script has come to its next command."""
    calls.tests_take_their_time()
    stopped = calls.folder / "stopped.bash"
    stopped.write_text("trap 'while [[ -n ${!-} ]]; do sleep 0.05; done' DEBUG")
    with calls.start(BASH_ENV=str(stopped)) as process:
        wait_until((calls.folder / "started").exists)
        process.terminate()
        process.wait(timeout=20)
    assert process.returncode == 143
    assert calls.of_python == ["-m pytest", "tidied up"]
    assert calls.of_docker == [UP, REMOVE]
