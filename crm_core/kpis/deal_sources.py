"""The rows behind the metrics of deals: closed in the period, open, and due in it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    CTE,
    Date,
    Numeric,
    Select,
    and_,
    case,
    cast,
    exists,
    func,
    literal,
    select,
)
from sqlalchemy.dialects.postgresql import distinct_on

from crm_core.advice.models import Prediction
from crm_core.kpis.crediting import last_orders
from crm_core.kpis.question import Expression, Question
from crm_core.kpis.source_rows import ONE, deal_columns, unpriced_currency
from crm_core.orders.conversion import half_even
from crm_core.orders.models import Order


def closed_deals(question: Question) -> Select[Any]:
    """Return the deals that stood closed as of the question and closed in the period: 1 or 0."""
    closed = question.closed
    return select(
        *deal_columns(
            closed,
            day=question.day_of(closed.c.closed_at),
            value=case((closed.c.outcome == "won", 1), else_=0),
        )
    ).where(question.has(closed.c.closed_at))


def won_cycles(question: Question) -> Select[Any]:
    """Return the days from creation to closing of the deals won in the period."""
    closed = question.closed
    days = question.day_of(closed.c.closed_at) - question.day_of(closed.c.created_at)
    return select(
        *deal_columns(
            closed,
            day=question.day_of(closed.c.closed_at),
            value=days,
        )
    ).where(question.has(closed.c.closed_at), closed.c.outcome == "won")


def amount_rows(deals: CTE, value: Expression, weight: Expression = ONE) -> Select[Any]:
    """Return closed deals with a value derived from their amount."""
    return select(
        *deal_columns(
            deals,
            day=deals.c.rate_day,
            value=value,
            weight=weight,
            unpriced=unpriced_currency(deals.c.major, deals.c.value, deals.c.currency),
        )
    )


def won_deals(question: Question) -> Select[Any]:
    """Return the amounts of the deals won in the period, at the rate of the closing day."""
    deals = question.closed_amounts
    return amount_rows(deals, deals.c.value).where(deals.c.outcome == "won")


def closed_amounts(question: Question) -> Select[Any]:
    """Return the won part of the amounts of the deals closed in the period; weight is all of it."""
    deals = question.closed_amounts
    won = case((deals.c.outcome == "won", deals.c.value), (deals.c.value.is_not(None), 0))
    return amount_rows(deals, won, deals.c.value)


def _open_rows(question: Question, value: Expression) -> Select[Any]:
    """Return the open deals with a value derived from their amount in the company's currency."""
    deals = question.open
    return select(
        *deal_columns(
            deals,
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


def open_deals_margin(question: Question) -> Select[Any]:
    """Return amount × the company's margin share of the open deals due, each rounded once.

    Without an order with a cost in the year before there is no share and no value.
    """
    share = question.margin_share
    deals = question.open
    margin = half_even(deals.c.value * share.c.share)
    return (
        _open_rows(question, margin)
        .join(share, literal(True))
        .where(question.includes(deals.c.expected_close_on))
    )


def open_deals_new(question: Question) -> Select[Any]:
    """Return the accounts without a signed order that have an open deal due: 1 each.

    An account counts by its deal due first, so that it counts once whoever owns its deals; a deal
    without an account counts by itself.
    """
    deals = question.of_same_accounts
    customer = func.coalesce(deals.c.account_id, deals.c.opportunity_id)
    earlier = last_orders(
        known_at=question.as_of, among=Order.account_id.in_(select(deals.c.account_id))
    )
    bought = (
        select(earlier.c.account_id)
        .distinct()
        .where(
            earlier.c.status == "signed",
            earlier.c.ordered_on <= question.calendar.day_of(question.stock_at),
        )
        .cte("bought")
        .prefix_with("MATERIALIZED")
    )
    has_bought = exists().where(bought.c.account_id == deals.c.account_id)
    first = (
        select(deals)
        .ext(distinct_on(customer))
        .where(deals.c.kind == "open", question.includes(deals.c.expected_close_on), ~has_bought)
        .order_by(customer, deals.c.expected_close_on, deals.c.opportunity_id)
        .subquery("first_deal")
    )
    return select(
        *deal_columns(
            first,
            day=first.c.expected_close_on,
            placed_on=literal(question.calendar.day_of(question.stock_at), Date),
            value=ONE,
        )
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
            *deal_columns(
                first,
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
