"""The simulated company behaves like one: rates, cycles, hygiene, and deals that are alive."""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from statistics import mean, median, quantiles

import pytest

from tests.crm_core.simulation.companies import UNTIL, Generated, Row

END = dt.datetime(2026, 6, 30, 22, tzinfo=dt.UTC)


def _at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def _weeks(deal: Row) -> float:
    return (_at(deal["closed_at"]) - _at(deal["created_at"])).days / 7


@pytest.fixture(scope="module")
def deals(demo: Generated) -> list[Row]:
    return demo.rows("opportunities")


@pytest.fixture(scope="module")
def open_deals(deals: list[Row]) -> list[Row]:
    return [row for row in deals if not row["closed_at"]]


class TestBands:
    def test_size_is_that_of_the_demo(self, demo: Generated) -> None:
        rows = demo.summary.rows
        assert 8_000 <= rows["opportunities"] <= 20_000
        assert 100_000 <= rows["opportunity_events"] <= 190_000
        assert 80_000 <= rows["activities"] <= 250_000
        assert (
            sum(user["role"] == "rep" and not user["left_on"] for user in demo.rows("users")) > 55
        )

    def test_win_rate_is_between_29_and_37_percent(self, deals: list[Row]) -> None:
        closed = [row["stage"] == "Won" for row in deals if row["closed_at"]]
        assert 0.29 <= mean(closed) <= 0.37

    def test_win_rates_of_reps_are_spread(self, deals: list[Row]) -> None:
        by_rep: dict[str, list[bool]] = {}
        for row in deals:
            if row["closed_at"]:
                by_rep.setdefault(row["owner_id"], []).append(row["stage"] == "Won")
        tenths = quantiles([mean(won) for won in by_rep.values() if len(won) > 60], n=10)
        assert 0.14 <= tenths[0] <= 0.26
        assert 0.38 <= tenths[8] <= 0.50

    def test_wins_take_months_and_losses_weeks(self, deals: list[Row]) -> None:
        assert 14 <= median(_weeks(r) for r in deals if r["stage"] == "Won") <= 20
        assert 6 <= median(_weeks(r) for r in deals if r["stage"] == "Lost") <= 11

    def test_wins_crowd_at_quarter_ends(self, deals: list[Row]) -> None:
        won = [_at(row["closed_at"]).date() for row in deals if row["stage"] == "Won"]
        late = [day.month % 3 == 0 and day.day >= 17 for day in won]
        assert 0.22 <= mean(late) <= 0.34

    def test_attainment_is_spread_around_the_plan(self, demo: Generated) -> None:
        per_euro = {"EUR": 1, "CHF": 0.95, "GBP": 0.86, "USD": 1.1, "CNY": 7.85, "JPY": 168}
        booked: defaultdict[tuple[str, str], float] = defaultdict(float)
        for row in demo.rows("orders"):
            if row["opportunity_id"] and row["status"] == "signed":
                year, month = row["ordered_on"][:4], int(row["ordered_on"][5:7])
                quarter = f"{year}-{(month - 1) // 3 * 3 + 1:02}-01"
                euros = float(row["amount"]) / per_euro[row["currency"]]
                booked[row["owner_id"], quarter] += euros
        reached = [
            booked[row["subject_id"], row["period_start"]] / float(row["amount"])
            for row in demo.rows("quotas")
            if row["subject_kind"] == "user" and row["period_end"] <= UNTIL.isoformat()
        ]
        assert 0.8 <= mean(reached) <= 1.3
        assert 0.25 <= mean(ratio >= 1 for ratio in reached) <= 0.55


class TestOpenDeals:
    def test_are_of_all_sorts_so_that_there_is_something_to_coach(
        self, demo: Generated, open_deals: list[Row]
    ) -> None:
        ids = {row["id"] for row in open_deals}
        last: dict[str, dt.datetime] = {}
        for row in demo.rows("activities"):
            if row["opportunity_id"] in ids:
                at = _at(row["occurred_at"])
                last[row["opportunity_id"]] = max(last.get(row["opportunity_id"], at), at)
        silence = [(END - last.get(i, _at("2000-01-01T00:00:00Z"))).days for i in ids]
        people = Counter(row["opportunity_id"] for row in demo.rows("opportunity_contacts"))
        assert mean(days <= 7 for days in silence) > 0.25
        assert 0.10 < mean(days > 21 for days in silence) < 0.50
        overdue = mean(row["expected_close_on"] < UNTIL.isoformat() for row in open_deals)
        assert 0.10 < overdue < 0.45
        assert 0.25 < mean(people[i] == 1 for i in ids) < 0.75
        stages = Counter(row["stage"] for row in open_deals)
        assert min(stages[stage] for stage in ("Qualify", "Evaluate", "Negotiate")) > 50

    def test_of_the_demo_rep_are_twenty_to_forty(
        self, demo: Generated, open_deals: list[Row]
    ) -> None:
        rep = next(r["id"] for r in demo.rows("users") if r["email"] == "rep@demo.winward")
        mine = [row for row in open_deals if row["owner_id"] == rep]
        assert 20 <= len(mine) <= 40
        assert len({row["stage"] for row in mine}) == 5
        assert any(row["expected_close_on"] < UNTIL.isoformat() for row in mine)
        assert any(row["expected_close_on"] > UNTIL.isoformat() for row in mine)


class TestCustomers:
    def test_leave_at_about_a_quarter_a_year(self, demo: Generated) -> None:
        contracts = demo.rows("subscriptions")
        ended = [row for row in contracts if row["ended_on"]]
        assert 0.10 < len(ended) / len(contracts) < 0.45
        assert all(row["ended_on"] > row["started_on"] for row in ended)

    def test_pay_late_or_not_at_all_now_and_then(self, demo: Generated) -> None:
        billed = {row["id"]: row["invoiced_on"] for row in demo.rows("invoices")}
        paid = {row["invoice_id"]: row["received_on"] for row in demo.rows("payments")}
        waits = [
            (dt.date.fromisoformat(day) - dt.date.fromisoformat(billed[i])).days
            for i, day in paid.items()
        ]
        old = [i for i, day in billed.items() if day < "2026-01-01"]
        assert 25 < median(waits) < 60
        assert 0.01 < mean(i not in paid for i in old) < 0.06
