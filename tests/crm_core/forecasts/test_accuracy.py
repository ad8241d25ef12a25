"""Baselines learn from the past alone and abstain without one; layers are judged by the week."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal

import pytest

from crm_core.forecasts import accuracy, baselines, operations, queries
from crm_core.money import Money
from crm_core.periods import Period
from tests import factories
from tests.crm_core.forecasts.conftest import NOON, QUARTER

DAY = dt.timedelta(days=1)
WEEK = 7 * DAY


def a_deal(session, owner, stage, amount, *, due=None, at, **columns):
    return factories.an_opportunity(
        session, owner=owner, stage=stage, amount=amount, expected_close_on=due, created_at=at,
        **columns,
    )  # fmt: skip


@pytest.fixture
def now(session, team):
    return queries.moment(session, as_of=NOON)


@pytest.fixture
def past(session, team):
    """Eight quarters alike: at day 49 two deals of 100 in Negotiate, one is won on day 60.

    On day 55 one of 30 is created and won on day 70.
    """
    rosa = team.people["rosa"]
    start = dt.datetime(2024, 4, 1, 9, tzinfo=dt.UTC)
    for number in range(8):
        year, quarter = divmod(number + 1, 4)
        start = dt.datetime(2024 + year, 1 + 3 * quarter, 1, 9, tzinfo=dt.UTC)
        won = a_deal(session, rosa, "Negotiate", "100", at=start + DAY)
        lost = a_deal(session, rosa, "Negotiate", "100", at=start + DAY)
        new = a_deal(session, rosa, "Qualify", "30", at=start + 55 * DAY)
        factories.moves(session, won, to="Won", at=start + 60 * DAY)
        factories.moves(session, lost, to="Lost", at=start + 61 * DAY)
        factories.moves(session, new, to="Won", at=start + 70 * DAY)
    return team


class TestBaselines:
    def test_abstain_without_a_past_and_say_why(self, session, team, now):
        a_deal(session, team.people["rosa"], "Negotiate", "10", at=NOON - DAY)
        found = baselines.forecasts(session, now, QUARTER)
        assert {layer: (f.of(None), f.reason) for layer, f in found.items()} == {
            "naive": (None, "too_short_a_history"),
            "stage_week": (None, "too_few_periods"),
            "weighted": (None, "too_few_closed"),
        }

    def test_forecast_no_period_that_is_over(self, session, past, now):
        over = baselines.forecasts(
            session, now, Period(dt.date(2026, 1, 1), dt.date(2026, 4, 1), "")
        )
        assert {forecast.reason for forecast in over.values()} == {"period_is_over"}

    def test_naive_is_the_same_period_of_last_year(self, session, past, now):
        assert baselines.naive(session, now, QUARTER).of(None) == 130_00

    def test_naive_is_the_last_period_where_there_was_no_last_year(self, session, team, now):
        start = dt.datetime(2025, 12, 31, tzinfo=dt.UTC)
        deal = a_deal(session, team.people["rosa"], "Negotiate", "7", at=start)
        factories.moves(session, deal, to="Won", at=start + 30 * DAY)
        assert baselines.naive(session, now, QUARTER).of(None) == 7_00

    def test_stage_week_is_closed_open_and_new(self, session, past, now):
        """Of what stood in Negotiate at day 49 half was won; 30 came from new deals."""
        a_deal(session, past.people["rolf"], "Negotiate", "500", at=NOON - DAY)
        a_deal(session, past.people["rolf"], "Propose", "900", at=NOON - DAY)
        done = a_deal(session, past.people["rita"], "Negotiate", "11", at=NOON - 30 * DAY)
        factories.moves(session, done, to="Won", at=NOON - 2 * DAY)
        found = baselines.stage_week(session, now, QUARTER)
        assert {owner: minor for owner, minor in found.by_owner.items() if minor} == {
            "rita": 11_00, "rolf": 250_00, "rosa": 30_00,
        }  # fmt: skip
        assert found.of(frozenset({"rosa", "rolf"})) == 280_00

    def test_weighted_is_deal_by_deal(self, session, past, now):
        for number in range(8):
            for to in ("Won", "Lost", "Lost"):
                deal = a_deal(session, past.people["rosa"], "Propose", "1", at=NOON - 90 * DAY)
                factories.moves(session, deal, to=to, at=NOON - (60 + number) * DAY)
        due = dt.date(2026, 6, 1)
        a_deal(session, past.people["rolf"], "Propose", "300", due=due, at=NOON - DAY)
        a_deal(session, past.people["rolf"], "Propose", "999", due=None, at=NOON - DAY)
        found = baselines.weighted(session, now, QUARTER)
        assert found.by_owner["rolf"] == 100_00

    def test_learn_nothing_from_after_their_time(self, session, past, now):
        """The same question as of then has the same answer whatever came or was recorded since."""
        origin = replace(now, as_of=NOON - 100 * DAY)
        period = Period(dt.date(2026, 1, 1), dt.date(2026, 4, 1), "2026-Q1")
        before = baselines.forecasts(session, origin, period)
        assert before["stage_week"].reason is None
        rosa = past.people["rosa"]
        late = a_deal(session, rosa, "Negotiate", "5000", at=NOON - 200 * DAY, recorded_at=NOON)
        factories.moves(session, late, to="Won", at=NOON - 150 * DAY, recorded_at=NOON)
        fresh = a_deal(session, rosa, "Negotiate", "7000", at=NOON - 50 * DAY)
        factories.moves(session, fresh, to="Won", at=NOON - 40 * DAY)
        assert baselines.forecasts(session, origin, period) == before

    def test_are_backtested_at_their_own_times(self, session, past, now):
        periods = [now.calendar.quarter(2025, 4), now.calendar.quarter(2026, 1)]
        trials = baselines.backtest(session, now, periods=periods, weeks=[1, 8])
        assert len(trials) == 2 * 2 * 3
        by = {(t.period.name, t.week, t.layer): t for t in trials}
        assert by["2026-Q1", 8, "stage_week"].error == 0
        assert by["2026-Q1", 8, "naive"].error == 0
        assert by["2026-Q1", 1, "weighted"].reason == "too_few_closed"
        assert baselines.wape(trials, "naive") == 0
        assert baselines.wape(trials, "weighted") is None
        assert {t.actual for t in trials} == {130_00}


class TestScores:
    def settle(self, session, past, now):
        """Rosa and Mara call in week 8 of the first quarter; it closed 130."""
        first = Period(dt.date(2026, 1, 1), dt.date(2026, 4, 1), "2026-Q1")
        at = dt.datetime(2026, 2, 20, 9, tzinfo=dt.UTC)
        for name, amount in (("rosa", 100), ("rolf", 50), ("mara", 120)):
            operations.adjust(
                session, subject=name, period=first, method="cumulative", category="commit",
                amount=Money(amount * 100, "EUR"), note="my call", now=at, **past.by(name, at),
            )  # fmt: skip
            operations.submit(session, period=first, note=None, now=at, **past.by(name, at))
        count = accuracy.settle(
            session, replace(now, as_of=now.calendar.midnight(first.end)), first
        )
        assert count > 0
        return first

    def test_are_each_layer_s_error_bias_and_value_added(self, session, past, now):
        first = self.settle(session, past, now)
        found = {
            (s.week, s.layer): s
            for s in accuracy.scores(session, subjects=["mara"], period=first, as_of=NOON)
        }
        rep, manager, naive = (found[8, layer] for layer in ("rep", "manager", "naive"))
        assert (rep.forecast, manager.forecast, naive.forecast) == (150_00, 120_00, 130_00)
        assert (rep.error, rep.bias) == (Decimal(20) / 130, Decimal(20) / 130)
        assert (manager.error, manager.bias) == (Decimal(10) / 130, -Decimal(10) / 130)
        assert manager.value_added == -Decimal(10) / 130
        assert (7, "rep") not in found
        assert found[13, "manager"].forecast == 120_00
        above = accuracy.scores(session, subjects=["lena"], period=first, as_of=NOON)
        assert {s.layer for s in above} == {"naive", "stage_week"}, "not everybody has called"

    def test_are_settled_again_only_where_what_came_is_known_otherwise(self, session, past, now):
        first = self.settle(session, past, now)
        later = replace(now, as_of=now.calendar.midnight(first.end) + DAY)
        assert accuracy.settle(session, later, first) == 0
        late = a_deal(session, past.people["rosa"], "Negotiate", "20", at=NOON - 120 * DAY,
                      recorded_at=later.as_of)  # fmt: skip
        factories.moves(session, late, to="Won", at=NOON - 60 * DAY, recorded_at=later.as_of)
        assert accuracy.settle(session, later, first) > 0
        found = accuracy.scores(session, subjects=["mara"], period=first, as_of=NOON)
        assert {s.actual for s in found} == {150_00}
        before = accuracy.scores(
            session, subjects=["mara"], period=first, as_of=now.calendar.midnight(first.end)
        )
        assert {s.actual for s in before} == {130_00}

    def test_keep_what_baselines_say_once_a_week(self, session, past, now):
        from crm_core.forecasts import snapshots

        for days, is_new in ((0, True), (1, False), (7, True)):
            at = replace(now, as_of=NOON + days * DAY)
            snapshots.take_snapshot(session, as_of=at.as_of, recorded_at=at.as_of)
            assert bool(accuracy.keep_baselines(session, at, [QUARTER])) == is_new, days
        said = accuracy.baselines_of(
            session, subject=None, period=QUARTER, until=NOON.date() + 8 * DAY
        )
        assert said["naive"][1] == 130_00
        assert said["weighted"] == (NOON.date() + 7 * DAY, None, "too_few_closed")
