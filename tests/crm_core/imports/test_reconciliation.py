"""The source and the store are counted apart; whatever differs is named."""

from __future__ import annotations

import datetime as dt

import pytest

from crm_core.imports.reconciliation import SourceGone, reconcile_batch, reconcile_folder
from crm_core.simulation import generate
from tests.crm_core.imports.stores import NOW, bring, execute, one


@pytest.fixture
def company(engine, tmp_path):
    """A small simulated company, imported."""
    folder = tmp_path / "in"
    generate(folder, seed=3, size="small", until=dt.date(2026, 6, 30), truth=tmp_path / "truth")
    return folder, bring(engine, folder)[1]


def test_an_import_agrees_with_its_files_until_the_store_differs(engine, company):
    folder, number = company
    found = reconcile_batch(engine, number, at=NOW)
    assert found.agrees, "\n".join(found.lines())
    sums = {table.table: table.source.metric for table in found.tables}
    assert sums["orders"]
    assert sums["opportunities"]
    assert one(engine, "select reconciliation->>'agrees' from import_batches") == "true"

    execute(engine, "update orders set amount_minor = amount_minor + 1 where id = 'R000001'")
    execute(engine, "update invoices set amount_minor = amount_minor + 1")
    execute(engine, "delete from tickets")
    found = reconcile_folder(engine, folder)
    wrong = {table.table: table.differences for table in found.tables if table.differences}
    assert {"invoices", "tickets"} <= set(wrong)
    assert "are not in the store" in wrong["tickets"][0]
    assert any(each.startswith("metric") for each in wrong["invoices"])


def test_rejected_rows_explain_what_is_missing(engine, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "company.csv").write_text("name,currency,time_zone\nAcme,USD,UTC\n")
    (folder / "accounts.csv").write_text("id,name\na1,Alpha\na2,\n")
    (folder / "orders.csv").write_text(
        "id,account_id,ordered_on,amount\no1,a1,2026-01-01,10.50\no2,a9,2026-01-02,7\n"
    )
    _, number = bring(engine, folder)
    found = reconcile_batch(engine, number, at=NOW)
    assert found.agrees
    assert {table.table: table.missing for table in found.tables} == {"accounts": 1, "orders": 1}
    assert not reconcile_folder(engine, folder).agrees
    (folder / "orders.csv").unlink()
    (folder / "accounts.csv").unlink()
    (folder / "company.csv").unlink()
    folder.rmdir()
    with pytest.raises(SourceGone):
        reconcile_batch(engine, number, at=NOW)


def test_rounding_explains_what_it_can_and_no_more(engine, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "company.csv").write_text("name,currency,time_zone\nAcme,USD,UTC\n")
    (folder / "accounts.csv").write_text("id,name\na1,Alpha\n")
    (folder / "orders.csv").write_text(
        "id,account_id,ordered_on,amount\no1,a1,2026-01-01,10.504\no2,a1,2026-01-02,7\n"
    )
    _, number = bring(engine, folder)
    assert reconcile_batch(engine, number, at=NOW).agrees
    execute(engine, "update orders set amount_minor = amount_minor + 1 where id = 'o2'")
    assert not reconcile_batch(engine, number, at=NOW).agrees
