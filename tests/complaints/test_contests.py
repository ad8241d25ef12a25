"""Leaderboards rank in the metric's own direction, end with a result, and draw no false winner.

Each test is a thread of another product's users, with its own numbers.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from tests.complaints.conftest import NOON

MONTH = {"starts_on": "2026-06-01", "ends_on": "2026-07-01"}
JUNE = dt.datetime(2026, 6, 10, 9, tzinfo=dt.UTC)


def board(firm, metric, **rule):
    """Open a leaderboard of June over the reps; return its number."""
    given = {"title": metric, "metric": metric, "roles": ["rep"], **MONTH, **rule}
    made = firm.sends("ops", "POST", "/leaderboards", json=given)
    assert made.status_code == 201, made.text
    return made.json()["id"]


def ranks(firm, number, who="ops"):
    """Return subject → (rank, value) as somebody reads it."""
    lines = firm.gets(who, f"/leaderboards/{number}")["lines"]
    found = {}
    for line in lines:
        value = None if line["value"] is None else Decimal(line["value"])
        found[line["subject_id"]] = (line["rank"], value)
    return found


class TestOdoo:
    def test_odoo_18901_the_shorter_cycle_is_on_top_where_lower_is_better(self, firm):
        """The podium put the higher value first whatever the goal said."""
        firm.opens()
        for owner, days in (("ann", 30), ("bob", 10)):
            firm.deal(f"{owner}'s", "100", "EUR", owner=owner,
                      created_at=JUNE - dt.timedelta(days=days), stages={JUNE: "Won"})  # fmt: skip
        found = ranks(firm, board(firm, "cycle_days"))
        assert found["bob"] == (1, 10)
        assert found["ann"] == (2, 30)
        assert found["zoe"] == (None, None)  # nothing won is not the shortest cycle

    def test_odoo_164125_at_its_end_every_participant_has_a_result(self, firm):
        """The challenge was done and some of its goals stayed in progress for ever."""
        firm.opens()
        firm.order("o1", "100", "EUR", owner="ann", on=dt.date(2026, 6, 10))
        number = board(firm, "bookings")
        early = firm.sends("ops", "POST", f"/leaderboards/{number}/freeze")
        assert early.status_code == 409  # it is not over
        firm.is_at(NOON + dt.timedelta(days=2))
        before = ranks(firm, number)
        frozen = firm.sends("ops", "POST", f"/leaderboards/{number}/freeze")
        assert frozen.status_code == 200, frozen.text
        assert frozen.json()["participants"] == len(before) == 3
        firm.order("late", "900", "EUR", owner="bob", on=dt.date(2026, 6, 11))
        assert ranks(firm, number) == before  # what was won stays won

    def test_odoo_30215_a_leaderboard_of_three_currencies_ranks_by_converted_amounts(self, firm):
        firm.opens().rates(JPY_EUR="0.006", KWD_EUR="3")
        on = dt.date(2026, 6, 10)
        firm.order("yen", "90000", "JPY", owner="ann", on=on)  # 540
        firm.order("dinar", "200.005", "KWD", owner="bob", on=on)  # 600.015, half even
        firm.order("euro", "550", "EUR", owner="zoe", on=on)
        number = board(firm, "bookings")
        assert ranks(firm, number) == {
            "bob": (1, Decimal("600.02")), "zoe": (2, 550), "ann": (3, 540),
        }  # fmt: skip
        assert firm.gets("ops", f"/leaderboards/{number}")["currency"] == "EUR"

    def test_odoo_259775_equal_results_share_a_rank_whatever_the_order_of_people(self, firm):
        firm.opens()
        for owner in ("zoe", "bob", "ann"):
            firm.order(f"{owner}'s", "100", "EUR", owner=owner, on=dt.date(2026, 6, 10))
        number = board(firm, "bookings")
        assert {rank for rank, _ in ranks(firm, number).values()} == {1}
        lines = firm.gets("ops", f"/leaderboards/{number}")["lines"]
        assert all(line["tied"] for line in lines)


class TestOthers:
    def test_spoke_499_a_small_team_s_board_tells_a_rep_only_their_own_place(self, firm):
        firm.opens()
        for owner, amount in (("ann", "100"), ("bob", "900")):
            firm.order(f"{owner}'s", amount, "EUR", owner=owner, on=dt.date(2026, 6, 10))
        lines = firm.gets("ann", f"/leaderboards/{board(firm, 'bookings')}")["lines"]
        assert [line["subject_id"] for line in lines] == ["ann"]
        assert "900" not in str(lines)
