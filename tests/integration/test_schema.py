"""Models and migrations both give the schema of the shared database, and nothing in its way."""

from homethrive_db import models
from homethrive_db.migrate import migrate
from tests.catalog import CONTRACT, read_catalog, shared_part
from tests.migrations import SECOND


def test_the_first_two_migrations_give_the_contract_and_no_more(empty_db):
    list(migrate(empty_db, SECOND))
    assert read_catalog(empty_db) == CONTRACT


def test_all_migrations_give_the_contract(empty_db):
    list(migrate(empty_db))
    assert shared_part(read_catalog(empty_db)) == CONTRACT


def test_models_give_the_contract(empty_db):
    with empty_db.atomic(), empty_db.bind_ctx(models.MODELS):
        for name, labels in models.ENUMS.items():
            quoted = ", ".join(f"'{label}'" for label in labels)
            empty_db.execute_sql(f"CREATE TYPE {name} AS ENUM ({quoted})")
        for model in models.MODELS:
            model.create_table(safe=False)
    assert shared_part(read_catalog(empty_db)) == CONTRACT


def test_what_the_node_service_deletes_no_table_of_ours_holds(empty_db):
    list(migrate(empty_db))
    tables = read_catalog(empty_db)["tables"]
    ours = [table for name, table in tables.items() if name not in CONTRACT["tables"]]
    foreign_keys = [
        text for one in ours for text in one["constraints"].values() if text.startswith("FOREIGN")
    ]
    assert len(foreign_keys) >= len(ours)
    assert [text for text in foreign_keys if not text.endswith("ON DELETE CASCADE")] == []
