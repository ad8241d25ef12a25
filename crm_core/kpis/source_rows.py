"""The columns that every source of a metric has, so that one function aggregates them all."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sqlalchemy import FromClause, Numeric, Text, and_, case, cast, literal, null

from crm_core.kpis.question import Expression

ONE = literal(Decimal(1), Numeric)
NOTHING = cast(null(), Text)


def row_columns(
    *,
    kind: str,
    row_id: Expression,
    user_id: Expression,
    label: Expression,
    day: Expression,
    value: Expression,
    placed_on: Expression | None = None,
    weight: Expression = ONE,
    unpriced: Expression = NOTHING,
    account_id: Expression = NOTHING,
    product_id: Expression = NOTHING,
    opportunity_id: Expression = NOTHING,
    stage: Expression = NOTHING,
) -> list[Any]:
    """Return a source's columns.

    ``kind`` and ``row_id`` are what to link to, ``user_id`` is to whom the row is credited,
    ``placed_on`` the day on which that person's place in the company counts (``day`` unless
    given), ``value`` in minor units of the company's currency for money, ``weight`` the
    denominator of a ratio, and ``unpriced`` the currency of an amount that has no exchange rate
    and therefore no value. ``account_id``, ``product_id`` and ``opportunity_id`` are what a
    number is sliced by, and ``stage`` where the row is about one and not about its deal's.
    """
    return [
        literal(kind, Text).label("kind"),
        row_id.label("row_id"),
        user_id.label("user_id"),
        label.label("label"),
        day.label("day"),
        (day if placed_on is None else placed_on).label("placed_on"),
        cast(value, Numeric).label("value"),
        cast(weight, Numeric).label("weight"),
        unpriced.label("unpriced"),
        account_id.label("account_id"),
        product_id.label("product_id"),
        opportunity_id.label("opportunity_id"),
        stage.label("stage"),
    ]


def deal_columns(
    deals: FromClause,
    *,
    day: Expression,
    value: Expression,
    placed_on: Expression | None = None,
    weight: Expression = ONE,
    unpriced: Expression = NOTHING,
) -> list[Any]:
    """Return the columns of rows that are deals, each credited to the owner it had then."""
    return row_columns(
        kind="opportunity",
        row_id=deals.c.opportunity_id,
        user_id=deals.c.owner_id,
        label=deals.c.name,
        account_id=deals.c.account_id,
        product_id=deals.c.product_id,
        opportunity_id=deals.c.opportunity_id,
        day=day,
        value=value,
        placed_on=placed_on,
        weight=weight,
        unpriced=unpriced,
    )


def unpriced_currency(amount: Expression, value: Expression, currency: Expression) -> Expression:
    """Return the currency of an amount that no rate converts, null where all is well."""
    return case((and_(amount.is_not(None), value.is_(None)), currency), else_=None)
