"""A number's parts are converted, one line each, and sum to it, by count and by value.

Each test is a thread of another product's users, with its own numbers.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from decimal import Decimal

from tests.complaints.conftest import NOON

QUARTER = "2026-Q2"


def parts(firm, metric, *by, who="boss", period=QUARTER):
    """Return a metric's parts as key → value; together they are the whole."""
    told = firm.gets(who, f"/kpis/{metric}/slices", by=list(by), period=period)
    found = {
        tuple(cell["key"]): None if cell["value"]["value"] is None
        else Decimal(cell["value"]["value"])
        for cell in told["cells"]
    }  # fmt: skip
    assert len(found) == len(told["cells"])
    if told["additive"] and told["whole"]["value"] is not None:
        assert sum(found.values()) == Decimal(told["whole"]["value"])
    return found


class TestSuiteCrm:
    def test_suitecrm_6240_the_chart_by_stage_is_converted_not_only_relabelled(self, firm):
        firm.opens(currency="JPY", time_zone="Asia/Tokyo").rates(USD_JPY="149.5", KWD_JPY="486")
        firm.deal("d1", "1000", "USD")
        firm.deal("d2", "10.005", "KWD", stages={NOON - dt.timedelta(days=9): "Propose"})
        firm.deal("d3", "500", "JPY")
        assert parts(firm, "pipeline", "stage") == {("Qualify",): 150_000, ("Propose",): 4862}

    def test_suitecrm_7784_a_stage_is_one_bar_not_one_for_each_currency(self, firm):
        firm.opens(currency="USD").rates(EUR_USD="1.1")
        firm.deal("d1", "100", "USD")
        firm.deal("d2", "100", "EUR")
        assert parts(firm, "pipeline", "stage") == {("Qualify",): 210}

    def test_suitecrm_6427_a_bar_of_three_deals_is_their_sum_in_every_month(self, firm):
        firm.opens().rates(USD_EUR="0.9", JPY_EUR="0.006")
        for number, (amount, currency) in enumerate(
            [("10", "USD"), ("20", "EUR"), ("3000", "JPY")]
        ):
            for month in (7, 8, 9):
                firm.deal(f"{month}-{number}", amount, currency, due=dt.date(2026, month, 28))
        found = parts(firm, "pipeline_in_period", "month", period="2026-Q3")
        assert set(found.values()) == {Decimal(9 + 20 + 18)}
        assert len(found) == 3


class TestKrayin:
    def funnel(self, firm):
        """Three deals began; two went on to Propose, one of them won."""
        firm.opens().rates(USD_EUR="0.9")
        early, late = NOON - dt.timedelta(days=40), NOON - dt.timedelta(days=20)
        firm.deal("stays", "100", "EUR", created_at=early)
        firm.deal("moves", "200", "USD", created_at=early, stages={late: "Propose"})
        firm.deal("wins", "400", "EUR", created_at=early,
                  stages={late: "Propose", late + dt.timedelta(days=5): "Won"})  # fmt: skip

    def test_krayin_1826_the_funnel_tells_value_and_all_who_ever_entered(self, firm):
        """It told how many stand in a stage now, not what entered it."""
        self.funnel(firm)
        assert parts(firm, "pipeline", "stage") == {("Qualify",): 100, ("Propose",): 180}
        told = firm.metric("boss", "stage_conversion", QUARTER)
        assert Counter(row["label"] for row in told["rows"]) == {"Qualify": 3, "Propose": 2}
        assert Decimal(told["kpi"]["value"]) == 1  # each of the three that left went on
        assert told["kpi"]["excluded"] == 2  # two stand where they entered

    def test_krayin_1826_a_funnel_by_stage_is_by_the_stage_entered(self, firm):
        self.funnel(firm)
        told = firm.gets("boss", "/kpis/stage_conversion/slices", by=["stage"], period=QUARTER)
        counts = {cell["key"][0]: cell["value"]["rows"] for cell in told["cells"]}
        assert counts == {"Qualify": 3, "Propose": 2}
