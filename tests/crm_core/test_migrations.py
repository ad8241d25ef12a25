"""Migrations make exactly the tables the models describe, down and up again."""

from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, inspect

from crm_core import migrations, schema


def _drift(engine: Engine) -> list[object]:
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "compare_type": True,
                "include_name": lambda name, kind, _: (
                    kind != "table" or name in schema.metadata.tables
                ),
            },
        )
        return compare_metadata(context, schema.metadata)


class TestMigrations:
    def test_match_the_models(self, engine: Engine) -> None:
        assert migrations.applied(engine) == migrations.newest()
        assert _drift(engine) == []

    def test_go_down_and_up_again(self, engine: Engine) -> None:
        migrations.downgrade(engine, "base")
        assert not set(inspect(engine).get_table_names()) & set(schema.metadata.tables)
        migrations.upgrade(engine)
        assert _drift(engine) == []
