"""Every metric, declared once: its name, formula in words, unit, event date and when it is None.

Tile, list, export, API, goal and documentation read these records; the statement that computes a
metric is compiled from its ``source`` and ``aggregation`` in :mod:`crm_core.kpis.queries`. A
change that moves a published number is a new ``version`` with a line in ``since``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from crm_core.errors import NotFound

Unit = Literal["money", "ratio", "days", "count"]
Direction = Literal["higher", "lower", "neither"]
Aggregation = Literal["sum", "count", "ratio", "average", "median", "derived"]
"""``ratio`` and ``average`` are Σ value ÷ Σ weight; ``derived`` is computed from other metrics."""


class UnknownMetric(NotFound):
    """There is no metric of that name in the catalogue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One definition; every pair of texts is (zh-CN, English)."""

    id: str
    version: int = 1
    names: tuple[str, str]
    formulas: tuple[str, str]
    unit: Unit
    direction: Direction
    aggregation: Aggregation
    source: str
    event_date: str
    credit: str
    currency_rule: str
    none_when: tuple[str, str]
    since: tuple[str, ...]
    parts: tuple[str, ...] = ()

    def name(self, locale: str) -> str:
        """Return the name in the locale's language, English unless Chinese."""
        return self.names[0 if _is_chinese(locale) else 1]

    def formula(self, locale: str) -> str:
        """Return the formula sentence in the locale's language."""
        return self.formulas[0 if _is_chinese(locale) else 1]


def _is_chinese(locale: str) -> bool:
    return locale.lower().startswith("zh")


_FIRST = ("2026-11 v1: first definition",)
_NO_DEAL = ("系统中没有任何商机记录。", "No deal is recorded at all.")
_NO_CLOSE_DATE = (
    "系统中没有任何商机记录过预计成交日。",
    "No deal has ever been given an expected close date.",
)
NEEDED_FACTS: dict[str, tuple[str, tuple[str, str]]] = {
    "orders": ("orders", ("系统中没有任何订单记录。", "No order is recorded at all.")),
    "activities": ("activities", ("系统中没有任何活动记录。", "No activity is recorded at all.")),
    "won_deals": ("opportunities", _NO_DEAL),
    "open_deals": ("opportunities", _NO_DEAL),
    "open_deals_due": ("expected_close_dates", _NO_CLOSE_DATE),
    "open_deals_weighted": ("expected_close_dates", _NO_CLOSE_DATE),
}
"""The facts without which a sum over a source is None, not zero, and the sentence that says so.

No order at all is "we do not know what was sold", not "nothing was sold".
"""
_CREDITED = "revenue credits of the order by share; without any, its owner whole"
_CLOSING_OWNER = "the owner when the deal closed"
_OWNER = "the owner at that time"
_AT_ORDER = "transaction_date: the rate in force on ordered_on"
_AT_QUESTION = "as_of: the rate in force on the day of the question"

CATALOGUE: tuple[Metric, ...] = (
    Metric(
        id="bookings",
        names=("签约额", "Bookings"),
        formulas=(
            "期内签订的订单金额按业绩分成比例归属后求和;已取消的订单不计。",
            "Sum of the amounts of orders signed in the period, each credited by its shares; "
            "cancelled orders do not count.",
        ),
        unit="money",
        direction="higher",
        aggregation="sum",
        source="orders",
        event_date="orders.ordered_on",
        credit=_CREDITED,
        currency_rule=_AT_ORDER,
        none_when=("系统中没有任何订单记录。", "No order is recorded at all."),
        since=_FIRST,
    ),
    Metric(
        id="average_deal",
        names=("平均单额", "Average deal"),
        formulas=(
            "签约额 ÷ 归属的订单数(按分成比例计数);金额为零的订单不计。",
            "Bookings ÷ credited number of orders (a half share counts as half an order); orders "
            "of amount zero do not count.",
        ),
        unit="money",
        direction="higher",
        aggregation="average",
        source="orders_not_zero",
        event_date="orders.ordered_on",
        credit=_CREDITED,
        currency_rule=_AT_ORDER,
        none_when=("期内没有签约订单。", "No order was signed in the period."),
        since=_FIRST,
    ),
    Metric(
        id="won_amount",
        names=("赢单金额", "Won amount"),
        formulas=(
            "期内赢单的商机金额之和;没有金额的商机不计入,另行列出数量。",
            "Sum of the amounts of deals won in the period; deals without an amount are left out "
            "and counted apart.",
        ),
        unit="money",
        direction="higher",
        aggregation="sum",
        source="won_deals",
        event_date="closed_at (company calendar)",
        credit=_CLOSING_OWNER,
        currency_rule="transaction_date: the rate in force on the day of closing",
        none_when=(
            "期内有赢单,但都没有金额。",
            "Deals were won in the period, but none has an amount.",
        ),
        since=_FIRST,
    ),
    Metric(
        id="win_rate_closed",
        names=("赢单率(已关闭)", "Win rate of closed deals"),
        formulas=(
            "期内赢单数 ÷(赢单数 + 输单数);未关闭的商机不计。",
            "Deals won ÷ (won + lost) among deals closed in the period; open deals do not count.",
        ),
        unit="ratio",
        direction="higher",
        aggregation="ratio",
        source="closed_deals",
        event_date="closed_at (company calendar)",
        credit=_CLOSING_OWNER,
        currency_rule="none",
        none_when=("期内没有关闭的商机。", "No deal closed in the period."),
        since=_FIRST,
    ),
    Metric(
        id="cycle_days",
        names=("销售周期", "Sales cycle"),
        formulas=(
            "期内赢单的商机从创建日到关闭日的天数中位数(公司日历)。",
            "Median days from creation to closing of the deals won in the period, in the "
            "company's calendar.",
        ),
        unit="days",
        direction="lower",
        aggregation="median",
        source="won_cycles",
        event_date="closed_at (company calendar)",
        credit=_CLOSING_OWNER,
        currency_rule="none",
        none_when=("期内没有赢单。", "No deal was won in the period."),
        since=_FIRST,
    ),
    Metric(
        id="pipeline",
        names=("在谈金额", "Open pipeline"),
        formulas=(
            "提问时(期末之后则为期末)所有未关闭商机的金额之和;没有金额的商机不计入,另行列出数量。",
            "Sum of the amounts of all deals open at the question (or at the period's end, if "
            "earlier); deals without an amount are left out and counted apart.",
        ),
        unit="money",
        direction="higher",
        aggregation="sum",
        source="open_deals",
        event_date="as_of or the period's end, the earlier",
        credit=_OWNER,
        currency_rule=_AT_QUESTION,
        none_when=(
            "有未关闭的商机,但都没有金额。",
            "There are open deals, but none has an amount.",
        ),
        since=_FIRST,
    ),
    Metric(
        id="pipeline_in_period",
        names=("本期预计成交的在谈金额", "Pipeline closing in the period"),
        formulas=(
            "未关闭且预计成交日在期内的商机金额之和。",
            "Sum of the amounts of open deals whose expected close date is in the period.",
        ),
        unit="money",
        direction="higher",
        aggregation="sum",
        source="open_deals_due",
        event_date="expected_close_on",
        credit=_OWNER,
        currency_rule=_AT_QUESTION,
        none_when=(
            "有预计在期内成交的商机,但都没有金额。",
            "Open deals are due in the period, but none has an amount.",
        ),
        since=_FIRST,
    ),
    Metric(
        id="weighted_pipeline",
        names=("加权在谈金额", "Weighted pipeline"),
        formulas=(
            "预计在期内成交的未关闭商机:逐个商机金额 × 赢率,再求和(不是均值相乘)。",
            "Sum over open deals due in the period of amount × probability of winning, deal by "
            "deal; never mean × sum.",
        ),
        unit="money",
        direction="higher",
        aggregation="sum",
        source="open_deals_weighted",
        event_date="expected_close_on",
        credit=_OWNER,
        currency_rule=_AT_QUESTION,
        none_when=(
            "期内到期的商机没有同时具备金额和赢率的。",
            "No deal due in the period has both an amount and a probability.",
        ),
        since=_FIRST,
    ),
    Metric(
        id="slip_rate",
        names=("延期率", "Slip rate"),
        formulas=(
            "期初预计在期内成交的未关闭商机中,后来改到期后且仍未关闭的占比(逐个商机)。",
            "Of the deals open and due in the period at its start, as known then, the share that "
            "is still open with an expected close date after the period.",
        ),
        unit="ratio",
        direction="lower",
        aggregation="ratio",
        source="deals_due_at_start",
        event_date="the period's start",
        credit="the owner at the period's start",
        currency_rule="none",
        none_when=(
            "期初没有预计在期内成交的商机,或期间尚未开始。",
            "No deal was due in the period at its start, or it has not begun.",
        ),
        since=_FIRST,
    ),
    Metric(
        id="activities",
        names=("客户活动数", "Customer activities"),
        formulas=(
            "期内的电话、邮件、会议、拜访、演示和方案数;备注和其他不计。",
            "Number of calls, e-mails, meetings, visits, demos and proposals in the period; notes "
            "and others do not count.",
        ),
        unit="count",
        direction="neither",
        aggregation="count",
        source="activities",
        event_date="activities.occurred_at (company calendar)",
        credit="who did it",
        currency_rule="none",
        none_when=("系统中没有任何活动记录。", "No activity is recorded at all."),
        since=_FIRST,
    ),
    Metric(
        id="attainment",
        names=("配额完成率", "Quota attainment"),
        formulas=(
            "有配额者的签约额 ÷ 其配额(按在岗天数折算)之和;其下属有配额的管理者不重复计算。",
            "Bookings of the people with a quota ÷ the sum of their quotas, prorated by days "
            "employed; whoever manages a quota holder is not counted twice.",
        ),
        unit="ratio",
        direction="higher",
        aggregation="derived",
        source="bookings, quotas",
        event_date="orders.ordered_on",
        credit=_CREDITED,
        currency_rule="bookings: transaction_date; quota: the rate on its first day",
        none_when=("期内没有配额。", "There is no quota for the period."),
        since=_FIRST,
        parts=("bookings",),
    ),
    Metric(
        id="pacing",
        names=("进度比", "Pacing"),
        formulas=(
            "配额完成率 ÷ 期内已过工作日的占比;1 表示若销售均匀则恰好达标。",
            "Attainment ÷ share of the period's working days that have passed; 1 means on course "
            "if sales came evenly.",
        ),
        unit="ratio",
        direction="higher",
        aggregation="derived",
        source="bookings, quotas",
        event_date="as_of",
        credit=_CREDITED,
        currency_rule="as attainment",
        none_when=(
            "期内没有配额,或期间尚未开始。",
            "There is no quota for the period, or it has not begun.",
        ),
        since=_FIRST,
        parts=("bookings",),
    ),
    Metric(
        id="gap",
        names=("距配额差额", "Gap to quota"),
        formulas=(
            "配额 − 签约额(同一批人);负数表示已超额。",
            "Quota − bookings of the same people; negative once the quota is passed.",
        ),
        unit="money",
        direction="lower",
        aggregation="derived",
        source="bookings, quotas",
        event_date="orders.ordered_on",
        credit=_CREDITED,
        currency_rule="as attainment",
        none_when=("期内没有配额。", "There is no quota for the period."),
        since=_FIRST,
        parts=("bookings",),
    ),
    Metric(
        id="coverage",
        names=("在谈覆盖倍数", "Pipeline coverage"),
        formulas=(
            "预计在期内成交的在谈金额 ÷ 距配额差额(同一批人)。",
            "Pipeline closing in the period ÷ gap to quota of the same people.",
        ),
        unit="ratio",
        direction="higher",
        aggregation="derived",
        source="open_deals_due, bookings, quotas",
        event_date="as_of",
        credit=_OWNER,
        currency_rule="as its parts",
        none_when=(
            "没有配额,或差额已为零或以下。",
            "There is no quota, or the gap is already zero or less.",
        ),
        since=_FIRST,
        parts=("pipeline_in_period", "bookings"),
    ),
)

_BY_ID = {metric.id: metric for metric in CATALOGUE}


def metric(metric_id: str) -> Metric:
    """Return the metric of that id. Raises UnknownMetric."""
    try:
        return _BY_ID[metric_id]
    except KeyError:
        known = ", ".join(_BY_ID)
        raise UnknownMetric(f"There is no metric {metric_id!r}; there are {known}.") from None


def as_markdown(metrics: Iterable[Metric] = CATALOGUE) -> str:
    """Return docs/metrics.md: the catalogue as a document, so that neither can lag behind."""
    lines = [
        "# Metrics",
        "",
        "Generated from `crm_core/kpis/catalogue.py`; the tests compare them. A question as of a",
        "time sees only what had happened and was known by then. Amounts are in the company's",
        "currency; an amount without an exchange rate makes the metric None rather than wrong.",
        "None is not zero: it comes with its reason.",
        "",
    ]
    for item in metrics:
        lines += _section(item)
    return "\n".join(lines)


def _silences(item: Metric) -> list[tuple[str, str]]:
    _, unrecorded = NEEDED_FACTS.get(item.source, ("", item.none_when))
    return list(dict.fromkeys([item.none_when, unrecorded]))


def _section(item: Metric) -> list[str]:
    better = {
        "higher": "higher is better",
        "lower": "lower is better",
        "neither": "neither direction is better by itself",
    }[item.direction]
    return [
        f"## `{item.id}`: {item.names[1]} / {item.names[0]}",
        "",
        item.formulas[1],
        "",
        item.formulas[0],
        "",
        f"- unit: {item.unit}; {better}; version {item.version}",
        f"- source: {item.source}; aggregation: {item.aggregation}",
        f"- counts on: {item.event_date}",
        f"- credited to: {item.credit}",
        f"- currency: {item.currency_rule}",
        *(f"- None when: {english} {chinese}" for chinese, english in _silences(item)),
        *(f"- since {line}" for line in item.since),
        "",
    ]
