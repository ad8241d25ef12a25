"""The shipped mappings on the real files: whole, equal to an independent recount, repeatable."""

from __future__ import annotations

import datetime as dt
import re
import zipfile
from decimal import ROUND_HALF_EVEN, Decimal

import pandas as pd
import pytest
from sqlalchemy import text

from crm_core.database import transaction
from crm_core.imports.mapping import load, shipped
from crm_core.imports.operations import import_path

pytestmark = [pytest.mark.real_data, pytest.mark.timeout(900)]
NOW = dt.datetime(2026, 6, 30, 12, tzinfo=dt.UTC)


def bring(engine, path, name, days=0):
    return import_path(
        engine,
        path,
        mapping=name,
        recorded_at=NOW + dt.timedelta(days=days),
        dry_run=False,
        rejected_folder=None,
        progress=None,
    )


def one(engine, sql):
    with transaction(engine) as session:
        return session.execute(text(sql)).scalar_one()


def cents(values) -> int:
    """Sum decimal texts, each rounded half to even to cents: the slow way, without our code."""
    return sum(
        int((Decimal(value) * 100).quantize(Decimal(1), ROUND_HALF_EVEN)) for value in values
    )


def text_frame(path, **options) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False, **options)


def test_every_shipped_mapping_is_tested_here():
    assert shipped() == [
        "adventureworks_resellers",
        "bank_marketing",
        "bpic2012",
        "cdnow",
        "maven_crm",
        "superstore",
        "telco",
    ]


def twice(engine, path, name, expected):
    """Import twice; check that all rows came in, and that the second time changed nothing."""
    first = bring(engine, path, name)
    assert {table: counts.inserted for table, counts in first.tables.items()} == expected
    assert all(counts.rows == counts.inserted for counts in first.tables.values())
    second = bring(engine, path, name, days=1)
    assert second.already_imported
    assert {table: counts.unchanged for table, counts in second.tables.items()} == expected
    assert second.derived.get("opportunity_events", 0) == 0
    return first


def test_maven_crm_comes_in_whole(engine, data_sets):
    folder = data_sets / "maven_crm"
    report = twice(
        engine,
        folder,
        "maven_crm",
        {
            "org_units": 10,
            "users": 41,
            "assignments": 41,
            "accounts": 85,
            "products": 7,
            "opportunities": 8800,
        },
    )
    deals = text_frame(folder / "sales_pipeline.csv")
    closed = deals[deals.deal_stage.isin(["Won", "Lost"])]
    assert one(engine, "select sum(amount_minor) from opportunities") == cents(closed.close_value)
    assert one(engine, "select count(*) from opportunities where outcome = 'won'") == int(
        (deals.deal_stage == "Won").sum()
    )
    assert one(engine, "select count(*) from opportunities where account_id is null") == int(
        (deals.account == "").sum()
    )
    assert one(engine, "select count(*) from opportunities where history <> 'none'") == 0
    assert one(engine, "select count(*) from accounts where industry = 'technology'") == 12
    notes = {(note.column, note.rows) for note in report.findings}
    assert {("product_id", 1480), ("industry", 12), ("created_at", 500), ("account_id", 1425)} <= (
        notes
    )


def test_maven_crm_never_shows_a_closing_value_before_the_closing(engine, data_sets):
    bring(engine, data_sets / "maven_crm", "maven_crm")
    leaks = one(
        engine,
        "select count(*) from opportunity_events e join opportunities o "
        "on o.id = e.opportunity_id where e.field = 'amount' and "
        "least(e.occurred_at, e.recorded_at) < coalesce(o.closed_at, 'infinity')",
    )
    assert leaks == 0


def test_bank_marketing_comes_in_whole_and_in_order(engine, data_sets):
    twice(engine, data_sets / "bank_marketing", "bank_marketing", {"opportunities": 41188})
    with zipfile.ZipFile(data_sets / "bank_marketing" / "bank-additional.zip") as archive:
        calls = pd.read_csv(archive.open("bank-additional/bank-additional-full.csv"), sep=";")
    assert one(engine, "select count(*) from opportunities where outcome = 'won'") == int(
        (calls.y == "yes").sum()
    )
    with transaction(engine) as session:
        found = session.execute(
            text(
                "select extract(month from created_at at time zone 'Europe/Lisbon')::int, custom, "
                "created_at from opportunities order by id"
            )
        ).all()
    months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
    assert [months[row[0] - 1] for row in found] == list(calls.month)
    times = [row[2] for row in found]
    assert times == sorted(times)
    assert times[0].year == 2008
    assert times[-1].year == 2010
    assert [row[1]["x_call_seconds"] for row in found] == list(calls.duration)
    early = one(
        engine,
        "select count(*) from opportunity_events e join opportunities o on o.id = "
        "e.opportunity_id where e.field = 'custom' and e.occurred_at < o.closed_at "
        "and e.new_value::jsonb ? 'x_call_seconds'",
    )
    assert early == 0


def test_bpic2012_comes_in_whole_with_history_and_activities(engine, data_sets):
    log = pd.read_parquet(data_sets / "bpic2012" / "events.parquet")
    steps = int(log.activity.str.startswith("A_").sum())
    owners = log[
        ~log.activity.str.startswith("W_") & log.resource.notna() & (log.resource != "112")
    ]
    twice(
        engine,
        data_sets / "bpic2012",
        "bpic2012",
        {
            "users": 68,
            "opportunities": 13087,
            "activities": len(log) - steps,
            "opportunity_events": steps + owners["case"].nunique(),
        },
    )
    won = log[log.activity.isin(["A_APPROVED", "A_REGISTERED", "A_ACTIVATED"])]["case"].nunique()
    lost = log[log.activity.isin(["A_DECLINED", "A_CANCELLED"])]["case"].nunique()
    assert one(engine, "select count(*) from opportunities where outcome = 'won'") == won
    assert one(engine, "select count(*) from opportunities where outcome = 'lost'") == lost
    amounts = log.groupby("case").amount.first()
    assert one(engine, "select sum(amount_minor) from opportunities") == int(amounts.sum()) * 100
    assert one(engine, "select count(*) from opportunities where history <> 'full'") == 0


def test_telco_comes_in_whole(engine, data_sets):
    twice(engine, data_sets / "telco", "telco", {"accounts": 7043, "subscriptions": 7043})
    customers = text_frame(data_sets / "telco" / "Telco-Customer-Churn.csv")
    assert one(engine, "select sum(monthly_amount_minor) from subscriptions") == cents(
        customers.MonthlyCharges
    )
    assert one(engine, "select count(*) from subscriptions where ended_on is not null") == int(
        (customers.Churn == "Yes").sum()
    )
    assert one(engine, "select count(*) from accounts where not custom ? 'x_total_charges'") == 11


def test_cdnow_comes_in_whole(engine, data_sets):
    twice(engine, data_sets / "cdnow", "cdnow", {"accounts": 23570, "orders": 69659})
    lines = [
        line.split()
        for line in (data_sets / "cdnow" / "CDNOW_master.txt").read_text().splitlines()[1:]
    ]
    assert one(engine, "select sum(amount_minor) from orders") == cents(row[3] for row in lines)
    assert one(engine, "select sum(quantity)::int from orders") == sum(int(row[2]) for row in lines)


def test_superstore_comes_in_whole(engine, data_sets):
    twice(
        engine,
        data_sets / "superstore",
        "superstore",
        {"org_units": 5, "accounts": 793, "products": 1894, "orders": 9994},
    )
    sales = text_frame(data_sets / "superstore" / "Sample - Superstore.csv", encoding="utf-8-sig")
    assert one(engine, "select sum(amount_minor) from orders") == cents(sales.Sales)
    assert one(engine, "select min(ordered_on)::text || max(ordered_on) from orders") == (
        "2016-01-032019-12-30"
    )


def test_adventureworks_resellers_comes_in_whole(engine, data_sets):
    folder = data_sets / "adventureworks_resellers"
    targets = text_frame(folder / "ResellerSalesTargets.csv", encoding="utf-8-sig")
    cells = [
        cell for name in targets.columns[2:] for cell in targets[name] if cell not in ("", "NULL")
    ]
    twice(
        engine,
        folder,
        "adventureworks_resellers",
        {
            "org_units": 11,
            "users": 18,
            "assignments": 39,
            "accounts": 701,
            "products": 397,
            "orders": 57851,
            "quotas": len(cells),
        },
    )
    sales = text_frame(folder / "FactResellerSales.csv")
    assert one(engine, "select sum(amount_minor) from orders") == cents(sales.SalesAmount)
    assert one(engine, "select count(*) from orders where cost_minor is null") == 76
    assert one(engine, "select sum(amount_minor) from quotas") == cents(cells) * 1000


PUBLIC_ORDERS = {
    "Stephen Jiang": 48, "Michael Blythe": 450, "Linda Mitchell": 418, "Jillian Carson": 473,
    "Garrett Vargas": 234, "Tsvi Reiter": 429, "Pamela Ansman-Wolfe": 95, "Shu Ito": 242,
    "José Saraiva": 271, "David Campbell": 189, "Amy Alberts": 39, "Jae Pak": 348,
    "Ranjit Varkey Chudukatil": 175, "Tete Mensa-Annan": 140, "Syed Abbas": 16,
    "Rachel Valdez": 130, "Lynn Tsoflias": 109,
}  # fmt: skip
"""Orders per person in the whole public sample, of which the file lacks some."""


def test_adventureworks_people_are_joined_as_their_orders_say(data_sets):
    staff = dict(
        re.findall(r"\('(\d+)', '\d+', '([^']+)'", load("adventureworks_resellers")[1].decode())
    )
    sales = pd.read_csv(data_sets / "adventureworks_resellers" / "FactResellerSales.csv", dtype=str)
    orders = sales.groupby("EmployeeKey").SalesOrderNumber.nunique()
    public = pd.Series({key: PUBLIC_ORDERS[staff[key]] for key in orders.index})
    assert set(staff) - set(orders.index) == {"277"}
    assert (orders / public).between(0.83, 1).all()
    assert list(orders.sort_values().index) == list(public.sort_values().index)
