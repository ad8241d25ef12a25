"""What a rule of data health is: what it looks at, what fails, and what rests on it.

A rule counts the records it looks at (``checked``) and lists those that fail (``failing``: the
record's key and what is wrong with it). It fails as a whole when more than ``tolerated`` of them
do. The statements see ``:as_of``, ``:today`` (the company's day) and ``:currency`` (its own).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Dimension = Literal["completeness", "validity", "freshness", "uniqueness", "anomaly"]
Severity = Literal["critical", "warning"]
Purpose = Literal["training", "pay"]
DIMENSIONS: tuple[Dimension, ...] = (
    "completeness", "validity", "freshness", "uniqueness", "anomaly",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule; every pair of texts is (zh-CN, English).

    ``sources`` are the sources of metrics (``kpis/catalogue.py``) whose numbers rest on what it
    checks. A critical rule that fails stops what ``blocks`` names.
    """

    id: str
    dimension: Dimension
    table: str
    severity: Severity = "warning"
    names: tuple[str, str]
    remedies: tuple[str, str]
    checked: str
    failing: str
    tolerated: Decimal = Decimal(0)
    sources: tuple[str, ...] = ()
    blocks: tuple[Purpose, ...] = ()

    def name(self, locale: str) -> str:
        """Return the name in the locale's language, English unless Chinese."""
        return self.names[0 if locale.lower().startswith("zh") else 1]

    def remedy(self, locale: str) -> str:
        """Return what to do about it, in the locale's language."""
        return self.remedies[0 if locale.lower().startswith("zh") else 1]


OPEN_SOURCES = ("open_deals", "open_deals_due", "open_deals_weighted", "open_deals_margin",
                "open_deals_new")  # fmt: skip
DEAL_SOURCES = ("won_deals", "closed_deals", "closed_amounts", "won_cycles", "won_in_the_year",
                "deals_due_at_start", "deal_ages", "stage_entries", "stage_stays",
                *OPEN_SOURCES)  # fmt: skip
ORDER_SOURCES = ("orders", "orders_not_zero", "margins", "first_orders", "invoices", "payments",
                 "lifetime_values")  # fmt: skip
ACTIVITY_SOURCES = ("activities", "visits", "calls", "effective_follow_ups", "first_touches",
                    "weeks_at_work")  # fmt: skip
OPEN_DEALS = "from opportunities where outcome is null and created_at <= :as_of"
LAST_ORDERS = (
    "(select distinct on (id) * from orders where recorded_at <= :as_of"
    " order by id, recorded_at desc) o"
)
LAST_ACTIVITIES = (
    "(select distinct on (id) * from activities where recorded_at <= :as_of"
    " order by id, recorded_at desc) a"
)
