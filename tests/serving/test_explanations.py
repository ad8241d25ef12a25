"""Explanations add up, to the score and to the probability, and their words never say cause."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from serving.explanations import (
    REST,
    SHOWN_LOG_ODDS,
    DoesNotAddUp,
    Words,
    check_sum,
    effects,
    probability_points,
    sigmoid,
)

log_odds = st.floats(min_value=-12, max_value=12, allow_nan=False)
contributions = st.dictionaries(
    st.sampled_from(["momentum", "engagement", "people", "dates", "money", "account"]),
    st.floats(min_value=-4, max_value=4, allow_nan=False),
)


class TestSigmoid:
    @given(st.floats(min_value=-800, max_value=800))
    def test_is_symmetric_and_never_overflows(self, x: float) -> None:
        assert sigmoid(x) + sigmoid(-x) == pytest.approx(1, abs=1e-15)


class TestProbabilityPoints:
    @given(log_odds, contributions)
    @example(0.3, {"momentum": 1e-12, "money": 0.0})
    @example(-2.0, {"momentum": 1.5, "money": -1.5})
    def test_sum_to_the_probability_less_the_base(
        self, base: float, values: dict[str, float]
    ) -> None:
        points = probability_points(base_value=base, contributions=list(values.values()))
        gained = sigmoid(base + math.fsum(values.values())) - sigmoid(base)
        assert math.fsum(points) == pytest.approx(gained, abs=1e-9)

    @given(log_odds, contributions)
    def test_keep_the_sign_of_each_contribution(
        self, base: float, values: dict[str, float]
    ) -> None:
        points = probability_points(base_value=base, contributions=list(values.values()))
        for value, point in zip(values.values(), points, strict=True):
            assert value * point >= 0

    def test_do_not_depend_on_the_order(self) -> None:
        forward = probability_points(base_value=-0.4, contributions=[0.9, -0.3, 0.2])
        backward = probability_points(base_value=-0.4, contributions=[0.2, -0.3, 0.9])
        assert forward == pytest.approx(backward[::-1], abs=1e-15)

    def test_follow_the_tangent_when_contributions_cancel(self) -> None:
        points = probability_points(base_value=0.0, contributions=[0.5, -0.5])
        assert points == pytest.approx((0.5 * 0.25, -0.5 * 0.25))


class TestEffects:
    @given(log_odds, contributions)
    def test_add_up_with_the_rest_of_the_groups(
        self, base: float, values: dict[str, float]
    ) -> None:
        bars = effects(base_value=base, contributions=values, names={})
        total = math.fsum(values.values())
        assert math.fsum(bar.contribution for bar in bars) == pytest.approx(total, abs=1e-9)
        gained = sigmoid(base + total) - sigmoid(base)
        assert math.fsum(bar.points for bar in bars) == pytest.approx(gained, abs=1e-9)

    @given(log_odds, contributions)
    def test_name_only_groups_that_matter(self, base: float, values: dict[str, float]) -> None:
        bars = effects(base_value=base, contributions=values, names={})
        named = [bar for bar in bars if bar.group != REST]
        assert all(abs(bar.contribution) >= SHOWN_LOG_ODDS for bar in named)
        assert [abs(bar.contribution) for bar in named] == sorted(
            (abs(bar.contribution) for bar in named), reverse=True
        )

    def test_carry_the_name_in_both_languages(self) -> None:
        names = {"dates": Words("Dates", "日期")}
        (bar,) = effects(base_value=0.0, contributions={"dates": -0.7}, names=names)
        assert (bar.name.text("zh-CN"), bar.name.text("en")) == ("日期", "Dates")


class TestCheckSum:
    def test_refuses_an_explanation_that_is_off_by_more_than_a_millionth(self) -> None:
        check_sum(base_value=0.1, contributions={"dates": 0.2}, margin=0.3 + 5e-7)
        with pytest.raises(DoesNotAddUp):
            check_sum(base_value=0.1, contributions={"dates": 0.2}, margin=0.3 + 2e-6)

    def test_refuses_a_contribution_that_is_not_a_number(self) -> None:
        with pytest.raises(DoesNotAddUp):
            check_sum(base_value=0.1, contributions={"dates": math.nan}, margin=0.1)
