"""Slices equal a grouping by hand, their cells add up, and each cell opens its own rows."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from crm_core.imports.models import CustomField
from crm_core.kpis import operations, queries, slices
from crm_core.kpis.attributes import UnknownDimension
from crm_core.kpis.catalogue import metric
from crm_core.kpis.drafts import Draft
from crm_core.kpis.slices import NotSliceable
from crm_core.money import minor_digits
from crm_core.people.queries import Viewer, Visibility, calendar, company
from tests import factories
from tests.oracles import companies, customers_and_products, defined_kpis

EVERYONE = Visibility(everyone=True)
SOME = Visibility(False, frozenset({"u0", "u3", "boss"}))
AS_OF = dt.datetime(2026, 5, 20, 12, tzinfo=dt.UTC)
CASES = [
    ("bookings", ("product", "region"), EVERYONE),
    ("bookings", ("quarter",), SOME),
    ("bookings", ("team", "month"), EVERYONE),
    ("bookings", ("product_family", "tier", "year"), EVERYONE),
    ("average_deal", ("industry",), EVERYONE),
    ("won_amount", ("person", "source"), SOME),
    ("win_rate_closed", ("week",), EVERYONE),
    ("cycle_days", ("stage",), EVERYONE),
    ("pipeline", ("stage", "month", "team"), EVERYONE),
    ("pipeline_in_period", ("account", "opportunity_x_both"), EVERYONE),
    ("pipeline", ("x_since",), EVERYONE),
    ("activities", ("day",), EVERYONE),
    ("activities", ("x_segment", "country"), SOME),
]


@pytest.fixture(params=range(3), scope="class")
def made(request, shared_engine):
    from sqlalchemy.orm import Session

    with shared_engine.connect() as connection:
        outer = connection.begin()
        with Session(connection, join_transaction_mode="create_savepoint") as session:
            companies.write(session, request.param)
            customers_and_products.add(session, request.param)
            yield session
        outer.rollback()


def period_names(own, day):
    """Return the names of the periods of a day, through the calendar's own reading."""
    if day is None:
        return dict.fromkeys(("day", "week", "month", "quarter", "year"))
    quarter = own.quarter_of(day)
    iso = day.isocalendar()
    return {
        "day": day.isoformat(), "week": f"{iso.year:04d}-W{iso.week:02d}",
        "month": f"{day:%Y-%m}", "quarter": quarter.name, "year": quarter.name[:4],
    }  # fmt: skip


def by_hand(session, item, by, question):
    """Return the rows of each cell, told apart in Python."""
    attributes = defined_kpis.Attributes(session, question)
    cells: dict = {}
    for row in defined_kpis.facts(session, item.source, question):
        periods = period_names(question.calendar, row["day"])
        key = []
        for name in by:
            value = periods[name] if name in periods else attributes.of(row, name)
            key.append(value.isoformat() if isinstance(value, dt.date) else value)
        cells.setdefault(tuple(key), []).append(row)
    return cells


def sums(rows):
    valued = [row for row in rows if row["value"] is not None]
    return (
        len(rows), len(rows) - len(valued), sum((row["value"] for row in valued), Decimal(0)),
        sum((row["weight"] for row in valued), Decimal(0)),
    )  # fmt: skip


class TestSlices:
    @pytest.mark.parametrize(("metric_id", "by", "scope"), CASES)
    def test_equal_a_grouping_by_hand(self, made, metric_id, by, scope):
        asked = {"scope": scope, "period": calendar(made).parse("2026"), "as_of": AS_OF}
        found = slices.slices(made, metric_id, by=by, **asked)
        item, question = metric(metric_id), queries.question(made, **asked)
        cells = by_hand(made, item, by, question)
        assert [cell.key for cell in found.cells] == sorted(
            cells, key=lambda key: [(part is None, str(part)) for part in key]
        )
        for cell in found.cells:
            rows, excluded, value, weight = sums(cells[cell.key])
            assert (cell.value.rows, cell.value.excluded) == (rows, excluded)
            assert (cell.value.numerator or 0) == value
            if item.aggregation in ("ratio", "average"):
                assert (cell.value.denominator or 0) == weight

    @pytest.mark.parametrize(("metric_id", "by", "scope"), CASES)
    def test_add_up_and_open_their_rows(self, made, metric_id, by, scope):
        asked = {"scope": scope, "period": calendar(made).parse("2026"), "as_of": AS_OF}
        found = slices.slices(made, metric_id, by=by, **asked)
        whole = queries.value(made, metric_id, **asked)
        assert found.whole == whole
        assert sum(cell.value.rows for cell in found.cells) == whole.rows
        added = sum((cell.value.numerator or 0 for cell in found.cells), Decimal(0))
        assert added == (whole.numerator or 0)
        if found.is_additive and whole.value is not None:
            assert sum(cell.value.value or 0 for cell in found.cells) == whole.value
        digits = minor_digits(company(made).currency) if whole.unit == "money" else 0
        for cell in found.cells[:3] + found.cells[-1:]:
            rows = slices.slice_rows(made, metric_id, by=by, key=cell.key, **asked)
            assert len(rows) == cell.value.rows
            opened = sum((row.value for row in rows if row.value is not None), Decimal(0))
            assert opened.scaleb(digits) == (cell.value.numerator or 0)
            assert all(scope.allows(row.user_id) for row in rows)

    def test_of_user_defined_metrics_and_ratios_add_up_too(self, made):
        ops = Viewer("ops", "Ops", "ops@x", "sales_ops", None, "")
        shared = {"name_zh": "甲", "name_en": "A", "direction": "higher"}
        big = Draft(id="x_big", unit="money", way="sum", fact="orders", value="amount",
                    filter="tier = 'A'", **shared)  # fmt: skip
        part = Draft(id="x_part", unit="ratio", way="ratio", numerator="x_big",
                     denominator="bookings", **shared)  # fmt: skip
        for draft in (big, part):
            operations.define(
                made, draft, valid_from=dt.date(2025, 7, 1), reason="why", owner_id=None,
                viewer=ops, now=dt.datetime(2025, 7, 1, tzinfo=dt.UTC),
            )  # fmt: skip
        asked = {"scope": EVERYONE, "period": calendar(made).parse("2026"), "as_of": AS_OF}
        found = slices.slices(made, "x_part", by=["region"], **asked)
        tops = {c.key: c.value for c in slices.slices(made, "x_big", by=["region"], **asked).cells}
        for cell in found.cells:
            below = slices.slices(made, "bookings", by=["region"], **asked)
            bottom = next(c.value for c in below.cells if c.key == cell.key)
            if cell.value.value is not None:
                top = tops[cell.key].value if cell.key in tops else 0
                assert cell.value.value == Decimal(top) / bottom.value
        added = sum(value.numerator or 0 for value in tops.values())
        assert added == (queries.value(made, "x_big", **asked).numerator or 0)


class TestQuestions:
    @pytest.mark.parametrize(
        ("metric_id", "by", "error", "words"),
        [
            ("bookings", ["regoin"], UnknownDimension, "did you mean region"),
            ("bookings", ["employees"], UnknownDimension, "sliced by 'employees'"),
            ("bookings", ["1; drop table users"], UnknownDimension, "cannot be sliced"),
            ("bookings", [], NotSliceable, "one to 3"),
            ("bookings", ["day", "day"], NotSliceable, "different"),
            ("bookings", ["day", "week", "month", "year"], NotSliceable, "one to 3"),
            ("attainment", ["region"], NotSliceable, "measured against quotas"),
        ],
    )
    def test_that_make_no_sense_are_refused(self, session, metric_id, by, error, words):
        factories.a_company(session)
        asked = {"scope": EVERYONE, "period": calendar(session).parse("2026"), "as_of": AS_OF}
        with pytest.raises(error, match=words):
            slices.slices(session, metric_id, by=by, **asked)

    def test_about_nothing_have_no_cells(self, session):
        factories.a_company(session)
        session.add(CustomField(table_name="accounts", name="x_own", kind="category"))
        asked = {"scope": EVERYONE, "period": calendar(session).parse("2026"), "as_of": AS_OF}
        found = slices.slices(session, "bookings", by=["x_own"], **asked)
        assert found.cells == ()
        assert found.whole.reason_if_none
        key = {"key": [None], "by": ["x_own"]}
        assert slices.slice_rows(session, "bookings", **key, **asked) == []
        with pytest.raises(NotSliceable, match="one value per dimension"):
            slices.slice_rows(session, "bookings", by=["x_own"], key=[], **asked)
