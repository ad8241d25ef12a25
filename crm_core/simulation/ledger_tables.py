"""The exchange tables of what was sold: orders, credits, invoices, payments, subscriptions."""

from __future__ import annotations

from decimal import Decimal

import numpy as np

from crm_core.simulation.commerce import Order
from crm_core.simulation.emission import Cell, Sheet, instants, major
from crm_core.simulation.geography import CURRENCIES, DIGITS, PRODUCTS
from crm_core.simulation.record import Run
from crm_core.simulation.weeks import date_of

_SHARED = 0.10
_OVERLAY = 0.05


def _day(number: int | None) -> Cell:
    return None if number is None else date_of(number).isoformat()


def _currency(run: Run, account: int) -> int:
    return int(run.setting.firms.currency[account])


def _money(run: Run, account: int, minor: int) -> str:
    return major(minor, DIGITS[_currency(run, account)])


def _accounts(run: Run, accounts: list[int]) -> tuple[list[Cell], list[Cell]]:
    """Return ids and currencies of accounts."""
    return (
        [run.account_ids[account] for account in accounts],
        [CURRENCIES[_currency(run, account)] for account in accounts],
    )


def orders(run: Run) -> Sheet:
    """Return the orders; a cancellation is a later row with the same id."""
    rows = [(order, order.recorded, "signed") for order in run.books.orders]
    rows += [
        (order, order.cancelled, "cancelled")
        for order in run.books.orders
        if order.cancelled is not None
    ]
    rows.sort(key=lambda row: (row[1], row[0].id))
    placed = [order for order, *_ in rows]
    ids, currencies = _accounts(run, [order.account for order in placed])
    members = run.setting.org.members
    return {
        "id": [order.id for order in placed],
        "account_id": ids,
        "ordered_on": [_day(order.day) for order in placed],
        "recorded_at": instants(np.asarray([recorded for _, recorded, _ in rows])),
        "owner_id": [members[order.owner].id for order in placed],
        "opportunity_id": [
            None if order.deal < 0 else run.deal_ids[order.deal] for order in placed
        ],
        "product_id": [PRODUCTS[order.product].id for order in placed],
        "quantity": [order.quantity for order in placed],
        "amount": [_money(run, order.account, order.amount) for order in placed],
        "cost": [_money(run, order.account, order.cost) for order in placed],
        "currency": currencies,
        "status": [status for *_, status in rows],
    }


def credits(run: Run) -> Sheet:  # noqa: A001 - the table's name
    """Return who is credited where it is not simply the owner: shared orders and overlays."""
    rows: list[tuple[str, int, Decimal, str]] = []
    for order in run.books.orders:
        if order.deal < 0:
            continue
        colleague = _colleague(run, order)
        if colleague is None:
            continue
        if order.draws[19] < _SHARED:
            share = (Decimal("0.2"), Decimal("0.3"), Decimal("0.5"))[int(order.draws[20] * 3)]
            rows.append((order.id, order.owner, 1 - share, "revenue"))
            rows.append((order.id, colleague, share, "revenue"))
        elif order.draws[19] < _SHARED + _OVERLAY:
            rows.append((order.id, order.owner, Decimal(1), "revenue"))
            rows.append((order.id, colleague, Decimal("0.5"), "overlay"))
    members = run.setting.org.members
    return {
        "order_id": [order_id for order_id, *_ in rows],
        "user_id": [members[user].id for _, user, *_ in rows],
        "share": [str(share) for *_, share, _ in rows],
        "kind": [kind for *_, kind in rows],
    }


def _colleague(run: Run, order: Order) -> int | None:
    """Return another rep of the owner's team at the time of the deal's start, or None."""
    org, deals = run.setting.org, run.setting.deals
    week = int(deals.week[order.deal])
    team = org.team[deals.seat[order.deal], week]
    there = [
        int(member)
        for member in org.holder[org.team[:, week] == team, week]
        if member != order.owner and org.members[member].role == "rep"
    ]
    return there[int(order.draws[21] * len(there))] if there else None


def invoices(run: Run) -> Sheet:
    """Return the invoices and credit notes."""
    rows = run.books.invoices
    ids, currencies = _accounts(run, [invoice.order.account for invoice in rows])
    return {
        "id": [invoice.id for invoice in rows],
        "order_id": [invoice.order.id for invoice in rows],
        "account_id": ids,
        "invoiced_on": [_day(invoice.day) for invoice in rows],
        "amount": [_money(run, invoice.order.account, invoice.amount) for invoice in rows],
        "currency": currencies,
    }


def payments(run: Run) -> Sheet:
    """Return the payments and refunds."""
    rows = run.books.payments
    ids, currencies = _accounts(run, [payment.invoice.order.account for payment in rows])
    return {
        "id": [payment.id for payment in rows],
        "order_id": [payment.invoice.order.id for payment in rows],
        "invoice_id": [payment.invoice.id for payment in rows],
        "account_id": ids,
        "received_on": [_day(payment.day) for payment in rows],
        "amount": [_money(run, payment.invoice.order.account, payment.amount) for payment in rows],
        "currency": currencies,
    }


def subscriptions(run: Run) -> Sheet:
    """Return the recurring contracts."""
    rows = run.books.subscriptions
    ids, currencies = _accounts(run, [contract.account for contract in rows])
    return {
        "id": [contract.id for contract in rows],
        "account_id": ids,
        "product_id": [PRODUCTS[contract.product].id for contract in rows],
        "started_on": [_day(contract.started) for contract in rows],
        "ended_on": [_day(contract.ended) for contract in rows],
        "renews_on": [_day(contract.renews) for contract in rows],
        "monthly_amount": [_money(run, contract.account, contract.monthly) for contract in rows],
        "currency": currencies,
    }
