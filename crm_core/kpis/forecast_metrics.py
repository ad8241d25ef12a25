"""The metrics of how good people's forecasts were, week by week, against what came."""

from __future__ import annotations

from crm_core.kpis.metric import Metric, Texts

_CREDIT = "who submitted the call (a manager for the team's, a rep for their own)"
_CURRENCY = "the company's currency of the call and of the won deals"
_WEEK = "the last day of each week of the forecast period (company calendar)"
_NONE: Texts = (
    "期内没有已结算的预测：周期尚未结束，或没有人提交预测。",
    "No forecast of these weeks is settled: its period has not ended, or nobody submitted one.",
)

METRICS: tuple[Metric, ...] = (
    Metric(
        id="forecast_error",
        names=("预测误差", "Forecast error"),
        formulas=(
            "逐人逐周:|提交的承诺额 − 周期实际赢单额| 之和 ÷ 实际赢单额之和。",
            "Week by week and person by person: sum of the distance between the commit called "
            "and what the forecast period then closed ÷ sum of what it closed.",
        ),
        unit="ratio",
        direction="lower",
        aggregation="ratio",
        source="forecast_misses",
        event_date=_WEEK,
        credit=_CREDIT,
        currency_rule=_CURRENCY,
        none_when=_NONE,
    ),
    Metric(
        id="bias",
        names=("预测偏差", "Forecast bias"),
        formulas=(
            "逐人逐周:(提交的承诺额 − 周期实际赢单额)之和 ÷ 实际赢单额之和;大于零为过于乐观。",
            "Week by week and person by person: sum of commit called − what the forecast period "
            "then closed ÷ sum of what it closed; above zero is too hopeful.",
        ),
        unit="ratio",
        direction="neither",
        aggregation="ratio",
        source="forecast_leanings",
        event_date=_WEEK,
        credit=_CREDIT,
        currency_rule=_CURRENCY,
        none_when=_NONE,
    ),
    Metric(
        id="forecast_value_added",
        names=("预测增加值", "Forecast value added"),
        formulas=(
            "逐人逐周:朴素预测(去年同期)的误差 − 提交的承诺额的误差,按实际赢单额加权;大于零"
            "表示人的判断更准。",
            "Week by week and person by person: error of the naive forecast (the same period "
            "last year) − error of the commit called, as a share of what the period closed; "
            "above zero the person was nearer.",
        ),
        unit="ratio",
        direction="higher",
        aggregation="ratio",
        source="forecast_gains",
        event_date=_WEEK,
        credit=_CREDIT,
        currency_rule=_CURRENCY,
        none_when=(
            "期内没有已结算的预测，或没有可比较的朴素预测。",
            "No forecast of these weeks is settled, or there was no naive one to compare with.",
        ),
    ),
)
