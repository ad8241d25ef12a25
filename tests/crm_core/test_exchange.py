"""The exchange format names only what the store holds, in an order that can be imported."""

from __future__ import annotations

from crm_core import exchange, schema


class TestTables:
    def test_refer_only_to_themselves_and_earlier_ones(self) -> None:
        seen: set[str] = set()
        for table in exchange.TABLES:
            seen.add(table.name)
            assert {c.refers_to for c in table.columns if c.refers_to} <= seen, table.name

    def test_each_has_its_table_in_the_store(self) -> None:
        assert {table.name for table in exchange.TABLES} <= set(schema.metadata.tables)

    def test_each_column_is_stored(self) -> None:
        for table in exchange.TABLES:
            stored = set(schema.metadata.tables[table.name].columns.keys())
            for column in table.columns:
                name = f"{column.name}_minor" if column.kind == "money" else column.name
                assert name in stored, f"{table.name}.{column.name}"
            assert ("custom" in stored) == table.custom_fields, table.name

    def test_key_columns_exist(self) -> None:
        for table in exchange.TABLES:
            for name in table.key:
                table.column(name)
