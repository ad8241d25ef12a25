"""Words for what a definition says in codes: on which day, to whom, at which rate, how."""

from __future__ import annotations

from collections.abc import Mapping

from crm_core.kpis.metric import Metric
from crm_core.kpis.quota_metrics import GOALS
from serving.explanations import Words

_CALENDAR = " (company calendar)"
_QUOTA_RATES = Words(
    "{actual}: the rate in force on its own day; quota: the rate on its first day",
    "{actual}:按发生日汇率;配额:按其首日汇率",
)
CREDITS: Mapping[str, str] = {
    "as the order it belongs to; without one, nobody": "同所属订单;没有订单则不归属任何人",
    "revenue credits of the order by share; without any, its owner whole": (
        "按订单的业绩分成比例归属;没有分成则全归订单负责人"
    ),
    "the largest revenue share of that first order; without any, its owner": (
        "该首单业绩分成最大者;没有分成则为其负责人"
    ),
    "the owner at that time": "当时的负责人",
    "the owner at the period's start": "期初的负责人",
    "the owner when the deal closed": "商机关闭时的负责人",
    "the owner when the deal closed, or at the question while it is open": (
        "商机关闭时的负责人;未关闭则为提问时的负责人"
    ),
    "the owner when the deal entered the stage": "商机进入阶段时的负责人",
    "the account's present owner: it has no history": "客户的现任负责人(没有历史记录)",
    "the lead's present owner: it has no history": "线索的现任负责人(没有历史记录)",
    "nobody: a number of the whole company": "不归属个人:全公司的指标",
    "the person": "本人",
    "who did it": "执行者",
    "who submitted the call (a manager for the team's, a rep for their own)": (
        "提交预测者(经理代表团队,销售代表自己)"
    ),
    "as its parts": "同其组成部分",
}
RATES: Mapping[str, str] = {
    "none": "不涉及",
    "as its parts": "同其组成部分",
    "as_of: the rate in force on the day of the question": "按提问当日汇率",
    "as_of: the rate in force on the day before the period, for both days": (
        "期初与期末都按期间前一日汇率"
    ),
    "the company's currency of the call and of the won deals": "预测与赢单均按公司币种",
    "transaction_date: the rate in force on invoiced_on": "按开票日汇率",
    "transaction_date: the rate in force on ordered_on": "按签约日汇率",
    "transaction_date: the rate in force on received_on": "按收款日汇率",
    "transaction_date: the rate in force on the day of closing": "按关闭日汇率",
}
DAYS: Mapping[str, tuple[str, str]] = {
    "activities.occurred_at": ("the day of the activity", "活动日期"),
    "as_of": ("the time of the question", "提问时"),
    "as_of or the period's end, the earlier": (
        "the time of the question, or the period's end if earlier", "提问时或期末,取较早者",
    ),
    "as its parts": ("as its parts", "同其组成部分"),
    "closed_at": ("the day of closing", "商机关闭日"),
    "closed_at in the trailing 365 days": (
        "the day of closing, in the last 365 days", "过去 365 天内的关闭日",
    ),
    "created_at": ("the day of creation", "创建日"),
    "entry into the stage": ("the day of entering the stage", "进入阶段之日"),
    "expected_close_on": ("the expected close date", "预计成交日"),
    "invoices.invoiced_on": ("the day of the invoice", "开票日"),
    "leads.created_at": ("the day the lead arrived", "线索到达日"),
    "leads.qualified_at": ("the day the lead was qualified", "线索合格日"),
    "orders.ordered_on": ("the day the order was signed", "签约日"),
    "orders.ordered_on of the first": ("the day of the first order", "首单签约日"),
    "payments.received_on": ("the day the money came", "收款日"),
    "the last day of each week of the forecast period": (
        "the last day of each week of the forecast period", "预测期内每周最后一天",
    ),
    "the newest check": ("the newest check", "最近一次检查"),
    "the period": ("the period as a whole", "整个期间"),
    "the period's start": ("the period's start", "期初"),
    "weeks from Monday": ("weeks from Monday", "自周一起的各周"),
}  # fmt: skip
UNITS: Mapping[str, Words] = {
    "money": Words("money", "金额"),
    "ratio": Words("ratio", "比率"),
    "days": Words("days", "天"),
    "hours": Words("business hours", "工作小时"),
    "count": Words("number", "数量"),
}
WAYS: Mapping[str, Words] = {
    "sum": Words("Sum of a value", "求和"),
    "count": Words("Number of rows", "计数"),
    "count_distinct": Words("Number of different values", "不同值计数"),
    "mean": Words("Mean of a value", "均值"),
    "median": Words("Median of a value", "中位数"),
    "share": Words("Share of rows for which it holds", "满足条件的占比"),
    "ratio": Words("Ratio of two numbers", "两指标之比"),
}
DIRECTIONS: Mapping[str, Words] = {
    "higher": Words("higher is better", "越高越好"),
    "lower": Words("lower is better", "越低越好"),
    "neither": Words("neither is better by itself", "高低本身无优劣"),
}


def event_day(item: Metric) -> Words:
    """Return on which day a metric counts, in words; the code itself where no word is known."""
    code = item.event_date.removesuffix(_CALENDAR)
    return Words(*DAYS.get(code, (code, code)))


def credit(item: Metric) -> Words:
    """Return to whom a metric is credited."""
    return Words(item.credit, CREDITS.get(item.credit, item.credit))


def rate(item: Metric) -> Words:
    """Return at which rate a metric's amounts in other currencies count."""
    rule = item.currency_rule
    if any(rule == f"{goal}: transaction_date; quota: the rate on its first day" for goal in GOALS):
        actual = rule.partition(":")[0]
        return Words(_QUOTA_RATES.en.format(actual=actual), _QUOTA_RATES.zh.format(actual=actual))
    plain = rule.partition(": ")[2] or ("no currency" if rule == "none" else rule)
    return Words(plain, RATES.get(rule, rule))
