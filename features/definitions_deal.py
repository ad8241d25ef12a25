"""The features read off the deal itself: momentum, dates, money, process, belief."""

from __future__ import annotations

from features.feature import Feature

MOMENTUM = (
    Feature(
        "stage_code", "momentum", "code", "Stage", "阶段",
        "The deal is in stage {value}", "商机处于「{value}」阶段",
    ),
    Feature(
        "stage_progress", "momentum", "share", "Way through the pipeline", "管道进度",
        "{value} of the stages lie behind", "已走过 {value} 的阶段",
        zero_en="The deal is in its first stage", zero_zh="商机仍在第一阶段",
    ),
    Feature(
        "stage_lift", "momentum", "log_odds", "Record of this stage", "该阶段的历史赢单情况",
        "Deals that reached this stage had {value} times the average odds of winning",
        "到达该阶段的商机赢单几率是平均的 {value} 倍",
    ),
    Feature(
        "days_in_stage", "momentum", "days", "Days in stage", "停留当前阶段的天数",
        "{value} days in the current stage", "已在当前阶段停留 {value} 天",
        zero_en="The deal has just entered this stage", zero_zh="商机刚进入该阶段",
    ),
    Feature(
        "days_in_stage_ratio", "momentum", "ratio", "Time in stage against the usual",
        "阶段停留时间与常态之比",
        "{value} times the usual time in this stage", "在该阶段停留的时间是常态的 {value} 倍",
        monotone=-1,
    ),
    Feature(
        "days_to_stage", "momentum", "days", "Days needed to reach the stage",
        "到达当前阶段所用天数",
        "It took {value} days to reach this stage", "用了 {value} 天到达当前阶段",
    ),
    Feature(
        "stage_moves", "momentum", "count", "Stage changes", "阶段变更次数",
        "The stage changed {value} times", "阶段变更过 {value} 次",
        zero_en="The stage has never changed", zero_zh="阶段从未变更",
    ),
    Feature(
        "stage_moves_28", "momentum", "count", "Stage changes in 28 days", "28 天内阶段变更次数",
        "{value} stage changes in the last 28 days", "最近 28 天阶段变更 {value} 次",
        zero_en="No stage change in the last 28 days", zero_zh="最近 28 天阶段没有变化",
    ),
    Feature(
        "stage_regressions", "momentum", "count", "Steps back", "阶段倒退次数",
        "The deal went back a stage {value} times", "商机曾倒退 {value} 次",
        zero_en="The deal never went back a stage", zero_zh="商机从未倒退", monotone=-1,
    ),
    Feature(
        "stages_skipped", "momentum", "count", "Stages skipped", "跳过的阶段数",
        "{value} stages were skipped", "跳过了 {value} 个阶段",
        zero_en="No stage was skipped", zero_zh="没有跳过任何阶段",
    ),
    Feature(
        "deal_age_days", "momentum", "days", "Age of the deal", "商机天数",
        "The deal is {value} days old", "商机已有 {value} 天",
        zero_en="The deal is new", zero_zh="商机刚创建",
    ),
    Feature(
        "deal_age_ratio", "momentum", "ratio", "Age against the usual winning cycle",
        "商机天数与通常赢单周期之比",
        "The deal is {value} times as old as a usual win", "商机天数是通常赢单周期的 {value} 倍",
    ),
    Feature(
        "is_on_hold", "momentum", "flag", "On hold", "已搁置",
        "The deal is on hold", "商机已搁置",
        zero_en="The deal is active", zero_zh="商机在推进中",
    ),
)  # fmt: skip

DATES = (
    Feature(
        "close_date_pushes", "dates", "count", "Close date pushed", "预计成交日推迟次数",
        "The close date was pushed {value} times", "预计成交日推迟过 {value} 次",
        zero_en="The close date was never pushed", zero_zh="预计成交日从未推迟", monotone=-1,
    ),
    Feature(
        "close_date_pulls", "dates", "count", "Close date pulled in", "预计成交日提前次数",
        "The close date was brought forward {value} times", "预计成交日提前过 {value} 次",
        zero_en="The close date was never brought forward", zero_zh="预计成交日从未提前",
    ),
    Feature(
        "days_pushed", "dates", "days", "Days pushed in total", "累计推迟天数",
        "The close date slipped by {value} days in total", "预计成交日累计推迟 {value} 天",
        zero_en="The close date has not slipped", zero_zh="预计成交日没有推迟", monotone=-1,
    ),
    Feature(
        "days_to_close_date", "dates", "days", "Days to the close date", "距预计成交日天数",
        "{value} days to the expected close date", "距预计成交日还有 {value} 天",
        missing_en="No expected close date is set", missing_zh="未设预计成交日",
    ),
    Feature(
        "days_overdue", "dates", "days", "Days overdue", "逾期天数",
        "The expected close date passed {value} days ago", "预计成交日已过 {value} 天",
        zero_en="The expected close date lies ahead", zero_zh="预计成交日未到", monotone=-1,
    ),
    Feature(
        "closes_this_quarter", "dates", "flag", "Expected this quarter", "预计本季度成交",
        "The deal is expected to close this quarter", "预计本季度成交",
        zero_en="The deal is not expected to close this quarter", zero_zh="预计不在本季度成交",
    ),
    Feature(
        "closes_on_period_end", "dates", "flag", "Close date on a quarter's last day",
        "预计成交日为季末",
        "The close date is the last day of a quarter", "预计成交日定在季度最后一天",
        zero_en="The close date is not a quarter's last day", zero_zh="预计成交日不是季末",
    ),
    Feature(
        "planned_days", "dates", "days", "Planned length", "计划周期",
        "{value} days were planned from creation to close", "计划从创建到成交 {value} 天",
    ),
)  # fmt: skip

MONEY = (
    Feature(
        "amount_log", "money", "log_amount", "Amount", "金额",
        "The amount is {value}", "金额为 {value}",
        missing_en="No amount is entered", missing_zh="未填金额",
    ),
    Feature(
        "amount_vs_rep", "money", "log_ratio", "Amount against the owner's usual",
        "金额与负责人常态之比",
        "The amount is {value} times the owner's usual", "金额是负责人通常的 {value} 倍",
    ),
    Feature(
        "amount_ups", "money", "count", "Amount raised", "金额上调次数",
        "The amount was raised {value} times", "金额上调过 {value} 次",
        zero_en="The amount was never raised", zero_zh="金额从未上调",
    ),
    Feature(
        "amount_downs", "money", "count", "Amount lowered", "金额下调次数",
        "The amount was lowered {value} times", "金额下调过 {value} 次",
        zero_en="The amount was never lowered", zero_zh="金额从未下调",
    ),
    Feature(
        "amount_change", "money", "log_ratio", "Amount against the first one", "金额与最初之比",
        "The amount is {value} times the first one", "金额是最初的 {value} 倍",
    ),
)  # fmt: skip

PROCESS = (
    Feature(
        "missing_fields", "process", "count", "Fields left empty", "未填字段数",
        "{value} of amount, close date, product, source and account are empty",
        "金额、成交日、产品、来源、客户中有 {value} 项未填",
        zero_en="Amount, close date, product, source and account are filled in",
        zero_zh="金额、成交日、产品、来源、客户均已填写",
    ),
    Feature(
        "owner_changes", "process", "count", "Owner changes", "负责人变更次数",
        "The owner changed {value} times", "负责人变更过 {value} 次",
        zero_en="The owner has not changed", zero_zh="负责人未变更",
    ),
    Feature(
        "changes_7", "process", "count", "Changes in 7 days", "7 天内修改次数",
        "{value} fields were changed in the last 7 days", "最近 7 天修改了 {value} 处",
        zero_en="Nothing was changed in the last 7 days", zero_zh="最近 7 天没有修改",
    ),
    Feature(
        "days_since_change", "process", "days", "Days since the last change", "距上次修改天数",
        "The record was last changed {value} days ago", "上次修改在 {value} 天前",
    ),
    Feature(
        "history_none", "process", "flag", "Without history", "无历史记录",
        "The source kept no history of this deal", "来源系统没有该商机的历史",
        zero_en="The source kept this deal's history", zero_zh="来源系统保留了该商机的历史",
    ),
)  # fmt: skip

BELIEF = (
    Feature(
        "forecast_category", "belief", "level", "Forecast category", "预测类别",
        "The owner's forecast category is {value}", "负责人的预测类别为「{value}」",
        monotone=1, belief=True,
        missing_en="No forecast category is given", missing_zh="未填预测类别",
    ),
    Feature(
        "forecast_category_changes", "belief", "count", "Forecast category changes",
        "预测类别变更次数",
        "The forecast category changed {value} times", "预测类别变更过 {value} 次",
        zero_en="The forecast category has not changed", zero_zh="预测类别未变更", belief=True,
    ),
)  # fmt: skip
