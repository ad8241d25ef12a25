"""The rows behind the metrics of orders, invoices and payments."""

from __future__ import annotations

from typing import Any

from sqlalchemy import CTE, Select, case, func, select
from sqlalchemy.dialects.postgresql import distinct_on

from crm_core.accounts.models import Account
from crm_core.kpis import crediting
from crm_core.kpis.question import Question
from crm_core.kpis.source_rows import ONE, row_columns, unpriced_currency
from crm_core.orders.models import Order


def _credited_rows(parts: CTE, kind: str) -> Select[Any]:
    """Return one row per fact and credited person; the parts of a fact sum exactly to it.

    Revenue shares that sum to less than one leave the rest credited to nobody; shares that sum
    to more are scaled down. The split is by largest remainder, as :func:`money.allocate`.
    """
    part = parts.c.part + case((parts.c.turn <= parts.c.left, 1), else_=0)
    return select(
        *row_columns(
            kind=kind,
            row_id=parts.c.id,
            user_id=parts.c.user_id,
            label=parts.c.id,
            day=parts.c.day,
            value=func.sign(parts.c.value) * part,
            weight=parts.c.weight,
            unpriced=unpriced_currency(parts.c.major, parts.c.value, parts.c.currency),
            account_id=parts.c.account_id,
            product_id=parts.c.product_id,
            opportunity_id=parts.c.opportunity_id,
        )
    )


def orders(question: Question) -> Select[Any]:
    """Return the orders signed in the period, split among the people credited."""
    return _credited_rows(question.credited, "order")


def orders_not_zero(question: Question) -> Select[Any]:
    """Return the rows of :func:`orders` without orders of amount zero."""
    rows = orders(question).subquery("all_orders")
    return select(rows).where(func.coalesce(rows.c.value, 1) != 0)


def margins(question: Question) -> Select[Any]:
    """Return amount − cost of the orders signed in the period, without a value where no cost is."""
    facts = crediting.signed_margins(**question.days)
    return _credited_rows(crediting.credited(facts, name="credited_margins"), "order")


def invoices(question: Question) -> Select[Any]:
    """Return the invoices issued in the period, split as their orders."""
    facts = crediting.invoices(**question.days)
    return _credited_rows(crediting.credited(facts, name="credited_invoices"), "invoice")


def payments(question: Question) -> Select[Any]:
    """Return the payments received in the period, split as their orders."""
    facts = crediting.payments(**question.days)
    return _credited_rows(crediting.credited(facts, name="credited_payments"), "payment")


def first_orders(question: Question) -> Select[Any]:
    """Return the accounts whose first signed order ever is in the period: 1 each.

    Of several orders on that day the first by id counts. A cancelled order is none.
    """
    start, end = question.days["start"], question.days["end"]
    bought = select(Order.account_id).where(Order.ordered_on >= start, Order.ordered_on < end)
    last = crediting.last_orders(known_at=question.as_of, among=Order.account_id.in_(bought))
    first = (
        select(last)
        .ext(distinct_on(last.c.account_id))
        .where(last.c.status == "signed")
        .order_by(last.c.account_id, last.c.ordered_on, last.c.id)
        .subquery("first_order")
    )
    return (
        select(
            *row_columns(
                kind="account",
                row_id=first.c.account_id,
                user_id=crediting.main_credit(first.c.id, first.c.owner_id),
                label=func.coalesce(Account.name, first.c.account_id),
                day=first.c.ordered_on,
                value=ONE,
                account_id=first.c.account_id,
                product_id=first.c.product_id,
                opportunity_id=first.c.opportunity_id,
            )
        )
        .join(Account, Account.id == first.c.account_id)
        .where(first.c.ordered_on >= start, first.c.ordered_on < end)
    )
