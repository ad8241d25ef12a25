"""The simulated weeks and the instants inside them."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from crm_core.periods import FiscalCalendar, Period
from crm_core.simulation.draws import Floats, Integers

DAY = 86_400
WEEK = 7 * DAY
TIME_ZONE = "Europe/Berlin"
_CALENDAR = FiscalCalendar(ZoneInfo(TIME_ZONE))
_EPOCH = dt.date(1970, 1, 1)
_OPENS, _HOURS = 8 * 3600, 10 * 3600


def day_number(day: dt.date) -> int:
    """Return days since 1970-01-01."""
    return (day - _EPOCH).days


def date_of(number: int) -> dt.date:
    """Return the date of a day number."""
    return _EPOCH + dt.timedelta(days=int(number))


def day_of(seconds: Integers) -> Integers:
    """Return the company's day number of instants (central European winter time)."""
    return (seconds + 3600) // DAY


def within_week(monday: Integers, position: Floats, utc_offset: Integers) -> Integers:
    """Return instants in working hours, Monday to Friday.

    ``position`` in [0, 1) runs through the working week, so a later position is a later time.
    """
    scaled = np.clip(position, 0.0, 0.999999) * 5
    weekday = np.floor(scaled)
    local = weekday * DAY + _OPENS + (scaled - weekday) * _HOURS
    return monday + local.astype(np.int64) - utc_offset * 3600


@dataclass(frozen=True, slots=True)
class Weeks:
    """The weeks of the simulation, from a Monday to the one that contains the end.

    ``end`` is the instant from which nothing is known yet: midnight of ``until`` at the company.
    """

    monday: Integers
    end: int
    week_of_quarter: Integers
    is_quarter_end: NDArray[np.bool_]
    is_quarter_start: NDArray[np.bool_]
    has_first_monday: NDArray[np.bool_]
    """Whether the week's Monday is the first one of a quarter."""
    quarters: tuple[Period, ...]

    @property
    def count(self) -> int:
        """Number of weeks."""
        return len(self.monday)

    @property
    def start_day(self) -> int:
        """Day number of the first Monday."""
        return int(self.monday[0]) // DAY


def weeks_until(until: dt.date, *, years: float) -> Weeks:
    """Return the weeks from the start of the fiscal quarter that lies ``years`` back."""
    begin = _CALENDAR.quarter_of(until - dt.timedelta(days=int(365.25 * years))).start
    first = begin + dt.timedelta(days=-begin.weekday() % 7)
    end = int(_CALENDAR.midnight(until).timestamp())
    return _weeks(first, (until - first).days // 7 + 1, end)


def extended(weeks: Weeks, more: int) -> Weeks:
    """Return the weeks and some that follow them; the end of what is known stays."""
    return _weeks(date_of(weeks.start_day), weeks.count + more, weeks.end)


def _weeks(first: dt.date, count: int, end: int) -> Weeks:
    calendar = _CALENDAR
    mondays = [first + dt.timedelta(weeks=i) for i in range(count)]
    # a week belongs to the quarter of its Friday, in which its deals are closed
    quarters = [calendar.quarter_of(monday + dt.timedelta(days=4)) for monday in mondays]
    fridays = [monday + dt.timedelta(days=4) for monday in mondays]
    left = [(q.end - friday).days for q, friday in zip(quarters, fridays, strict=True)]
    inside = [(friday - q.start).days // 7 for q, friday in zip(quarters, fridays, strict=True)]
    starts = [i == 0 or quarters[i] != quarters[i - 1] for i in range(count)]
    earlier = [first - dt.timedelta(weeks=1), *mondays[:-1]]
    sweeps = [
        calendar.quarter_of(monday) != calendar.quarter_of(before)
        for before, monday in zip(earlier, mondays, strict=True)
    ]
    return Weeks(
        monday=np.asarray([day_number(monday) * DAY for monday in mondays], dtype=np.int64),
        end=end,
        week_of_quarter=np.asarray(inside, dtype=np.int64),
        is_quarter_end=np.asarray([days <= 14 for days in left]),
        is_quarter_start=np.asarray(starts),
        has_first_monday=np.asarray(sweeps),
        quarters=tuple(dict.fromkeys(quarters)),
    )
