"""The features read off what surrounds the deal: activities, people, account, owner, season."""

from __future__ import annotations

from features.feature import Feature


def _count(
    name: str, en: str, fact_en: str, zh: str, noun_zh: str, when: tuple[str, str]
) -> Feature:
    """Return a count of activities; ``when`` says over which time, in both languages."""
    return Feature(
        name, "engagement", "count", en, zh,
        "{value} " + f"{fact_en} {when[0]}", f"{when[1]}有 {{value}} 次{noun_zh}",
        zero_en=f"No {fact_en} {when[0]}", zero_zh=f"{when[1]}没有{noun_zh}",
    )  # fmt: skip


WEEK = ("in the last 7 days", "最近 7 天")
MONTH = ("in the last 28 days", "最近 28 天")
SEASON = ("in the last 90 days", "最近 90 天")
EVER = ("so far", "至今")
MEETINGS = ("meetings, visits or demos", "会面、拜访或演示")

ENGAGEMENT = (
    _count("activities_7", "Activities in 7 days", "activities", "7 天内活动数", "活动", WEEK),
    _count("activities_28", "Activities in 28 days", "activities", "28 天内活动数", "活动", MONTH),
    _count("activities_90", "Activities in 90 days", "activities", "90 天内活动数", "活动", SEASON),
    _count("activities_all", "Activities so far", "activities", "累计活动数", "活动", EVER),
    _count("inbound_28", "From the customer in 28 days", "contacts from the customer",
           "28 天内客户来访来信", "客户主动联系", MONTH),
    _count("outbound_28", "To the customer in 28 days", "contacts to the customer",
           "28 天内外联", "外联", MONTH),
    _count("calls_28", "Calls in 28 days", "calls", "28 天内通话数", "通话", MONTH),
    _count("calls_all", "Calls so far", "calls", "累计通话数", "通话", EVER),
    _count("emails_28", "E-mails in 28 days", "e-mails", "28 天内邮件数", "邮件", MONTH),
    _count("meetings_28", "Meetings in 28 days", MEETINGS[0], "28 天内会面数", MEETINGS[1], MONTH),
    _count("meetings_all", "Meetings so far", MEETINGS[0], "累计会面数", MEETINGS[1], EVER),
    _count("proposals_all", "Proposals so far", "proposals", "累计方案数", "方案", EVER),
    _count("other_all", "Other work so far", "notes and other work items",
           "累计其他工作", "备注及其他工作", EVER),
    Feature(
        "minutes_28", "engagement", "minutes", "Minutes of work in 28 days", "28 天内工作分钟",
        "{value} minutes of logged work in the last 28 days", "最近 28 天记录了 {value} 分钟工作",
    ),
    Feature(
        "minutes_all", "engagement", "minutes", "Minutes of work so far", "累计工作分钟",
        "{value} minutes of logged work so far", "累计记录了 {value} 分钟工作",
    ),
    Feature(
        "intensity_3", "engagement", "number", "Activity of the last days", "近日活跃度",
        "Activity of the last days: {value}", "近日活跃度 {value}",
        zero_en="No activity so far", zero_zh="尚无活动",
    ),
    Feature(
        "intensity_14", "engagement", "number", "Activity of the last weeks", "近几周活跃度",
        "Activity of the last weeks: {value}", "近几周活跃度 {value}",
        zero_en="No activity so far", zero_zh="尚无活动",
    ),
    Feature(
        "intensity_45", "engagement", "number", "Activity of the last months", "近几月活跃度",
        "Activity of the last months: {value}", "近几月活跃度 {value}",
        zero_en="No activity so far", zero_zh="尚无活动",
    ),
    Feature(
        "two_way_14", "engagement", "number", "Two-way contact of the last weeks",
        "近几周双向沟通", "Two-way contact of the last weeks: {value}", "近几周双向沟通 {value}",
        zero_en="No two-way contact so far", zero_zh="尚无双向沟通", monotone=1,
    ),
    Feature(
        "days_since_activity", "engagement", "days", "Days since the last activity",
        "距上次活动天数", "No activity for {value} days", "已 {value} 天没有活动", monotone=-1,
        missing_en="No activity is recorded", missing_zh="没有活动记录",
    ),
    Feature(
        "days_since_two_way", "engagement", "days", "Days since two-way contact",
        "距上次双向沟通天数", "No two-way contact for {value} days", "已 {value} 天没有双向沟通",
        monotone=-1, missing_en="No two-way contact is recorded", missing_zh="没有双向沟通记录",
    ),
    Feature(
        "reply_rate", "engagement", "share", "Share from the customer", "客户来信占比",
        "{value} of the contacts came from the customer", "{value} 的沟通由客户发起",
        zero_en="The customer has not replied", zero_zh="客户没有回复",
    ),
    Feature(
        "colleagues_active", "engagement", "count", "Colleagues at work", "参与同事数",
        "{value} colleagues worked on the deal", "{value} 位同事参与过该商机",
    ),
    Feature(
        "last_activity_lift", "engagement", "log_odds", "Record of the last activity's kind",
        "上次活动类型的历史赢单情况",
        "Deals with the last activity's kind and result had {value} times the average odds",
        "有过同类活动及结果的商机赢单几率是平均的 {value} 倍",
    ),
)  # fmt: skip

PEOPLE = (
    Feature(
        "contacts_engaged", "people", "count", "Contacts engaged", "参与的联系人数",
        "{value} contacts take part", "{value} 位联系人参与",
        zero_en="No contact takes part", zero_zh="没有联系人参与", monotone=1,
    ),
    Feature(
        "contacts_new_28", "people", "count", "New contacts in 28 days", "28 天内新增联系人",
        "{value} contacts joined in the last 28 days", "最近 28 天新增 {value} 位联系人",
        zero_en="No contact joined in the last 28 days", zero_zh="最近 28 天没有新联系人",
    ),
    Feature(
        "senior_share", "people", "share", "Share of senior contacts", "高层联系人占比",
        "{value} of the contacts are directors or above", "{value} 的联系人为总监及以上",
        undated=True,
        zero_en="No director or above takes part", zero_zh="没有总监及以上的联系人",
    ),
    Feature(
        "single_threaded", "people", "flag", "Single contact", "单线联系",
        "Only one contact takes part", "只有一位联系人参与",
        zero_en="The deal does not hang on one contact", zero_zh="商机不只依赖一位联系人",
    ),
    Feature(
        "has_champion", "people", "flag", "Champion", "内部支持者",
        "A champion is named", "已有内部支持者",
        zero_en="No champion is named", zero_zh="没有内部支持者",
    ),
    Feature(
        "has_economic_buyer", "people", "flag", "Economic buyer", "决策者",
        "The economic buyer takes part", "决策者已参与",
        zero_en="The economic buyer is not known", zero_zh="决策者未知",
    ),
)  # fmt: skip

ACCOUNT = (
    Feature(
        "account_lift", "account", "log_odds", "Record with this account", "该客户历史赢单情况",
        "{value} times the average odds with this account", "该客户的赢单几率是平均的 {value} 倍",
        monotone=1,
    ),
    Feature(
        "account_closed", "account", "log_count", "Closed deals with this account",
        "该客户已结商机数", "{value} recent deals with this account are closed",
        "该客户近期已结 {value} 个商机",
        zero_en="No deal with this account was closed before", zero_zh="与该客户从未结单",
    ),
    Feature(
        "account_open_deals", "account", "count", "Other open deals of the account",
        "该客户其他进行中商机", "The account has {value} other open deals",
        "该客户还有 {value} 个进行中的商机",
        zero_en="The account has no other open deal", zero_zh="该客户没有其他进行中的商机",
    ),
    Feature(
        "account_tenure_days", "account", "days", "Days since the account was created",
        "客户建档天数", "The account is known for {value} days", "客户建档 {value} 天",
        undated=True,
    ),
    Feature(
        "orders_12m", "account", "count", "Orders in 12 months", "12 个月内订单数",
        "{value} orders in the last 12 months", "最近 12 个月有 {value} 个订单",
        zero_en="No order in the last 12 months", zero_zh="最近 12 个月没有订单",
    ),
    Feature(
        "days_since_order", "account", "days", "Days since the last order", "距上次订单天数",
        "The last order was {value} days ago", "上次订单在 {value} 天前",
        missing_en="The account has not ordered", missing_zh="客户没有订单",
    ),
    Feature(
        "account_employees", "account", "log_count", "Employees", "员工数",
        "The account has {value} employees", "客户有 {value} 名员工",
    ),
    Feature(
        "account_revenue", "account", "log_amount", "Annual revenue", "年营收",
        "The account's annual revenue is {value}", "客户年营收 {value}",
    ),
)  # fmt: skip

REP = (
    Feature(
        "rep_lift", "rep", "log_odds", "The owner's record", "负责人历史赢单情况",
        "The owner wins with {value} times the average odds",
        "负责人的赢单几率是平均的 {value} 倍", monotone=1,
    ),
    Feature(
        "rep_open_deals", "rep", "count", "The owner's other open deals", "负责人其他进行中商机",
        "The owner has {value} other open deals", "负责人还有 {value} 个进行中的商机",
        zero_en="The owner has no other open deal", zero_zh="负责人没有其他进行中的商机",
    ),
    Feature(
        "rep_new_28", "rep", "count", "The owner's new deals in 28 days", "负责人 28 天内新商机",
        "The owner got {value} new deals in the last 28 days",
        "负责人最近 28 天新增 {value} 个商机",
        zero_en="The owner got no new deal in the last 28 days",
        zero_zh="负责人最近 28 天没有新商机",
    ),
    Feature(
        "rep_tenure_days", "rep", "days", "The owner's days in the company", "负责人入职天数",
        "The owner joined {value} days ago", "负责人入职 {value} 天",
        undated=True,
    ),
)  # fmt: skip

CALENDAR = (
    Feature(
        "week_of_quarter", "calendar", "week", "Week of the quarter", "季度第几周",
        "Week {value} of the quarter", "本季度第 {value} 周",
    ),
    Feature(
        "company_rate", "calendar", "share", "The company's win rate", "公司赢单率",
        "The company lately wins {value} of its deals", "公司近期赢下 {value} 的商机",
        monotone=1,
    ),
    Feature(
        "company_rate_28", "calendar", "share", "The company's win rate in 28 days",
        "公司 28 天赢单率", "{value} of the deals closed in the last 28 days were won",
        "最近 28 天结单的 {value} 赢单", monotone=1,
    ),
)  # fmt: skip
