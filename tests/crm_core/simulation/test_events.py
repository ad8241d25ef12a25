"""The history of a deal hangs together: chains of values, two clocks, one end."""

from __future__ import annotations

import datetime as dt
import json
from collections import defaultdict

import pytest

from tests.crm_core.simulation.companies import Generated, Row

CLOSED = {"Won", "Lost"}


def _at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


@pytest.fixture(scope="module")
def histories(small: Generated) -> dict[tuple[str, str], list[Row]]:
    """Events by (deal, field) in the order of the file."""
    result: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in small.rows("opportunity_events"):
        result[row["opportunity_id"], row["field"]].append(row)
    return result


class TestHistories:
    def test_chain_old_to_new_values(self, histories) -> None:
        for (_, field), events in histories.items():
            if field == "custom":
                continue
            assert events[0]["old_value"] == ""
            for before, after in zip(events[:-1], events[1:], strict=True):
                assert after["old_value"] == before["new_value"]
                assert after["new_value"] != before["new_value"]

    def test_go_forward_on_both_clocks(self, histories) -> None:
        for events in histories.values():
            for before, after in zip(events[:-1], events[1:], strict=True):
                assert before["occurred_at"] < after["occurred_at"]
                assert before["recorded_at"] <= after["recorded_at"]
            assert all(row["occurred_at"] <= row["recorded_at"] for row in events)

    def test_begin_when_the_deal_was_created(self, small: Generated, histories) -> None:
        for deal in small.rows("opportunities"):
            for field in ("stage", "owner_id", "amount", "expected_close_on", "product_id"):
                first = histories[deal["id"], field][0]
                assert first["occurred_at"] == first["recorded_at"] == deal["created_at"]
        created = {row["id"]: row["created_at"] for row in small.rows("opportunities")}
        for row in small.rows("opportunity_events"):
            assert row["occurred_at"] >= created[row["opportunity_id"]]

    def test_end_with_the_current_row(self, small: Generated, histories) -> None:
        for deal in small.rows("opportunities"):
            for field in ("stage", "owner_id", "amount", "expected_close_on", "product_id"):
                assert histories[deal["id"], field][-1]["new_value"] == deal[field]

    def test_have_nothing_after_the_closing(self, small: Generated, histories) -> None:
        closed = {row["id"]: row["closed_at"] for row in small.rows("opportunities")}
        for (deal, field), events in histories.items():
            if field == "stage":
                ends = [row for row in events if row["new_value"] in CLOSED]
                assert len(ends) == bool(closed[deal])
                assert not ends or ends[0]["occurred_at"] == closed[deal]
            if closed[deal]:
                assert events[-1]["occurred_at"] <= closed[deal]

    def test_set_the_date_and_the_amount_at_closing(self, small: Generated, histories) -> None:
        won = [row for row in small.rows("opportunities") if row["stage"] == "Won"]
        trued_up = 0
        for deal in won:
            if deal["created_at"] == deal["closed_at"]:
                continue
            dates = histories[deal["id"], "expected_close_on"]
            closed_on = (_at(deal["closed_at"]) + dt.timedelta(hours=1)).date().isoformat()
            assert dates[-1]["new_value"] == closed_on
            last = histories[deal["id"], "amount"][-1]
            trued_up += last["occurred_at"] == deal["closed_at"]
        assert trued_up > 0.9 * len(won)

    def test_are_partly_recorded_late(self, small: Generated) -> None:
        stages = [row for row in small.rows("opportunity_events") if row["field"] == "stage"]
        late = [row for row in stages if row["recorded_at"] > row["occurred_at"]]
        assert 0.04 < len(late) / len(stages) < 0.25

    def test_hold_custom_fields_as_json_objects(self, small: Generated) -> None:
        seen = set()
        for row in small.rows("opportunity_events"):
            if row["field"] == "custom":
                seen |= set(json.loads(row["new_value"]))
        assert seen == {
            "x_deal_type", "x_budget_confirmed", "x_decision_date_agreed", "x_competitor",
        }  # fmt: skip

    def test_carry_the_deal_type_from_the_first_moment(self, small: Generated, histories) -> None:
        for deal in small.rows("opportunities"):
            events = histories.get((deal["id"], "custom"))
            first = json.loads(events[0]["new_value"]) if events else {}
            assert first.get("x_deal_type", "") == deal["x_deal_type"]
            assert not events or events[0]["occurred_at"] == deal["created_at"]


class TestOwners:
    def test_change_when_a_rep_leaves_and_never_outlast_their_stay(self, demo: Generated) -> None:
        left = {row["id"]: row["left_on"] for row in demo.rows("users") if row["left_on"]}
        changes = 0
        for row in demo.rows("opportunity_events"):
            if row["field"] == "owner_id":
                changes += bool(row["old_value"])
                gone = left.get(row["new_value"])
                assert gone is None or row["occurred_at"][:10] < gone
        assert changes > 100
        assert not {
            row["owner_id"] for row in demo.rows("opportunities") if not row["closed_at"]
        } & set(left)


class TestActivities:
    def test_do_not_precede_their_deal(self, small: Generated) -> None:
        created = {row["id"]: row["created_at"] for row in small.rows("opportunities")}
        for row in small.rows("activities"):
            if row["opportunity_id"]:
                assert row["occurred_at"] >= created[row["opportunity_id"]]

    def test_are_logged_with_delays(self, small: Generated) -> None:
        days = [
            (_at(row["recorded_at"]) - _at(row["occurred_at"])).days
            for row in small.rows("activities")
            if row["kind"] != "email"
        ]
        assert min(days) == 0
        assert 0.02 < sum(day >= 14 for day in days) / len(days) < 0.10
        assert 0.25 < sum(0 < day < 14 for day in days) / len(days) < 0.60

    def test_name_a_contact_of_the_account(self, small: Generated) -> None:
        account = {row["id"]: row["account_id"] for row in small.rows("contacts")}
        for row in small.rows("activities"):
            assert account[row["contact_id"]] == row["account_id"]


class TestOddities:
    def test_some_deals_are_created_closed(self, demo: Generated) -> None:
        deals = demo.rows("opportunities")
        instant = [row for row in deals if row["closed_at"] == row["created_at"]]
        assert 0.01 < len(instant) / len(deals) < 0.03

    def test_duplicates_are_deals_of_their_own(self, demo: Generated) -> None:
        deals = demo.rows("opportunities")
        found = [row for row in deals if row["lost_reason"] == "duplicate"]
        names = {row["name"] for row in deals if row["lost_reason"] != "duplicate"}
        assert 0.005 < len(found) / len(deals) < 0.02
        assert all(row["name"] in names for row in found)

    def test_some_lost_deals_were_swept_up_on_the_first_monday_of_a_quarter(
        self, demo: Generated
    ) -> None:
        ops = next(r["id"] for r in demo.rows("users") if r["email"] == "ops@demo.winward")
        swept = [
            _at(row["occurred_at"])
            for row in demo.rows("opportunity_events")
            if row["new_value"] == "Lost" and row["user_id"] == ops
        ]
        assert len(swept) > 50
        assert all(at.weekday() == 0 and at.month in (1, 4, 7, 10) and at.day <= 8 for at in swept)
