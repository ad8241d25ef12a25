"""A mapping file says exactly what it may say, and errors name the key."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy import text

from crm_core.database import transaction
from crm_core.errors import Invalid, NotFound
from crm_core.imports import mapping as mappings
from crm_core.imports.operations import import_path

NOW = dt.datetime(2026, 6, 30, 12, tzinfo=dt.UTC)
WHOLE = """
name: shop
company: {name: Shop, currency: EUR, time_zone: Europe/Berlin}
files:
  sales:
    path: sales.csv
    missing: [Select, "NULL"]
    dates: ["%d.%m.%Y"]
    number: {decimal: ",", thousands: "."}
    dropped: [note]
  sellers: {path: sellers.csv}
tables:
  - table: users
    from: sellers
    columns:
      id: {expression: slug(name)}
      name: name
      email: {expression: "slug(name) || '@shop.invalid'"}
      role: {constant: rep}
  - table: accounts
    from: sales
    columns: {id: customer, name: customer}
  - table: orders
    from: sales
    join: [{file: sellers, on: {seller: code}}]
    columns:
      id: number
      account_id: customer
      ordered_on: day
      owner_id: {expression: slug(sellers.name), unknown: "null"}
      amount: value
    custom:
      x_channel: {column: channel, values: {web: online}}
"""
SALES = (
    "number;customer;day;seller;value;channel;note\n"
    "1;Ada;01.02.2026;s1;1.234,50;web;x\n"
    "2;Ada;02.02.2026;s9;-2,5;NULL;\n"
    "3;Bob;31.02.2026;s1;7,00;shop;y\n"
)


def bring(engine, tmp_path, yaml=WHOLE, sales=SALES):
    (tmp_path / "m.yaml").write_text(yaml)
    (tmp_path / "sales.csv").write_text(sales)
    (tmp_path / "sellers.csv").write_text("code,name\ns1,Eva Ott\n")
    return import_path(
        engine,
        tmp_path,
        mapping=tmp_path / "m.yaml",
        recorded_at=NOW,
        dry_run=False,
        rejected_folder=None,
        progress=None,
    )


class TestAMapping:
    def test_renames_joins_translates_and_reads_numbers_and_dates(self, engine, tmp_path):
        report = bring(engine, tmp_path)
        with transaction(engine) as session:
            found = session.execute(
                text(
                    "select id, ordered_on::text, owner_id, amount_minor, currency, custom "
                    "from orders order by id"
                )
            ).all()
        assert found == [
            ("1", "2026-02-01", "eva-ott", 123450, "EUR", {"x_channel": "online"}),
            ("2", "2026-02-02", None, -250, "EUR", {}),
        ]
        (rejection,) = report.rejections
        assert (rejection.line, rejection.column, rejection.value) == (4, "day", "31.02.2026")
        assert "%d.%m.%Y" in rejection.reason
        assert report.tables["accounts"].duplicate == 1

    def test_stops_at_a_column_that_nobody_asked_for(self, engine, tmp_path):
        with pytest.raises(Invalid, match="'note'"):
            bring(engine, tmp_path, WHOLE.replace("dropped: [note]", "dropped: []"))

    def test_rejects_an_unknown_reference_unless_told_otherwise(self, engine, tmp_path):
        yaml = WHOLE.replace('slug(sellers.name), unknown: "null"', "\"coalesce(seller, 'x')\"")
        report = bring(engine, tmp_path, yaml)
        assert report.tables["orders"].rejected == 3
        assert "not among the users" in report.rejections[0].reason

    def test_cannot_reach_files_from_its_queries(self, engine, tmp_path):
        yaml = WHOLE.replace(
            "id: number", "id: {expression: \"(select content from read_text('/etc/hostname'))\"}"
        ).replace("[note]", "[note, number]")
        with pytest.raises(Invalid, match="does not run"):
            bring(engine, tmp_path, yaml)

    @pytest.mark.parametrize(
        ("old", "new", "part"),
        [
            ("missing:", "mising:", "unknown key files.sales.mising"),
            ("x_channel:", "channel:", "must begin with x_"),
            ("table: orders", "table: order", "order is not a table"),
            ("ordered_on: day", "ordred_on: day", "no column ordred_on"),
            ("      amount: value\n", "", "needs the column amount"),
            ("from: sellers", "from: people", "from people, which is no file"),
            ("{constant: rep}", "{constant: rep, column: name}", "exactly one of"),
        ],
    )
    def test_that_is_wrong_names_the_key(self, old, new, part):
        with pytest.raises(mappings.MappingInvalid, match="docs/imports.md") as caught:
            mappings.parse(WHOLE.replace(old, new).encode(), "m.yaml")
        assert part in caught.value.message

    def test_that_does_not_exist_lists_the_shipped_ones(self):
        with pytest.raises(NotFound, match="maven_crm"):
            mappings.load("mavencrm")


def test_every_shipped_mapping_is_valid_and_documented():
    from pathlib import Path

    page = (Path(__file__).parents[3] / "docs" / "imports.md").read_text()
    for name in mappings.shipped():
        assert mappings.load(name)[0].name == name
        assert f"`{name}`" in page
    for model in (
        mappings.Mapping,
        mappings.FileSpec,
        mappings.ColumnSpec,
        mappings.TableSpec,
        mappings.ViewSpec,
        mappings.JoinSpec,
        mappings.NumberFormat,
    ):
        for field_name, field in model.model_fields.items():
            assert f"`{field.alias or field_name}`" in page, f"{model.__name__}.{field_name}"
