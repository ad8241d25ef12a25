"""What users may define a metric of: the facts with the fields of their rows.

A fact is a shipped source of rows; which orders count, when, credited to whom and at which rate
is decided there and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from sqlalchemy import Numeric, Subquery, literal
from sqlalchemy.orm import Session

from crm_core.kpis.attributes import LEADS, SHARED, Attribute, Home, custom_attributes
from crm_core.kpis.formulas import Kind
from crm_core.kpis.metric import CREDITED, Texts
from crm_core.kpis.question import Expression

Worth = Literal["amount", "days", "is_won", "none"]
"""What a row's own value is: an amount of money, days, whether it was won, or just one."""
_WORTHS: Mapping[Worth, tuple[Kind, Texts] | None] = {
    "amount": ("money", ("金额", "Amount")),
    "days": ("number", ("天数", "Days")),
    "is_won": ("boolean", ("是否赢单", "Won")),
    "none": None,
}
_EXTRA: Mapping[Home, tuple[Attribute, ...]] = {
    "order": (
        Attribute("quantity", "number", "order", ("数量(按分成)", "Quantity, by share")),
        Attribute("currency", "text", "order", ("币种", "Currency")),
    ),
    "activity": (
        Attribute("activity_kind", "text", "activity", ("活动类型", "Kind of activity")),
        Attribute("minutes", "number", "activity", ("时长(分钟)", "Minutes")),
        Attribute("direction", "text", "activity", ("方向", "Direction")),
        Attribute("outcome", "text", "activity", ("结果", "Outcome")),
    ),
    "lead": LEADS,
}
_DAY = Attribute("day", "date", "row", ("日期", "Day"))
_SHARE = Attribute("share", "number", "row", ("业绩分成比例", "Credited share"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A kind of fact; ``source`` is its source of rows, ``home`` the record behind a row."""

    id: str
    names: Texts
    source: str
    home: Home
    worth: Worth
    event_date: str
    credit: str
    currency_rule: str
    known: str
    """Which facts must have been recorded at all, for none not to be zero."""
    nothing: Texts = field(default=("", ""))
    is_flow: bool = True
    """Whether the rows of a period are those of its days."""


_AT_CLOSING = "transaction_date: the rate in force on the day of closing"
_NO_DEAL = ("系统中没有任何商机记录。", "No deal is recorded at all.")

_NO_ORDER = ("系统中没有任何订单记录。", "No order is recorded at all.")


def _closed(name: str, zh: str, en: str, worth: Worth, rate: str = "none") -> Fact:
    return Fact(
        id=name, names=(zh, en), source=name, home="opportunity", worth=worth,
        event_date="closed_at (company calendar)", credit="the owner when the deal closed",
        currency_rule=rate, known="opportunities", nothing=_NO_DEAL,
    )  # fmt: skip


def _open(name: str, zh: str, en: str, known: str, nothing: Texts) -> Fact:
    return Fact(
        id=name, names=(zh, en), source=name, home="opportunity", worth="amount",
        event_date="as_of or the period's end, the earlier", credit="the owner at that time",
        currency_rule="as_of: the rate in force on the day of the question", known=known,
        nothing=nothing, is_flow=False,
    )  # fmt: skip


def _of_order(name: str, zh: str, en: str, day: str, known: str, nothing: Texts) -> Fact:
    return Fact(
        id=name, names=(zh, en), source=name, home="order" if known == "orders" else "row",
        worth="amount", event_date=day, credit=CREDITED,
        currency_rule=f"transaction_date: the rate in force on {day.split('.')[-1]}",
        known=known, nothing=nothing,
    )  # fmt: skip


def _lead(name: str, zh: str, en: str, day: str) -> Fact:
    return Fact(
        id=name, names=(zh, en), source=name, home="lead", worth="none", event_date=day,
        credit="the lead's present owner", currency_rule="none", known="leads",
        nothing=("系统中没有任何线索记录。", "No lead is recorded at all."),
    )  # fmt: skip


FACTS: tuple[Fact, ...] = (
    _of_order("orders", "已签订单", "signed orders", "orders.ordered_on", "orders", _NO_ORDER),
    _of_order(
        "margins", "已签订单的毛利", "margins of signed orders", "orders.ordered_on", "orders",
        _NO_ORDER,
    ),
    _of_order(
        "invoices", "发票", "invoices", "invoices.invoiced_on", "invoices",
        ("系统中没有任何发票记录。", "No invoice is recorded at all."),
    ),
    _of_order(
        "payments", "收款", "payments", "payments.received_on", "payments",
        ("系统中没有任何收款记录。", "No payment is recorded at all."),
    ),
    _closed("won_deals", "赢单的商机", "deals won", "amount", _AT_CLOSING),
    _closed("closed_deals", "已关闭的商机", "deals closed", "is_won"),
    _closed("won_cycles", "赢单商机的周期", "cycles of deals won", "days"),
    _open("open_deals", "未关闭的商机", "open deals", "opportunities", _NO_DEAL),
    _open(
        "open_deals_due", "预计在期内成交的商机", "open deals due in the period",
        "expected_close_dates",
        (
            "系统中没有任何商机记录过预计成交日。",
            "No deal has ever been given an expected close date.",
        ),
    ),
    _lead("new_leads", "新增线索", "new leads", "leads.created_at (company calendar)"),
    _lead(
        "qualified_leads", "合格线索", "qualified leads", "leads.qualified_at (company calendar)"
    ),
    Fact(
        id="activities", names=("客户活动", "customer activities"), source="activities",
        home="activity", worth="none", event_date="activities.occurred_at (company calendar)",
        credit="who did it", currency_rule="none", known="activities",
        nothing=("系统中没有任何活动记录。", "No activity is recorded at all."),
    ),
)  # fmt: skip
BY_ID: Mapping[str, Fact] = {fact.id: fact for fact in FACTS}


def fields(session: Session, fact: Fact) -> dict[str, Attribute]:
    """Return the fields of a fact's rows that formulas may read, by name."""
    own = _WORTHS[fact.worth]
    worth = () if own is None else (Attribute(fact.worth, own[0], "row", own[1]),)
    every = (*worth, _DAY, _SHARE, *_EXTRA.get(fact.home, ()), *SHARED)
    reachable = {"account", "product", "opportunity", "row", fact.home}
    custom = (each for each in custom_attributes(session) if each.home in reachable)
    return {each.name: each for each in (*every, *custom)}


def row_field(name: str, rows: Subquery, *, minor_digits: int) -> Expression | None:
    """Return the SQL of a field that a row itself has, money in major units; None for others."""
    value: Expression = rows.c.value
    if name == "amount":
        return value * literal(Decimal(1).scaleb(-minor_digits), Numeric)
    if name == "days":
        return value
    if name == "is_won":
        return value == 1
    return {"day": rows.c.day, "share": rows.c.weight}.get(name)
