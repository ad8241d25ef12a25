"""When forecasts are due, and how somebody stands with theirs: pure.

A file of its own beside ``arithmetic.py``. A deadline is an hour of a weekday of the company's
calendar, each week of a period. A submission answers the deadline that passed last if nothing
answered it yet, and is late; else the next one.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from crm_core.periods import FiscalCalendar, Period

State = Literal["on_time", "late", "missing", "waiting", "none"]
"""Of the last deadline: answered in time, answered late, not answered; or none has passed yet
and one is to come (``waiting``), or the period has none."""


@dataclass(frozen=True, slots=True)
class Cadence:
    """The weekday (1 is Monday) and hour of the company's day at which forecasts are due."""

    weekday: int = 1
    hour: int = 12


@dataclass(frozen=True, slots=True)
class Standing:
    """How somebody stands: the last deadline passed, the next, and what became of the last."""

    state: State
    last_due: dt.datetime | None
    next_due: dt.datetime | None


def deadlines(cadence: Cadence, *, calendar: FiscalCalendar, period: Period) -> list[dt.datetime]:
    """Return the deadlines of a period in order, as instants."""
    first = period.start + dt.timedelta(days=(cadence.weekday - period.start.isoweekday()) % 7)
    days = [first + dt.timedelta(days=7 * week) for week in range(-(-period.days // 7))]
    return [
        dt.datetime.combine(day, dt.time(cadence.hour), tzinfo=calendar.time_zone).astimezone(
            dt.UTC
        )
        for day in days
        if period.contains(day)
    ]


def answers(
    due: Sequence[dt.datetime], *, answered: Collection[dt.datetime], now: dt.datetime
) -> dt.datetime | None:
    """Return which deadline a submission of now answers, None when there is none any more."""
    passed = [each for each in due if each < now]
    if passed and passed[-1] not in answered:
        return passed[-1]
    return next((each for each in due if each >= now), None)


def standing(
    due: Sequence[dt.datetime],
    *,
    submitted: Sequence[tuple[dt.datetime, dt.datetime | None]],
    now: dt.datetime,
) -> Standing:
    """Return how somebody stands whose submissions are (time, deadline answered)."""
    passed = [each for each in due if each < now]
    coming = next((each for each in due if each >= now), None)
    if not passed:
        return Standing("waiting" if coming else "none", None, coming)
    last = passed[-1]
    times = [time for time, answered in submitted if answered == last]
    if not times:
        return Standing("missing", last, coming)
    return Standing("on_time" if min(times) <= last else "late", last, coming)


def week_of(period: Period, *, day: dt.date) -> int:
    """Return the week of a period, the first is 1, that contains a day."""
    return (day - period.start).days // 7 + 1
