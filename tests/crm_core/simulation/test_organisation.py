"""The organisation: one place at a time, a re-organisation, and a plan that adds up."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from decimal import Decimal

from tests.crm_core.simulation.companies import Generated

FOREVER = "9999-12-31"


class TestAssignments:
    def test_put_a_user_in_one_unit_at_a_time(self, demo: Generated) -> None:
        spans = defaultdict(list)
        for row in demo.rows("assignments"):
            spans[row["user_id"]].append((row["valid_from"], row["valid_to"] or FOREVER))
        assert set(spans) == {row["id"] for row in demo.rows("users")}
        for places in spans.values():
            places.sort()
            assert all(begin < end for begin, end in places)
            assert all(a[1] <= b[0] for a, b in zip(places[:-1], places[1:], strict=True))

    def test_end_when_the_user_leaves(self, demo: Generated) -> None:
        last = {}
        for row in sorted(demo.rows("assignments"), key=lambda row: row["valid_from"]):
            last[row["user_id"]] = row["valid_to"]
        for user in demo.rows("users"):
            assert last[user["id"]] == user["left_on"]

    def test_show_a_reorganisation(self, demo: Generated) -> None:
        units = {row["id"]: row for row in demo.rows("org_units")}
        closed = [row for row in units.values() if row["valid_to"]]
        opened = [row for row in units.values() if row["valid_from"]]
        assert [row["valid_to"] for row in closed] == [row["valid_from"] for row in opened]
        for row in demo.rows("assignments"):
            unit = units[row["org_unit_id"]]
            assert not unit["valid_to"] or row["valid_to"] <= unit["valid_to"]
            assert not unit["valid_from"] or row["valid_from"] >= unit["valid_from"]

    def test_agree_with_where_users_stand_now(self, demo: Generated) -> None:
        now = {
            r["user_id"]: r["org_unit_id"] for r in demo.rows("assignments") if not r["valid_to"]
        }
        for user in demo.rows("users"):
            assert user["left_on"] or now[user["id"]] == user["org_unit_id"]

    def test_have_joiners_and_leavers(self, demo: Generated) -> None:
        users = demo.rows("users")
        start = demo.summary.first_day.isoformat()
        assert sum(user["left_on"] != "" for user in users) >= 10
        assert sum(user["hired_on"] > start for user in users) >= 10


class TestReportingLines:
    def test_lead_from_the_demo_rep_to_the_demo_leader(self, demo: Generated) -> None:
        users = {row["id"]: row for row in demo.rows("users")}
        by_email = {row["email"]: row for row in users.values()}
        rep = by_email["rep@demo.winward"]
        assert users[rep["manager_id"]]["email"] == "manager@demo.winward"
        boss = rep
        while boss["manager_id"]:
            boss = users[boss["manager_id"]]
        assert boss["email"] == "leader@demo.winward"

    def test_put_reps_under_the_manager_of_their_team(self, demo: Generated) -> None:
        users = {row["id"]: row for row in demo.rows("users")}
        for user in users.values():
            if user["role"] == "rep" and not user["left_on"]:
                assert users[user["manager_id"]]["org_unit_id"] == user["org_unit_id"]


class TestQuotas:
    def test_sum_exactly_up_the_tree(self, demo: Generated) -> None:
        parent = {row["id"]: row["parent_id"] for row in demo.rows("org_units")}
        teams = {row["id"] for row in demo.rows("org_units") if row["kind"] == "team"}
        placed = defaultdict(list)
        for row in demo.rows("assignments"):
            placed[row["user_id"]].append(row)
        given: dict[tuple[str, str], Decimal] = {}
        summed: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
        for row in demo.rows("quotas"):
            amount = Decimal(row["amount"])
            if row["subject_kind"] == "org_unit":
                given[row["subject_id"], row["period_start"]] = amount
                if parent[row["subject_id"]]:
                    summed[parent[row["subject_id"]], row["period_start"]] += amount
            else:
                team = _team(placed[row["subject_id"]], row["period_start"], row["period_end"])
                summed[team, row["period_start"]] += amount
        assert given == dict(summed)
        assert {unit for unit, _ in given} > teams

    def test_are_approved_before_their_quarter_begins(self, demo: Generated) -> None:
        for row in demo.rows("quotas"):
            assert row["approved_at"][:10] < row["period_start"]
            begin, end = (dt.date.fromisoformat(row[f"period_{e}"]) for e in ("start", "end"))
            assert begin.day == end.day == 1
            assert 89 < (end - begin).days < 93

    def test_are_prorated_for_who_joins_in_a_quarter(self, demo: Generated) -> None:
        full = [
            Decimal(row["amount"]) for row in demo.rows("quotas") if row["subject_kind"] == "user"
        ]
        joined = {row["id"]: row["hired_on"] for row in demo.rows("users")}
        part = [
            Decimal(row["amount"])
            for row in demo.rows("quotas")
            if row["subject_kind"] == "user" and joined[row["subject_id"]] > row["period_start"]
        ]
        assert part
        assert sum(part) / len(part) < sum(full) / len(full) / 2


def _team(places: list[dict[str, str]], start: str, end: str) -> str:
    """Return the unit of the first placement that overlaps a period."""
    overlapping = [
        row
        for row in sorted(places, key=lambda row: row["valid_from"])
        if row["valid_from"] < end and (row["valid_to"] or FOREVER) > start
    ]
    return overlapping[0]["org_unit_id"]
