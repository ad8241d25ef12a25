"""The rows behind the metrics of activities."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import ColumnElement, Interval, Select, Subquery, exists, func, literal, or_, select
from sqlalchemy.dialects.postgresql import distinct_on

from crm_core.activities.models import Activity
from crm_core.kpis.question import SOON, Question
from crm_core.kpis.source_rows import ONE, row_columns

IN_VAIN = ("no answer", "no show")
"""Outcomes that say that the customer was not met."""
CUSTOMER_KINDS = ("call", "email", "meeting", "visit", "demo", "proposal")


def last_activities(known_at: dt.datetime, among: ColumnElement[bool]) -> Subquery:
    """Return each activity of which a version is ``among``, in the version known last."""
    named = select(Activity.id).where(among)
    return (
        select(Activity)
        .ext(distinct_on(Activity.id))
        .where(Activity.recorded_at <= known_at, Activity.id.in_(named))
        .order_by(Activity.id, Activity.recorded_at.desc())
        .subquery("last")
    )


def _done(question: Question, kinds: tuple[str, ...]) -> tuple[Subquery, Select[Any]]:
    in_period = question.has(Activity.__table__.c.occurred_at)
    last = last_activities(question.as_of, in_period)
    rows = select(
        *row_columns(
            kind="activity",
            row_id=last.c.id,
            user_id=last.c.user_id,
            label=last.c.kind,
            day=question.day_of(last.c.occurred_at),
            value=ONE,
            account_id=last.c.account_id,
            opportunity_id=last.c.opportunity_id,
        )
    ).where(
        last.c.kind.in_(kinds),
        question.has(last.c.occurred_at),
        last.c.occurred_at <= question.as_of,
    )
    return last, rows


def activities(question: Question) -> Select[Any]:
    """Return the customer activities of the period, each in the version known last."""
    return _done(question, CUSTOMER_KINDS)[1]


def visits(question: Question) -> Select[Any]:
    """Return the visits among the activities of the period."""
    return _done(question, ("visit",))[1]


def calls(question: Question) -> Select[Any]:
    """Return the calls among the activities of the period."""
    return _done(question, ("call",))[1]


def effective_follow_ups(question: Question) -> Select[Any]:
    """Return the customer activities of the period of which something came.

    An outcome other than that nobody was met, or a duration was recorded, or the deal moved
    forward within fourteen days.
    """
    last, rows = _done(question, CUSTOMER_KINDS)
    steps = question.steps
    moved = exists().where(
        steps.c.opportunity_id == last.c.opportunity_id,
        steps.c.entered_at > last.c.occurred_at,
        steps.c.entered_at <= last.c.occurred_at + literal(SOON, Interval),
        or_(steps.c.kind == "won", steps.c.position > steps.c.previous_position),
        steps.c.kind != "lost",
    )
    outcome = func.replace(func.lower(func.coalesce(last.c.outcome, "")), "_", " ")
    has_outcome = outcome.not_in(("", *IN_VAIN))
    return rows.where(or_(has_outcome, last.c.duration_minutes > 0, moved))
