"""Models and migrations both give exactly the schema of the shared database."""

from homethrive_db import models
from homethrive_db.migrate import migrate
from tests.catalog import CONTRACT, read_catalog


def test_migrations_give_the_contract(empty_db):
    list(migrate(empty_db))
    assert read_catalog(empty_db) == CONTRACT


def test_models_give_the_contract(empty_db):
    with empty_db.atomic(), empty_db.bind_ctx(models.MODELS):
        for name, labels in models.ENUMS.items():
            quoted = ", ".join(f"'{label}'" for label in labels)
            empty_db.execute_sql(f"CREATE TYPE {name} AS ENUM ({quoted})")
        for model in models.MODELS:
            model.create_table(safe=False)
    assert read_catalog(empty_db) == CONTRACT
