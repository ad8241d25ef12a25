"""The rows behind the metrics of deals: closed in the period, open, and due in it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Date, Numeric, Select, and_, case, cast, literal, select
from sqlalchemy.dialects.postgresql import distinct_on

from crm_core.advice.models import Prediction
from crm_core.kpis.question import Expression, Question
from crm_core.kpis.source_rows import row_columns, unpriced_currency
from crm_core.orders.conversion import half_even, valued


def closed_deals(question: Question) -> Select[Any]:
    """Return the deals that stood closed as of the question and closed in the period: 1 or 0."""
    closed = question.closed
    return select(
        *row_columns(
            kind="opportunity",
            row_id=closed.c.opportunity_id,
            user_id=closed.c.owner_id,
            label=closed.c.name,
            account_id=closed.c.account_id,
            product_id=closed.c.product_id,
            opportunity_id=closed.c.opportunity_id,
            day=question.day_of(closed.c.closed_at),
            value=case((closed.c.outcome == "won", 1), else_=0),
        )
    ).where(question.has(closed.c.closed_at))


def won_cycles(question: Question) -> Select[Any]:
    """Return the days from creation to closing of the deals won in the period."""
    closed = question.closed
    days = question.day_of(closed.c.closed_at) - question.day_of(closed.c.created_at)
    return select(
        *row_columns(
            kind="opportunity",
            row_id=closed.c.opportunity_id,
            user_id=closed.c.owner_id,
            label=closed.c.name,
            account_id=closed.c.account_id,
            product_id=closed.c.product_id,
            opportunity_id=closed.c.opportunity_id,
            day=question.day_of(closed.c.closed_at),
            value=days,
        )
    ).where(question.has(closed.c.closed_at), closed.c.outcome == "won")


def won_deals(question: Question) -> Select[Any]:
    """Return the amounts of the deals won in the period, at the rate of the closing day."""
    closed = question.closed
    rows = select(
        closed,
        closed.c.amount.label("major"),
        question.day_of(closed.c.closed_at).label("rate_day"),
    ).where(question.has(closed.c.closed_at), closed.c.outcome == "won")
    won = valued(rows, to=question.currency, name="won", known_at=question.as_of)
    return select(
        *row_columns(
            kind="opportunity",
            row_id=won.c.opportunity_id,
            user_id=won.c.owner_id,
            label=won.c.name,
            account_id=won.c.account_id,
            product_id=won.c.product_id,
            opportunity_id=won.c.opportunity_id,
            day=won.c.rate_day,
            value=won.c.value,
            unpriced=unpriced_currency(won.c.major, won.c.value, won.c.currency),
        )
    )


def _open_rows(question: Question, value: Expression) -> Select[Any]:
    """Return the open deals with a value derived from their amount in the company's currency."""
    deals = question.open
    return select(
        *row_columns(
            kind="opportunity",
            row_id=deals.c.opportunity_id,
            user_id=deals.c.owner_id,
            label=deals.c.name,
            account_id=deals.c.account_id,
            product_id=deals.c.product_id,
            opportunity_id=deals.c.opportunity_id,
            day=deals.c.expected_close_on,
            placed_on=deals.c.rate_day,
            value=value,
            unpriced=unpriced_currency(deals.c.major, deals.c.value, deals.c.currency),
        )
    )


def open_deals(question: Question) -> Select[Any]:
    """Return the amounts of all open deals, at the rate of the day of the question."""
    return _open_rows(question, question.open.c.value)


def open_deals_due(question: Question) -> Select[Any]:
    """Return the open deals whose expected close date is in the period."""
    return open_deals(question).where(question.includes(question.open.c.expected_close_on))


def open_deals_weighted(question: Question) -> Select[Any]:
    """Return amount × probability of the open deals due in the period, each rounded once.

    The probability is the newest given by then; a deal without one, or without an amount, has
    no value and is counted apart.
    """
    given = (
        select(Prediction.opportunity_id, Prediction.p_win)
        .ext(distinct_on(Prediction.opportunity_id))
        .where(Prediction.model == "win_rate", Prediction.as_of <= question.stock_at)
        .order_by(Prediction.opportunity_id, Prediction.as_of.desc(), Prediction.id.desc())
        .cte("given")
    )
    weighted = half_even(question.open.c.value * cast(given.c.p_win, Numeric))
    return (
        _open_rows(question, weighted)
        .outerjoin(given, given.c.opportunity_id == question.open.c.opportunity_id)
        .where(question.includes(question.open.c.expected_close_on))
    )


def deals_due_at_start(question: Question) -> Select[Any]:
    """Return the deals due in the period as known at its start: 1 where the deal slipped out."""
    first = question.at_start
    later = question.stood
    has_slipped = and_(
        later.c.kind.in_(("open", "on_hold")), later.c.expected_close_on >= question.period.end
    )
    return (
        select(
            *row_columns(
                kind="opportunity",
                row_id=first.c.opportunity_id,
                user_id=first.c.owner_id,
                label=first.c.name,
                account_id=first.c.account_id,
                product_id=first.c.product_id,
                opportunity_id=first.c.opportunity_id,
                day=first.c.expected_close_on,
                placed_on=literal(question.period.start, Date),
                value=case((has_slipped, 1), else_=0),
            )
        )
        .join(later, later.c.opportunity_id == first.c.opportunity_id)
        .where(
            first.c.kind == "open",
            question.includes(first.c.expected_close_on),
            literal(question.as_of >= question.start),
        )
    )
