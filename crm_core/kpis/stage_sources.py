"""The rows behind the metrics of stages and of how old deals grow."""

from __future__ import annotations

from typing import Any

from sqlalchemy import CTE, Select, case, func, literal, null, or_, select, true

from crm_core.database import Instant
from crm_core.kpis.deal_sources import amount_rows
from crm_core.kpis.question import Expression, Question
from crm_core.kpis.source_rows import row_columns
from crm_core.opportunities.models import Opportunity
from crm_core.opportunities.states import last_value


def _entries(question: Question, value: Expression) -> Select[Any]:
    """Return the entries into an open stage in the period; the label is the stage."""
    steps = question.steps
    owner = last_value(steps, "owner_id", by=steps.c.entered_at, known_at=question.as_of)
    by = literal(question.as_of, Instant)
    product = last_value(steps, "product_id", by=by, known_at=question.as_of)
    return (
        select(
            *row_columns(
                kind="opportunity",
                row_id=steps.c.opportunity_id,
                user_id=owner.c.new_value,
                label=steps.c.stage,
                stage=steps.c.stage,
                day=question.day_of(steps.c.entered_at),
                value=value,
                account_id=steps.c.account_id,
                product_id=product.c.new_value,
                opportunity_id=steps.c.opportunity_id,
            )
        )
        .select_from(steps)
        .outerjoin(owner, true())
        .outerjoin(product, true())
        .where(steps.c.kind == "open", question.has(steps.c.entered_at))
    )


def stage_entries(question: Question) -> Select[Any]:
    """Return the stage entries of the period: 1 where the deal moved on from it, 0 where not.

    On is to a later open stage or won; back or lost is not. Still there: no value.
    """
    steps = question.steps
    moved_on = or_(steps.c.next_kind == "won", steps.c.next_position > steps.c.position)
    ended = case((steps.c.next_kind == "lost", 0), (moved_on, 1), else_=0)
    return _entries(question, case((steps.c.next_kind.is_(None), null()), else_=ended))


def stage_stays(question: Question) -> Select[Any]:
    """Return the days of each stage entry of the period until it was left; still there: none."""
    steps = question.steps
    return _entries(
        question, question.day_of(steps.c.left_at) - question.day_of(steps.c.entered_at)
    )


def _created(question: Question) -> CTE:
    """Return the deals created in the period, as known."""
    return (
        select(
            Opportunity.id.label("opportunity_id"),
            Opportunity.created_at,
            Opportunity.account_id,
            func.coalesce(Opportunity.name, Opportunity.id).label("name"),
        )
        .where(
            question.has(Opportunity.__table__.c.created_at),
            Opportunity.created_at <= question.as_of,
            Opportunity.recorded_at <= question.as_of,
        )
        .cte("created")
    )


def deal_ages(question: Question) -> Select[Any]:
    """Return the deals created in the period: 1 won, 0 lost, none while open; weight is the age.

    The age is in days of the company's calendar, at closing or at the question.
    """
    ends = question.cohort
    deals = _created(question)
    by = literal(question.as_of, Instant)
    owner = last_value(deals, "owner_id", by=by, known_at=question.as_of)
    product = last_value(deals, "product_id", by=by, known_at=question.as_of)
    has_ended = ends.c.opportunity_id.is_not(None)
    until = func.coalesce(ends.c.closed_at, by)
    won = case((ends.c.outcome == "won", 1), (ends.c.outcome == "lost", 0))
    return (
        select(
            *row_columns(
                kind="opportunity",
                row_id=deals.c.opportunity_id,
                user_id=case((has_ended, ends.c.owner_id), else_=owner.c.new_value),
                label=deals.c.name,
                day=question.day_of(deals.c.created_at),
                value=won,
                weight=question.day_of(until) - question.day_of(deals.c.created_at),
                account_id=deals.c.account_id,
                product_id=product.c.new_value,
                opportunity_id=deals.c.opportunity_id,
            )
        )
        .select_from(deals)
        .outerjoin(ends, ends.c.opportunity_id == deals.c.opportunity_id)
        .outerjoin(owner, true())
        .outerjoin(product, true())
    )


def won_in_the_year(question: Question) -> Select[Any]:
    """Return the deals won in the year up to the stock's day: amount, weighted by their days."""
    year = question.year
    won = year.closed_amounts
    days = year.day_of(won.c.closed_at) - year.day_of(won.c.created_at)
    return amount_rows(won, won.c.value, days).where(won.c.outcome == "won")
