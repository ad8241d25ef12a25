"""The metrics of leads."""

from __future__ import annotations

from crm_core.kpis.metric import Metric

_OWNER = "the lead's present owner: it has no history"

METRICS: tuple[Metric, ...] = (
    Metric(
        id="new_leads",
        names=("新增线索数", "New leads"),
        formulas=(
            "期内新增的线索数;重新打开的不再计。",
            "Number of leads that came in the period; one opened again is not new.",
        ),
        unit="count",
        direction="higher",
        aggregation="count",
        source="new_leads",
        event_date="leads.created_at (company calendar)",
        credit=_OWNER,
        currency_rule="none",
        none_when=("系统中没有任何线索记录。", "No lead is recorded at all."),
    ),
    Metric(
        id="qualified_leads",
        names=("合格线索数", "Qualified leads"),
        formulas=(
            "期内首次被认定合格的线索数,无论何时新增。",
            "Number of leads first qualified in the period, whenever they came.",
        ),
        unit="count",
        direction="higher",
        aggregation="count",
        source="qualified_leads",
        event_date="leads.qualified_at (company calendar)",
        credit=_OWNER,
        currency_rule="none",
        none_when=("系统中没有任何线索记录。", "No lead is recorded at all."),
    ),
    Metric(
        id="lead_conversion",
        names=("线索转化率", "Lead conversion"),
        formulas=(
            "期内新增的线索中,到提问时已转为商机的占比(同一批线索);所指商机不在系统中的另行列出。",
            "Of the leads that came in the period, the share that had become a deal by the "
            "question: one cohort above and below. A lead whose deal is not in the store is "
            "left out and counted apart.",
        ),
        unit="ratio",
        direction="higher",
        aggregation="ratio",
        source="lead_cohort",
        event_date="leads.created_at (company calendar)",
        credit=_OWNER,
        currency_rule="none",
        none_when=("期内没有新增线索。", "No lead came in the period."),
    ),
    Metric(
        id="first_touch_hours",
        names=("首次跟进时长(工作小时)", "Business hours to the first touch"),
        formulas=(
            "期内新增的线索到首次客户活动的工作小时中位数(公司时区,周一至周五 9–18 时)。活动"
            "只能通过转成的商机对应到线索,其他线索及尚未跟进的另行列出。",
            "Median business hours (Monday to Friday, 9 to 18 o'clock on the company's "
            "clock) from a lead of the period to the first customer activity. Activities "
            "name a lead only through the deal it became: other leads, and those not touched "
            "yet, are left out and counted apart.",
        ),
        unit="hours",
        direction="lower",
        aggregation="median",
        source="first_touches",
        event_date="leads.created_at (company calendar)",
        credit=_OWNER,
        currency_rule="none",
        none_when=(
            "期内的线索都还没有可对应的跟进。",
            "No lead of the period has a customer activity that names its deal.",
        ),
    ),
)
