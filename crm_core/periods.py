"""Periods are half-open ``[start, end)`` and come from one fiscal calendar.

The company's calendar and time zone decide a period for every viewer. A date is not an
instant: dates become instants only here, at midnight of the company's zone.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from crm_core.errors import Invalid

_PERIOD = re.compile(
    r"^(?P<year>\d{4})(?:-(?:Q(?P<quarter>[1-4])|W(?P<week>\d{2})|(?P<month>\d{2})))?$"
)


class NotAPeriod(Invalid):
    """A text is not a period; write 2026, 2026-Q4, 2026-11 or 2026-W47."""


@dataclass(frozen=True, slots=True)
class Period:
    """The days from ``start`` up to but without ``end``; ``name`` as the user wrote it."""

    start: dt.date
    end: dt.date
    name: str

    @property
    def days(self) -> int:
        """Number of days in the period."""
        return (self.end - self.start).days

    def contains(self, day: dt.date) -> bool:
        """Return whether the day is in the period."""
        return self.start <= day < self.end


def _month_start(year: int, month_index: int) -> dt.date:
    """Return the first day of a month counted from January of ``year`` (12 = next January)."""
    return dt.date(year + month_index // 12, month_index % 12 + 1, 1)


@dataclass(frozen=True, slots=True)
class FiscalCalendar:
    """The company's time zone and the month (1–12) in which its fiscal year starts.

    A fiscal year is named after the calendar year in which it starts when it starts in January,
    else after the one in which it ends (the usual convention: FY2026 from April 2025).
    """

    time_zone: ZoneInfo
    first_month: int = 1

    def day_of(self, instant: dt.datetime) -> dt.date:
        """Return the company's calendar day of an instant."""
        return instant.astimezone(self.time_zone).date()

    def midnight(self, day: dt.date) -> dt.datetime:
        """Return the instant at which the day begins at the company."""
        return dt.datetime.combine(day, dt.time(), tzinfo=self.time_zone).astimezone(dt.UTC)

    def bounds(self, period: Period) -> tuple[dt.datetime, dt.datetime]:
        """Return the instants ``[start, end)`` of a period."""
        return self.midnight(period.start), self.midnight(period.end)

    def _calendar_year(self, fiscal_year: int) -> int:
        return fiscal_year if self.first_month == 1 else fiscal_year - 1

    def year(self, fiscal_year: int) -> Period:
        """Return a fiscal year."""
        first = self._calendar_year(fiscal_year)
        return Period(
            _month_start(first, self.first_month - 1),
            _month_start(first, self.first_month + 11),
            f"{fiscal_year:04d}",
        )

    def quarter(self, fiscal_year: int, quarter: int) -> Period:
        """Return a fiscal quarter, 1–4."""
        first = self._calendar_year(fiscal_year)
        offset = self.first_month - 1 + 3 * (quarter - 1)
        return Period(
            _month_start(first, offset),
            _month_start(first, offset + 3),
            f"{fiscal_year:04d}-Q{quarter}",
        )

    def quarter_of(self, day: dt.date) -> Period:
        """Return the fiscal quarter that contains a day."""
        months = (day.month - self.first_month) % 12
        starts_in = day.year if day.month >= self.first_month else day.year - 1
        fiscal_year = starts_in if self.first_month == 1 else starts_in + 1
        return self.quarter(fiscal_year, months // 3 + 1)

    def preceding(self, period: Period) -> Period:
        """Return the period of the same kind right before one that :meth:`parse` gave."""
        last = period.start - dt.timedelta(days=1)
        if "Q" in period.name:
            return self.quarter_of(last)
        if "W" in period.name:
            year, week, _ = last.isocalendar()
            return self.parse(f"{year:04d}-W{week:02d}")
        return self.parse(f"{last:%Y-%m}" if "-" in period.name else f"{int(period.name) - 1:04d}")

    def parse(self, text: str) -> Period:
        """Return the period a text names. Raises NotAPeriod."""
        found = _PERIOD.match(text.strip())
        if found is None:
            raise NotAPeriod(f"{text!r} is not a period; write 2026, 2026-Q4, 2026-11 or 2026-W47.")
        year = int(found["year"])
        try:
            if found["quarter"]:
                return self.quarter(year, int(found["quarter"]))
            if found["week"]:
                monday = dt.date.fromisocalendar(year, int(found["week"]), 1)
                return Period(monday, monday + dt.timedelta(days=7), text.strip())
            if found["month"]:
                start = dt.date(year, int(found["month"]), 1)
                return Period(start, _month_start(year, int(found["month"])), text.strip())
            return self.year(year)
        except ValueError as error:
            raise NotAPeriod(f"{text!r} is not a period: {error}.") from error


def share(*, active_from: dt.date, active_to: dt.date | None, period: Period) -> tuple[int, int]:
    """Return (active days, days) of a half-open activity inside a period; exact, never a float."""
    start = max(active_from, period.start)
    end = period.end if active_to is None else min(active_to, period.end)
    return max(0, (end - start).days), period.days
