"""Explanations add up, to the score and to the probability, and their words never say cause."""

from __future__ import annotations

import itertools
import math
import re
from pathlib import Path

import lightgbm
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from features.definitions import FEATURES
from features.feature import OwnField
from serving.explanations import (
    MOST_REASONS,
    REST,
    SHOWN_LOG_ODDS,
    DoesNotAddUp,
    Reason,
    check_sum,
    draw_beeswarm,
    effects,
    probability_points,
    reasons,
    sigmoid,
    tree_contributions,
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
        bars = effects(base_value=base, contributions=values)
        total = math.fsum(values.values())
        assert math.fsum(bar.contribution for bar in bars) == pytest.approx(total, abs=1e-9)
        gained = sigmoid(base + total) - sigmoid(base)
        assert math.fsum(bar.points for bar in bars) == pytest.approx(gained, abs=1e-9)

    @given(log_odds, contributions)
    def test_name_only_groups_that_matter(self, base: float, values: dict[str, float]) -> None:
        bars = effects(base_value=base, contributions=values)
        named = [bar for bar in bars if bar.group != REST]
        assert all(abs(bar.contribution) >= SHOWN_LOG_ODDS for bar in named)
        assert [abs(bar.contribution) for bar in named] == sorted(
            (abs(bar.contribution) for bar in named), reverse=True
        )

    def test_carry_the_name_in_both_languages(self) -> None:
        (bar,) = effects(base_value=0.0, contributions={"dates": -0.7})
        assert (bar.name.text("zh-CN"), bar.name.text("en")) == ("日期", "Dates")


class TestCheckSum:
    def test_refuses_an_explanation_that_is_off_by_more_than_a_millionth(self) -> None:
        check_sum(base_value=0.1, contributions={"dates": 0.2}, margin=0.3 + 5e-7)
        with pytest.raises(DoesNotAddUp):
            check_sum(base_value=0.1, contributions={"dates": 0.2}, margin=0.3 + 2e-6)

    def test_refuses_a_contribution_that_is_not_a_number(self) -> None:
        with pytest.raises(DoesNotAddUp):
            check_sum(base_value=0.1, contributions={"dates": math.nan}, margin=0.1)


def said(by_feature: dict[str, float], values: dict[str, float]) -> tuple[Reason, ...]:
    by_group: dict[str, float] = {}
    groups = {feature.name: feature.group for feature in FEATURES}
    for name, weight in by_feature.items():
        by_group[groups[name]] = by_group.get(groups[name], 0.0) + weight
    return reasons(
        by_group=by_group, by_feature=by_feature, groups=groups, values=values, categories={}
    )


class TestReasons:
    def test_say_a_fact_of_the_deal_in_both_languages(self) -> None:
        (reason,) = said({"days_overdue": -0.6}, {"days_overdue": 19.0})
        assert reason.sentence.text("en").startswith("The expected close date passed 19 days ago")
        assert "19 天" in reason.sentence.text("zh-CN")
        assert not reason.supports
        assert reason.facts == {"feature": "days_overdue", "value": 19.0, "category": None}

    def test_read_a_yes_no_field_of_the_company_as_yes_or_no(self) -> None:
        plain = {"x_flag": 0.6}, {"x_flag": "custom"}, {"x_flag": 1.0}
        (reason,) = reasons(
            by_group={"custom": 0.6}, by_feature=plain[0], groups=plain[1], values=plain[2],
            categories={}, own={"x_flag": OwnField("boolean", zh="标记")},
        )  # fmt: skip
        assert reason.sentence.en.startswith("Flag: yes; ")
        assert reason.sentence.zh.startswith("标记：是；")

    def test_never_show_the_contribution_as_if_it_were_a_fact(self) -> None:
        (reason,) = said({"days_overdue": -0.6173}, {"days_overdue": 19.0})
        assert "0.6" not in reason.sentence.en + reason.sentence.zh

    def test_are_three_at_most_and_one_against(self) -> None:
        by_feature = {
            "days_overdue": -0.9,
            "contacts_engaged": -0.8,
            "amount_downs": -0.7,
            "owner_changes": -0.6,
            "days_since_two_way": 0.5,
            "forecast_category": 0.4,
        }
        found = said(by_feature, dict.fromkeys(by_feature, 3.0))
        assert [reason.group for reason in found] == ["dates", "people", "money", "engagement"]
        assert [reason.supports for reason in found] == [False] * MOST_REASONS + [True]

    def test_leave_out_groups_that_hardly_matter(self) -> None:
        assert said({"days_overdue": -0.149}, {"days_overdue": 19.0}) == ()
        assert len(said({"days_overdue": -0.15}, {"days_overdue": 19.0})) == 1

    def test_take_the_feature_that_leans_the_way_of_its_group(self) -> None:
        by_feature = {"days_overdue": -0.5, "days_to_close_date": 0.9}
        (reason,) = said(by_feature, {"days_overdue": 4.0, "days_to_close_date": 12.0})
        assert reason.facts["feature"] == "days_to_close_date"
        assert reason.supports

    def test_say_what_is_not_recorded_when_the_value_is_missing(self) -> None:
        (reason,) = said({"amount_log": -0.3}, {"amount_log": math.nan})
        assert reason.sentence.en.startswith("No amount is entered")
        assert reason.facts["value"] is None

    def test_read_back_to_the_values_they_were_made_of(self) -> None:
        for feature, days in itertools.product(FEATURES, (11.0, 42.0)):
            if feature.unit != "days":
                continue
            for reason in said({feature.name: 0.4}, {feature.name: days}):
                numbers = re.findall(r"\d+", reason.sentence.en.split(";")[0])
                assert f"{days:.0f}" in numbers, reason.sentence.en

    def test_never_speak_of_causes(self) -> None:
        forbidden = re.compile(r"caus|because|due to|leads to|effect of|导致|因为|造成|使得", re.I)
        for feature, value, weight in itertools.product(FEATURES, (0.0, 2.0), (0.5, -0.5)):
            for reason in said({feature.name: weight}, {feature.name: value}):
                assert not forbidden.search(reason.sentence.en + reason.sentence.zh)


@pytest.fixture(scope="module")
def cohort() -> tuple[lightgbm.Booster, np.ndarray]:
    """A small booster and rows with missing values."""
    random = np.random.default_rng(7)
    rows = random.normal(size=(600, 6))
    rows[random.random(rows.shape) < 0.1] = np.nan
    won = (np.nan_to_num(rows[:, 0]) - np.nan_to_num(rows[:, 1]) > random.normal(size=600)) * 1.0
    parameters = {"objective": "binary", "max_depth": 4, "num_leaves": 15, "verbose": -1}
    booster = lightgbm.train(
        {**parameters, "num_threads": 1, "seed": 7}, lightgbm.Dataset(rows, won), 40
    )
    return booster, rows[:60]


@pytest.mark.filterwarnings("ignore:The set_.* function will be deprecated")  # shap on matplotlib
class TestOracle:
    def test_agrees_with_the_contributions_lightgbm_gives(
        self, cohort: tuple[lightgbm.Booster, np.ndarray]
    ) -> None:
        booster, rows = cohort
        served = booster.predict(rows, pred_contrib=True, num_threads=1)
        assert np.abs(tree_contributions(booster, rows) - served).max() < 1e-9

    def test_draws_a_cohort_as_a_picture(
        self, cohort: tuple[lightgbm.Booster, np.ndarray], tmp_path: Path
    ) -> None:
        booster, rows = cohort
        served = np.asarray(booster.predict(rows, pred_contrib=True, num_threads=1))
        path = tmp_path / "cohort.png"
        names = [f"feature {i}" for i in range(6)]
        draw_beeswarm(contributions=served[:, :-1], rows=rows, names=names, path=path)
        assert path.read_bytes().startswith(b"\x89PNG")
