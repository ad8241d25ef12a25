"""Reading ``--as-of``: an instant, or a day of the company's calendar."""

from __future__ import annotations

import datetime as dt

from crm_core.periods import FiscalCalendar
from serving.moments import NotATime, read_moment

__all__ = ["NotATime", "parse_as_of"]


def parse_as_of(text: str | None, *, calendar: FiscalCalendar, now: dt.datetime) -> dt.datetime:
    """Return the instant that ``--as-of`` names, in UTC; the present when it was left out.

    Raises NotATime.
    """
    if text is None:
        return now
    return read_moment(text, calendar=calendar, now=now, name="--as-of")


def parse_day(text: str, *, option: str) -> dt.date:
    """Return the day that an option names. Raises NotATime."""
    try:
        return dt.date.fromisoformat(text.strip())
    except ValueError as error:
        raise NotATime(f"{option} {text!r} is not a day; write 2026-06-30.") from error
