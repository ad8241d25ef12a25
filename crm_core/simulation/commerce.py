"""What deals and customers lead to: orders, invoices, payments, credits, subscriptions.

Amounts are whole minor units; parts of an order sum to it exactly. Days are day numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from crm_core.simulation.arrivals import ORDINARY
from crm_core.simulation.closing import NEVER, Closings
from crm_core.simulation.customers import Customers, leaving_day
from crm_core.simulation.draws import Draws, Floats, Integers, Stream, normal
from crm_core.simulation.geography import (
    CONSUMABLES,
    DIGITS,
    PER_EURO,
    PRODUCTS,
    RECURRING,
)
from crm_core.simulation.process import Setting
from crm_core.simulation.weeks import DAY, WEEK, day_number, day_of, within_week

_SLOTS = 24
_MILESTONES = (40, 40, 20)
_LARGE_EUROS = 60_000
_YEAR = 365


@dataclass(slots=True)
class Order:
    """An order. ``cancelled`` is the instant of its cancellation, or None. ``deal`` -1: none."""

    id: str
    account: int
    day: int
    recorded: int
    owner: int
    deal: int
    product: int
    quantity: int
    amount: int
    cost: int
    cancelled: int | None
    draws: Floats


@dataclass(frozen=True, slots=True)
class Invoice:
    """An invoice, or with a negative amount a credit note."""

    id: str
    order: Order
    day: int
    amount: int


@dataclass(frozen=True, slots=True)
class Payment:
    """Money received for an invoice, or with a negative amount paid back."""

    id: str
    invoice: Invoice
    day: int
    amount: int


@dataclass(frozen=True, slots=True)
class Subscription:
    """A recurring contract; ``ended`` and ``renews`` are days or None."""

    id: str
    account: int
    product: int
    started: int
    ended: int | None
    renews: int | None
    monthly: int


@dataclass(slots=True)
class Books:
    """Everything that was sold, billed and paid by the end; ``tag`` as in the setting."""

    tag: str = ""
    orders: list[Order] = field(default_factory=list)
    invoices: list[Invoice] = field(default_factory=list)
    payments: list[Payment] = field(default_factory=list)
    subscriptions: list[Subscription] = field(default_factory=list)

    def bill(self, order: Order, day: int, amount: int) -> Invoice:
        """Write an invoice, or with a negative amount a credit note."""
        invoice = Invoice(f"I{self.tag}{len(self.invoices) + 1:06d}", order, day, amount)
        self.invoices.append(invoice)
        return invoice

    def pay(self, invoice: Invoice, day: int, amount: int) -> None:
        """Write a payment, or with a negative amount a refund."""
        number = len(self.payments) + 1
        self.payments.append(Payment(f"R{self.tag}{number:06d}", invoice, day, amount))


def books(setting: Setting, ends: Closings, base: Customers, draws: Draws) -> Books:
    """Return the books at the end of the simulation."""
    result = Books(setting.tag)
    orders = _deal_orders(setting, ends, draws) + _repeat_orders(setting, base, draws)
    orders = [order for order in orders if order.recorded < setting.weeks.end]
    orders.sort(key=lambda order: (order.day, order.recorded, order.account, order.deal))
    last = int(day_of(np.asarray([setting.weeks.end]))[0])
    for number, order in enumerate(orders, 1):
        order.id = f"S{setting.tag}{number:06d}"
        result.orders.append(order)
        _bill(setting, order, result, last)
    _subscribe(setting, base, result, last, draws)
    return result


def _cost(product: Integers, amount: Integers, u: Floats) -> Integers:
    share = np.asarray([p.cost_share for p in PRODUCTS])[product] + 0.08 * (u - 0.5)
    cost: Integers = np.rint(amount * share).astype(np.int64)
    return cost


def _deal_orders(setting: Setting, ends: Closings, draws: Draws) -> list[Order]:
    """Return the orders that won deals became."""
    deals, firms = setting.deals, setting.firms
    won = np.flatnonzero((ends.occurred < NEVER) & ends.won)
    u = draws.uniform(Stream.ORDER, deals.key[won], 0, _SLOTS)
    account, product = deals.account[won], deals.product[won]
    scale = 10 ** np.asarray(DIGITS)[firms.currency[account]]
    # a deal entered when it was closed kept the amount of its first entry
    ordinary = deals.kind[won] == ORDINARY
    entered = np.maximum(1, np.rint(deals.amount[won] * _rate(setting, account) / 100)) * 100
    amount = np.maximum(np.where(ordinary, np.rint(ends.amount[won] * scale), entered * scale), 1)
    price = np.asarray([p.list_price for p in PRODUCTS])[product]
    quantity = np.maximum(1, np.rint(deals.amount[won] / price)).astype(np.int64)
    day = day_of(ends.occurred[won]) + np.floor(5 * u[0] ** 2).astype(np.int64)
    late = np.where(u[1] < 0.1, np.floor(1 + 4 * u[2]) * DAY, 0)
    recorded = np.maximum(day * DAY + 16 * 3600 + late, ends.recorded[won] + 600).astype(np.int64)
    gone = recorded + (10 + np.floor(30 * u[4])).astype(np.int64) * DAY
    cancelled = np.where((u[3] < 0.02) & (gone < setting.weeks.end), gone, NEVER)
    cost = _cost(product, amount.astype(np.int64), u[5])
    columns = (account, day, recorded, ends.user[won], won, product, quantity, amount, cost)
    return _orders(columns, cancelled, u)


def _orders(columns: tuple[Floats | Integers, ...], cancelled: Integers, u: Floats) -> list[Order]:
    """Return orders, still without ids, from columns in the order of Order's fields."""
    rows = np.stack([column.astype(np.int64) for column in columns], axis=1).tolist()
    return [
        Order(
            id="", account=account, day=day, recorded=recorded, owner=owner, deal=deal,
            product=product, quantity=quantity, amount=amount, cost=cost,
            cancelled=None if gone == NEVER else gone, draws=u[:, i],
        )
        for i, ((account, day, recorded, owner, deal, product, quantity, amount, cost), gone)
        in enumerate(zip(rows, cancelled.tolist(), strict=True))
    ]  # fmt: skip


def _rate(setting: Setting, account: Integers) -> Floats:
    rates: Floats = np.asarray(PER_EURO)[setting.firms.currency[account]]
    return rates


def _repeat_orders(setting: Setting, base: Customers, draws: Draws) -> list[Order]:
    """Return what existing customers ordered without a deal: consumables."""
    firms, weeks = setting.firms, setting.weeks
    account, week = base.orders
    u = draws.uniform(Stream.ORDER, account, week + 8192, _SLOTS)
    monday = weeks.monday[0] + week * WEEK
    at = within_week(monday, u[0], firms.utc_offset[account])
    mean = np.asarray((6.6, 7.4, 8.2))[firms.segment[account]]
    euros = np.exp(mean + 0.6 * normal(u[6], u[7]))
    scale = 10 ** np.asarray(DIGITS)[firms.currency[account]]
    amount = np.maximum(1, np.rint(euros * _rate(setting, account) * scale)).astype(np.int64)
    product = np.full(len(account), CONSUMABLES)
    quantity = np.maximum(1, np.rint(euros / PRODUCTS[CONSUMABLES].list_price))
    owner = _owner(setting, firms.seat[account], week, day_of(at))
    late = np.where(u[1] < 0.1, np.floor(1 + 3 * u[2]) * DAY, 0)
    no_deal = np.full(len(account), -1)
    cost = _cost(product, amount, u[5])
    columns = (
        account, day_of(at), at + 600 + late, owner, no_deal, product, quantity, amount, cost,
    )  # fmt: skip
    return _orders(columns, np.full(len(account), NEVER), u)


def _owner(setting: Setting, seat: Integers, week: Integers, day: Integers) -> Integers:
    """Return who was in charge of a seat, before the first week its manager until the rep came."""
    org = setting.org
    holder = org.holder[seat, np.clip(week, 0, setting.weeks.count - 1)]
    hired = np.asarray([day_number(member.hired_on) for member in org.members])
    heads = [m.index if m.manager is None else m.manager for m in org.members]
    found: Integers = np.where(hired[holder] <= day, holder, np.asarray(heads)[holder])
    return found


def _bill(setting: Setting, order: Order, result: Books, last: int) -> None:
    """Write the invoices of an order, their payments, and what is given back."""
    u = order.draws
    currency = setting.firms.currency[order.account]
    euros = order.amount / 10 ** DIGITS[currency] / PER_EURO[currency]
    parts = _MILESTONES if euros > _LARGE_EUROS else (100,)
    left = order.amount
    for n, percent in enumerate(parts):
        amount = left if n == len(parts) - 1 else order.amount * percent // 100
        left -= amount
        day = order.day + 3 + int(15 * u[8]) + 35 * n
        if day >= last or (order.cancelled is not None and day >= order.cancelled // DAY):
            return
        invoice = result.bill(order, day, amount)
        note = _credited(invoice, u)
        _settle(setting, invoice, note, result, last, (u[9 + n], u[12 + n]))


def _credited(invoice: Invoice, u: Floats) -> tuple[int, int] | None:
    """Return day and amount of the credit note of a cancelled order or of returned goods."""
    order = invoice.order
    if order.cancelled is not None:
        return order.cancelled // DAY + 2, invoice.amount
    if order.deal < 0 and u[16] < 0.025:
        amount = invoice.amount * int(3 + 7 * u[18]) // 10
        return (invoice.day + 12 + int(30 * u[17]), amount) if amount else None
    return None


def _settle(
    setting: Setting,
    invoice: Invoice,
    note: tuple[int, int] | None,
    result: Books,
    last: int,
    drawn: tuple[float, float],
) -> None:
    """Record what is paid for an invoice, credited and paid back.

    After a credit note nobody pays more than what is still owed; what was paid beyond is
    paid back nine days later.
    """
    credited, reduced = (last, 0) if note is None else note
    paid = early = 0
    for day, amount in _payments(setting, invoice, *drawn):
        owed = invoice.amount - reduced * (day > credited) - paid
        if day < last and owed > 0:
            result.pay(invoice, day, min(amount, owed))
            paid += min(amount, owed)
            early += min(amount, owed) * (day <= credited)
    if note is None or credited >= last:
        return
    written = result.bill(invoice.order, credited, -reduced)
    back = early - (invoice.amount - reduced)
    if back > 0 and credited + 9 < last:
        result.pay(written, credited + 9, -back)


def _payments(
    setting: Setting, invoice: Invoice, delay: float, habit: float
) -> list[tuple[int, int]]:
    """Return days and amounts in which an invoice is paid: sometimes in two parts, or never."""
    if habit < 0.015:
        return []
    wait = 18 + int(24 * delay + 40 * setting.firms.pays_late[invoice.order.account] * delay)
    day, amount = invoice.day + wait, invoice.amount
    if habit > 0.96 and amount > 1:
        return [(day, amount // 2), (day + 25, amount - amount // 2)]
    return [(day, amount)]


def _subscribe(setting: Setting, base: Customers, result: Books, last: int, draws: Draws) -> None:
    """Write the contracts for software and service, older ones of early customers included."""
    left = leaving_day(setting, base.left)
    firms = setting.firms
    u = draws.uniform(Stream.CUSTOMER, np.arange(firms.count), 9000, 4)
    contracts = []
    for account in np.flatnonzero((firms.prior_wins > 0) & (u[0] < 0.3)).tolist():
        currency = firms.currency[account]
        euros = (60, 400, 1800)[firms.segment[account]] * (0.6 + 0.9 * u[2, account])
        monthly = int(euros * PER_EURO[currency]) * 10 ** DIGITS[currency]
        day = setting.weeks.start_day - 20 - int(700 * u[1, account])
        contracts.append((day, account, RECURRING[int(u[3, account] * len(RECURRING))], monthly))
    for order in result.orders:
        if order.product in RECURRING and order.cancelled is None and order.amount >= 12:
            contracts.append((order.day + 14, order.account, order.product, order.amount // 12))
    for number, (day, account, product, monthly) in enumerate(sorted(contracts), 1):
        if day >= last:
            continue
        gone = next((d for d in left.get(account, []) if d > day), None)
        ended = None if gone is None else day + _YEAR * -(-(gone - day) // _YEAR)
        if ended is not None and ended >= last:
            ended = None
        renews = None if ended is not None else day + _YEAR * ((last - day) // _YEAR + 1)
        result.subscriptions.append(
            Subscription(
                f"C{setting.tag}{number:05d}", account, product, day, ended, renews, monthly
            )
        )
