"""A quota follows a person's days: joiners, leavers, movers, leave, ramp, and later changes."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_core.money import Money, total
from crm_core.periods import FiscalCalendar
from crm_core.quotas.arithmetic import (
    Change,
    Quota,
    by_unit,
    elapsed_share,
    expected_share,
    target,
)
from crm_core.quotas.presence import Absence, Presence, Stay, months_after, planned_days, segments

CALENDAR = FiscalCalendar(ZoneInfo("UTC"))
Q2 = CALENDAR.parse("2026-Q2")  # 91 days: 30 + 31 + 30
D = dt.date.fromisoformat
FULL = Quota(D("2026-04-01"), D("2026-07-01"), Money(91_000_00, "USD"))


def usd(major):
    return Money(int(Decimal(major) * 100), "USD")


WORKED = """
- ; - - 91000 ; there the whole quarter, in no unit
east 2026-01-01 - ; 91000 - - ; a team of one's own
east 2026-01-01 2026-05-01|west 2026-05-01 - ; 30000 61000 - ; moved: 30 of 91 days east, 61 west
east 2026-01-01 2026-05-01|west 2026-05-11 - ; 30000 51000 10000 ; ten days between two teams
hired 2026-05-01|east 2026-05-01 - ; 61000 - - ; joined: 61 of 91 days
left 2026-05-01|east 2026-01-01 - ; 30000 - - ; left: 30 of 91 days
leave 2026-04-11 2026-04-21|east 2026-01-01 - ; 81000 - - ; ten days of leave
leave 2026-04-21 2026-05-11|east 2026-01-01 2026-05-01|west 2026-05-01 - ; 20000 51000 - ; across
hired 2026-05-01|ramp 50 75|east 2026-05-01 - ; 38000 - - ; 31 days at 50 %, 30 at 75 %
hired 2026-05-11|ramp 25 50|east 2026-05-11 2026-06-01|west 2026-06-01 - ; 5250 12500 - ; moved too
hired 2026-02-01|ramp 25 50 75|east 2026-01-01 - ; 83500 - - ; its third month: 30 days at 75 %
left 2026-04-01|east 2026-01-01 - ; - - - ; gone before it began
"""
"""Presence ; of 91 000 for 91 days: east, west and in no unit ; why."""


def presence_of(text):
    given = {"stays": [], "leaves": []}
    for word in text.split("|"):
        kind, *rest = word.split()
        if kind in ("east", "west"):
            end = None if rest[1] == "-" else D(rest[1])
            given["stays"].append(Stay(kind, D(rest[0]), end))
        elif kind == "leave":
            given["leaves"].append(Absence(D(rest[0]), D(rest[1])))
        elif kind == "ramp":
            given["ramp"] = tuple(Decimal(percent) / 100 for percent in rest)
        elif kind in ("hired", "left"):
            given[f"{kind}_on"] = D(rest[0])
    return Presence(**{k: tuple(v) if isinstance(v, list) else v for k, v in given.items()})


def cases():
    for line in WORKED.strip().splitlines():
        presence, amounts, why = line.split(" ; ")
        found = zip(["east", "west", None], amounts.split(), strict=True)
        expected = {unit: usd(major) for unit, major in found if major != "-"}
        yield pytest.param(presence, expected, id=why)


def met(presence, quota=FULL, period=Q2):
    return target([quota], period=period, active_from=None, active_to=None, presence=presence)


class TestTarget:
    @pytest.mark.parametrize(("text", "expected"), list(cases()))
    def test_of_each_unit_follows_the_worked_table(self, text, expected):
        found = met(presence_of(text))
        if not expected:
            assert found is None
            return
        assert by_unit([found]) == expected
        assert found.amount == total(expected.values(), currency="USD")

    def test_of_somebody_there_as_planned_is_the_amount_itself(self):
        newcomer = presence_of("hired 2026-05-11|ramp 25 50|east 2026-05-11 -")
        amount = Money(33_333_33, "USD")
        quota = Quota(FULL.start, FULL.end, amount, planned_days(newcomer, Q2))
        assert quota.planned_days == Decimal("17.75")  # 31 × 0.25 + 20 × 0.5
        assert met(newcomer, quota).amount == amount

    def test_of_somebody_who_leaves_early_falls_by_the_days_not_served(self):
        planned = presence_of("hired 2026-05-01|east 2026-05-01 -")
        quota = Quota(FULL.start, FULL.end, usd(6100), planned_days(planned, Q2))
        gone = presence_of("hired 2026-05-01|left 2026-06-01|east 2026-05-01 -")
        assert met(gone, quota).amount == usd(3100)

    def test_that_changed_inside_the_period_counts_as_two(self):
        quota = Quota(FULL.start, FULL.end, FULL.amount, None,
                      (Change(D("2026-05-01"), usd(182_000)),))  # fmt: skip
        found = met(presence_of("-"), quota)
        assert found.amount == usd(30_000 + 2 * 61_000)
        assert [part.days for part in found.parts] == [30, 61]

    def test_asked_for_a_month_counts_the_days_of_that_month(self):
        mover = presence_of("east 2026-01-01 2026-05-11|west 2026-05-11 -")
        found = met(mover, period=CALENDAR.parse("2026-05"))
        assert by_unit([found]) == {"east": usd(10_000), "west": usd(21_000)}

    @given(
        amount=st.integers(0, 10**15),
        edges=st.lists(st.dates(D("2026-01-01"), D("2026-12-31")), min_size=4, max_size=4),
        ramp=st.lists(st.integers(0, 100), max_size=4),
        hired=st.none() | st.dates(D("2025-06-01"), D("2026-08-01")),
        left=st.none() | st.dates(D("2026-03-01"), D("2026-08-01")),
    )
    def test_is_the_sum_of_its_shares_to_the_cent(self, amount, edges, ramp, hired, left):
        a, b, c, d = sorted(edges)
        leaves = (Absence(b, c),) if b < c else ()
        presence = Presence(
            hired, left, (Stay("east", a, c), Stay("west", c, d)), leaves,
            tuple(Decimal(percent) / 100 for percent in ramp),
        )  # fmt: skip
        found = met(presence, Quota(FULL.start, FULL.end, Money(amount, "USD")))
        if found is None:
            assert planned_days(presence, Q2) == 0
            return
        parts = [share.amount for part in found.parts for share in part.shares]
        assert total(parts, currency="USD") == found.amount
        assert total(by_unit([found]).values(), currency="USD") == found.amount
        assert 0 <= found.amount.minor <= amount

    @given(st.dates(D("2026-04-01"), D("2026-07-01")))
    def test_of_a_leaver_and_their_successor_make_the_whole_between_them(self, day):
        first = met(Presence(left_on=day))
        second = met(Presence(hired_on=day))
        both = [found.amount.minor for found in (first, second) if found]
        assert abs(sum(both) - FULL.amount.minor) <= 1  # each is rounded once


class TestSegments:
    def test_are_joined_where_nothing_changes(self):
        stays = (Stay("east", D("2026-01-01"), D("2026-05-01")), Stay("east", D("2026-05-01")))
        found = segments(Presence(stays=stays), Q2)
        assert [(each.days, each.org_unit_id) for each in found] == [(91, "east")]

    def test_take_the_unit_entered_last_where_two_overlap(self):
        stays = (Stay("east", D("2026-01-01")), Stay("west", D("2026-06-01")))
        found = segments(Presence(stays=stays), Q2)
        assert [(each.days, each.org_unit_id) for each in found] == [(61, "east"), (30, "west")]

    def test_ramp_by_months_from_the_day_of_hiring(self):
        assert months_after(D("2026-01-31"), 1) == D("2026-02-28")
        assert months_after(D("2026-11-30"), 3) == D("2027-02-28")
        hired = Presence(hired_on=D("2026-03-31"), ramp=(Decimal("0.25"), Decimal("0.5")))
        found = segments(hired, Q2)
        assert [(each.start, str(each.strength)) for each in found] == [
            (D("2026-04-01"), "0.25"), (D("2026-04-30"), "0.5"), (D("2026-05-31"), "1"),
        ]  # fmt: skip


class TestExpectedShare:
    def test_without_a_season_is_that_of_the_working_days(self):
        day = D("2026-05-15")
        assert expected_share(Q2, day=day) == elapsed_share(Q2, day=day)
        flat = expected_share(Q2, day=D("2026-06-30"), season=[Decimal(1)] * 12)
        assert flat == 1

    def test_weighs_each_month_by_its_season(self):
        season = [Decimal(0)] * 12
        season[3], season[4], season[5] = Decimal(10), Decimal(30), Decimal(60)
        assert expected_share(Q2, day=D("2026-04-30"), season=season) == Decimal("0.1")
        assert expected_share(Q2, day=D("2026-05-31"), season=season) == Decimal("0.4")
        half_of_june = expected_share(Q2, day=D("2026-06-15"), season=season)
        assert half_of_june == Decimal("0.4") + Decimal("0.6") * 11 / 22
        assert expected_share(Q2, day=D("2026-03-31"), season=season) is None
