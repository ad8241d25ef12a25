"""The rows behind the metrics of orders."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, case, func, select

from crm_core.kpis.question import Question
from crm_core.kpis.source_rows import row_columns, unpriced_currency


def orders(question: Question) -> Select[Any]:
    """Return one row per order and credited person; the parts of an order sum exactly to it.

    Revenue shares that sum to less than one leave the rest credited to nobody; shares that sum
    to more are scaled down. The split is by largest remainder, as :func:`money.allocate`.
    """
    parts = question.credited
    part = parts.c.part + case((parts.c.turn <= parts.c.left, 1), else_=0)
    return select(
        *row_columns(
            kind="order",
            row_id=parts.c.id,
            user_id=parts.c.user_id,
            label=parts.c.id,
            day=parts.c.ordered_on,
            value=func.sign(parts.c.value) * part,
            weight=parts.c.weight,
            unpriced=unpriced_currency(parts.c.major, parts.c.value, parts.c.currency),
            account_id=parts.c.account_id,
            product_id=parts.c.product_id,
            opportunity_id=parts.c.opportunity_id,
        )
    )


def orders_not_zero(question: Question) -> Select[Any]:
    """Return the rows of :func:`orders` without orders of amount zero."""
    rows = orders(question).subquery("all_orders")
    return select(rows).where(func.coalesce(rows.c.value, 1) != 0)
