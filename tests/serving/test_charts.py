"""The charts' geometry adds up as the score does."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

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


AMOUNTS = st.lists(st.one_of(st.none(), st.decimals(-(10**9), 10**9, places=2)), min_size=1)


class TestBars:
    @given(AMOUNTS)
    def test_are_as_long_as_their_values_on_one_axis(self, values):
        chart = charts.bars(values)
        if not any(values):
            assert chart is None
            return
        low, top = float(chart.levels[0][1]), float(chart.levels[-1][1])
        for value, bar in zip(values, chart.bars, strict=True):
            assert bar.height == pytest.approx(100 * abs(float(value or 0)) / (top - low), abs=1e-6)
            assert bar.y >= -1e-9
            assert bar.y + bar.height <= 100 + 1e-9
            assert min(abs(bar.y - chart.zero), abs(bar.y + bar.height - chart.zero)) < 1e-6

    def test_mark_each_target_and_round_the_axis(self):
        chart = charts.bars([Decimal(70), None], [Decimal(100), None])
        assert [level for _, level in chart.levels] == [0, 50, 100]
        assert chart.bars[0].target == 0
        assert (chart.bars[1].height, chart.bars[1].target) == (0, None)
        assert charts.bars([Decimal(101)]).levels[-1][1] == 200

    def test_are_absent_without_values(self):
        assert charts.bars([None, None]) is None
        assert charts.bars([Decimal(0)]) is None


class TestProgress:
    def test_fills_to_the_quota_and_shrinks_it_beyond(self):
        assert charts.progress(Decimal("0.5"), Decimal("0.25")) == charts.Progress(50, 25, 100)
        over = charts.progress(Decimal(2), Decimal("0.5"))
        assert (over.fill, over.expected, over.quota) == (100, 25, 50)
        assert charts.progress(None, Decimal(1)) is None


class TestStrip:
    @given(st.decimals(0, 5, places=2), st.decimals(0, 5, places=2), st.decimals(0, 9, places=3))
    def test_lies_inside_its_axis(self, low, more, own):
        chart = charts.strip(low, low + more, own)
        assert 0 <= chart.start <= chart.start + chart.width <= 100 + 1e-9
        assert 0 <= chart.own <= 100
