"""What is usual among the company's won deals, as known at a time: days in a stage, contact gaps.

Only deals whose history is recorded count, and only those that closed in the last year.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    CTE,
    Select,
    and_,
    any_,
    case,
    cast,
    exists,
    func,
    literal,
    or_,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import JSONB, distinct_on
from sqlalchemy.orm import Session

from crm_core.activities.models import Activity
from crm_core.advice.situations import Norm
from crm_core.money import Money
from crm_core.opportunities.models import Opportunity, OpportunityContact, OpportunityEvent, Stage
from crm_core.opportunities.states import closings, known_events, moved_between
from crm_core.orders.conversion import valued

MEETINGS = ("meeting", "visit", "demo")
LEAST_CASES = 10
"""With fewer cases nothing is called usual."""

_LOOK_BACK = dt.timedelta(days=365)
_DAY_SECONDS = 86400

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Norms:
    """Norms by (pipeline, stage): the 75th percentile of days in it, the median contact gap."""

    stage_days: Mapping[Key, Norm]
    contact_days: Mapping[Key, Norm]


@dataclass(frozen=True, slots=True)
class Recording:
    """What the company records at all; ``fields`` are the custom fields in use by pipeline."""

    activities: bool
    contacts: bool
    fields: Mapping[str, frozenset[str]]


def known_activities(as_of: dt.datetime, *, ids: Any = None) -> Select[Any]:  # noqa: ANN401
    """Return the activities on deals that had happened and were known, in their last version.

    ``ids``: a bound array of deals to limit them to. A correction may move an activity to
    another deal, so the version is chosen before the deal is looked at.
    """
    versions = (
        select(Activity)
        .ext(distinct_on(Activity.id))
        .where(Activity.recorded_at <= as_of)
        .order_by(Activity.id, Activity.recorded_at.desc())
    )
    if ids is not None:
        touched = select(Activity.id).where(Activity.opportunity_id == any_(ids))
        versions = versions.where(Activity.id.in_(touched))
    last = versions.subquery("last_version")
    is_two_way = or_(
        last.c.direction.is_not_distinct_from("in"),
        last.c.kind.in_(MEETINGS),
        and_(last.c.kind == "call", func.coalesce(last.c.duration_minutes, 0) > 0),
    )
    found = select(last, is_two_way.label("is_two_way")).where(
        last.c.occurred_at <= as_of, last.c.opportunity_id.is_not(None)
    )
    return found if ids is None else found.where(last.c.opportunity_id == any_(ids))


def norms(session: Session, *, as_of: dt.datetime) -> Norms:
    """Return the norms known as of a time, by one statement."""
    stays = _stays(as_of)
    in_stage = select(
        literal("stage").label("what"),
        stays.c.pipeline,
        stays.c.stage,
        func.percentile_cont(0.75).within_group(stays.c.days).label("days"),
        func.count().label("cases"),
    ).where(stays.c.left_at.is_not(None)).group_by(stays.c.pipeline, stays.c.stage)  # fmt: skip
    gaps = _gaps(as_of, stays)
    between = select(
        literal("contact").label("what"),
        gaps.c.pipeline,
        gaps.c.stage,
        func.percentile_cont(0.5).within_group(gaps.c.days).label("days"),
        func.count().label("cases"),
    ).group_by(gaps.c.pipeline, gaps.c.stage)
    found: dict[str, dict[Key, Norm]] = {"stage": {}, "contact": {}}
    for row in session.execute(union_all(in_stage, between)):
        if row.cases >= LEAST_CASES:
            norm = Norm(max(1, whole_days(Decimal(row.days))), row.cases)
            found[row.what][(row.pipeline, row.stage)] = norm
    return Norms(found["stage"], found["contact"])


def whole_days(days: Decimal) -> int:
    """Return whole days, halves up: a norm is told in days, not in hours."""
    return int(days + Decimal("0.5"))


def _closed_lately(as_of: dt.datetime) -> CTE:
    lately = moved_between(as_of - _LOOK_BACK, as_of + dt.timedelta(microseconds=1))
    return closings(happened_by=as_of, known_at=as_of, among=[lately])


def _stays(as_of: dt.datetime) -> CTE:
    """Return each stay of a won deal in an open stage: from when, until when, how many days."""
    closed = _closed_lately(as_of)
    events = known_events(happened_by=as_of, known_at=as_of, fields=("stage",)).subquery()
    order = [events.c.occurred_at, events.c.recorded_at, events.c.sequence]
    steps = (
        select(
            events.c.opportunity_id,
            events.c.new_value.label("stage"),
            events.c.occurred_at.label("came_at"),
            func.lead(events.c.occurred_at)
            .over(partition_by=events.c.opportunity_id, order_by=order)
            .label("left_at"),
            closed.c.pipeline,
        )
        .join(closed, closed.c.opportunity_id == events.c.opportunity_id)
        .join(Opportunity, Opportunity.id == events.c.opportunity_id)
        .where(
            closed.c.outcome == "won",
            closed.c.closed_at > as_of - _LOOK_BACK,
            Opportunity.history == "full",
        )
        .subquery("steps")
    )
    days = func.extract("epoch", steps.c.left_at - steps.c.came_at) / _DAY_SECONDS
    return (
        select(steps, days.label("days"))
        .join(Stage, and_(Stage.pipeline == steps.c.pipeline, Stage.stage == steps.c.stage))
        .where(Stage.kind == "open")
        .cte("stays")
    )


def _gaps(as_of: dt.datetime, stays: CTE) -> CTE:
    """Return the days between two-way contacts of won deals, by the stage of the later one."""
    contacts = known_activities(as_of).subquery("contacts")
    spaced = (
        select(
            contacts.c.opportunity_id,
            contacts.c.occurred_at,
            (
                contacts.c.occurred_at
                - func.lag(contacts.c.occurred_at).over(
                    partition_by=contacts.c.opportunity_id, order_by=contacts.c.occurred_at
                )
            ).label("gap"),
        )
        .where(contacts.c.is_two_way)
        .subquery("spaced")
    )
    return (
        select(
            stays.c.pipeline,
            stays.c.stage,
            (func.extract("epoch", spaced.c.gap) / _DAY_SECONDS).label("days"),
        )
        .join(
            stays,
            and_(
                stays.c.opportunity_id == spaced.c.opportunity_id,
                spaced.c.occurred_at >= stays.c.came_at,
                spaced.c.occurred_at < func.coalesce(stays.c.left_at, as_of),
            ),
        )
        .where(spaced.c.gap.is_not(None))
        .cte("gaps")
    )


def recording(session: Session, *, as_of: dt.datetime) -> Recording:
    """Return what the company had recorded at all by then, by two statements."""
    any_activity = exists().where(
        Activity.recorded_at <= as_of,
        Activity.occurred_at <= as_of,
        Activity.opportunity_id.is_not(None),
    )
    any_contact = exists().where(OpportunityContact.added_at <= as_of)
    flags = session.execute(select(any_activity, any_contact)).one()
    names = func.jsonb_object_keys(
        cast(
            case((OpportunityEvent.new_value.startswith("{"), OpportunityEvent.new_value)),
            JSONB,
        )
    )
    rows = session.execute(
        select(Opportunity.pipeline, names)
        .distinct()
        .join(Opportunity, Opportunity.id == OpportunityEvent.opportunity_id)
        .where(
            OpportunityEvent.field == "custom",
            OpportunityEvent.occurred_at <= as_of,
            OpportunityEvent.recorded_at <= as_of,
        )
    )
    fields: dict[str, set[str]] = {}
    for pipeline, name in rows:
        fields.setdefault(pipeline, set()).add(name)
    return Recording(flags[0], flags[1], {key: frozenset(names) for key, names in fields.items()})


def large_from(
    session: Session, *, to: str, day_of: Callable[[Any], Any], as_of: dt.datetime
) -> Money | None:
    """Return the amount in currency ``to`` that a quarter of the won deals exceed.

    At the rates of their closing days (``day_of`` an instant, in SQL); None with too few deals.
    """
    won = _closed_lately(as_of)
    rows = select(
        won.c.amount.label("major"), won.c.currency, day_of(won.c.closed_at).label("rate_day")
    ).where(won.c.outcome == "won", won.c.closed_at > as_of - _LOOK_BACK)
    amounts = valued(rows, to=to, name="won", known_at=as_of)
    found = session.execute(
        select(
            func.percentile_disc(0.75).within_group(amounts.c.value), func.count(amounts.c.value)
        )
    ).one()
    return Money(int(found[0]), to) if found[1] >= LEAST_CASES else None
