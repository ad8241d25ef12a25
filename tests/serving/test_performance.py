"""A page's numbers are the metric's own, with formula, reason and rows, for whom one may see."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from crm_core.kpis.catalogue import UnknownMetric
from crm_core.money import Money
from crm_core.people.queries import Visibility
from crm_core.periods import NotAPeriod
from crm_core.quotas.models import Quota
from serving import performance
from tests import factories as make

NOW = dt.datetime(2026, 6, 10, 9, tzinfo=dt.UTC)
EVERYONE = Visibility(everyone=True)
MINE = Visibility(everyone=False, user_ids=frozenset({"rep"}))


@pytest.fixture
def company(session):
    make.a_company(session)
    for key in ("rep", "other"):
        make.a_user(session, key=key)
    account = make.an_account(session)
    for owner, minor in (("rep", 30_000), ("rep", 15_000), ("other", 99_900)):
        make.an_order(
            session,
            account=account,
            owner_id=owner,
            ordered_on=dt.date(2026, 5, 4),
            amount_minor=minor,
        )
    session.add(
        Quota(
            subject_kind="user",
            subject_id="rep",
            metric="bookings",
            period_start=dt.date(2026, 4, 1),
            period_end=dt.date(2026, 7, 1),
            recorded_at=NOW - dt.timedelta(days=90),
            amount_minor=100_000,
            currency="EUR",
        )
    )
    session.flush()
    return session


def summary(session, scope):
    period = performance.period_named(session, None, as_of=NOW)
    return performance.rep_summary(session, visibility=scope, period=period, as_of=NOW)


class TestRepSummary:
    def test_is_one_s_own_with_value_formula_and_link(self, company):
        tile = summary(company, MINE).tile("attainment")
        assert tile.value == Decimal("0.45")
        assert tile.unit == "ratio"
        assert "quota" in tile.formula.en
        assert "配额" in tile.formula.zh
        assert tile.link == "/kpis/attainment?period=2026-Q2"
        assert summary(company, MINE).tile("bookings").money == Money(45_000, "EUR")

    def test_paces_by_the_working_days_that_passed(self, company):
        # 51 of the 65 working days of the quarter, the day itself included
        assert summary(company, MINE).tile("pacing").value == Decimal("0.45") / (Decimal(51) / 65)

    def test_counts_no_bookings_of_people_without_a_quota_as_attainment(self, company):
        assert summary(company, EVERYONE).tile("attainment").value == Decimal("0.45")
        assert summary(company, EVERYONE).tile("bookings").money == Money(144_900, "EUR")

    def test_says_why_there_is_no_number(self, company):
        found = summary(company, Visibility(everyone=False, user_ids=frozenset({"other"})))
        tile = found.tile("attainment")
        assert tile.value is None
        assert tile.reason.en == "There is no quota for the period."
        assert found.tile("win_rate_closed").reason.zh == "期内没有关闭的商机。"


class TestMetricRows:
    def test_sum_to_the_metric_window_by_window(self, company):
        period = performance.period_named(company, "2026-Q2", as_of=NOW)
        windows = [
            performance.metric_rows(
                company,
                "bookings",
                visibility=EVERYONE,
                period=period,
                as_of=NOW,
                limit=2,
                offset=offset,
            )
            for offset in (0, 2)
        ]
        rows = [row for window in windows for row in window.rows]
        assert sum(row.value for row in rows) == windows[0].tile.value
        assert len(rows) == windows[0].tile.rows == 3

    def test_are_refused_for_what_is_unknown(self, company):
        period = performance.period_named(company, "2026-Q2", as_of=NOW)
        asked = {"visibility": MINE, "period": period, "as_of": NOW}
        with pytest.raises(UnknownMetric):
            performance.metric_rows(company, "happiness", **asked)
        with pytest.raises(performance.NotAWindow):
            performance.metric_rows(company, "bookings", **asked, offset=-1)
        with pytest.raises(NotAPeriod):
            performance.period_named(company, "spring", as_of=NOW)
        with pytest.raises(performance.FutureQuestion):
            performance.not_in_the_future(NOW + dt.timedelta(days=1), now=NOW)
