"""Forecast error, bias and value added, by the one registry: equal to their twins on any scores."""

from __future__ import annotations

import datetime as dt

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from crm_core.forecasts.models import ForecastScore
from crm_core.kpis import queries
from crm_core.people.queries import Visibility, calendar
from tests.crm_core.forecasts.conftest import NOON
from tests.oracles.all_kpis import Twin

METRICS = ("forecast_error", "bias", "forecast_value_added")
FIRST, LAST = dt.date(2026, 1, 1), dt.date(2026, 4, 1)
amounts = st.integers(-500, 5_000)
a_score = st.fixed_dictionaries(
    {
        "subject_id": st.sampled_from(["", "lena", "mara", "rosa", "rolf"]),
        "week": st.integers(1, 13),
        "layer": st.sampled_from(["naive", "rep", "manager", "weighted"]),
        "forecast_minor": amounts,
        "actual_minor": amounts,
        "naive_minor": st.none() | amounts,
        "recorded_at": st.integers(-3, 3).map(lambda days: NOON + dt.timedelta(days=days)),
    }
)


def unique(rows):
    keys = ("subject_id", "week", "layer", "recorded_at")
    return list({tuple(row[key] for key in keys): row for row in rows}.values())


class TestForecastMetrics:
    @settings(
        max_examples=25, deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )  # fmt: skip
    @given(
        made=st.lists(a_score, max_size=14).map(unique),
        name=st.sampled_from(["2026-Q1", "2026-02", "2026-W10", "2026"]),
        people=st.none() | st.sets(st.sampled_from(["mara", "rosa"])),
    )
    def test_equal_their_twins(self, session, team, made, name, people):
        period = calendar(session).parse(name)
        scope = Visibility(everyone=people is None, user_ids=frozenset(people or ()))
        with session.begin_nested() as savepoint:
            if made:
                session.execute(
                    insert(ForecastScore),
                    [
                        {"period_start": FIRST, "period_end": LAST, "currency": "EUR", **row}
                        for row in made
                    ],
                )
            found = queries.values(session, METRICS, scope=scope, period=period, as_of=NOON)
            twin = Twin(session, period, NOON)
            expected = {metric: twin.value(metric, people) for metric in METRICS}
            savepoint.rollback()
        for metric in METRICS:
            assert found[metric].value == expected[metric], metric
            assert (found[metric].value is None) == bool(found[metric].reason_if_none)

    def test_of_the_worked_example(self, session, team):
        """Came 200 twice; called 150, 220; naive 100: 70/400 off, −30/400 low, 130/400 nearer."""
        rows = [
            {"subject_id": "rosa", "week": week, "layer": "rep", "forecast_minor": called,
             "actual_minor": 200, "naive_minor": 100, "recorded_at": NOON, "currency": "EUR",
             "period_start": FIRST, "period_end": LAST}
            for week, called in ((1, 150), (2, 220))
        ]  # fmt: skip
        session.execute(insert(ForecastScore), rows)
        found = queries.values(
            session, METRICS, scope=Visibility(everyone=True),
            period=calendar(session).parse("2026-Q1"), as_of=NOON,
        )  # fmt: skip
        told = {metric: str(found[metric].value.normalize()) for metric in METRICS}
        assert told == {
            "forecast_error": "0.175", "bias": "-0.075", "forecast_value_added": "0.325",
        }  # fmt: skip
