"""Forecast cells are converted and cumulative, a manual pick stays, and every change is told.

Each test is a thread of another product's users, with its own numbers.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from crm_core.opportunities.models import Stage
from tests.complaints.conftest import NOON

QUARTER = "2026-Q2"


def cells(firm, who="boss", **query):
    """Return the raw amounts of somebody's forecast by column."""
    told = firm.gets(who, "/forecasts", period=QUARTER, **query)
    return {column: Decimal(cell["raw"]) for column, cell in told["cells"].items()}


def rolled(firm):
    """Give Ann 50 closed, 100 commit, 150 best case and 200 pipeline, in four currencies."""
    firm.opens().rates(USD_EUR="0.5", JPY_EUR="0.01", KWD_EUR="4")
    since = NOON - dt.timedelta(days=9)
    firm.deal("closed", "100", "USD", stages={since: "Won"})
    firm.deal("commit", "10000", "JPY", stages={since: "Negotiate"})
    firm.deal("best", "37.5", "KWD", stages={since: "Propose"})
    firm.deal("pipeline", "200", "EUR")


class TestOthers:
    def test_django_crm_631_commit_best_case_and_pipeline_of_50_100_150_200(self, firm):
        rolled(firm)
        found = cells(firm)
        assert {name: found[name] for name in ("closed", "commit", "best_case")} == {
            "closed": 50, "commit": 150, "best_case": 300,
        }  # fmt: skip
        assert found["open_pipeline"] == 450
        for column in ("closed", "commit", "best_case", "open_pipeline"):
            told = firm.gets("boss", "/forecasts/deals", period=QUARTER, category=column, limit=500)
            assert sum(Decimal(deal["value"]) for deal in told["deals"]) == found[column]
            assert Decimal(told["total"]) == found[column]

    def test_man_digital_a_category_picked_by_hand_survives_a_change_of_stage(self, firm):
        rolled(firm)
        put = firm.sends("ann", "PUT", "/forecasts/deals/pipeline/category",
                         json={"category": "commit"})  # fmt: skip
        assert put.status_code == 204, put.text
        assert cells(firm)["commit"] == 350
        moved = firm.sends(
            "ann", "POST", "/opportunities/pipeline/stage", json={"stage": "Propose"}
        )
        assert moved.status_code == 200
        with firm.facts() as session:  # nor does the map of stages overwrite it
            for stage in session.query(Stage).filter_by(kind="open"):
                stage.forecast_category = "pipeline"
        told = firm.gets("boss", "/forecasts/deals", period=QUARTER, category="commit", limit=500)
        sources = {deal["opportunity_id"]: (deal["category"], deal["source"])
                   for deal in told["deals"]}  # fmt: skip
        assert sources["pipeline"][0] == "commit"
        assert sources["pipeline"][1] != sources["closed"][1]

    def test_sheety_crm_71_a_call_is_kept_with_its_time_and_a_change_explained(self, firm):
        rolled(firm)
        made = firm.sends("ann", "POST", "/forecasts/submissions", json={"period": QUARTER})
        assert made.status_code == 201, made.text
        firm.is_at(NOON + dt.timedelta(hours=2))
        firm.changes("opportunities", "commit", amount="14000")
        history = firm.gets("boss", "/forecasts/history", period=QUARTER, subject="ann")
        (call,) = history["submissions"]
        frozen = {(item["roll_up"], item["category"]): Decimal(item["raw"])
                  for item in call["items"]}  # fmt: skip
        assert frozen["cumulative", "commit"] == 150
        assert cells(firm, "ann")["commit"] == 190
        bridge = firm.gets("boss", "/forecasts/bridge", period=QUARTER, category="commit",
                           since=NOON.isoformat())  # fmt: skip
        change = Decimal(bridge["closing"]) - Decimal(bridge["opening"])
        assert change == sum(Decimal(term["amount"]) for term in bridge["terms"]) == 40

    @pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12"])
    def test_suitecrm_9552_a_viewer_s_clock_changes_no_cell(self, firm, zone):
        rolled(firm)
        before = firm.gets("boss", "/forecasts", period=QUARTER)
        firm.changes("users", "boss", time_zone=zone)
        assert firm.gets("boss", "/forecasts", period=QUARTER) == before

    def test_wthubspot_a_change_of_the_calendar_wipes_no_call(self, firm):
        rolled(firm)
        firm.sends("ann", "POST", "/forecasts/submissions", json={"period": QUARTER})
        firm.changes("company", "company", fiscal_year_start_month=2)
        firm.changes("company", "company", fiscal_year_start_month=1)
        history = firm.gets("boss", "/forecasts/history", period=QUARTER, subject="ann")
        assert len(history["submissions"]) == 1

    @pytest.mark.xfail(
        reason="a forecast leaves a deal without a rate out of the cell and says so on page, API "
        "and in docs/forecasts.md; that it should be None, as metrics are, is still open"
    )
    def test_pipedrive_a_cell_tells_no_part_of_a_sum_when_a_rate_is_missing(self, firm):
        """As the goal in pounds that counted the £10 deal and ignored the $1 000 deal."""
        firm.opens(currency="GBP", time_zone="Europe/London")
        firm.deal("small", "10", "GBP")
        firm.deal("large", "1000", "USD")
        told = firm.gets("boss", "/forecasts", period=QUARTER)["cells"]["open_pipeline"]
        assert told["without_value"] == 1
        assert told["raw"] is None
