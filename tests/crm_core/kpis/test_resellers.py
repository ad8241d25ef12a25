"""The metrics of 57,851 real order lines equal a recomputation in pandas, to the cent."""

from __future__ import annotations

import datetime as dt
import random
import re
from decimal import Decimal

import pandas as pd
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm_core.database import create_engine
from crm_core.imports.mapping import load
from crm_core.imports.operations import import_path
from crm_core.kpis import queries
from crm_core.people.queries import Visibility, calendar

AS_OF = dt.datetime(2020, 8, 1, tzinfo=dt.UTC)
EVERYONE = Visibility(everyone=True)
MONTHS = [f"{year}-{month:02}" for year in (2017, 2018, 2019, 2020) for month in range(1, 13)]
MONTHS = [name for name in MONTHS if "2017-07" <= name <= "2020-06"]


@pytest.fixture(scope="module")
def store(postgresql, template_database, data_sets):
    """A session on a database of this module with the whole data set in it."""
    name = "resellers_kpis"
    admin = create_engine(postgresql.url("postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"create database {name} template {template_database}"))
    engine = create_engine(postgresql.url(name))
    import_path(
        engine, data_sets / "adventureworks_resellers", mapping="adventureworks_resellers",
        recorded_at=AS_OF, dry_run=False, rejected_folder=None, progress=None,
    )  # fmt: skip
    with engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("analyze"))
    with Session(engine) as session:
        yield session
    engine.dispose()
    with admin.connect() as connection:
        connection.execute(text(f"drop database {name} with (force)"))
    admin.dispose()


@pytest.fixture(scope="module")
def sales(data_sets):
    """The order lines as the file has them, amounts in cents."""
    folder = data_sets / "adventureworks_resellers"
    lines = pd.read_csv(folder / "FactResellerSales.csv", dtype=str, keep_default_na=False)
    lines["month"] = lines["OrderDate"].str[:7]
    lines["cents"] = [int((Decimal(each) * 100).to_integral_value()) for each in
                      lines["SalesAmount"]]  # fmt: skip
    return lines


@pytest.fixture(scope="module")
def goals(data_sets):
    """(person, month) → target in cents, from the file with targets in thousands."""
    mapping = load("adventureworks_resellers")[1].decode()
    number_of = {number: key for key, number in re.findall(r"\('(\d+)', '(\d+)', '[^']+'", mapping)}
    targets = pd.read_csv(
        data_sets / "adventureworks_resellers" / "ResellerSalesTargets.csv", dtype=str,
        keep_default_na=False, encoding="utf-8-sig",
    )  # fmt: skip
    found = {}
    for row in targets.to_dict("records"):
        for month in range(1, 13):
            thousands = row[f"M{month:02}"].strip()
            if thousands not in ("", "NULL"):
                key = (number_of[row["EmployeeID"]], f"{row['Year']}-{month:02}")
                found[key] = int(Decimal(thousands) * 1000 * 100)
    return found


def month_of(session, name):
    return {"period": calendar(session).parse(name), "as_of": AS_OF}


class TestAttainment:
    def test_of_every_person_and_month_is_what_pandas_says(self, store, sales, goals):
        booked = sales.groupby(["EmployeeKey", "month"])["cents"].sum().to_dict()
        compared = 0
        for name in MONTHS:
            found = queries.by_subject(
                store, ["bookings", "attainment", "gap"], grouping="user", scope=EVERYONE,
                **month_of(store, name),
            )  # fmt: skip
            wanted = {person for person, month in (*booked, *goals) if month == name}
            assert found.keys() == wanted, name
            for person in wanted:
                cents, target = booked.get((person, name), 0), goals.get((person, name))
                told = found[person]
                assert told["bookings"].value == Decimal(cents) / 100, (person, name)
                if not target:
                    assert told["attainment"].value is None
                    continue
                assert told["attainment"].value == Decimal(cents) / Decimal(target)
                assert told["gap"].value == Decimal(target - cents) / 100
                compared += 1
        assert compared > 170

    def test_of_the_company_leaves_out_managers_whose_people_have_quotas(self, store, sales, goals):
        managers = {"272", "277", "290", "294"}
        for name in ("2018-05", "2019-11"):
            holders = {p for p, month in goals if month == name} - managers
            cents = sales[sales["EmployeeKey"].isin(holders) & (sales["month"] == name)]
            target = sum(goals[person, name] for person in holders)
            found = queries.value(store, "attainment", scope=EVERYONE, **month_of(store, name))
            assert found.value == Decimal(int(cents["cents"].sum())) / Decimal(target)


class TestMargin:
    def test_counts_lines_without_a_cost_apart(self, store, sales):
        for name in ("2017-07", "2018-05", "2020-05"):
            lines = sales[sales["month"] == name]
            costed = lines[lines["TotalProductCost"] != "NULL"]
            margin = sum(
                cents - int((Decimal(cost) * 100).to_integral_value())
                for cents, cost in zip(costed["cents"], costed["TotalProductCost"], strict=True)
            )
            found = queries.value(store, "gross_margin", scope=EVERYONE, **month_of(store, name))
            assert found.rows == len(lines)
            assert found.excluded == len(lines) - len(costed)
            assert found.value == (Decimal(margin) / 100 if len(costed) else None)


class TestNewCustomers:
    def test_are_the_resellers_of_their_first_month(self, store, sales):
        first = sales.groupby("ResellerKey")["month"].min().value_counts()
        for name in MONTHS[::5]:
            found = queries.value(store, "new_customers", scope=EVERYONE, **month_of(store, name))
            assert found.value == int(first.get(name, 0))


class TestTotals:
    def test_of_any_viewer_are_the_rows_of_whom_they_see(self, store, sales):
        people = sorted(sales["EmployeeKey"].unique())
        rng = random.Random(7)
        for name in rng.sample(MONTHS, 4):
            seen = set(rng.sample(people, 4))
            scope = Visibility(everyone=False, user_ids=frozenset(seen))
            asked = {"scope": scope, **month_of(store, name)}
            tile = queries.value(store, "bookings", **asked)
            rows = queries.rows(store, "bookings", **asked)
            lines = sales[sales["EmployeeKey"].isin(seen) & (sales["month"] == name)]
            assert sum((row.value for row in rows), Decimal(0)) == tile.value
            assert tile.value == Decimal(int(lines["cents"].sum())) / 100
            ids = set(lines["SalesOrderNumber"] + "-" + lines["ProductKey"])
            assert {row.row_id for row in rows} == ids
