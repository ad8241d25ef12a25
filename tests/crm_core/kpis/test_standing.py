"""What is computed of a quota, as worked tables; whatever the quota is for."""

from __future__ import annotations

from decimal import Decimal

import pytest

from crm_core.kpis.arithmetic import MetricValue, Standing, from_standing
from crm_core.kpis.catalogue import metric


def told(name, value, *, rows=20, unit="money"):
    number = None if value is None else Decimal(value)
    return MetricValue(
        metric=name, version=1, value=number, unit=unit, currency="EUR",
        reasons=("无", "nothing") if number is None else None, rows=rows, excluded=0,
        numerator=None if number is None else number * 100, denominator=None,
    )  # fmt: skip


def standing(actual, target, *, pipeline="300", conversion="0.25", closed=20, elapsed="0.5",
             is_seasonal=False, goal="bookings"):  # fmt: skip
    unit = "count" if goal == "new_customers" else "money"
    return Standing(
        goal=goal, currency="EUR", actual=told(goal, actual, unit=unit),
        pipeline=told("pipeline", pipeline, unit=unit),
        conversion=told("win_rate", conversion, rows=closed, unit="ratio"),
        target=None if target is None else Decimal(target),
        elapsed=None if elapsed is None else Decimal(elapsed), is_seasonal=is_seasonal,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("attainment", Decimal(600) / 1000),
        ("pacing", Decimal(600) / 1000 / Decimal("0.5")),
        ("gap", Decimal(1000 - 600)),
        ("coverage", Decimal(300) / (1000 - 600)),
        ("pipeline_needed", (1000 - 600) / Decimal("0.25") - 300),
    ],
)
class TestOfAQuota:
    def test_is_the_worked_number(self, form, expected):
        assert from_standing(metric(form), standing("600", "1000")).value == expected

    def test_is_the_same_for_any_quota(self, form, expected):
        for goal in ("invoiced", "cash_received", "gross_margin", "new_customers"):
            found = from_standing(metric(f"{form}_{goal}"), standing("600", "1000", goal=goal))
            assert found.value == expected
            assert (found.currency is None) == (found.unit != "money")

    def test_is_none_without_one_and_says_so(self, form, expected):
        found = from_standing(metric(form), standing("600", None))
        assert found.value is None
        assert found.reasons == metric(form).none_when


class TestCoverage:
    def test_is_none_once_the_quota_is_reached(self):
        for actual in ("1000", "1200"):
            for form in ("coverage", "pipeline_needed"):
                assert from_standing(metric(form), standing(actual, "1000")).value is None
            assert from_standing(metric("gap"), standing(actual, "1000")).value <= 0


class TestPipelineNeeded:
    def test_abstains_where_too_few_deals_closed(self):
        item = metric("pipeline_needed")
        assert from_standing(item, standing("600", "1000", closed=9)).value is None
        assert from_standing(item, standing("600", "1000", closed=10)).value == 1300

    def test_is_rounded_once_to_the_minor_unit(self):
        found = from_standing(metric("pipeline_needed"), standing("0", "1000", conversion="0.3"))
        assert found.value == Decimal("3033.33")  # 1000 ÷ 0.3 − 300


class TestPacing:
    def test_says_whether_the_season_weighed_the_days(self):
        even = from_standing(metric("pacing"), standing("600", "1000"))
        seasonal = from_standing(metric("pacing"), standing("600", "1000", is_seasonal=True))
        assert even.note != seasonal.note
        assert "season" in seasonal.note[1]

    def test_is_none_before_the_period(self):
        assert from_standing(metric("pacing"), standing("0", "1000", elapsed=None)).value is None
