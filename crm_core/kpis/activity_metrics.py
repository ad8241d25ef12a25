"""The metrics of activities."""

from __future__ import annotations

from crm_core.kpis.metric import Metric

METRICS: tuple[Metric, ...] = (
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
    ),
    Metric(
        id="visits",
        names=("拜访数", "Visits"),
        formulas=("期内的拜访数。", "Number of visits in the period."),
        unit="count",
        direction="neither",
        aggregation="count",
        source="visits",
        event_date="activities.occurred_at (company calendar)",
        credit="who did it",
        currency_rule="none",
        none_when=("系统中没有任何活动记录。", "No activity is recorded at all."),
    ),
    Metric(
        id="calls",
        names=("电话数", "Calls"),
        formulas=(
            "期内的电话数,无论是否接通。",
            "Number of calls in the period, answered or not.",
        ),
        unit="count",
        direction="neither",
        aggregation="count",
        source="calls",
        event_date="activities.occurred_at (company calendar)",
        credit="who did it",
        currency_rule="none",
        none_when=("系统中没有任何活动记录。", "No activity is recorded at all."),
    ),
    Metric(
        id="effective_follow_ups",
        names=("有效跟进数", "Effective follow-ups"),
        formulas=(
            "期内记录了结果(无人接听、爽约除外)或时长,或 14 天内商机向前推进的客户活动数;"
            "默认不作为薪酬依据。",
            "Number of customer activities of the period with a recorded outcome (other than no "
            "answer or no show) or duration, or whose deal moved forward within 14 days. Never a "
            "base of pay by default: activities can be made up.",
        ),
        unit="count",
        direction="higher",
        aggregation="count",
        source="effective_follow_ups",
        event_date="activities.occurred_at (company calendar)",
        credit="who did it",
        currency_rule="none",
        none_when=("系统中没有任何活动记录。", "No activity is recorded at all."),
    ),
)
