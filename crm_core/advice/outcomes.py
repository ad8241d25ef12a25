"""What followed a recommendation, as queries that are settled by one insert each.

A file of its own beside ``queries.py`` because :mod:`crm_core.advice.operations` inserts from
these selects without a row ever leaving the database.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import Interval, Select, Text, and_, func, literal, or_, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import aliased

from crm_core.activities.models import Activity
from crm_core.advice.models import AdviceDecision, Recommendation
from crm_core.database import Instant
from crm_core.opportunities.models import Opportunity, OpportunityEvent, Stage

WINDOW = dt.timedelta(days=14)
"""How long after the advice an activity or an advance counts as having followed it."""


def found(*, as_of: dt.datetime) -> dict[str, Select[Any]]:
    """Return, for each kind of outcome, the select of the outcomes known as of a time."""
    return {
        "activity": _activities(as_of),
        "stage_advanced": _advances(as_of),
        "won": _closings(as_of, "won"),
        "lost": _closings(as_of, "lost"),
    }


def _advised(as_of: dt.datetime) -> Any:  # noqa: ANN401 - a subquery's columns are untyped
    """Return the recommendations given by then; their time is the facts' time, not the page's."""
    return (
        select(
            Recommendation.id,
            Recommendation.opportunity_id,
            Recommendation.facts["asks_for"].label("asks_for"),
            AdviceDecision.as_of.label("given_at"),
        )
        .join(AdviceDecision, AdviceDecision.id == Recommendation.decision_id)
        .where(AdviceDecision.as_of <= as_of)
        .subquery("advised")
    )


def _activities(as_of: dt.datetime) -> Select[Any]:
    advised = _advised(as_of)
    known = (
        select(Activity)
        .ext(distinct_on(Activity.id))
        .where(Activity.recorded_at <= as_of, Activity.opportunity_id.is_not(None))
        .order_by(Activity.id, Activity.recorded_at.desc())
        .subquery("known")
    )
    return (
        select(
            advised.c.id,
            literal("activity", Text),
            known.c.occurred_at,
            literal(as_of, Instant),
            func.jsonb_build_object("activity_id", known.c.id, "kind", known.c.kind),
        )
        .ext(distinct_on(advised.c.id))
        .join(known, known.c.opportunity_id == advised.c.opportunity_id)
        .where(
            known.c.occurred_at > advised.c.given_at,
            known.c.occurred_at <= advised.c.given_at + literal(WINDOW, Interval),
            known.c.occurred_at <= as_of,
            advised.c.asks_for.op("?")(known.c.kind),
            # a mail the customer sent is not the one we asked the rep to send
            or_(known.c.direction.is_(None), known.c.direction != "in"),
        )
        .order_by(advised.c.id, known.c.occurred_at, known.c.id)
    )


def _stage_events(as_of: dt.datetime) -> Any:  # noqa: ANN401 - a subquery's columns are untyped
    """Return the stage events known by then with their stage's kind and position."""
    return (
        select(
            OpportunityEvent.opportunity_id,
            OpportunityEvent.occurred_at,
            OpportunityEvent.sequence,
            OpportunityEvent.new_value.label("stage"),
            Stage.kind,
            Stage.position,
        )
        .join(Opportunity, Opportunity.id == OpportunityEvent.opportunity_id)
        .join(
            Stage,
            and_(Stage.pipeline == Opportunity.pipeline, Stage.stage == OpportunityEvent.new_value),
        )
        .where(
            OpportunityEvent.field == "stage",
            OpportunityEvent.occurred_at <= as_of,
            OpportunityEvent.recorded_at <= as_of,
        )
        .subquery()
    )


def _advances(as_of: dt.datetime) -> Select[Any]:
    advised = _advised(as_of)
    later = _stage_events(as_of)
    earlier = aliased(_stage_events(as_of))
    position_then = (
        select(earlier.c.position)
        .where(
            earlier.c.opportunity_id == advised.c.opportunity_id,
            earlier.c.occurred_at <= advised.c.given_at,
        )
        .order_by(earlier.c.occurred_at.desc(), earlier.c.sequence.desc())
        .limit(1)
        .scalar_subquery()
    )
    return (
        select(
            advised.c.id,
            literal("stage_advanced", Text),
            later.c.occurred_at,
            literal(as_of, Instant),
            func.jsonb_build_object("stage", later.c.stage),
        )
        .ext(distinct_on(advised.c.id))
        .join(later, later.c.opportunity_id == advised.c.opportunity_id)
        .where(
            later.c.occurred_at > advised.c.given_at,
            later.c.occurred_at <= advised.c.given_at + literal(WINDOW, Interval),
            later.c.kind == "open",
            later.c.position > position_then,
        )
        .order_by(advised.c.id, later.c.occurred_at, later.c.sequence)
    )


def _closings(as_of: dt.datetime, kind: str) -> Select[Any]:
    advised = _advised(as_of)
    later = _stage_events(as_of)
    return (
        select(
            advised.c.id,
            literal(kind, Text),
            later.c.occurred_at,
            literal(as_of, Instant),
            func.jsonb_build_object("stage", later.c.stage),
        )
        .ext(distinct_on(advised.c.id))
        .join(later, later.c.opportunity_id == advised.c.opportunity_id)
        .where(later.c.occurred_at > advised.c.given_at, later.c.kind == kind)
        .order_by(advised.c.id, later.c.occurred_at, later.c.sequence)
    )
