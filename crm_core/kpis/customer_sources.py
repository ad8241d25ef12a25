"""The rows behind the metrics of customers under contract: kept, lost, grown, and their worth.

An account's owner has no history: the present one counts.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Date,
    Numeric,
    Select,
    and_,
    case,
    cast,
    func,
    literal,
    or_,
    select,
)

from crm_core.accounts.models import Account
from crm_core.kpis.question import Expression, Question
from crm_core.kpis.source_rows import ONE, row_columns
from crm_core.orders.conversion import half_even, major, valued
from crm_core.orders.models import Subscription

DISCOUNT = Decimal("0.10")
"""Of a year, on what a customer is still worth."""
_ONE_DAY = dt.timedelta(days=1)


def _runs_on(day: dt.date, contract: Any) -> ColumnElement[bool]:  # noqa: ANN401 - a table or relation
    """Return whether a contract runs on a day; its end is the first day without it."""
    return and_(
        contract.started_on <= day, or_(contract.ended_on.is_(None), contract.ended_on > day)
    )


def contracts(question: Question, *, first: dt.date, last: dt.date, name: str) -> CTE:
    """Return one row per account with a contract on the first day: its monthly sums on both days.

    Both are in minor units of the company's currency at the rate of the first day, so that no
    change of rates looks like a customer's. A sum is null, and ``unpriced`` names the currency,
    where a contract's amount has no rate.
    """
    runs = or_(_runs_on(first, Subscription), _runs_on(last, Subscription))
    held = select(Subscription).where(runs).cte(f"{name}_held")
    given = select(
        held.c.account_id,
        held.c.currency,
        major(held.c.monthly_amount_minor, held.c.currency).label("major"),
        literal(first, Date).label("rate_day"),
        _runs_on(first, held.c).label("at_first"),
        _runs_on(last, held.c).label("at_last"),
    )
    priced = valued(given, to=question.currency, name=f"{name}_priced", known_at=question.as_of)
    missing = func.min(case((priced.c.value.is_(None), priced.c.currency)))

    def total(on: Expression) -> Expression:
        amount = func.coalesce(func.sum(priced.c.value).filter(on), 0)
        return case((missing.is_(None), amount))

    return (
        select(
            priced.c.account_id,
            func.coalesce(func.min(Account.name), priced.c.account_id).label("name"),
            func.min(Account.owner_id).label("owner_id"),
            total(priced.c.at_first).label("opening"),
            total(priced.c.at_last).label("closing"),
            missing.label("unpriced"),
        )
        .join(Account, Account.id == priced.c.account_id)
        .group_by(priced.c.account_id)
        .having(func.bool_or(priced.c.at_first))
        .cte(name)
    )


def _over_the_period(question: Question) -> CTE:
    """Return the customers at the end of the day before the period, and what became of them."""
    first = question.period.start - _ONE_DAY
    last = min(question.period.end - _ONE_DAY, question.calendar.day_of(question.as_of))
    return contracts(
        question, first=first, last=max(first, last), name=f"{question.prefix}customers"
    )


def _customers(question: Question, value: Any, weight: Any) -> Select[Any]:  # noqa: ANN401 - of a relation
    customers = question.shared("customers", _over_the_period)
    return select(
        *row_columns(
            kind="account",
            row_id=customers.c.account_id,
            user_id=customers.c.owner_id,
            label=customers.c.name,
            day=literal(question.period.start, Date),
            value=value(customers.c),
            weight=weight(customers.c),
            unpriced=customers.c.unpriced,
            account_id=customers.c.account_id,
        )
    ).where(literal(question.as_of >= question.start), func.coalesce(customers.c.opening, 1) > 0)


def customers_lost(question: Question) -> Select[Any]:
    """Return the customers at the period's start: 1 where no contract is left, else 0."""
    gone = lambda c: case((c.closing == 0, 1), (c.closing > 0, 0))  # noqa: E731
    return _customers(question, gone, lambda _: ONE)


def revenue_lost(question: Question) -> Select[Any]:
    """Return what customers pay less a month than at the period's start; weight is that."""
    return _customers(
        question, lambda c: func.greatest(c.opening - c.closing, 0), lambda c: c.opening
    )


def revenue_kept(question: Question) -> Select[Any]:
    """Return what customers still pay of what they paid at the period's start, without growth."""
    return _customers(question, lambda c: func.least(c.opening, c.closing), lambda c: c.opening)


def revenue_now(question: Question) -> Select[Any]:
    """Return what the customers of the period's start pay now, with growth."""
    return _customers(question, lambda c: c.closing, lambda c: c.opening)


def _churn_of_the_year(question: Question) -> CTE:
    """Return one row: the company's share of customers lost over the year to the stock's day."""
    year = _over_the_period(question.year)
    gone = func.sum(case((year.c.closing == 0, 1), else_=0))
    known = func.count().filter(year.c.opening > 0)
    return (
        select((cast(gone, Numeric(60, 20)) / func.nullif(known, 0)).label("share"))
        .where(year.c.opening > 0)
        .cte("year_churn")
    )


def lifetime_values(question: Question) -> Select[Any]:
    """Return each customer's expected margin from now on, discounted by the year.

    A year's margin, at its start, for as long as the customer stays: twelve monthly amounts ×
    the company's margin share × (1 + discount) ÷ (discount + share of customers lost in a year).
    """
    day = question.calendar.day_of(question.stock_at)
    now = contracts(question, first=day, last=day, name="customers_now")
    churn = _churn_of_the_year(question)
    share = question.margin_share
    years = (1 + DISCOUNT) / (DISCOUNT + churn.c.share)
    worth = half_even(cast(now.c.opening * 12 * share.c.share, Numeric(60, 20)) * years)
    return (
        select(
            *row_columns(
                kind="account",
                row_id=now.c.account_id,
                user_id=now.c.owner_id,
                label=now.c.name,
                day=literal(day, Date),
                value=worth,
                unpriced=now.c.unpriced,
                account_id=now.c.account_id,
            )
        )
        .select_from(now)
        .join(share, literal(True))
        .join(churn, literal(True))
        .where(func.coalesce(now.c.opening, 1) > 0)
    )
