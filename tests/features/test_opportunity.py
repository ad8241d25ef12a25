"""What a row says, on histories small enough to count by hand."""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
import pandas as pd
import pytest

from features import opportunity
from features.fact_tables import DAY, to_instants
from features.feature import OwnField
from tests.features.histories import START, facts


def a_deal(key: str, *, account: str | None = None, created: float = 0, **columns) -> dict:
    moment = int(START + created * DAY)
    return {
        "id": key, "account_id": account, "pipeline": "default", "created_at": moment,
        "recorded_at": moment, "currency": "EUR", "history": "full", **columns,
    }  # fmt: skip


def change(deal: str, field: str, value: str | None, at: float, known: float | None = None) -> dict:
    recorded = at if known is None else known
    return {
        "opportunity_id": deal, "field": field, "new_value": value, "sequence": 0,
        "occurred_at": int(START + at * DAY), "recorded_at": int(START + recorded * DAY),
    }  # fmt: skip


def did(deal: str, kind: str, at: float, **columns) -> dict:
    moment = int(START + at * DAY)
    return {
        "id": f"{deal}{kind}{at}", "opportunity_id": deal, "kind": kind,
        "occurred_at": moment, "recorded_at": moment, **columns,
    }  # fmt: skip


def row(given, deal: str, at: float) -> pd.Series:
    moment = to_instants(np.array([int(START + at * DAY)], np.int64))
    return opportunity.rows(given, pd.DataFrame({"entity_id": [deal], "as_of": moment})).iloc[0]


class TestMomentum:
    STORY = facts(
        opportunities=[a_deal("d")],
        events=[
            change("d", "stage", "Qualify", 0),
            change("d", "stage", "Propose", 4),
            change("d", "stage", "Qualify", 6),
            change("d", "stage", "Propose", 10, known=20),
        ],
    )

    def test_counts_moves_and_steps_back(self):
        found = row(self.STORY, "d", 8)
        assert found["stage_moves"] == 2
        assert found["stage_regressions"] == 1
        assert found["days_in_stage"] == 8 - 6
        assert found["deal_age_days"] == 8

    def test_does_not_know_a_move_before_it_was_recorded(self):
        assert row(self.STORY, "d", 15)["days_in_stage"] == 15 - 6
        assert row(self.STORY, "d", 21)["days_in_stage"] == 21 - 10


class TestDates:
    STORY = facts(
        opportunities=[a_deal("d")],
        events=[
            change("d", "stage", "Qualify", 0),
            change("d", "expected_close_on", "2026-01-31", 0),
            change("d", "expected_close_on", "2026-02-15", 5),
            change("d", "expected_close_on", "2026-02-10", 9),
            change("d", "expected_close_on", "2026-03-31", 12),
        ],
    )

    def test_counts_pushes_pulls_and_days(self):
        found = row(self.STORY, "d", 13)
        assert found["close_date_pushes"] == 2
        assert found["close_date_pulls"] == 1
        assert found["days_pushed"] == 15 + 49  # 31 Jan to 15 Feb, 10 Feb to 31 March
        assert found["closes_this_quarter"] == 1
        assert found["closes_on_period_end"] == 1
        assert found["days_to_close_date"] == 90 - 1 - 13  # 31 March from 14 January

    def test_without_a_date_says_nothing_instead_of_zero(self):
        bare = facts(opportunities=[a_deal("d")], events=[change("d", "stage", "Qualify", 0)])
        found = row(bare, "d", 3)
        assert math.isnan(found["days_to_close_date"])
        assert math.isnan(found["days_overdue"])


class TestEngagement:
    def test_is_unknown_where_the_company_records_no_activity(self):
        bare = facts(opportunities=[a_deal("d")], events=[change("d", "stage", "Qualify", 0)])
        assert math.isnan(row(bare, "d", 3)["activities_28"])

    def test_counts_by_window_direction_and_kind(self):
        given = facts(
            opportunities=[a_deal("d"), a_deal("e")],
            events=[change("d", "stage", "Qualify", 0), change("e", "stage", "Qualify", 0)],
            activities=[
                did("d", "email", 1, direction="out"),
                did("d", "email", 20, direction="in"),
                did("d", "meeting", 40),
                did("d", "call", 45, direction="out"),
            ],
        )
        found = row(given, "d", 46)
        assert found["activities_all"] == 4
        assert found["activities_28"] == 3
        assert found["activities_7"] == 2
        assert found["meetings_28"] == 1
        assert found["reply_rate"] == 1 / 3
        assert found["days_since_activity"] == 1
        assert found["days_since_two_way"] == 6  # the meeting
        assert found["intensity_14"] == pytest.approx(sum(2 ** (-d / 14) for d in (45, 26, 6, 1)))
        silent = row(given, "e", 46)
        assert silent["activities_all"] == 0  # activities are recorded, this deal has none
        assert math.isnan(silent["days_since_activity"])


class TestRates:
    def story(self, outcome: str = "Won"):
        deals = [a_deal(f"w{i}", account="good") for i in range(6)]
        deals += [a_deal(f"l{i}", account="bad") for i in range(6)]
        deals += [a_deal("x", account="good"), a_deal("y", account="bad")]
        events = [change(deal["id"], "stage", "Qualify", 0) for deal in deals]
        events += [change(f"w{i}", "stage", "Won", 10 + i) for i in range(6)]
        events += [change(f"l{i}", "stage", "Lost", 10 + i) for i in range(6)]
        events += [change("x", "stage", outcome, 30)]
        accounts = [{"id": name, "created_at": START} for name in ("good", "bad")]
        return facts(opportunities=deals, events=events, accounts=accounts)

    def test_follow_the_record_of_the_account(self):
        assert row(self.story(), "x", 20)["account_lift"] > 0.2
        assert row(self.story(), "y", 20)["account_lift"] < -0.2

    def test_are_unknown_before_the_first_ending(self):
        assert math.isnan(row(self.story(), "x", 5)["account_lift"])
        assert math.isnan(row(self.story(), "x", 5)["company_rate"])

    def test_leave_the_asked_deal_out_even_after_it_ended(self):
        won, lost = row(self.story("Won"), "x", 40), row(self.story("Lost"), "x", 40)
        for name in ("account_lift", "company_rate", "account_closed"):
            assert won[name] == lost[name]
        assert row(self.story("Won"), "y", 40)["company_rate"] != pytest.approx(
            row(self.story("Lost"), "y", 40)["company_rate"]
        )

    def test_halve_their_weight_in_half_a_year(self):
        # six endings per account at about day 12: log1p of their decayed count
        later = row(self.story(), "x", 12.5 + 180)["account_closed"]
        assert math.expm1(later) == pytest.approx(6 / 2, rel=0.01)


class TestOwnFields:
    def test_become_columns_by_what_they_hold(self):
        values = [
            '{"x_age": 30, "x_job": "clerk", "x_vip": true, "x_due": "2026-02-01"}',
            '{"x_age": 41, "x_job": "nurse", "x_vip": false, "x_due": "2026-03-01"}',
        ]
        given = facts(
            opportunities=[a_deal("d"), a_deal("e")],
            events=[
                change("d", "stage", "Qualify", 0), change("e", "stage", "Qualify", 0),
                change("d", "custom", values[0], 0), change("e", "custom", values[1], 0),
                change("d", "custom", '{"x_age": 31}', 5),
            ],
        )  # fmt: skip
        before, after = row(given, "d", 4), row(given, "d", 6)
        assert (before["x_age"], after["x_age"]) == (30, 31)
        assert before["x_job_code"] == after["x_job_code"] == 0
        assert row(given, "e", 6)["x_job_code"] == 1
        assert (before["x_vip"], row(given, "e", 4)["x_vip"]) == (1, 0)
        assert before["x_due"] == pytest.approx(31 - 4)

    def test_say_what_they_hold_beside_the_frame(self):
        values = '{"x_age": 30, "x_vip": true, "x_due": "2026-02-01"}'
        given = facts(
            accounts=[{"id": "a", "created_at": START, "custom": '{"x_key": 1}'}],
            opportunities=[a_deal("d", account="a")],
            events=[change("d", "stage", "Qualify", 0), change("d", "custom", values, 0)],
            custom_fields=[
                {"table_name": "accounts", "name": "x_key", "kind": "boolean", "label_en": "Key"},
                {"table_name": "opportunities", "name": "x_gone", "kind": "number"},
            ],
        )
        moment = to_instants(np.array([START + 3 * DAY], np.int64))
        frame = opportunity.rows(given, pd.DataFrame({"entity_id": ["d"], "as_of": moment}))
        assert frame.attrs["own_fields"] == {
            "x_age": OwnField("number"),
            "x_vip": OwnField("boolean"),
            "x_due": OwnField("date"),
            "account_x_key": OwnField("boolean", "Key"),
        }

    def test_names_of_codes_come_with_the_frame(self):
        given = facts(
            opportunities=[a_deal("d", source="web"), a_deal("e", source="fair", created=1)],
            events=[change("d", "stage", "Qualify", 0), change("e", "stage", "Qualify", 1)],
        )
        moment = to_instants(np.array([START + 3 * DAY], np.int64))
        frame = opportunity.rows(given, pd.DataFrame({"entity_id": ["e"], "as_of": moment}))
        assert frame.attrs["category_names"]["source_code"] == ["web", "fair"]
        assert frame["source_code"][0] == 1

    def test_a_column_the_company_no_longer_has_is_unknown(self):
        given = facts(opportunities=[a_deal("d")], events=[change("d", "stage", "Qualify", 0)])
        moment = to_instants(np.array([START + 3 * DAY], np.int64))
        frame = opportunity.rows(
            given, pd.DataFrame({"entity_id": ["d"], "as_of": moment}),
            columns=["deal_age_days", "x_gone", "done_call_days"],
        )  # fmt: skip
        assert frame["deal_age_days"][0] == 3
        assert frame[["x_gone", "done_call_days"]].isna().all(axis=None)


def test_amounts_in_another_currency_wait_for_a_rate():
    given = facts(
        opportunities=[a_deal("d", currency="USD")],
        events=[change("d", "stage", "Qualify", 0), change("d", "amount", "200", 0)],
        fx_rates=[a_rate(5, -100, 2.0)],
    )
    assert math.isnan(row(given, "d", 4)["amount_log"])
    assert row(given, "d", 6)["amount_log"] == pytest.approx(math.log1p(200 / 2))


def a_rate(valid, recorded, rate):
    return {"base": "EUR", "quote": "USD", "valid_at": START + valid * DAY,
            "recorded_at": START + recorded * DAY, "rate": rate}  # fmt: skip


@pytest.mark.parametrize(
    ("day", "rate"),
    [
        (5, 2.0),  # the first rate, known ahead of its day
        (11, 2.0),  # the rate of day 10 is recorded on day 12 only
        (12, 4.0),
        (19, 4.0),  # a late correction of day 5 is no news: day 10 is in force
        (21, 8.0),  # the correction of day 10, recorded on day 20
        (31, 16.0),  # a rate announced on day 1 counts from its day on
    ],
)
def test_an_amount_is_converted_at_the_rate_as_it_was_known_then(day, rate):
    given = facts(
        opportunities=[a_deal("d", currency="USD")],
        events=[change("d", "stage", "Qualify", 0), change("d", "amount", "200", 0)],
        fx_rates=[a_rate(30, 1, 16.0), a_rate(10, 20, 8.0), a_rate(5, 18, 9.0),
                  a_rate(10, 12, 4.0), a_rate(5, -3, 2.0)],
    )  # fmt: skip
    assert row(given, "d", day)["amount_log"] == pytest.approx(math.log1p(200 / rate))


def test_the_story_begins_in_berlin():
    assert dt.datetime(2026, 1, 1, tzinfo=dt.UTC) == to_instants(np.array([START]))[0]
