"""Reading the time that a question is about: an instant, or a day of the company's calendar."""

from __future__ import annotations

import datetime as dt
import re

from crm_core.errors import Invalid
from crm_core.periods import FiscalCalendar

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


class NotATime(Invalid):
    """A text is neither a day nor an ISO 8601 time, or lies ahead of the present."""


def read_moment(
    text: str, *, calendar: FiscalCalendar, now: dt.datetime, name: str = "as_of"
) -> dt.datetime:
    """Return the instant that a text names, in UTC; ``name`` is what it was given as.

    A bare date is 00:00 of that day in the company's time zone, a time without an offset is read
    there too (EXCHANGE: times); of one that the clock there shows twice it is the later, as a
    file's times are read. A number is refused: whether it counts seconds, days or years
    would be a guess. A time ahead of ``now`` is refused: what will be recorded until then is not
    known, so features such as days of silence would be wrong, not merely early. Raises NotATime.
    """
    try:
        if _DAY.fullmatch(text.strip()):
            instant = calendar.midnight(dt.date.fromisoformat(text.strip()))
        else:
            instant = dt.datetime.fromisoformat(text.strip())
        if instant.tzinfo is None:
            there = instant.replace(tzinfo=calendar.time_zone)
            instant = max(there.replace(fold=fold).astimezone(dt.UTC) for fold in (0, 1))
        instant = instant.astimezone(dt.UTC)
    except (ValueError, OverflowError) as error:
        # in a link, a plus sign that is not encoded arrives as a space
        hint = " (in a link, + is written %2B)" if name == "as_of" and " " in text else ""
        raise NotATime(
            f"{name} {text!r} is not a time ({error}); write 2026-06-30 for 00:00 at the company, "
            f"or 2026-06-30T08:00+02:00{hint}."
        ) from error
    if instant > now:
        raise NotATime(
            f"{name} {text} lies in the future; what will be known then is not known yet."
            f" Give a time up to the present, or leave {name} out for now."
        )
    return instant
