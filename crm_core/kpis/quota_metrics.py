"""The metrics against a quota: five forms of each thing that a quota may be for.

Those against a quota of bookings carry the form's bare name; the others name what they are of,
as ``attainment_invoiced``.
"""

from __future__ import annotations

from dataclasses import dataclass

from crm_core.kpis.metric import CREDITED, Form, Goal, Metric, Texts, Unit

GOALS: tuple[Goal, ...] = (
    "bookings", "invoiced", "cash_received", "gross_margin", "new_customers",
)  # fmt: skip
FORMS: tuple[Form, ...] = ("attainment", "pacing", "gap", "coverage", "pipeline_needed")
PIPELINE_OF: dict[Goal, str] = {
    "bookings": "pipeline_in_period",
    "invoiced": "pipeline_in_period",
    "cash_received": "pipeline_in_period",
    "gross_margin": "pipeline_margin",
    "new_customers": "pipeline_new_customers",
}
"""What may still close in the period, in the unit of the quota.

A deal signed in the period may be invoiced and paid after it: that the pipeline is of deals to
be signed is said where it is shown.
"""
CONVERSION_OF: dict[Goal, str] = {
    "bookings": "win_rate_amount",
    "invoiced": "win_rate_amount",
    "cash_received": "win_rate_amount",
    "gross_margin": "win_rate_amount",
    "new_customers": "win_rate_closed",
}
FEWEST_CLOSED = 10
"""With fewer closed deals in the last year there is no historic conversion to speak of."""
_NAMES: dict[Goal, tuple[Texts, str, str]] = {
    "bookings": (("签约额", "bookings"), "orders.ordered_on", CREDITED),
    "invoiced": (("开票额", "invoiced amount"), "invoices.invoiced_on", CREDITED),
    "cash_received": (("回款额", "cash received"), "payments.received_on", CREDITED),
    "gross_margin": (("毛利", "gross margin"), "orders.ordered_on", CREDITED),
    "new_customers": (
        ("新客户数", "number of new customers"),
        "orders.ordered_on of the first",
        "the largest revenue share of that first order; without any, its owner",
    ),
}
_NO_QUOTA: Texts = ("期内没有配额。", "There is no quota for the period.")


@dataclass(frozen=True, slots=True)
class _Shape:
    """What the five metrics of one form share; ``{zh}`` and ``{en}`` stand for the quota's."""

    names: Texts
    formulas: Texts
    unit: Unit | None
    direction: str
    none_when: Texts
    is_of_pipeline: bool = False
    version: int = 1
    since: tuple[str, ...] = ("2026-11 v1: first definition",)


_SHAPES: dict[Form, _Shape] = {
    "attainment": _Shape(
        ("配额完成率", "Quota attainment"),
        (
            "有配额者的{zh} ÷ 其配额(按在岗天数折算)之和;其下属有配额的管理者不重复计算。",
            "The {en} of the people with a quota ÷ the sum of their quotas, prorated by days "
            "employed; whoever manages a quota holder is not counted twice.",
        ),
        "ratio",
        "higher",
        _NO_QUOTA,
    ),
    "pacing": _Shape(
        ("进度比", "Pacing"),
        (
            "{zh}完成率 ÷ 期内到目前应完成的占比:按工作日计,公司设有月度季节性时按其加权,并注明"
            "用了哪一种。1 表示进度正好。",
            "Attainment of the quota of {en} ÷ the share of the period expected by now: its "
            "working days, weighted by the company's season of each month where one is set; which "
            "of the two is said. 1 means on course.",
        ),
        "ratio",
        "higher",
        (
            "期内没有配额,或期间尚未开始。",
            "There is no quota for the period, or it has not begun.",
        ),
        version=2,
        since=(
            "2026-11 v1: by working days alone",
            "2026-11 v2: working days weighted by the company's season where one is set",
        ),
    ),
    "gap": _Shape(
        ("距配额差额", "Gap to quota"),
        (
            "配额 − {zh}(同一批人);负数表示已超额。",
            "Quota − {en} of the same people; negative once the quota is passed.",
        ),
        None,
        "lower",
        _NO_QUOTA,
    ),
    "coverage": _Shape(
        ("在谈覆盖倍数", "Pipeline coverage"),
        (
            "预计在期内成交的在谈量 ÷ 距配额差额(同一批人,配额为{zh})。",
            "Pipeline closing in the period ÷ gap to the quota of {en}, of the same people.",
        ),
        "ratio",
        "higher",
        (
            "没有配额,或差额已为零或以下。",
            "There is no quota, or the gap is already zero or less.",
        ),
        is_of_pipeline=True,
    ),
    "pipeline_needed": _Shape(
        ("尚需在谈量", "Pipeline needed"),
        (
            "距配额({zh})差额 ÷ 同一批人过去 365 天关闭商机的转化率 − 预计在期内成交的在谈量;"
            "负数表示已足够。",
            "Gap to the quota of {en} ÷ historic conversion − pipeline closing in the period; "
            "conversion is what the same people won of the deals they closed in the last 365 "
            "days. Negative: there is more than needed.",
        ),
        None,
        "lower",
        (
            "没有配额,差额已为零或以下,或过去一年关闭的商机不足十个。",
            "There is no quota, the gap is already zero or less, or the people closed fewer than "
            "ten deals in the last year.",
        ),
        is_of_pipeline=True,
    ),
}


def _metric(form: Form, goal: Goal) -> Metric:
    shape = _SHAPES[form]
    (chinese, english), event_date, credit = _NAMES[goal]
    pipeline = PIPELINE_OF[goal]
    is_count = goal == "new_customers"
    suffix = goal != "bookings"
    parts = (pipeline, goal) if shape.is_of_pipeline else (goal,)
    if form == "pipeline_needed":
        parts = (*parts, CONVERSION_OF[goal])
    return Metric(
        id=f"{form}_{goal}" if suffix else form,
        version=shape.version,
        names=(
            shape.names[0] + (f"({chinese})" if suffix else ""),
            shape.names[1] + (f": {english}" if suffix else ""),
        ),
        formulas=(
            shape.formulas[0].format(zh=chinese),
            shape.formulas[1].format(en=english),
        ),
        unit=shape.unit or ("count" if is_count else "money"),
        direction="lower" if shape.direction == "lower" else "higher",
        aggregation="derived",
        source=", ".join((*parts, "quotas")),
        event_date="as_of" if form not in ("attainment", "gap") else event_date,
        credit="the owner at that time" if shape.is_of_pipeline else credit,
        currency_rule="none"
        if is_count
        else f"{goal}: transaction_date; quota: the rate on its first day",
        none_when=shape.none_when,
        since=shape.since,
        parts=parts,
        goal=goal,
        form=form,
    )


METRICS: tuple[Metric, ...] = tuple(_metric(form, goal) for goal in GOALS for form in FORMS)
