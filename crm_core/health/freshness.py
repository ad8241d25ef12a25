"""Rules of freshness: facts still arrive."""

from __future__ import annotations

from crm_core.health.rule import ACTIVITY_SOURCES, DEAL_SOURCES, ORDER_SOURCES, Rule


def _fresh(
    rule_id: str,
    table: str,
    latest: str,
    days: int,
    names: tuple[str, str],
    remedies: tuple[str, str],
    sources: tuple[str, ...],
) -> Rule:
    """Return a rule that the newest fact of a kind is no older than so many days."""
    return Rule(
        id=rule_id,
        dimension="freshness",
        table=table,
        names=names,
        remedies=remedies,
        checked=f"select count(*) from (select {latest}) l(at) where l.at is not null",
        failing=(
            f"select '{table}', 'newest of ' || cast(l.at as date) from (select {latest}) l(at)"
            f" where l.at < cast(:as_of as timestamptz) - interval '{days} days'"
        ),
        sources=sources,
    )


FRESHNESS: tuple[Rule, ...] = (
    _fresh(
        "deals_are_fresh",
        "opportunity_events",
        "max(occurred_at) from opportunity_events where recorded_at <= :as_of"
        " and occurred_at <= :as_of",
        7,
        ("七天内有商机变更", "Some deal changed within seven days"),
        ("检查商机数据的同步。", "Check whether deals still arrive."),
        DEAL_SOURCES,
    ),
    _fresh(
        "activities_are_fresh",
        "activities",
        "max(occurred_at) from activities where recorded_at <= :as_of and occurred_at <= :as_of",
        7,
        ("七天内有活动记录", "Some activity was recorded within seven days"),
        ("检查活动数据的同步。", "Check whether activities still arrive."),
        ACTIVITY_SOURCES,
    ),
    _fresh(
        "orders_are_fresh",
        "orders",
        "max(ordered_on::timestamptz) from orders where recorded_at <= :as_of"
        " and ordered_on <= :today",
        31,
        ("三十一天内有订单", "Some order was signed within 31 days"),
        ("检查订单数据的同步。", "Check whether orders still arrive."),
        ORDER_SOURCES,
    ),
    _fresh(
        "scores_are_fresh",
        "predictions",
        "max(scored_at) from predictions where as_of <= :as_of",
        2,
        ("两天内计算过赢率", "Deals were scored within two days"),
        ("检查夜间任务是否运行。", "Check whether the nightly jobs run."),
        ("open_deals_weighted",),
    ),
)
