"""The metrics of people at work in the system, of the data's health, and of the market."""

from __future__ import annotations

from crm_core.kpis.metric import Metric

METRICS: tuple[Metric, ...] = (
    Metric(
        id="adoption_active",
        names=("使用率(按周)", "Weekly adoption"),
        formulas=(
            "期内开始的每一周:至少有一次核心操作(客户活动、商机变更,或在页面、接口上的其他修"
            "改)的在职人数 ÷ 在职人数,各周合计;仅登录不算。",
            "Over the weeks that began in the period: people employed with at least one core "
            "action ÷ people employed. A core action is an activity, a change of a deal, or "
            "any other change made on a page or by the API; signing in is none.",
        ),
        unit="ratio",
        direction="higher",
        aggregation="ratio",
        source="weeks_at_work",
        event_date="weeks from Monday (company calendar)",
        credit="the person",
        currency_rule="none",
        none_when=(
            "期内没有开始的周,或没有在职的人。",
            "No week began in the period, or nobody was employed.",
        ),
    ),
    Metric(
        id="dq_completeness",
        names=("数据完整性", "Data completeness"),
        formulas=(
            "截至提问时(或期末)最近一次数据健康检查中,完整性规则的合格记录占比的平均值(逐条规则)。",
            "Mean, rule by rule, of the share of records that pass the rules of completeness "
            "in the newest check of data health by the question or the end of the period.",
        ),
        unit="ratio",
        direction="higher",
        aggregation="average",
        source="complete_records",
        event_date="the newest check",
        credit="nobody: a number of the whole company",
        currency_rule="none",
        none_when=(
            "尚未做过数据健康检查,没有可查的记录,或您不能查看全公司。",
            "No check was run yet, it found nothing to look at, or you may not see the whole "
            "company.",
        ),
    ),
    Metric(
        id="dq_validity",
        names=("数据有效性", "Data validity"),
        formulas=(
            "截至提问时(或期末)最近一次数据健康检查中,有效性规则的合格记录占比的平均值(逐条规则)。",
            "Mean, rule by rule, of the share of records that pass the rules of validity in "
            "the newest check of data health by the question or the end of the period.",
        ),
        unit="ratio",
        direction="higher",
        aggregation="average",
        source="valid_records",
        event_date="the newest check",
        credit="nobody: a number of the whole company",
        currency_rule="none",
        none_when=(
            "尚未做过数据健康检查,没有可查的记录,或您不能查看全公司。",
            "No check was run yet, it found nothing to look at, or you may not see the whole "
            "company.",
        ),
    ),
    Metric(
        id="dq_freshness",
        names=("数据及时性", "Data freshness"),
        formulas=(
            "截至提问时(或期末)最近一次数据健康检查中,及时性规则的合格记录占比的平均值(逐条规则)。",
            "Mean, rule by rule, of the share of records that pass the rules of freshness in "
            "the newest check of data health by the question or the end of the period.",
        ),
        unit="ratio",
        direction="higher",
        aggregation="average",
        source="fresh_records",
        event_date="the newest check",
        credit="nobody: a number of the whole company",
        currency_rule="none",
        none_when=(
            "尚未做过数据健康检查,没有可查的记录,或您不能查看全公司。",
            "No check was run yet, it found nothing to look at, or you may not see the whole "
            "company.",
        ),
    ),
    Metric(
        id="market_share",
        names=("市场份额", "Market share"),
        formulas=(
            "期内签约额 ÷ 同期市场规模;市场规模须注明日期和来源。",
            "Bookings of the period ÷ size of the market in it, which must come dated and "
            "with its source.",
        ),
        unit="ratio",
        direction="higher",
        aggregation="ratio",
        source="market",
        event_date="the period",
        credit="nobody: a number of the whole company",
        currency_rule="none",
        none_when=(
            "系统中还没有市场规模或经营成本的数据表。",
            "The store has no table of market sizes or of the costs of running the company yet.",
        ),
    ),
    Metric(
        id="profit",
        names=("利润", "Profit"),
        formulas=(
            "期内毛利 − 同期经营成本;经营成本须注明日期和来源。",
            "Gross margin of the period − the costs of running the company in it, which must "
            "come dated and with their source.",
        ),
        unit="money",
        direction="higher",
        aggregation="average",
        source="market",
        event_date="the period",
        credit="nobody: a number of the whole company",
        currency_rule="none",
        none_when=(
            "系统中还没有市场规模或经营成本的数据表。",
            "The store has no table of market sizes or of the costs of running the company yet.",
        ),
    ),
)
