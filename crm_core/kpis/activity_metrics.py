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
)
