"""The activities of one deal as its page shows them."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from crm_core.accounts.models import Contact
from crm_core.activities.models import Activity
from crm_core.people.models import User


@dataclass(frozen=True, slots=True)
class Done:
    """Something done with or for the customer."""

    kind: str
    occurred_at: dt.datetime
    by: str | None
    contact: str | None
    direction: str | None
    minutes: int | None
    outcome: str | None


@dataclass(frozen=True, slots=True)
class Timeline:
    """The latest activities, newest first, and how many there are in all."""

    rows: tuple[Done, ...]
    total: int


def timeline(
    session: Session, opportunity_id: str, *, as_of: dt.datetime, limit: int = 100
) -> Timeline:
    """Return a deal's activities as known at a time, each by its latest correction."""
    known = (
        select(Activity)
        .where(
            Activity.id.in_(select(Activity.id).where(Activity.opportunity_id == opportunity_id)),
            Activity.recorded_at <= as_of,
        )
        .ext(distinct_on(Activity.id))
        .order_by(Activity.id, Activity.recorded_at.desc())
        .subquery()
    )
    rows = session.execute(
        select(
            known.c.kind,
            known.c.occurred_at,
            User.name,
            Contact.name,
            known.c.direction,
            known.c.duration_minutes,
            known.c.outcome,
            func.count().over(),
        )
        .outerjoin(User, User.id == known.c.user_id)
        .outerjoin(Contact, Contact.id == known.c.contact_id)
        .where(known.c.opportunity_id == opportunity_id, known.c.occurred_at <= as_of)
        .order_by(known.c.occurred_at.desc(), known.c.id)
        .limit(limit)
    ).all()
    done = tuple(
        Done(kind, at, by, contact, direction, None if minutes is None else int(minutes), outcome)
        for kind, at, by, contact, direction, minutes, outcome, _ in rows
    )
    return Timeline(done, rows[0][-1] if rows else 0)
