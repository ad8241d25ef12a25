"""Targets are prorated by days, tiled by quotas, and None where there is none."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_core.money import CurrencyMismatch, Money
from crm_core.periods import FiscalCalendar, Period
from crm_core.quotas.arithmetic import (
    Quota,
    applicable,
    attainment,
    elapsed_share,
    pacing,
    target,
    working_days,
)

CALENDAR = FiscalCalendar(ZoneInfo("UTC"))
Q2 = CALENDAR.parse("2026-Q2")


def day(text):
    return None if text == "-" else dt.date.fromisoformat(text)


def quota(start, end, major=910, currency="USD"):
    return Quota(day(start), day(end), Money(major * 100, currency))


WORKED = """
quota of                    asked    hired       left        target  why
2026-04-01 2026-07-01 910   2026-Q2  -           -           910.00  there the whole quarter
2026-04-01 2026-07-01 910   2026-Q2  2026-05-01  -           610.00  61 of 91 days
2026-04-01 2026-07-01 910   2026-Q2  -           2026-04-11  100.00  10 of 91 days
2026-04-01 2026-07-01 910   2026-Q2  2026-05-01  2026-05-02   10.00  one day
2026-04-01 2026-07-01 910   2026-05  -           -           310.00  31 of the quarter's 91 days
2026-04-01 2026-07-01 910   2026-Q2  2026-07-01  -                -  not there yet
2026-04-01 2026-07-01 910   2026-Q3  -           -                -  another quarter's quota
2026-04-01 2026-07-01 910   2026     -           -                -  a quarter is no year's target
"""


def cases():
    for line in WORKED.strip().splitlines()[1:]:
        start, end, amount, asked, hired, left, expected, why = line.split(maxsplit=7)
        yield pytest.param(start, end, int(amount), asked, hired, left, expected, id=why)


class TestTarget:
    @pytest.mark.parametrize(
        ("start", "end", "amount", "asked", "hired", "left", "expected"), list(cases())
    )
    def test_follows_the_worked_table(self, start, end, amount, asked, hired, left, expected):
        found = target(
            [quota(start, end, amount)],
            period=CALENDAR.parse(asked),
            active_from=day(hired),
            active_to=day(left),
        )
        if expected == "-":
            assert found is None
        else:
            assert found.amount.major == Decimal(expected)

    def test_adds_quarters_that_fill_a_year_each_prorated(self):
        quarters = [CALENDAR.quarter(2026, q) for q in (1, 2, 3, 4)]
        quotas = [Quota(q.start, q.end, Money(9_200, "USD")) for q in quarters]
        found = target(
            quotas,
            period=CALENDAR.parse("2026"),
            active_from=dt.date(2026, 10, 1),
            active_to=None,
        )
        assert found.amount == Money(9_200, "USD")
        assert [part.days for part in found.parts] == [92]

    @given(
        st.dates(dt.date(2025, 1, 1), dt.date(2027, 1, 1)),
        st.integers(0, 10**12),
    )
    def test_of_two_people_in_one_seat_sums_to_the_seat(self, handover, minor):
        seat = [Quota(Q2.start, Q2.end, Money(minor, "USD"))]
        first = target(seat, period=Q2, active_from=None, active_to=handover)
        second = target(seat, period=Q2, active_from=handover, active_to=None)
        amounts = [t.amount.minor for t in (first, second) if t is not None]
        assert abs(sum(amounts) - minor) <= 1


class TestApplicable:
    def test_prefers_the_quota_of_exactly_the_period(self):
        exact = quota("2026-04-01", "2026-07-01")
        year = quota("2026-01-01", "2027-01-01")
        month = quota("2026-04-01", "2026-05-01")
        assert applicable([year, month, exact], Q2) == [exact]

    def test_takes_the_shortest_around_when_those_inside_leave_a_gap(self):
        year = quota("2026-01-01", "2027-01-01")
        half = quota("2026-01-01", "2026-07-01")
        month = quota("2026-04-01", "2026-05-01")
        assert applicable([year, half, month], Q2) == [half]


class TestAttainment:
    def test_is_none_without_a_quota_or_with_none_of_it(self):
        booked = Money(100, "USD")
        assert attainment(booked=booked, target=None) is None
        assert attainment(booked=booked, target=Money(0, "USD")) is None

    def test_is_not_capped(self):
        assert attainment(booked=Money(140, "USD"), target=Money(100, "USD")) == Decimal("1.4")

    def test_refuses_two_currencies(self):
        with pytest.raises(CurrencyMismatch, match="EUR"):
            attainment(booked=Money(1, "USD"), target=Money(1, "EUR"))


class TestWorkingDays:
    @given(st.dates(dt.date(2020, 1, 1), dt.date(2030, 1, 1)), st.integers(-5, 400))
    def test_equal_counting_them_one_by_one(self, start, length):
        end = start + dt.timedelta(days=length)
        days = (start + dt.timedelta(days=i) for i in range(max(0, length)))
        assert working_days(start, end) == sum(d.weekday() < 5 for d in days)


class TestElapsedShare:
    def test_counts_the_day_itself_and_ends_at_one(self):
        june = CALENDAR.parse("2026-06")  # 22 working days, from Monday the 1st
        assert elapsed_share(june, day=dt.date(2026, 5, 31)) is None
        assert elapsed_share(june, day=dt.date(2026, 6, 1)) == Decimal(1) / 22
        assert elapsed_share(june, day=dt.date(2026, 9, 1)) == 1

    def test_is_none_for_a_period_without_a_working_day(self):
        weekend = Period(dt.date(2026, 6, 6), dt.date(2026, 6, 8), "weekend")
        assert elapsed_share(weekend, day=dt.date(2026, 6, 7)) is None


class TestPacing:
    def test_is_one_when_half_is_sold_at_half_time(self):
        assert pacing(attained=Decimal("0.5"), elapsed=Decimal("0.5")) == 1

    def test_is_none_without_a_quota_or_before_the_period(self):
        assert pacing(attained=None, elapsed=Decimal("0.5")) is None
        assert pacing(attained=Decimal(0), elapsed=None) is None
