"""Every metric, declared once, in groups by the facts they are of.

Tile, list, export, API, goal and documentation read these records; the statement that computes a
metric is compiled from its ``source`` and ``aggregation`` in :mod:`crm_core.kpis.queries`. A
change that moves a published number is a new ``version`` with a line in ``since``.
"""

from __future__ import annotations

from collections.abc import Iterable

from crm_core.kpis import (
    activity_metrics,
    customer_metrics,
    deal_metrics,
    forecast_metrics,
    lead_metrics,
    order_metrics,
    people_metrics,
    quota_metrics,
)
from crm_core.kpis.metric import Metric, Texts, UnknownMetric

__all__ = ["CATALOGUE", "NEEDED_FACTS", "Metric", "UnknownMetric", "as_markdown", "metric"]

_NO_DEAL = ("系统中没有任何商机记录。", "No deal is recorded at all.")
_NO_CLOSE_DATE = (
    "系统中没有任何商机记录过预计成交日。",
    "No deal has ever been given an expected close date.",
)
_NO_ACTIVITY = ("系统中没有任何活动记录。", "No activity is recorded at all.")
_NO_LEAD = ("系统中没有任何线索记录。", "No lead is recorded at all.")
_NO_ORDER = ("系统中没有任何订单记录。", "No order is recorded at all.")
NEEDED_FACTS: dict[str, tuple[str, Texts]] = {
    "orders": ("orders", _NO_ORDER),
    "margins": ("orders", _NO_ORDER),
    "first_orders": ("orders", _NO_ORDER),
    "invoices": ("invoices", ("系统中没有任何发票记录。", "No invoice is recorded at all.")),
    "payments": ("payments", ("系统中没有任何收款记录。", "No payment is recorded at all.")),
    "activities": ("activities", _NO_ACTIVITY),
    "visits": ("activities", _NO_ACTIVITY),
    "calls": ("activities", _NO_ACTIVITY),
    "effective_follow_ups": ("activities", _NO_ACTIVITY),
    "new_leads": ("leads", _NO_LEAD),
    "qualified_leads": ("leads", _NO_LEAD),
    "won_deals": ("opportunities", _NO_DEAL),
    "open_deals": ("opportunities", _NO_DEAL),
    "open_deals_due": ("expected_close_dates", _NO_CLOSE_DATE),
    "open_deals_margin": ("expected_close_dates", _NO_CLOSE_DATE),
    "open_deals_new": ("expected_close_dates", _NO_CLOSE_DATE),
    "open_deals_weighted": ("expected_close_dates", _NO_CLOSE_DATE),
}
"""The facts without which a sum over a source is None, not zero, and the sentence that says so.

No order at all is "we do not know what was sold", not "nothing was sold".
"""

CATALOGUE: tuple[Metric, ...] = (
    *order_metrics.METRICS,
    *deal_metrics.METRICS,
    *lead_metrics.METRICS,
    *activity_metrics.METRICS,
    *customer_metrics.METRICS,
    *people_metrics.METRICS,
    *forecast_metrics.METRICS,
    *quota_metrics.METRICS,
)

_BY_ID = {metric.id: metric for metric in CATALOGUE}


def metric(metric_id: str) -> Metric:
    """Return the metric of that id. Raises UnknownMetric."""
    try:
        return _BY_ID[metric_id]
    except KeyError:
        known = ", ".join(_BY_ID)
        raise UnknownMetric(f"There is no metric {metric_id!r}; there are {known}.") from None


def as_markdown(metrics: Iterable[Metric] = CATALOGUE) -> str:
    """Return docs/metrics.md: the catalogue as a document, so that neither can lag behind."""
    lines = [
        "# Metrics",
        "",
        "Generated from `crm_core/kpis/catalogue.py`; the tests compare them. A question as of a",
        "time sees only what had happened and was known by then. Amounts are in the company's",
        "currency; an amount without an exchange rate makes the metric None rather than wrong.",
        "None is not zero: it comes with its reason.",
        "",
    ]
    for item in metrics:
        lines += _section(item)
    return "\n".join(lines)


def _silences(item: Metric) -> list[tuple[str, str]]:
    _, unrecorded = NEEDED_FACTS.get(item.source, ("", item.none_when))
    return list(dict.fromkeys([item.none_when, unrecorded]))


def _section(item: Metric) -> list[str]:
    better = {
        "higher": "higher is better",
        "lower": "lower is better",
        "neither": "neither direction is better by itself",
    }[item.direction]
    return [
        f"## `{item.id}`: {item.names[1]} / {item.names[0]}",
        "",
        item.formulas[1],
        "",
        item.formulas[0],
        "",
        f"- unit: {item.unit}; {better}; version {item.version}",
        f"- source: {item.source}; aggregation: {item.aggregation}",
        f"- counts on: {item.event_date}",
        f"- credited to: {item.credit}",
        f"- currency: {item.currency_rule}",
        *(f"- None when: {english} {chinese}" for chinese, english in _silences(item)),
        *(f"- since {line}" for line in item.since),
        "",
    ]
