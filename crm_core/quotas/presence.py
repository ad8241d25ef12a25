"""Where a person was on which days, and at which strength: what a quota is prorated by. Pure.

A file of its own beside ``arithmetic.py``: targets, decomposition and pay all cut time here.
"""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from crm_core.periods import Period

FULL = Decimal(1)


@dataclass(frozen=True, slots=True)
class Stay:
    """A place in an org unit over days ``[start, end)``; no end: until further notice."""

    org_unit_id: str
    start: dt.date
    end: dt.date | None = None


@dataclass(frozen=True, slots=True)
class Absence:
    """Days ``[start, end)`` on which no quota is carried."""

    start: dt.date
    end: dt.date


@dataclass(frozen=True, slots=True)
class Presence:
    """A person's time at the company.

    ``ramp`` is the strength in each month after hiring, counted from the day of hiring; full
    strength follows it, and from the start where it is empty or the day is not known.
    """

    hired_on: dt.date | None = None
    left_on: dt.date | None = None
    stays: tuple[Stay, ...] = ()
    leaves: tuple[Absence, ...] = ()
    ramp: tuple[Decimal, ...] = ()


@dataclass(frozen=True, slots=True)
class Segment:
    """Days ``[start, end)`` in one org unit (None: in none) at one strength, 1 = full."""

    start: dt.date
    end: dt.date
    org_unit_id: str | None
    strength: Decimal

    @property
    def days(self) -> int:
        """Number of days."""
        return (self.end - self.start).days

    @property
    def weight(self) -> Decimal:
        """Days at full strength."""
        return self.days * self.strength


def segments(presence: Presence, window: Period) -> tuple[Segment, ...]:
    """Return the stretches of a window in which a person carried a quota, in order.

    Cut wherever the unit or the strength changes; days of leave and outside employment are in
    none. With several units at once the one entered last counts.
    """
    start = max(presence.hired_on or window.start, window.start)
    end = min(presence.left_on or window.end, window.end)
    if start >= end:
        return ()
    cuts = {start, end}
    for stay in presence.stays:
        cuts |= {stay.start, stay.end or end}
    for leave in presence.leaves:
        cuts |= {leave.start, leave.end}
    cuts |= set(_steps(presence))
    days = sorted(day for day in cuts if start <= day <= end)
    found: list[Segment] = []
    for first, last in zip(days, days[1:], strict=False):
        if any(leave.start <= first < leave.end for leave in presence.leaves):
            continue
        piece = Segment(first, last, _place(presence.stays, first), _strength(presence, first))
        if found and _continues(found[-1], piece):
            piece = Segment(found.pop().start, last, piece.org_unit_id, piece.strength)
        found.append(piece)
    return tuple(found)


def planned_days(presence: Presence, window: Period) -> Decimal:
    """Return the days of a window at full strength: what a quota for them is planned with."""
    return sum((segment.weight for segment in segments(presence, window)), Decimal(0))


def _continues(before: Segment, after: Segment) -> bool:
    same = before.org_unit_id == after.org_unit_id and before.strength == after.strength
    return same and before.end == after.start


def _place(stays: Sequence[Stay], day: dt.date) -> str | None:
    here = [s for s in stays if s.start <= day and (s.end is None or s.end > day)]
    return max(here, key=lambda stay: (stay.start, stay.org_unit_id)).org_unit_id if here else None


def _steps(presence: Presence) -> list[dt.date]:
    """Return the days on which the strength changes."""
    if presence.hired_on is None:
        return []
    return [months_after(presence.hired_on, n) for n in range(1, len(presence.ramp) + 1)]


def _strength(presence: Presence, day: dt.date) -> Decimal:
    steps = _steps(presence)
    for strength, ends in zip(presence.ramp, steps, strict=False):
        if day < ends:
            return strength
    return FULL


def months_after(day: dt.date, months: int) -> dt.date:
    """Return the same day some months later, the month's last where there is none."""
    year, month = divmod(day.month - 1 + months, 12)
    year += day.year
    last = calendar.monthrange(year, month + 1)[1]
    return dt.date(year, month + 1, min(day.day, last))
