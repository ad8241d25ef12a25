"""Reading ``--as-of``: an instant, or a day of the company's calendar."""

from __future__ import annotations

import datetime as dt
import re

from crm_core.errors import Invalid
from crm_core.periods import FiscalCalendar

_DAY = re.compile(r"^\d{4}-\d{2}-\d{2}$")


class NotATime(Invalid):
    """A text is neither a day nor an ISO 8601 time, or lies ahead of the present."""


def parse_as_of(text: str | None, *, calendar: FiscalCalendar, now: dt.datetime) -> dt.datetime:
    """Return the instant that ``--as-of`` names, in UTC; the present when it was left out.

    A bare date is 00:00 of that day in the company's time zone, a time without an offset is read
    there too (EXCHANGE: times). A time ahead of ``now`` is refused: what will be recorded until
    then is not known, so features such as days of silence would be wrong, not merely early.
    Raises NotATime.
    """
    if text is None:
        return now
    try:
        if _DAY.match(text.strip()):
            instant = calendar.midnight(dt.date.fromisoformat(text.strip()))
        else:
            instant = dt.datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise NotATime(
            f"--as-of {text!r} is not a time ({error}); write 2026-06-30 or 2026-06-30T08:00+02:00."
        ) from error
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=calendar.time_zone)
    if instant > now:
        raise NotATime(
            f"--as-of {text} lies in the future; what will be known then is not known yet."
            " Give a time up to the present, or leave --as-of out for now."
        )
    return instant.astimezone(dt.UTC)


def parse_day(text: str, *, option: str) -> dt.date:
    """Return the day that an option names. Raises NotATime."""
    try:
        return dt.date.fromisoformat(text.strip())
    except ValueError as error:
        raise NotATime(f"{option} {text!r} is not a day; write 2026-06-30.") from error
