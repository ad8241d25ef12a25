"""Who is credited with how much of which amount, exact to the minor unit, in SQL.

A file of its own beside the sources: commissions will pay on the same split. An invoice or a
payment is credited as its order.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    FromClause,
    Numeric,
    Select,
    Subquery,
    and_,
    case,
    cast,
    func,
    literal,
    select,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import distinct_on

from crm_core.orders.conversion import major, valued
from crm_core.orders.models import Credit, Invoice, Order, Payment

_ONE = literal(Decimal(1), Numeric)


def last_orders(*, known_at: dt.datetime, among: ColumnElement[bool] | None = None) -> Subquery:
    """Return each order in the version known last; ``among``: only orders like that."""
    versions = select(Order).ext(distinct_on(Order.id)).where(Order.recorded_at <= known_at)
    if among is not None:
        versions = versions.where(among)
    return versions.order_by(Order.id, Order.recorded_at.desc()).subquery("last")


def _signed(
    start: dt.date, end: dt.date, known_at: dt.datetime, amount: str
) -> tuple[Subquery, Select[Any]]:
    """Return the orders' last versions and those signed in days, of an amount still to be named."""
    in_days = select(Order.id).where(Order.ordered_on >= start, Order.ordered_on < end)
    last = last_orders(known_at=known_at, among=Order.id.in_(in_days))
    amounts = {
        "amount": last.c.amount_minor,
        "margin": last.c.amount_minor - last.c.cost_minor,
    }
    rows = select(
        last.c.id,
        last.c.id.label("order_id"),
        last.c.owner_id,
        last.c.account_id,
        last.c.product_id,
        last.c.opportunity_id,
        last.c.ordered_on.label("day"),
        last.c.ordered_on.label("rate_day"),
        last.c.currency,
        major(amounts[amount], last.c.currency).label("major"),
    ).where(last.c.status == "signed", last.c.ordered_on >= start, last.c.ordered_on < end)
    return last, rows


def signed_orders(
    *, start: dt.date, end: dt.date, known_at: dt.datetime, currency: str, name: str = "signed"
) -> CTE:
    """Return the orders signed in ``[start, end)``: the version known last, unless cancelled.

    ``value`` is the amount in minor units of ``currency`` at the rate of the day of the order.
    """
    _, rows = _signed(start, end, known_at, "amount")
    return valued(rows, to=currency, name=name, known_at=known_at)


def signed_margins(
    *, start: dt.date, end: dt.date, known_at: dt.datetime, currency: str, name: str = "margins"
) -> CTE:
    """Return the orders of :func:`signed_orders`; ``value`` is amount − cost, null without one."""
    _, rows = _signed(start, end, known_at, "margin")
    return valued(rows, to=currency, name=name, known_at=known_at)


def margin_share(*, start: dt.date, end: dt.date, known_at: dt.datetime, currency: str) -> CTE:
    """Return one row: margin ÷ amount of the orders signed in ``[start, end)`` with a cost.

    The share is null without such an order.
    """
    sums = {}
    for amount in ("amount", "margin"):
        last, rows = _signed(start, end, known_at, amount)
        rows = rows.where(last.c.cost_minor.is_not(None))
        sums[amount] = valued(rows, to=currency, name=f"year_{amount}", known_at=known_at)
    total = {amount: select(func.sum(rows.c.value)).scalar_subquery() for amount, rows in
             sums.items()}  # fmt: skip
    quotient = cast(total["margin"], Numeric(60, 20)) / func.nullif(total["amount"], 0)
    return select(quotient.label("share")).cte("margin_share").prefix_with("MATERIALIZED")


def invoices(*, start: dt.date, end: dt.date, known_at: dt.datetime, currency: str) -> CTE:
    """Return the invoices issued in ``[start, end)``, each with the owner of its order.

    ``value`` is in minor units of ``currency`` at the rate of the day of the invoice.
    """
    issued = (
        select(Invoice).where(Invoice.invoiced_on >= start, Invoice.invoiced_on < end).cte("issued")
    )
    rows = _with_order(issued, issued.c.order_id, issued.c.invoiced_on, known_at=known_at)
    return valued(rows, to=currency, name="invoiced", known_at=known_at)


def payments(*, start: dt.date, end: dt.date, known_at: dt.datetime, currency: str) -> CTE:
    """Return the payments received in ``[start, end)``, each with the owner of its order.

    The order is the one the payment names, else the one its invoice names. ``value`` is in minor
    units of ``currency`` at the rate of the day of the payment.
    """
    received = (
        select(Payment, func.coalesce(Payment.order_id, Invoice.order_id).label("of_order"))
        .outerjoin(Invoice, Invoice.id == Payment.invoice_id)
        .where(Payment.received_on >= start, Payment.received_on < end)
        .cte("received")
    )
    rows = _with_order(received, received.c.of_order, received.c.received_on, known_at=known_at)
    return valued(rows, to=currency, name="paid", known_at=known_at)


def _with_order(
    facts: CTE, order_id: ColumnElement[Any], day: ColumnElement[Any], *, known_at: dt.datetime
) -> Select[Any]:
    """Return facts with the order they belong to as known then: whose, of which product."""
    order = last_orders(known_at=known_at, among=Order.id.in_(select(order_id)))
    return select(
        facts.c.id,
        order_id.label("order_id"),
        order.c.owner_id,
        facts.c.account_id,
        order.c.product_id,
        order.c.opportunity_id,
        day.label("day"),
        day.label("rate_day"),
        facts.c.currency,
        major(facts.c.amount_minor, facts.c.currency).label("major"),
    ).outerjoin(order, order.c.id == order_id)


def credited(facts: CTE, *, name: str = "credited") -> CTE:
    """Return one row per fact and person: the whole minor units and whose the rest is.

    The first ``left`` rows of a fact, by ``turn`` (largest remainder first), get one more. The
    shares are those of the fact's order; without any its owner gets all, without an owner nobody.
    Shares are looked up fact by fact through their index: a join of relations whose size cannot
    be guessed is planned as a loop within a loop.
    """
    given, shares = _shares(facts, name)
    whole = func.greatest(func.coalesce(given.c.given, 0), _ONE)
    size = func.abs(facts.c.value)
    split = (
        select(
            facts.c.id,
            shares.c.user_id,
            facts.c.account_id,
            facts.c.product_id,
            facts.c.opportunity_id,
            facts.c.day,
            facts.c.currency,
            facts.c.major,
            facts.c.value,
            size.label("size"),
            (shares.c.share / whole).label("weight"),
            (cast(size * shares.c.share, Numeric(60, 20)) / whole).label("exact"),
        )
        .select_from(facts)
        .join(given, true())
        .join(shares, true())
        .subquery(f"{name}_split")
    )
    part = func.trunc(split.c.exact)
    by_remainder = [(split.c.exact - part).desc(), split.c.user_id.nulls_last()]
    turn = func.row_number().over(partition_by=split.c.id, order_by=by_remainder)
    left = split.c.size - func.sum(part).over(partition_by=split.c.id)
    return select(split, part.label("part"), turn.label("turn"), left.label("left")).cte(name)


def _shares(facts: CTE, name: str) -> tuple[FromClause, FromClause]:
    """Return the sum of a fact's shares, and who gets which; the uncredited rest to nobody."""
    is_shared = and_(
        Credit.order_id == facts.c.order_id, Credit.kind == "revenue", Credit.share > 0
    )
    given = select(func.sum(Credit.share).label("given")).where(is_shared).lateral(f"{name}_sums")
    listed = select(Credit.user_id, Credit.share).where(is_shared)
    rest = select(
        case((given.c.given.is_(None), facts.c.owner_id), else_=None).label("user_id"),
        (_ONE - func.coalesce(given.c.given, 0)).label("share"),
    ).where(func.coalesce(given.c.given, 0) < 1)
    both = union_all(listed.correlate(facts), rest.correlate(facts, given))
    return given, both.lateral(f"{name}_shares")


def main_credit(order_id: ColumnElement[Any], owner_id: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return who has the largest revenue share of an order; without any share, its owner."""
    largest = (
        select(Credit.user_id)
        .where(Credit.order_id == order_id, Credit.kind == "revenue", Credit.share > 0)
        .order_by(Credit.share.desc(), Credit.user_id)
        .limit(1)
        .scalar_subquery()
    )
    return func.coalesce(largest, owner_id)
