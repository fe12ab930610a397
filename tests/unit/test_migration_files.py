"""What a folder of migrations may hold, and which databases may be reset."""

import pytest

from homethrive_db import ConfigurationError, MigrationError
from homethrive_db.migrate.files import MigrationFile, read_folder
from homethrive_db.migrate.reset import check_resettable

UP = "def migrate(migrator, database, fake=False, **kwargs):\n    pass\n"


def write(folder, *names, text=UP):
    for name in names:
        folder.joinpath(name).write_text(text)


def test_a_folder_is_read_in_the_order_of_its_numbers(tmp_path):
    write(tmp_path, "010_c.py", "001_a.py", "002_b.py", "conf.py", "notes.txt", "__init__.py")
    assert [file.name for file in read_folder(tmp_path)] == ["001_a", "002_b", "010_c"]


@pytest.mark.parametrize("name", ["1000_x.py", "01_x.py", "1_x.py"])
def test_a_number_that_peewee_migrate_would_pass_over_is_refused(tmp_path, name):
    write(tmp_path, name)
    with pytest.raises(MigrationError, match="must have three digits"):
        read_folder(tmp_path)


def test_two_files_of_one_number_are_refused(tmp_path):
    write(tmp_path, "001_a.py", "001_b.py")
    with pytest.raises(MigrationError, match="001_b: it has the number of 001_a"):
        read_folder(tmp_path)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(MigrationError, match="nowhere"):
        read_folder(tmp_path / "nowhere")


def test_a_checksum_does_not_depend_on_line_endings(tmp_path):
    write(tmp_path, "001_a.py")
    tmp_path.joinpath("002_b.py").write_bytes(UP.replace("\n", "\r\n").encode())
    write(tmp_path, "003_c.py", text=UP + "\n")
    one, same, other = read_folder(tmp_path)
    assert one.checksum == same.checksum != other.checksum


def test_a_file_says_what_it_is(tmp_path):
    write(tmp_path, "001_a.py", text=f'"""Adds a table.\n\nWhy."""\nTRANSACTIONAL = False\n{UP}')
    write(tmp_path, "002_b.py")
    one, other = read_folder(tmp_path)
    assert (one.summary, one.is_transactional) == ("Adds a table.", False)
    assert (other.summary, other.is_transactional) == ("", True)


def test_a_file_without_a_function_says_so_by_its_name(tmp_path):
    write(tmp_path, "001_a.py", text="rollback = 1\n")
    file = MigrationFile(tmp_path / "001_a.py")
    for name in ("migrate", "rollback"):
        with pytest.raises(MigrationError, match=f"001_a: it has no {name}"):
            getattr(file, name)


@pytest.mark.parametrize(
    "parameters",
    [
        {"host": "localhost", "dbname": "homethrive_dev"},
        {"host": "127.0.0.1", "dbname": "homethrive_test"},
        {"host": "::1", "dbname": "x_dev"},
        {"host": "localhost", "hostaddr": "127.0.0.2", "dbname": "x_dev"},
    ],
)
def test_a_development_database_on_a_loopback_address_may_be_reset(parameters):
    check_resettable(parameters)


@pytest.mark.parametrize(
    "parameters",
    [
        {"host": "localhost", "dbname": "homethrive"},
        {"host": "localhost", "dbname": "homethrive_devel"},
        {"host": "localhost", "dbname": "_dev_prod"},
        {"host": "db.example.org", "dbname": "homethrive_dev"},
        {"host": "10.0.0.5", "dbname": "homethrive_dev"},
        {"host": "localhost,db.example.org", "dbname": "homethrive_dev"},
        {"host": "localhost", "hostaddr": "10.0.0.5", "dbname": "homethrive_dev"},
        {"host": "/var/run/postgresql", "dbname": "homethrive_dev"},
        {"dbname": "homethrive_dev"},
    ],
)
def test_no_other_database_may_be_reset(parameters):
    with pytest.raises(ConfigurationError, match="only a database for development is reset"):
        check_resettable(parameters)
