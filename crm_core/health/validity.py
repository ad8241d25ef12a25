"""Rules of validity: what a record cannot truthfully say."""

from __future__ import annotations

from decimal import Decimal

from crm_core.health.rule import DEAL_SOURCES, LAST_ORDERS, OPEN_DEALS, ORDER_SOURCES, Rule

VALIDITY: tuple[Rule, ...] = (
    Rule(
        id="deal_closes_after_creation",
        dimension="validity",
        table="opportunities",
        severity="critical",
        names=("商机在创建之后关闭", "A deal closes after it was created"),
        remedies=("更正创建或关闭时间。", "Correct the time of creation or closing."),
        checked="select count(*) from opportunities where closed_at is not null",
        failing=(
            "select id, 'closed at ' || closed_at || ', created at ' || created_at"
            " from opportunities where closed_at < created_at"
        ),
        sources=DEAL_SOURCES,
        blocks=("training",),
    ),
    Rule(
        id="deal_agrees_with_its_history",
        dimension="validity",
        table="opportunities",
        severity="critical",
        names=("商机现状与其历史一致", "A deal stands where its history says"),
        remedies=(
            "重新导入该商机的历史;现状由历史推出。",
            "Import the deal's history again; where it stands is derived from it.",
        ),
        checked="select count(*) from opportunities",
        failing=(
            "select o.id, 'stands in ' || o.stage || ', last moved to ' || e.new_value"
            " from opportunities o join lateral (select new_value from opportunity_events"
            " where opportunity_id = o.id and field = 'stage' and occurred_at <= :as_of"
            " and recorded_at <= :as_of order by occurred_at desc, recorded_at desc, sequence desc"
            " limit 1) e on true where e.new_value is distinct from o.stage"
        ),
        sources=DEAL_SOURCES,
        blocks=("training", "pay"),
    ),
    Rule(
        id="stage_is_known",
        dimension="validity",
        table="opportunity_events",
        severity="critical",
        names=("商机阶段在流程中有定义", "A deal's stage is one of its pipeline's"),
        remedies=(
            "在流程中补充该阶段,或更正商机。",
            "Add the stage to the pipeline, or correct it.",
        ),
        checked="select count(*) from opportunities",
        failing=(
            "select o.id, 'stage ' || o.stage from opportunities o where not exists"
            " (select 1 from stages s where s.pipeline = o.pipeline and s.stage = o.stage)"
        ),
        sources=DEAL_SOURCES,
        blocks=("training",),
    ),
    Rule(
        id="nothing_happened_later_than_now",
        dimension="validity",
        table="opportunity_events",
        severity="critical",
        names=("没有发生在未来的变更", "No change lies in the future"),
        remedies=("更正这些变更的时间。", "Correct the times of these changes."),
        checked="select count(*) from opportunity_events",
        failing=(
            "select opportunity_id, field || ' at ' || occurred_at from opportunity_events"
            " where occurred_at > cast(:as_of as timestamptz) + interval '1 day'"
        ),
        sources=DEAL_SOURCES,
        blocks=("training",),
    ),
    Rule(
        id="close_date_is_kept",
        dimension="validity",
        table="opportunities",
        names=("预计成交日没有过期九十天以上", "An expected close date is not 90 days past"),
        remedies=("更新预计成交日,或关闭商机。", "Renew the date, or close the deal."),
        checked=f"select count(*) {OPEN_DEALS} and expected_close_on is not null",
        failing=(
            f"select id, 'expected on ' || expected_close_on {OPEN_DEALS}"
            " and expected_close_on < cast(:today as date) - 90"
        ),
        tolerated=Decimal("0.2"),
        sources=("open_deals_due", "open_deals_weighted", "open_deals_margin", "open_deals_new"),
    ),
    Rule(
        id="shares_sum_to_one",
        dimension="validity",
        table="credits",
        severity="critical",
        names=("业绩分成之和为一", "The revenue shares of an order sum to one"),
        remedies=("更正该订单的业绩分成。", "Correct the shares of these orders."),
        checked="select count(distinct order_id) from credits where kind = 'revenue'",
        failing=(
            "select order_id, 'shares sum to ' || sum(share) from credits"
            " where kind = 'revenue' group by order_id having sum(share) <> 1"
        ),
        sources=ORDER_SOURCES,
        blocks=("pay",),
    ),
    Rule(
        id="foreign_order_has_a_rate",
        dimension="validity",
        table="orders",
        severity="critical",
        names=("外币订单有汇率", "An order in a foreign currency has a rate"),
        remedies=("导入签约日的汇率。", "Import exchange rates for the day of signing."),
        checked=(
            f"select count(*) from {LAST_ORDERS}"
            " where o.status = 'signed' and o.currency <> :currency"
        ),
        failing=(
            f"select o.id, o.currency || ' on ' || o.ordered_on from {LAST_ORDERS}"
            " where o.status = 'signed' and o.currency <> :currency and not exists"
            " (select 1 from fx_rates f where f.valid_from <= o.ordered_on"
            " and f.recorded_at <= :as_of and ((f.base = o.currency and f.quote = :currency)"
            " or (f.quote = o.currency and f.base = :currency)))"
        ),
        sources=ORDER_SOURCES,
        blocks=("pay",),
    ),
)
