"""The stages that deals went through, one row per entry, in SQL.

A file of its own beside ``queries.py``: a relation that metrics put into their own statements.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    FunctionElement,
    Select,
    Subquery,
    and_,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import distinct_on

from crm_core.opportunities.models import Opportunity, Stage
from crm_core.opportunities.states import known_events


def stage_steps(
    *,
    happened_by: dt.datetime,
    known_at: dt.datetime,
    among: Sequence[Select[Any]] = (),
    name: str = "steps",
) -> CTE:
    """Return one row per entry of a deal into a stage, with the stages before and after it.

    Time on hold is time in the stage before it, and coming back to that stage is no new entry.
    Of several stages given for the same instant the one recorded last counts. Columns:
    opportunity_id, name, account_id, stage, kind, position, entered_at, left_at, next_kind,
    next_position, previous_position (null at the first or last).
    """
    events = known_events(
        happened_by=happened_by, known_at=known_at, fields=("stage",), among=among
    ).subquery()
    at_once = [events.c.opportunity_id, events.c.occurred_at]
    given = (
        select(events.c.opportunity_id, events.c.occurred_at, events.c.new_value.label("stage"))
        .ext(distinct_on(*at_once))
        .order_by(*at_once, events.c.recorded_at.desc(), events.c.sequence.desc())
        .subquery()
    )
    placed = (
        select(
            given,
            Stage.kind,
            Stage.position,
            Opportunity.account_id,
            func.coalesce(Opportunity.name, Opportunity.id).label("name"),
            _over(func.lag(given.c.stage), given).label("stage_before"),
        )
        .join(Opportunity, Opportunity.id == given.c.opportunity_id)
        .join(Stage, and_(Stage.pipeline == Opportunity.pipeline, Stage.stage == given.c.stage))
        .where(Stage.kind != "on_hold")
        .subquery()
    )
    entered = (
        select(placed).where(placed.c.stage.is_distinct_from(placed.c.stage_before)).subquery()
    )
    return select(
        entered.c.opportunity_id,
        entered.c.name,
        entered.c.account_id,
        entered.c.stage,
        entered.c.kind,
        entered.c.position,
        entered.c.occurred_at.label("entered_at"),
        _over(func.lead(entered.c.occurred_at), entered).label("left_at"),
        _over(func.lead(entered.c.kind), entered).label("next_kind"),
        _over(func.lead(entered.c.position), entered).label("next_position"),
        _over(func.lag(entered.c.position), entered).label("previous_position"),
    ).cte(name)


def _over(value: FunctionElement[Any], rows: Subquery) -> ColumnElement[Any]:
    """Return a window function along a deal's entries in order."""
    return value.over(partition_by=rows.c.opportunity_id, order_by=rows.c.occurred_at)
