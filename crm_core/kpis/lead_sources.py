"""The rows behind the metrics of leads. A lead's owner has no history: the present one counts."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import (
    Date,
    Numeric,
    Select,
    and_,
    case,
    cast,
    extract,
    func,
    literal,
    select,
)

from crm_core.activities.models import Activity
from crm_core.kpis.activity_sources import CUSTOMER_KINDS, last_activities
from crm_core.kpis.question import Expression, Question
from crm_core.kpis.source_rows import ONE, row_columns
from crm_core.leads.models import Lead
from crm_core.opportunities.models import Opportunity

OPENS, CLOSES = 9, 18
"""The business hours of a working day, Monday to Friday, on the company's clock."""
_A_MONDAY = dt.date(1970, 1, 5)
_HOURS = CLOSES - OPENS
_WORKING_DAYS = 5


def _leads(question: Question, instant: Expression, value: Expression) -> Select[Any]:
    return (
        select(
            *row_columns(
                kind="lead",
                row_id=Lead.__table__.c.id,
                user_id=Lead.__table__.c.owner_id,
                label=func.coalesce(Lead.source, Lead.id),
                day=question.day_of(instant),
                value=value,
                opportunity_id=Lead.__table__.c.converted_opportunity_id,
            )
        )
        .select_from(Lead)
        .where(question.has(instant), instant <= question.as_of)
    )


def new_leads(question: Question) -> Select[Any]:
    """Return the leads that came in the period: 1 each."""
    return _leads(question, Lead.__table__.c.created_at, ONE)


def qualified_leads(question: Question) -> Select[Any]:
    """Return the leads first qualified in the period, whenever they came: 1 each."""
    return _leads(question, Lead.__table__.c.qualified_at, ONE)


def lead_cohort(question: Question) -> Select[Any]:
    """Return the leads that came in the period: 1 where converted by the question, else 0.

    A lead is converted when its opportunity existed and was known; one whose opportunity is not
    in the store has no value: when it converted is not known.
    """
    became = and_(
        Opportunity.created_at <= question.as_of, Opportunity.recorded_at <= question.as_of
    )
    converted = case(
        (Lead.converted_opportunity_id.is_(None), 0),
        (became, 1),
        (Opportunity.id.is_not(None), 0),
    )
    return _leads(question, Lead.__table__.c.created_at, converted).outerjoin(
        Opportunity, Opportunity.id == Lead.converted_opportunity_id
    )


def business_hours(question: Question, instant: Expression) -> Expression:
    """Return the business hours from a far Monday to an instant, by the company's clock."""
    local = func.timezone(question.calendar.time_zone.key, instant)
    days = cast(local, Date) - literal(_A_MONDAY, Date)
    weekday = days % literal(7)
    clock = cast(extract("epoch", local - func.date_trunc("day", local)), Numeric) / 3600 - OPENS
    today = case((weekday < _WORKING_DAYS, func.greatest(0, func.least(clock, _HOURS))), else_=0)
    whole = (days - weekday) * _WORKING_DAYS / literal(7) + func.least(weekday, _WORKING_DAYS)
    return whole * _HOURS + today


def first_touches(question: Question) -> Select[Any]:
    """Return the business hours from each lead of the period to the first customer activity.

    Activities name a lead only through the deal that it became, so a lead that became none, or
    that nobody touched yet, has no value and is counted apart.
    """
    became = select(Lead.converted_opportunity_id).where(question.has(Lead.__table__.c.created_at))
    acts = last_activities(question.as_of, Activity.opportunity_id.in_(became))
    touch = (
        select(Lead.id, func.min(acts.c.occurred_at).label("at"))
        .join(acts, acts.c.opportunity_id == Lead.converted_opportunity_id)
        .where(
            acts.c.kind.in_(CUSTOMER_KINDS),
            acts.c.occurred_at >= Lead.created_at,
            acts.c.occurred_at <= question.as_of,
        )
        .group_by(Lead.id)
        .subquery("touch")
    )
    came = Lead.__table__.c.created_at
    hours = business_hours(question, touch.c.at) - business_hours(question, came)
    return _leads(question, came, func.round(hours, 4)).outerjoin(touch, touch.c.id == Lead.id)
