"""Migrations make exactly the tables the models describe, down and up again."""

from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, text

from crm_core import migrations, row_security, schema
from crm_core.database import transaction
from tests.oracles import companies

Columns = dict[str, list[str]]
KEPT_BY_TRIGGERS = {"record_events"}
"""Begun by a revision from what the tables hold; below it nobody would keep it true."""


def _columns(engine: Engine) -> Columns:
    found = inspect(engine)
    return {
        table: [column["name"] for column in found.get_columns(table)]
        for table in found.get_table_names()
        if table != "alembic_version"
    }


def _hashes(engine: Engine) -> dict[tuple[str, str], tuple[int, object]]:
    """Each column's values as their number and the sum of their hashes (keys may change)."""
    told: dict[tuple[str, str], tuple[int, object]] = {}
    with engine.connect() as connection:
        for table, names in _columns(engine).items():
            for name in names:
                told[table, name] = tuple(  # type: ignore[assignment]
                    connection.execute(
                        text(
                            f'select count(*), sum(hashtextextended("{name}"::text, 0)::numeric)'
                            f' from "{table}"'
                        )
                    ).one()
                )
    return told


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

    def test_lose_no_row_on_the_way_down_and_up_again(self, engine: Engine) -> None:
        """What an older revision knows of the facts survives every step, down and up."""
        with transaction(engine) as session:
            companies.write(session, 1)
        script = ScriptDirectory.from_config(migrations.configuration())
        stairs = [each.revision for each in script.walk_revisions()]  # newest first
        held = _hashes(engine)
        assert held["opportunity_events", "new_value"][0] > 100
        for step in stairs[1:]:
            migrations.downgrade(engine, step)
            below = _hashes(engine)
            held = {
                each: value
                for each, value in held.items()
                if each in below and each[0] not in KEPT_BY_TRIGGERS
            }
            assert held == {each: below[each] for each in held}, f"down to {step}"
        for step in [*reversed(stairs[:-1]), *stairs[1:], stairs[0]]:
            if migrations.applied(engine) < step:
                migrations.upgrade(engine, step)
            else:
                migrations.downgrade(engine, step)
            now = _hashes(engine)
            assert held == {each: now[each] for each in held}, f"at {step}"
        assert _drift(engine) == []

    def test_refuse_a_store_of_a_newer_program_and_change_nothing(self, engine: Engine) -> None:
        with engine.begin() as connection:
            connection.execute(text("update alembic_version set version_num = '9999'"))
        with pytest.raises(migrations.NewerStore, match=r"9999.*newer Winward.*backup"):
            migrations.upgrade(engine)
        assert migrations.applied(engine) == "9999"
        with engine.connect() as connection:  # the second net still hangs
            assert row_security.applied(connection) == row_security.digest()
