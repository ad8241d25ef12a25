"""Periods are half-open and follow the fiscal calendar in the company's zone."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_core.periods import FiscalCalendar, NotAPeriod, share

days = st.dates(dt.date(1990, 1, 1), dt.date(2090, 12, 31))


class TestFiscalCalendar:
    @pytest.mark.parametrize(
        ("first_month", "text", "start", "end"),
        [
            (1, "2026", "2026-01-01", "2027-01-01"),
            (4, "2026", "2025-04-01", "2026-04-01"),
            (1, "2026-Q4", "2026-10-01", "2027-01-01"),
            (4, "2026-Q4", "2026-01-01", "2026-04-01"),
            (1, "2026-11", "2026-11-01", "2026-12-01"),
            (1, "2026-12", "2026-12-01", "2027-01-01"),
            (1, "2026-W47", "2026-11-16", "2026-11-23"),
        ],
    )
    def test_parses(self, first_month, text, start, end) -> None:
        period = FiscalCalendar(ZoneInfo("UTC"), first_month).parse(text)
        assert (period.start.isoformat(), period.end.isoformat()) == (start, end)

    @pytest.mark.parametrize("text", ["2026-Q5", "2026-13", "2026-W60", "November", "26"])
    def test_refuses_what_is_no_period(self, text: str) -> None:
        with pytest.raises(NotAPeriod, match="is not a period"):
            FiscalCalendar(ZoneInfo("UTC")).parse(text)

    @given(days, st.integers(1, 12))
    def test_every_day_is_in_exactly_one_quarter(self, day: dt.date, first_month: int) -> None:
        calendar = FiscalCalendar(ZoneInfo("UTC"), first_month)
        quarter = calendar.quarter_of(day)
        assert quarter.contains(day)
        assert calendar.parse(quarter.name) == quarter
        assert calendar.quarter_of(quarter.end).start == quarter.end

    @given(days, st.integers(1, 12), st.sampled_from(["{0.year:04d}", "{0:%Y-%m}", "Q", "W"]))
    def test_the_preceding_period_ends_where_one_starts(
        self, day: dt.date, first_month: int, kind: str
    ) -> None:
        calendar = FiscalCalendar(ZoneInfo("UTC"), first_month)
        year, week, _ = day.isocalendar()
        names = {"Q": calendar.quarter_of(day).name, "W": f"{year:04d}-W{week:02d}"}
        period = calendar.parse(names.get(kind) or kind.format(day))
        before = calendar.preceding(period)
        assert before.end == period.start
        assert len(before.name) == len(period.name)
        assert calendar.parse(before.name) == before

    def test_midnight_follows_the_zone_over_a_clock_change(self) -> None:
        calendar = FiscalCalendar(ZoneInfo("America/New_York"))
        start, end = calendar.bounds(calendar.parse("2026-03"))
        assert end - start == dt.timedelta(days=31) - dt.timedelta(hours=1)


class TestShare:
    def test_counts_only_active_days_inside(self) -> None:
        period = FiscalCalendar(ZoneInfo("UTC")).parse("2026-01")
        assert share(active_from=dt.date(2026, 1, 11), active_to=None, period=period) == (21, 31)
        assert share(
            active_from=dt.date(2025, 1, 1), active_to=dt.date(2025, 2, 1), period=period
        ) == (0, 31)
