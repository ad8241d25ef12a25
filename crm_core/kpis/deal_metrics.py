"""The metrics of deals: closed, open and due."""

from __future__ import annotations

from crm_core.kpis.metric import Metric

_CLOSING_OWNER = "the owner when the deal closed"
_OWNER = "the owner at that time"
_OWNER_AT_END = "the owner when the deal closed, or at the question while it is open"
_OWNER_AT_ENTRY = "the owner when the deal entered the stage"
_AT_QUESTION = "as_of: the rate in force on the day of the question"

METRICS: tuple[Metric, ...] = (
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
    ),
    Metric(
        id="win_rate_amount",
        names=("赢单率(按金额)", "Win rate by amount"),
        formulas=(
            "期内关闭的商机中,赢单金额 ÷ 全部金额;没有金额的商机不计入,另行列出数量。",
            "Amount of deals won ÷ amount of all deals closed in the period; deals without "
            "an amount are left out and counted apart.",
        ),
        unit="ratio",
        direction="higher",
        aggregation="ratio",
        source="closed_amounts",
        event_date="closed_at (company calendar)",
        credit=_CLOSING_OWNER,
        currency_rule="transaction_date: the rate in force on the day of closing",
        none_when=(
            "期内关闭的商机都没有金额,或没有关闭的商机。",
            "No deal with an amount closed in the period.",
        ),
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
    ),
    Metric(
        id="pipeline_margin",
        names=("本期预计成交的毛利", "Margin of the pipeline closing in the period"),
        formulas=(
            "预计在期内成交的未关闭商机:逐个商机金额 × 公司过去 365 天订单的毛利率,再求和。",
            "Sum over open deals due in the period of amount × the company's margin share, "
            "which is the margin ÷ amount of its orders with a cost signed in the last 365 "
            "days.",
        ),
        unit="money",
        direction="higher",
        aggregation="sum",
        source="open_deals_margin",
        event_date="expected_close_on",
        credit=_OWNER,
        currency_rule=_AT_QUESTION,
        none_when=(
            "有到期的商机,但没有金额,或过去一年没有带成本的订单。",
            "Deals are due, but none has an amount, or no order of the last year has a cost.",
        ),
    ),
    Metric(
        id="pipeline_new_customers",
        names=("本期在谈新客户数", "New customers in the pipeline"),
        formulas=(
            "有未关闭且预计在期内成交的商机、但尚无已签订单的客户数;每个客户计一次,归属最早到"
            "期的商机。",
            "Number of accounts without a signed order that have an open deal due in the "
            "period; each counts once, by its deal due first.",
        ),
        unit="count",
        direction="higher",
        aggregation="sum",
        source="open_deals_new",
        event_date="expected_close_on",
        credit=_OWNER,
        currency_rule="none",
        none_when=(
            "系统中没有任何商机记录过预计成交日。",
            "No deal has ever been given an expected close date.",
        ),
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
    ),
    Metric(
        id="win_rate_cohort_90",
        names=("90 天内赢单率(按创建批次)", "Win rate of the cohort by 90 days"),
        formulas=(
            "期内创建的商机在 90 天内赢单的概率(Aalen-Johansen,输单为竞争结局);仍未关闭的商机"
            "按已观察的天数计入。",
            "Chance that a deal created in the period is won by the age of 90 days, with "
            "losing as a competing end (Aalen-Johansen); deals still open count for as long "
            "as they were watched.",
        ),
        unit="ratio",
        direction="higher",
        aggregation="survival",
        source="deal_ages",
        event_date="created_at (company calendar)",
        credit=_OWNER_AT_END,
        currency_rule="none",
        none_when=(
            "期内没有创建商机,或都还不到 90 天且仍有未关闭的。",
            "No deal was created in the period, or all are younger than 90 days and some "
            "still open.",
        ),
        curve_days=90,
    ),
    Metric(
        id="win_rate_cohort_180",
        names=("180 天内赢单率(按创建批次)", "Win rate of the cohort by 180 days"),
        formulas=(
            "期内创建的商机在 180 天内赢单的概率(Aalen-Johansen,输单为竞争结局);仍未关闭的商"
            "机按已观察的天数计入。",
            "Chance that a deal created in the period is won by the age of 180 days, with "
            "losing as a competing end (Aalen-Johansen); deals still open count for as long "
            "as they were watched.",
        ),
        unit="ratio",
        direction="higher",
        aggregation="survival",
        source="deal_ages",
        event_date="created_at (company calendar)",
        credit=_OWNER_AT_END,
        currency_rule="none",
        none_when=(
            "期内没有创建商机,或都还不到 180 天且仍有未关闭的。",
            "No deal was created in the period, or all are younger than 180 days and some "
            "still open.",
        ),
        curve_days=180,
    ),
    Metric(
        id="win_rate_cohort_365",
        names=("365 天内赢单率(按创建批次)", "Win rate of the cohort by 365 days"),
        formulas=(
            "期内创建的商机在 365 天内赢单的概率(Aalen-Johansen,输单为竞争结局);仍未关闭的商"
            "机按已观察的天数计入。",
            "Chance that a deal created in the period is won by the age of 365 days, with "
            "losing as a competing end (Aalen-Johansen); deals still open count for as long "
            "as they were watched.",
        ),
        unit="ratio",
        direction="higher",
        aggregation="survival",
        source="deal_ages",
        event_date="created_at (company calendar)",
        credit=_OWNER_AT_END,
        currency_rule="none",
        none_when=(
            "期内没有创建商机,或都还不到 365 天且仍有未关闭的。",
            "No deal was created in the period, or all are younger than 365 days and some "
            "still open.",
        ),
        curve_days=365,
    ),
    Metric(
        id="cycle_days_all",
        names=(
            "关闭周期中位数(含未关闭)",
            "Median days to close, open deals included",
        ),
        formulas=(
            "期内创建的商机中有一半已关闭(赢或输)所需的天数;仍未关闭的按已观察的天数计入"
            "(Kaplan-Meier)。",
            "Age by which half of the deals created in the period have closed, won or lost; "
            "deals still open count for as long as they were watched (Kaplan-Meier).",
        ),
        unit="days",
        direction="lower",
        aggregation="survival",
        source="deal_ages",
        event_date="created_at (company calendar)",
        credit=_OWNER_AT_END,
        currency_rule="none",
        none_when=(
            "期内创建的商机还没有一半关闭。",
            "Fewer than half of the deals created in the period have closed so far.",
        ),
        curve_days=0,
    ),
    Metric(
        id="stage_conversion",
        names=("阶段转化率", "Stage conversion"),
        formulas=(
            "期内进入某开放阶段且已离开的商机中,进入后续阶段或赢单的占比;仍停留的另行列出。暂"
            "停时间算在原阶段内。",
            "Of the entries into an open stage in the period that were left again, the share "
            "that went on to a later stage or was won; those still there are counted apart. "
            "Time on hold is time in the stage.",
        ),
        unit="ratio",
        direction="higher",
        aggregation="ratio",
        source="stage_entries",
        event_date="entry into the stage (company calendar)",
        credit=_OWNER_AT_ENTRY,
        currency_rule="none",
        none_when=(
            "期内进入阶段的商机都还没有离开,或没有进入。",
            "No deal entered a stage in the period and has left it.",
        ),
    ),
    Metric(
        id="stage_days",
        names=("阶段停留天数", "Days in a stage"),
        formulas=(
            "期内进入某开放阶段的商机到离开的天数中位数;仍停留的另行列出。",
            "Median days from an entry into an open stage in the period until it was left; "
            "those still there are counted apart.",
        ),
        unit="days",
        direction="lower",
        aggregation="median",
        source="stage_stays",
        event_date="entry into the stage (company calendar)",
        credit=_OWNER_AT_ENTRY,
        currency_rule="none",
        none_when=(
            "期内进入阶段的商机都还没有离开,或没有进入。",
            "No deal entered a stage in the period and has left it.",
        ),
    ),
    Metric(
        id="velocity",
        names=("销售速度(每天)", "Sales velocity per day"),
        formulas=(
            "截至提问时(或期末)365 天内关闭的商机:数量 × 赢率 × 平均赢单金额 ÷ 赢单周期中位数"
            ";都取自同一批商机,因此等于赢单数 × 平均金额 ÷ 周期。",
            "Of the deals closed in the 365 days up to the question (or to the end of the "
            "period): number × win rate × mean amount won ÷ median days to win, all of the "
            "very same deals, so deals won × mean amount ÷ days.",
        ),
        unit="money",
        direction="higher",
        aggregation="pace",
        source="won_in_the_year",
        event_date="closed_at in the trailing 365 days",
        credit=_CLOSING_OWNER,
        currency_rule="transaction_date: the rate in force on the day of closing",
        none_when=(
            "一年内没有带金额的赢单,或都在当天赢单。",
            "No deal with an amount was won in the year, or all were won on the day they "
            "were created.",
        ),
    ),
)
