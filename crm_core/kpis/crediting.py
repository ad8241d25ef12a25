"""Who is credited with how much of which signed order, exact to the minor unit, in SQL.

A file of its own beside ``sources.py``: commissions will pay on the same split.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from sqlalchemy import CTE, Numeric, Subquery, and_, case, cast, func, literal, select, union_all
from sqlalchemy.dialects.postgresql import distinct_on

from crm_core.orders.conversion import major, valued
from crm_core.orders.models import Credit, Order

_ONE = literal(Decimal(1), Numeric)


def signed_orders(*, start: dt.date, end: dt.date, known_at: dt.datetime, currency: str) -> CTE:
    """Return the orders signed in ``[start, end)``: the version known last, unless cancelled.

    ``value`` is the amount in minor units of ``currency`` at the rate of the day of the order.
    """
    last = (
        select(Order)
        .ext(distinct_on(Order.id))
        .where(Order.recorded_at <= known_at)
        .order_by(Order.id, Order.recorded_at.desc())
        .subquery("last")
    )
    rows = select(
        last.c.id,
        last.c.owner_id,
        last.c.account_id,
        last.c.product_id,
        last.c.opportunity_id,
        last.c.ordered_on,
        last.c.ordered_on.label("rate_day"),
        last.c.currency,
        major(last.c.amount_minor, last.c.currency).label("major"),
    ).where(
        last.c.status == "signed",
        last.c.ordered_on >= start,
        last.c.ordered_on < end,
    )
    return valued(rows, to=currency, name="signed", known_at=known_at)


def credited(signed: CTE) -> CTE:
    """Return one row per signed order and person: the whole minor units and whose the rest is.

    The first ``left`` rows of an order, by ``turn`` (largest remainder first), get one more.
    """
    shares = _shares(signed)
    whole = func.sum(shares.c.share).over(partition_by=shares.c.order_id)
    size = func.abs(signed.c.value)
    split = (
        select(
            signed.c.id,
            shares.c.user_id,
            signed.c.account_id,
            signed.c.product_id,
            signed.c.opportunity_id,
            signed.c.ordered_on,
            signed.c.currency,
            signed.c.major,
            signed.c.value,
            size.label("size"),
            (shares.c.share / whole).label("weight"),
            (cast(size * shares.c.share, Numeric(60, 20)) / whole).label("exact"),
        )
        .join(shares, shares.c.order_id == signed.c.id)
        .subquery("split")
    )
    part = func.trunc(split.c.exact)
    by_remainder = [(split.c.exact - part).desc(), split.c.user_id.nulls_last()]
    turn = func.row_number().over(partition_by=split.c.id, order_by=by_remainder)
    left = split.c.size - func.sum(part).over(partition_by=split.c.id)
    return select(split, part.label("part"), turn.label("turn"), left.label("left")).cte("credited")


def _shares(signed: CTE) -> Subquery:
    """Return who gets which share of each signed order, the uncredited rest to nobody."""
    given = (
        select(Credit.order_id, Credit.user_id, Credit.share)
        .join(signed, signed.c.id == Credit.order_id)
        .where(Credit.kind == "revenue", Credit.share > 0)
    )
    sums = (
        select(signed.c.id, signed.c.owner_id, func.sum(Credit.share).label("given"))
        .outerjoin(
            Credit,
            and_(Credit.order_id == signed.c.id, Credit.kind == "revenue", Credit.share > 0),
        )
        .group_by(signed.c.id, signed.c.owner_id)
        .subquery("sums")
    )
    to_owner = select(
        sums.c.id.label("order_id"),
        case((sums.c.given.is_(None), sums.c.owner_id), else_=None).label("user_id"),
        (_ONE - func.coalesce(sums.c.given, 0)).label("share"),
    ).where(func.coalesce(sums.c.given, 0) < 1)
    return union_all(given, to_owner).subquery("shares")
