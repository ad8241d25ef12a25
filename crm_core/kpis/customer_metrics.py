"""The metrics of customers under contract."""

from __future__ import annotations

from crm_core.kpis.metric import Metric

_OWNER = "the account's present owner: it has no history"
_RATE = "as_of: the rate in force on the day before the period, for both days"

METRICS: tuple[Metric, ...] = (
    Metric(
        id="churn_logo",
        names=("客户流失率", "Customer churn"),
        formulas=(
            "期初前一天有有效合同的客户中,到期末(或提问时)已无任何有效合同的占比;期内离开又回"
            "来的不算流失,早先流失后回来的不算期初客户。",
            "Of the accounts under contract on the day before the period, the share without "
            "any contract at its end (or at the question). Who left and came back within it "
            "is not lost; who comes back from before was not there at its start.",
        ),
        unit="ratio",
        direction="lower",
        aggregation="ratio",
        source="customers_lost",
        event_date="the period",
        credit=_OWNER,
        currency_rule=_RATE,
        none_when=(
            "期初没有有效合同的客户,或期间尚未开始。",
            "No account had a contract at the start of the period, or it has not begun.",
        ),
    ),
    Metric(
        id="churn_revenue",
        names=("收入流失率", "Revenue churn"),
        formulas=(
            "期初客户的月费减少额(流失与缩减)÷ 期初月费。",
            "What the customers of the start pay less a month by the end, lost and "
            "contracted, ÷ what they paid at the start.",
        ),
        unit="ratio",
        direction="lower",
        aggregation="ratio",
        source="revenue_lost",
        event_date="the period",
        credit=_OWNER,
        currency_rule=_RATE,
        none_when=(
            "期初没有有效合同的客户,或期间尚未开始。",
            "No account had a contract at the start of the period, or it has not begun.",
        ),
    ),
    Metric(
        id="grr",
        names=("总收入留存率", "Gross revenue retention"),
        formulas=(
            "期初客户到期末仍付的月费(不计增购)÷ 期初月费;= 1 − 收入流失率。",
            "What the customers of the start still pay by the end, growth not counted, ÷ "
            "what they paid at the start: 1 − revenue churn.",
        ),
        unit="ratio",
        direction="higher",
        aggregation="ratio",
        source="revenue_kept",
        event_date="the period",
        credit=_OWNER,
        currency_rule=_RATE,
        none_when=(
            "期初没有有效合同的客户,或期间尚未开始。",
            "No account had a contract at the start of the period, or it has not begun.",
        ),
    ),
    Metric(
        id="nrr",
        names=("净收入留存率", "Net revenue retention"),
        formulas=(
            "期初客户到期末的月费(计增购)÷ 期初月费;新客户不计。",
            "What the customers of the start pay by the end, growth counted, ÷ what they "
            "paid at the start; new customers do not count.",
        ),
        unit="ratio",
        direction="higher",
        aggregation="ratio",
        source="revenue_now",
        event_date="the period",
        credit=_OWNER,
        currency_rule=_RATE,
        none_when=(
            "期初没有有效合同的客户,或期间尚未开始。",
            "No account had a contract at the start of the period, or it has not begun.",
        ),
    ),
    Metric(
        id="clv",
        names=("客户终身价值", "Customer lifetime value"),
        formulas=(
            "有有效合同的客户的平均值,逐个客户:12 × 月费 × 公司过去 365 天的毛利率 × 1.10 "
            "÷(0.10 + 公司过去一年的客户流失率),即按预期留存年数、每年折现 10% 的毛利。",
            "Mean over the accounts under contract, account by account, of 12 × monthly "
            "amount × the company's margin share of the last 365 days × 1.10 ÷ (0.10 + its "
            "customer churn of the last year): the margin of the years they are expected to "
            "stay, discounted by 10 % a year.",
        ),
        unit="money",
        direction="higher",
        aggregation="average",
        source="lifetime_values",
        event_date="as_of or the period's end, the earlier",
        credit=_OWNER,
        currency_rule="as_of: the rate in force on the day of the question",
        none_when=(
            "没有有效合同的客户,过去一年没有带成本的订单,或一年前没有客户。",
            "No account is under contract, no order of the last year has a cost, or there "
            "was no customer a year ago.",
        ),
    ),
)
