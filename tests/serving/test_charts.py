"""The charts' geometry adds up as the score does."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.deals import PastScore
from serving.explanations import effects, sigmoid
from serving.scores import ScoreView
from serving.web import charts

NOON = dt.datetime(2026, 6, 30, 12, tzinfo=dt.UTC)
WEIGHTS = st.lists(st.floats(-2, 2), min_size=1, max_size=8)


def a_score(base, weights):
    contributions = {f"g{i}": weight for i, weight in enumerate(weights)}
    margin = base + sum(weights)
    return ScoreView(
        opportunity_id="d", as_of=NOON, kind="model", model_version="1", p_win=sigmoid(margin),
        base_value=base, margin=margin, contributions=contributions,
        effects=effects(base_value=base, contributions=contributions),
    )  # fmt: skip


def a_past(days, p_win, low=None, high=None):
    at = NOON + dt.timedelta(days=days)
    return PastScore(at.date(), at, p_win, low, high, "1", "model")


class TestWaterfall:
    @given(st.floats(-3, 3), WEIGHTS)
    def test_ends_at_the_deal_s_probability_inside_the_axis(self, base, weights):
        chart = charts.waterfall(a_score(base, weights))
        first, *middle, last = chart.steps
        top = chart.ticks[-1][1]
        assert first.points + sum(step.points for step in middle) == pytest.approx(last.points)
        assert middle[-1].joint == pytest.approx(last.start + last.width)
        zero, _, (end, _) = (x for x in chart.ticks)
        assert last.start == pytest.approx(zero[0])
        assert last.width == pytest.approx((end - zero[0]) * last.points / top)
        for step in chart.steps:
            assert step.start >= -1e-9
            assert step.start + step.width <= 100 + 1e-9

    def test_is_absent_without_a_number(self):
        silent = ScoreView(
            opportunity_id="d", as_of=NOON, kind="none", model_version=None, contributions={}
        )
        assert charts.waterfall(silent) is None


class TestLine:
    @given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
    def test_stays_inside_the_square_and_in_order(self, levels):
        chart = charts.line([a_past(7 * i, p) for i, p in enumerate(levels)])
        xs = [dot.x for dot in chart.dots]
        assert xs == sorted(xs)
        assert all(0 <= dot.x <= 100 and -1e-9 <= dot.y <= 100 for dot in chart.dots)

    def test_draws_the_band_where_there_is_one(self):
        assert charts.line([a_past(0, 0.5), a_past(7, 0.6)]).band == ""
        banded = charts.line([a_past(0, 0.5, 0.4, 0.6), a_past(7, 0.6, 0.5, 0.7)])
        assert len(banded.band.split()) == 4

    def test_is_absent_without_probabilities(self):
        assert charts.line([]) is None
