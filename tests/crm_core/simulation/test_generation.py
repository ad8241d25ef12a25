"""A generated folder is the same for the same seed and conforms to the exchange format."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from decimal import Decimal
from pathlib import Path
from zoneinfo import available_timezones

import pytest

from crm_core import exchange
from crm_core.errors import Invalid
from crm_core.simulation import FolderNotEmpty, UnknownSize, generate
from tests.crm_core.simulation.companies import UNTIL, Generated, made

END = dt.datetime(2026, 6, 30, 22, tzinfo=dt.UTC)
"""Midnight of the first of July in Berlin."""
_INSTANT = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
_MONEY = re.compile(r"^-?\d+(\.\d+)?$")


def _digests(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


class TestGenerate:
    def test_gives_the_same_bytes_for_the_same_seed(self, small: Generated, tmp_path: Path) -> None:
        again = made(tmp_path, seed=7)
        assert _digests(again.folder) == _digests(small.folder)
        assert _digests(again.truth) == _digests(small.truth)

    def test_gives_another_company_for_another_seed(self, small: Generated, tmp_path: Path) -> None:
        other = made(tmp_path, seed=8)
        assert _digests(other.folder)["activities.csv"] != _digests(small.folder)["activities.csv"]

    def test_says_that_the_company_is_simulated(self, small: Generated) -> None:
        assert small.rows("company")[0]["name"].endswith(" (simulated)")

    def test_counts_the_rows_it_writes(self, small: Generated) -> None:
        for table, rows in small.summary.rows.items():
            assert len(small.rows(table)) == rows > 0, table

    def test_refuses_a_folder_with_something_in_it(self, small: Generated, tmp_path: Path) -> None:
        with pytest.raises(FolderNotEmpty, match="is not empty"):
            generate(small.folder, seed=1, size="small", until=UNTIL, truth=tmp_path)

    def test_refuses_to_put_the_truth_where_it_would_be_imported(self, tmp_path: Path) -> None:
        with pytest.raises(Invalid, match="lies inside"):
            generate(tmp_path, seed=1, size="small", until=UNTIL, truth=tmp_path / "truth")

    @pytest.mark.parametrize("seed", [-1, 1 << 64])
    def test_refuses_a_seed_that_would_be_cut_off(self, tmp_path: Path, seed: int) -> None:
        with pytest.raises(Invalid, match="seed"):
            generate(tmp_path, seed=seed, size="small", until=UNTIL, truth=tmp_path.parent / "t")

    def test_refuses_a_size_it_does_not_have(self, tmp_path: Path) -> None:
        with pytest.raises(UnknownSize, match="choose small, demo, medium or large"):
            generate(tmp_path, seed=1, size="huge", until=UNTIL, truth=tmp_path)  # type: ignore[arg-type]


class TestTables:
    @pytest.mark.parametrize("table", exchange.TABLES, ids=lambda table: table.name)
    def test_conform(self, small: Generated, table: exchange.Table) -> None:
        rows = small.rows(table.name)
        names = set(rows[0])
        declared = {column.name for column in table.columns}
        assert {name for name in names if not name.startswith("x_")} <= declared
        assert table.custom_fields or names <= declared
        assert {column.name for column in table.columns if column.required} <= names
        for column in table.columns:
            if column.name not in names:
                continue
            values = {row[column.name] for row in rows}
            assert not (column.required and "" in values), column.name
            _check(column, values - {""})

    @pytest.mark.parametrize("table", exchange.TABLES, ids=lambda table: table.name)
    def test_have_unique_keys(self, small: Generated, table: exchange.Table) -> None:
        if table.key:
            keys = [tuple(row.get(name) for name in table.key) for row in small.rows(table.name)]
            assert len(set(keys)) == len(keys)

    @pytest.mark.parametrize("table", exchange.TABLES, ids=lambda table: table.name)
    def test_refer_to_rows_that_exist(self, small: Generated, table: exchange.Table) -> None:
        for column in table.columns:
            if column.refers_to is None or column.name not in small.rows(table.name)[0]:
                continue
            targets = {row["id"] for row in small.rows(column.refers_to)}
            named = {row[column.name] for row in small.rows(table.name)} - {""}
            assert named <= targets, column.name

    def test_know_nothing_of_the_day_they_end_on_or_later(self, small: Generated) -> None:
        for table in ("opportunity_events", "activities", "orders"):
            latest = max(dt.datetime.fromisoformat(r["recorded_at"]) for r in small.rows(table))
            assert END - dt.timedelta(days=4) < latest < END, table
        for table, column in (
            ("accounts", "created_at"), ("opportunities", "created_at"), ("leads", "created_at"),
            ("opportunity_contacts", "added_at"), ("tickets", "opened_at"),
            ("leads", "qualified_at"), ("tickets", "closed_at"), ("quotas", "approved_at"),
            ("contacts", "created_at"),
        ):  # fmt: skip
            latest = max(row[column] for row in small.rows(table))
            assert dt.datetime.fromisoformat(latest) < END, table
        for table, column in (
            ("invoices", "invoiced_on"), ("payments", "received_on"), ("orders", "ordered_on"),
            ("subscriptions", "ended_on"), ("usage", "day"), ("users", "left_on"),
        ):  # fmt: skip
            assert max(row[column] for row in small.rows(table)) < UNTIL.isoformat(), table

    def test_use_several_currencies_and_the_rates_to_convert_them(self, small: Generated) -> None:
        used = {row["currency"] for row in small.rows("opportunities")} - {"EUR"}
        rates = small.rows("fx_rates")
        first = min(row["ordered_on"] for row in small.rows("orders"))
        assert len(used) >= 3
        for currency in used:
            known = [row["valid_from"] for row in rates if row["base"] == currency]
            assert min(known) <= first

    def test_name_an_existing_time_zone(self, small: Generated) -> None:
        zones = {row["time_zone"] for row in [*small.rows("users"), *small.rows("company")]}
        assert zones <= available_timezones()

    def test_have_distinct_emails_and_the_demo_logins_among_them(self, small: Generated) -> None:
        users = small.rows("users")
        emails = [user["email"] for user in users]
        assert len(set(emails)) == len(emails)
        roles = {user["email"]: user["role"] for user in users if not user["left_on"]}
        assert {roles[f"{name}@demo.winward"] for name in ("rep", "manager", "leader")} == {
            "rep", "manager", "leader",
        }  # fmt: skip
        assert roles["ops@demo.winward"] == "sales_ops"
        assert roles["admin@demo.winward"] == "admin"


def _check(column: exchange.Column, values: set[str]) -> None:
    """Assert that texts are of the column's kind."""
    for value in values:
        if column.kind == "choice":
            assert value in column.choices
        elif column.kind == "instant":
            assert _INSTANT.match(value), value
        elif column.kind == "date":
            dt.date.fromisoformat(value)
        elif column.kind in ("money", "decimal"):
            assert _MONEY.match(value), value
        elif column.kind in ("integer", "month"):
            int(value)
        elif column.kind == "currency":
            assert re.fullmatch("[A-Z]{3}", value)


class TestLedger:
    def test_invoices_and_credit_notes_never_exceed_the_order(self, small: Generated) -> None:
        ordered = {row["id"]: Decimal(row["amount"]) for row in small.rows("orders")}
        billed: dict[str, Decimal] = {}
        for row in small.rows("invoices"):
            billed[row["order_id"]] = billed.get(row["order_id"], Decimal(0)) + Decimal(
                row["amount"]
            )
        assert any(Decimal(row["amount"]) < 0 for row in small.rows("invoices"))
        for order, amount in billed.items():
            assert 0 <= amount <= ordered[order]

    def test_payments_sum_to_at_most_their_invoice(self, small: Generated) -> None:
        billed = {row["id"]: abs(Decimal(row["amount"])) for row in small.rows("invoices")}
        paid: dict[str, Decimal] = {}
        for row in small.rows("payments"):
            paid[row["invoice_id"]] = paid.get(row["invoice_id"], Decimal(0)) + Decimal(
                row["amount"]
            )
        assert all(abs(amount) <= billed[invoice] for invoice, amount in paid.items())

    def test_a_cancellation_is_a_later_row_of_the_same_order(self, demo: Generated) -> None:
        rows = demo.rows("orders")
        signed = {row["id"]: row for row in rows if row["status"] == "signed"}
        cancelled = [row for row in rows if row["status"] == "cancelled"]
        assert len(cancelled) > 20
        for row in cancelled:
            assert row["recorded_at"] > signed[row["id"]]["recorded_at"]
            assert row["amount"] == signed[row["id"]]["amount"]

    def test_revenue_shares_sum_to_one(self, demo: Generated) -> None:
        shares: dict[str, Decimal] = {}
        for row in demo.rows("credits"):
            if row["kind"] == "revenue":
                shares[row["order_id"]] = shares.get(row["order_id"], Decimal(0)) + Decimal(
                    row["share"]
                )
        assert set(shares.values()) == {Decimal(1)}

    def test_an_order_of_a_deal_has_the_amount_it_was_won_at(self, demo: Generated) -> None:
        deals = {row["id"]: row for row in demo.rows("opportunities")}
        for row in demo.rows("orders"):
            if row["opportunity_id"]:
                deal = deals[row["opportunity_id"]]
                assert deal["stage"] == "Won"
                assert Decimal(deal["amount"]) == Decimal(row["amount"])
