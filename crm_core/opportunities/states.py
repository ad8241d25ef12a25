"""Deals as they stood: the current values, the outcome and the owner as of two times, in SQL.

A file of its own beside ``queries.py``: these are relations that metrics and advice put into
their own statements. ``happened_by`` bounds what had happened, ``known_at`` what was known;
of several values of the same instant the one recorded last, then the one listed last, counts.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from typing import Any

from sqlalchemy import CTE, Date, Numeric, Select, and_, cast, func, select
from sqlalchemy.dialects.postgresql import distinct_on

from crm_core.opportunities.models import Opportunity, OpportunityEvent, Stage

_FIELDS = ("stage", "amount", "expected_close_on", "owner_id")


def known_events(
    *, happened_by: dt.datetime, known_at: dt.datetime, fields: Collection[str]
) -> Select[Any]:
    """Return the events of these fields that had happened and were known."""
    return (
        select(OpportunityEvent)
        .join(Opportunity, Opportunity.id == OpportunityEvent.opportunity_id)
        .where(
            OpportunityEvent.field.in_(fields),
            OpportunityEvent.occurred_at <= happened_by,
            OpportunityEvent.recorded_at <= known_at,
            Opportunity.created_at <= happened_by,
            Opportunity.recorded_at <= known_at,
        )
    )


def states(*, happened_by: dt.datetime, known_at: dt.datetime, name: str = "states") -> CTE:
    """Return one row per deal that existed: its stage, amount, close date and owner then.

    Columns: opportunity_id, name, account_id, pipeline, created_at, currency, stage, stage_at,
    kind, position, amount (decimal, major units), expected_close_on, owner_id.
    """
    events = (
        known_events(happened_by=happened_by, known_at=known_at, fields=_FIELDS)
        .ext(distinct_on(OpportunityEvent.opportunity_id, OpportunityEvent.field))
        .order_by(
            OpportunityEvent.opportunity_id,
            OpportunityEvent.field,
            OpportunityEvent.occurred_at.desc(),
            OpportunityEvent.recorded_at.desc(),
            OpportunityEvent.sequence.desc(),
        )
        .subquery()
    )

    def value(field: str) -> Any:  # noqa: ANN401 - an aggregate expression
        return func.max(events.c.new_value).filter(events.c.field == field)

    pivoted = (
        select(
            events.c.opportunity_id,
            value("stage").label("stage"),
            func.max(events.c.occurred_at).filter(events.c.field == "stage").label("stage_at"),
            cast(func.nullif(value("amount"), ""), Numeric).label("amount"),
            cast(func.nullif(value("expected_close_on"), ""), Date).label("expected_close_on"),
            value("owner_id").label("owner_id"),
        )
        .group_by(events.c.opportunity_id)
        .subquery()
    )
    return (
        select(
            pivoted.c.opportunity_id,
            func.coalesce(Opportunity.name, Opportunity.id).label("name"),
            Opportunity.account_id,
            Opportunity.pipeline,
            Opportunity.created_at,
            Opportunity.currency,
            pivoted.c.stage,
            pivoted.c.stage_at,
            Stage.kind,
            Stage.position,
            pivoted.c.amount,
            pivoted.c.expected_close_on,
            pivoted.c.owner_id,
        )
        .join(Opportunity, Opportunity.id == pivoted.c.opportunity_id)
        .join(Stage, and_(Stage.pipeline == Opportunity.pipeline, Stage.stage == pivoted.c.stage))
        .cte(name)
    )


def closings(*, happened_by: dt.datetime, known_at: dt.datetime) -> CTE:
    """Return one row per deal that stood won or lost: outcome, closed_at, owner at closing.

    The same answer as :func:`crm_core.opportunities.history.outcome`, for every deal at once.
    ``closed_at`` is when the deal last became won or lost: of several closed stages of the same
    kind in a row, the first. A deal opened again is not closed. The owner is who owned the deal
    when it closed: a later hand-over moves no past win.
    """
    runs = _runs(happened_by, known_at)
    closed = (
        select(
            runs.c.opportunity_id,
            runs.c.last_kind.label("outcome"),
            func.min(runs.c.occurred_at).label("closed_at"),
        )
        .where(~runs.c.is_broken, runs.c.last_kind.in_(("won", "lost")))
        .group_by(runs.c.opportunity_id, runs.c.last_kind)
        .cte("closed")
    )
    owners = known_events(
        happened_by=happened_by, known_at=known_at, fields=("owner_id",)
    ).subquery()
    owned = (
        select(owners.c.opportunity_id, owners.c.new_value.label("owner_id"))
        .ext(distinct_on(owners.c.opportunity_id))
        .join(closed, closed.c.opportunity_id == owners.c.opportunity_id)
        .where(owners.c.occurred_at <= closed.c.closed_at)
        .order_by(
            owners.c.opportunity_id,
            owners.c.occurred_at.desc(),
            owners.c.recorded_at.desc(),
            owners.c.sequence.desc(),
        )
        .subquery()
    )
    return (
        select(
            closed.c.opportunity_id,
            closed.c.outcome,
            closed.c.closed_at,
            owned.c.owner_id,
            func.coalesce(Opportunity.name, Opportunity.id).label("name"),
            Opportunity.account_id,
            Opportunity.pipeline,
            Opportunity.created_at,
            Opportunity.currency,
        )
        .join(Opportunity, Opportunity.id == closed.c.opportunity_id)
        .outerjoin(owned, owned.c.opportunity_id == closed.c.opportunity_id)
        .cte("closings")
    )


def _runs(happened_by: dt.datetime, known_at: dt.datetime) -> Any:  # noqa: ANN401 - a subquery
    """Return the stage steps with the last step's kind and whether another kind lay between."""
    events = known_events(happened_by=happened_by, known_at=known_at, fields=("stage",)).subquery()
    latest_first = [
        events.c.occurred_at.desc(),
        events.c.recorded_at.desc(),
        events.c.sequence.desc(),
    ]
    steps = (
        select(
            events.c.opportunity_id,
            events.c.occurred_at,
            events.c.recorded_at,
            events.c.sequence,
            Stage.kind,
            func.first_value(Stage.kind)
            .over(partition_by=events.c.opportunity_id, order_by=latest_first)
            .label("last_kind"),
        )
        .join(Opportunity, Opportunity.id == events.c.opportunity_id)
        .join(
            Stage,
            and_(Stage.pipeline == Opportunity.pipeline, Stage.stage == events.c.new_value),
        )
        .subquery()
    )
    is_broken = func.bool_or(steps.c.kind != steps.c.last_kind).over(
        partition_by=steps.c.opportunity_id,
        order_by=[
            steps.c.occurred_at.desc(),
            steps.c.recorded_at.desc(),
            steps.c.sequence.desc(),
        ],
    )
    return select(
        steps.c.opportunity_id, steps.c.occurred_at, steps.c.last_kind, is_broken.label("is_broken")
    ).subquery()


def won_amounts(closed: CTE, *, happened_by: dt.datetime, known_at: dt.datetime) -> CTE:
    """Return :func:`closings` with each deal's amount (decimal, major units) as last known."""
    events = (
        known_events(happened_by=happened_by, known_at=known_at, fields=("amount",))
        .ext(distinct_on(OpportunityEvent.opportunity_id))
        .order_by(
            OpportunityEvent.opportunity_id,
            OpportunityEvent.occurred_at.desc(),
            OpportunityEvent.recorded_at.desc(),
            OpportunityEvent.sequence.desc(),
        )
        .subquery()
    )
    return (
        select(closed, cast(func.nullif(events.c.new_value, ""), Numeric).label("amount"))
        .outerjoin(events, events.c.opportunity_id == closed.c.opportunity_id)
        .cte("won_amounts")
    )
