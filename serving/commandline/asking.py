"""What a command that asks about a time works with: the store, its calendar, the moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crm_core import clock, settings
from serving.commandline.times import parse_as_of

if TYPE_CHECKING:
    import datetime as dt

    from sqlalchemy.orm import Session

    from crm_core.periods import FiscalCalendar


@dataclass(frozen=True, slots=True)
class Asking:
    """An open transaction, the company's calendar, the time asked about and the clock's."""

    session: Session
    calendar: FiscalCalendar
    as_of: dt.datetime
    now: dt.datetime


@contextmanager
def asking(as_of: str | None) -> Iterator[Asking]:
    """Open the store, read the clock once, and commit when the command succeeds."""
    from crm_core.database import transaction
    from crm_core.people.queries import calendar
    from serving.commandline.store import store

    with store(settings.load()) as engine, transaction(engine) as session:
        own, now = calendar(session), clock.now()
        yield Asking(session, own, parse_as_of(as_of, calendar=own, now=now), now)
