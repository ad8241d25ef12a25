"""Periods tile the time of any company: any zone, any first month, over every clock change.

A file of its own beside ``test_periods.py``: these are properties over all calendars.
"""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Date, cast, func, literal, select
from sqlalchemy.dialects.postgresql import TIMESTAMP

from crm_core.periods import FiscalCalendar, NotAPeriod
from crm_core.quotas.arithmetic import elapsed_share, working_days

ZONES = (
    "UTC", "Asia/Shanghai", "Europe/Berlin", "America/New_York", "America/Phoenix",
    "Pacific/Kiritimati", "Etc/GMT+12", "Pacific/Chatham", "Asia/Kathmandu",
    "Australia/Lord_Howe",  # half an hour of summer time
    "America/Santiago", "Africa/Cairo",  # the skipped hour begins at midnight
    "America/Havana",  # the repeated hour begins at midnight
    "Pacific/Apia",  # 30 December 2011 did not happen
    "America/St_Johns", "Asia/Tehran",
)  # fmt: skip
MICROSECOND = dt.timedelta(microseconds=1)
DAY = dt.timedelta(days=1)

zones = st.sampled_from(ZONES).map(ZoneInfo)
calendars = st.builds(FiscalCalendar, zones, st.integers(1, 12))
instants = st.datetimes(
    dt.datetime(1995, 1, 1), dt.datetime(2045, 1, 1), timezones=st.just(dt.UTC)
)  # fmt: skip
days = st.dates(dt.date(1995, 1, 1), dt.date(2045, 1, 1))
KINDS = ("year", "quarter", "month", "week")


def containing(calendar, kind, day):
    """Return the period of a kind that holds a day, found by its name only."""
    if kind == "quarter":
        return calendar.parse(calendar.quarter_of(day).name)
    if kind == "month":
        return calendar.parse(f"{day:%Y-%m}")
    if kind == "week":
        year, week, _ = day.isocalendar()
        return calendar.parse(f"{year:04d}-W{week:02d}")
    return calendar.parse(calendar.quarter_of(day).name[:4])


def neighbours(calendar, kind, period):
    """Return the period before and the one after."""
    return (
        containing(calendar, kind, period.start - DAY),
        containing(calendar, kind, period.end),
    )


class TestAnyInstant:
    @settings(max_examples=150, deadline=None)
    @given(calendars, instants, st.sampled_from(KINDS))
    @example(
        FiscalCalendar(ZoneInfo("Pacific/Kiritimati"), 4),
        dt.datetime(2026, 3, 31, 10, tzinfo=dt.UTC), "quarter",
    )  # fmt: skip
    @example(
        FiscalCalendar(ZoneInfo("Etc/GMT+12"), 1),
        dt.datetime(2026, 1, 1, 11, 59, 59, 999999, tzinfo=dt.UTC), "year",
    )  # fmt: skip
    @example(
        FiscalCalendar(ZoneInfo("Pacific/Apia"), 1),
        dt.datetime(2011, 12, 30, 10, tzinfo=dt.UTC), "week",
    )  # fmt: skip
    def test_is_in_exactly_one_period_of_each_kind(self, calendar, instant, kind):
        period = containing(calendar, kind, calendar.day_of(instant))
        start, end = calendar.bounds(period)
        assert start <= instant < end
        for other in neighbours(calendar, kind, period):
            first, last = calendar.bounds(other)
            assert not first <= instant < last

    @settings(max_examples=150, deadline=None)
    @given(calendars, days)
    def test_of_a_day_is_between_its_midnights(self, calendar, day):
        start, end = calendar.midnight(day), calendar.midnight(day + DAY)
        assert start <= end <= start + 26 * dt.timedelta(hours=1)
        if start < end:  # the day happened there
            assert calendar.day_of(start) == calendar.day_of(end - MICROSECOND) == day
        assert calendar.day_of(start - MICROSECOND) < day


class TestPeriods:
    @settings(max_examples=100, deadline=None)
    @given(calendars, days, st.sampled_from(KINDS))
    def test_tile_without_a_gap_or_an_overlap(self, calendar, day, kind):
        period = containing(calendar, kind, day)
        assert period.contains(day)
        before, after = neighbours(calendar, kind, period)
        assert (before.end, after.start) == (period.start, period.end)
        assert calendar.bounds(before)[1] == calendar.bounds(period)[0]
        assert calendar.bounds(after)[0] == calendar.bounds(period)[1]

    @settings(max_examples=60, deadline=None)
    @given(calendars, st.integers(1996, 2044))
    def test_nest(self, calendar, fiscal_year):
        year = calendar.year(fiscal_year)
        quarters = [calendar.quarter(fiscal_year, number) for number in (1, 2, 3, 4)]
        assert (quarters[0].start, quarters[3].end) == (year.start, year.end)
        months = []
        while not months or months[-1].end < year.end:
            months.append(containing(calendar, "month", months[-1].end if months else year.start))
        assert len(months) == 12
        assert {quarter.start for quarter in quarters} <= {month.start for month in months}
        assert sum(quarter.days for quarter in quarters) == year.days in (365, 366)
        assert year.start.month == calendar.first_month
        assert sum(month.days for month in months) == year.days

    @settings(max_examples=60, deadline=None)
    @given(calendars, days, st.sampled_from(KINDS))
    def test_last_as_long_as_their_days_whatever_the_clocks_do(self, calendar, day, kind):
        period = containing(calendar, kind, day)
        start, end = calendar.bounds(period)
        drift = (end - start) - period.days * DAY
        assert abs(drift) <= 25 * dt.timedelta(hours=1)
        if calendar.time_zone.key in ("UTC", "Asia/Shanghai", "Asia/Kathmandu", "Etc/GMT+12"):
            assert drift == dt.timedelta(0)

    @pytest.mark.parametrize(
        ("zone", "day", "hours"),
        [("America/New_York", "2026-03-08", 23), ("America/New_York", "2026-11-01", 25),
         ("Europe/Berlin", "2026-03-29", 23), ("Europe/Berlin", "2026-10-25", 25),
         ("Australia/Lord_Howe", "2026-04-05", 24.5), ("Australia/Lord_Howe", "2026-10-04", 23.5),
         ("America/Santiago", "2026-09-06", 23), ("America/Santiago", "2026-04-04", 25),
         ("America/Havana", "2026-11-01", 25), ("Pacific/Apia", "2011-12-30", 0),
         ("Asia/Shanghai", "2026-03-08", 24)],
    )  # fmt: skip
    def test_know_days_of_23_and_25_hours(self, zone, day, hours):
        calendar = FiscalCalendar(ZoneInfo(zone))
        day = dt.date.fromisoformat(day)
        length = calendar.midnight(day + DAY) - calendar.midnight(day)
        assert length == dt.timedelta(hours=hours)

    @pytest.mark.parametrize(("year", "weeks"), [(2015, 53), (2020, 53), (2026, 53), (2027, 52)])
    def test_know_years_of_53_weeks(self, year, weeks):
        calendar = FiscalCalendar(ZoneInfo("Asia/Shanghai"))
        last = calendar.parse(f"{year}-W{weeks}")
        assert last.days == 7
        assert containing(calendar, "week", last.end).name == f"{year + 1}-W01"
        if weeks == 52:
            with pytest.raises(NotAPeriod, match="week"):
                calendar.parse(f"{year}-W53")
        with pytest.raises(NotAPeriod):
            calendar.parse(f"{year}-W00")

    @pytest.mark.parametrize(
        ("name", "first_month", "days"),
        [("2024-02", 1, 29), ("2026-02", 1, 28), ("2000-02", 1, 29), ("2100-02", 1, 28),
         ("2024", 1, 366), ("2024-Q1", 1, 91), ("2026-Q1", 1, 90),
         ("2025", 3, 365), ("2024", 3, 366), ("2024-Q4", 3, 91), ("2024-Q4", 12, 91)],
    )  # fmt: skip
    def test_know_leap_days(self, name, first_month, days):
        assert FiscalCalendar(ZoneInfo("UTC"), first_month).parse(name).days == days

    @pytest.mark.parametrize("first_month", range(1, 13))
    def test_start_the_fiscal_year_in_any_month_and_name_it_by_its_end(self, first_month):
        calendar = FiscalCalendar(ZoneInfo("UTC"), first_month)
        year = calendar.parse("2026")
        assert year.start == dt.date(2026 - (first_month > 1), first_month, 1)
        assert (year.end - DAY).year == 2026
        ends = [calendar.parse(f"2026-Q{number}").end for number in (1, 2, 3, 4)]
        assert ends[3] == year.end
        assert ends == sorted(ends)


class TestTheDatabase:
    @pytest.mark.parametrize("zone", ZONES)
    def test_puts_an_instant_on_the_same_day(self, session, zone):
        """Rows are dated in SQL and periods bounded in Python: both must know the same zones."""
        calendar = FiscalCalendar(ZoneInfo(zone))
        moments = []
        for year in (2011, 2016, 2025, 2026):
            for month in range(1, 13):
                edge = calendar.midnight(dt.date(year, month, 1))
                moments += [edge, edge - MICROSECOND, edge + dt.timedelta(hours=2, minutes=30)]
        moments.append(dt.datetime(2011, 12, 30, 9, 59, 59, 999999, tzinfo=dt.UTC))
        told = session.execute(
            select(
                *(
                    cast(func.timezone(zone, literal(m, TIMESTAMP(timezone=True))), Date)
                    for m in moments
                )
            )
        ).one()
        assert list(told) == [calendar.day_of(moment) for moment in moments]


class TestElapsed:
    @settings(max_examples=60, deadline=None)
    @given(calendars, days, st.sampled_from(KINDS))
    def test_share_of_a_period_grows_to_one_on_its_last_day(self, calendar, day, kind):
        period = containing(calendar, kind, day)
        shares = [
            elapsed_share(period, day=period.start + number * DAY) or 0
            for number in range(-1, min(period.days, 40) + 1)
        ]
        assert shares[0] == 0
        assert shares == sorted(shares)
        assert elapsed_share(period, day=period.end - DAY) == 1
        assert elapsed_share(period, day=period.end + 9 * DAY) == 1

    @given(days, st.integers(0, 800))
    def test_working_days_are_mondays_to_fridays_counted_one_by_one(self, start, length):
        one_by_one = sum((start + n * DAY).weekday() < 5 for n in range(length))
        assert working_days(start, start + length * DAY) == one_by_one
