"""Rules of anomaly: numbers are like they usually are."""

from __future__ import annotations

from decimal import Decimal

from crm_core.health.rule import ACTIVITY_SOURCES, DEAL_SOURCES, OPEN_SOURCES, Rule


def _usual(
    rule_id: str,
    table: str,
    instant: str,
    names: tuple[str, str],
    sources: tuple[str, ...],
) -> Rule:
    """Return a rule that the last whole week's number is like the twelve weeks' before it.

    Unlike: further from their median than five times their median absolute deviation scaled to a
    standard deviation (1.4826), and than half the median, so that tiny numbers do not alarm.
    """
    weeks = (
        "with weeks as (select n, (select count(*) from "
        f"{table} where {instant} >= date_trunc('week', cast(:as_of as timestamptz))"
        " - (n + 1) * interval '7 days'"
        f" and {instant} < date_trunc('week', cast(:as_of as timestamptz)) - n * interval '7 days'"
        f" and recorded_at <= :as_of) as rows from generate_series(0, 12) n),"
        " usual as (select percentile_cont(0.5) within group (order by rows) as middle"
        " from weeks where n > 0),"
        " spread as (select percentile_cont(0.5) within group (order by abs(rows - middle)) as mad"
        " from weeks, usual where n > 0)"
    )
    return Rule(
        id=rule_id,
        dimension="anomaly",
        table=table,
        names=names,
        remedies=(
            "核对上周的数据是否完整导入或重复导入。",
            "Check whether last week's rows are all there, and there once.",
        ),
        checked=f"{weeks} select case when middle > 0 then 1 else 0 end from usual",
        failing=(
            f"{weeks} select '{table}', rows || ' last week, usually ' || round(middle)"
            " from weeks, usual, spread where n = 0 and middle > 0"
            " and abs(rows - middle) > 5 * 1.4826 * mad and abs(rows - middle) > middle / 2"
        ),
        sources=sources,
    )


ANOMALY: tuple[Rule, ...] = (
    _usual(
        "new_deals_are_usual",
        "opportunities",
        "created_at",
        ("新商机数量与往常相当", "As many new deals as usual"),
        DEAL_SOURCES,
    ),
    _usual(
        "activities_are_usual",
        "activities",
        "occurred_at",
        ("活动数量与往常相当", "As many activities as usual"),
        ACTIVITY_SOURCES,
    ),
    Rule(
        id="amount_is_plausible",
        dimension="anomaly",
        table="opportunities",
        names=("商机金额在合理范围", "A deal's amount is plausible"),
        remedies=(
            "核对这些金额的位数和币种。",
            "Check the digits and the currency of these amounts.",
        ),
        checked="select count(*) from opportunities where amount_minor is not null",
        failing=(
            "select o.id, 'more than 200 times the median of ' || o.currency from opportunities o"
            " join (select currency, percentile_cont(0.5) within group (order by amount_minor)"
            " as middle from opportunities where amount_minor > 0 group by currency) m"
            " using (currency) where o.amount_minor > 200 * m.middle or o.amount_minor < 0"
        ),
        tolerated=Decimal("0.005"),
        sources=("won_deals", *OPEN_SOURCES),
    ),
)
