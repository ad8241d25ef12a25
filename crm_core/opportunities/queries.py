"""Reading deals: their events, and their state as it was known at a time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.orm import Session

from crm_core.opportunities.history import Event, State, state
from crm_core.opportunities.models import Opportunity, OpportunityEvent, Stage


def events(session: Session, ids: Collection[str], *, as_of: dt.datetime) -> dict[str, list[Event]]:
    """Return the events of each deal that had happened and were known at ``as_of``."""
    rows = session.execute(
        select(
            OpportunityEvent.opportunity_id,
            OpportunityEvent.field,
            OpportunityEvent.new_value,
            OpportunityEvent.occurred_at,
            OpportunityEvent.recorded_at,
            OpportunityEvent.sequence,
        )
        .where(
            OpportunityEvent.opportunity_id.in_(ids),
            OpportunityEvent.occurred_at <= as_of,
            OpportunityEvent.recorded_at <= as_of,
        )
        .order_by(OpportunityEvent.sequence)
    )
    found: dict[str, list[Event]] = {}
    for deal, name, value, occurred_at, recorded_at, sequence in rows:
        found.setdefault(deal, []).append(Event(name, value, occurred_at, recorded_at, sequence))
    return found


def states(session: Session, ids: Collection[str], *, as_of: dt.datetime) -> dict[str, State]:
    """Return the state of each deal that existed and was known at ``as_of``."""
    existing = session.scalars(
        select(Opportunity.id).where(
            Opportunity.id.in_(ids),
            Opportunity.created_at <= as_of,
            Opportunity.recorded_at <= as_of,
        )
    ).all()
    found = events(session, existing, as_of=as_of)
    return {deal: state(found.get(deal, []), as_of=as_of) for deal in existing}


def stage_kinds(session: Session, pipeline: str) -> dict[str, str]:
    """Return each stage of a pipeline with its kind: open, on_hold, won or lost."""
    rows = session.execute(select(Stage.stage, Stage.kind).where(Stage.pipeline == pipeline))
    return {row.stage: row.kind for row in rows}
