"""Every twin of a metric, and how each one's rows become its number; written from MONEY.md."""

from __future__ import annotations

import statistics
from decimal import Decimal

from tests.oracles.customer_kpis import CustomerTwin
from tests.oracles.deal_kpis import aalen_johansen, kaplan_meier_median
from tests.oracles.forecast_kpis import ForecastTwin

QUOTIENTS = (
    "win_rate_closed", "win_rate_amount", "slip_rate", "average_deal", "stage_conversion",
    "lead_conversion", "churn_logo", "churn_revenue", "grr", "nrr", "clv", "adoption_active",
    "dq_completeness", "dq_validity", "dq_freshness", "market_share", "profit",
    "forecast_error", "bias", "forecast_value_added",
)  # fmt: skip
MEDIANS = ("cycle_days", "stage_days", "first_touch_hours")
COHORTS = {"win_rate_cohort_90": 90, "win_rate_cohort_180": 180, "win_rate_cohort_365": 365}
ROUNDED = ("average_deal", "velocity", "clv")
"""Amounts that are a quotient: rounded once, to the minor unit."""


class Twin(CustomerTwin, ForecastTwin):
    """Every metric of one company, period and time."""

    def rows(self, metric, users=None):
        """Return (value, weight) of each row of these people, of everybody's without any."""
        return [
            (value, weight)
            for user, value, weight in getattr(self, metric)()
            if users is None or user in users
        ]

    def value(self, metric, users=None):
        """Return the number in minor units or natural units, None when there is none."""
        rows = self.rows(metric, users)
        valued = [(v, w) for v, w in rows if v is not None]
        if metric in COHORTS or metric == "cycle_days_all":
            named = {1: "won", 0: "lost", None: "open"}
            ages = [(age, named[outcome]) for outcome, age in rows]
            known = metric in COHORTS
            return aalen_johansen(ages, COHORTS[metric]) if known else kaplan_meier_median(ages)
        if metric == "velocity":
            days = statistics.median(w for _, w in rows) if rows else 0
            if not valued or not days:
                return None
            return len(rows) * Decimal(sum(v for v, _ in valued)) / len(valued) / Decimal(days)
        if metric in MEDIANS:
            return statistics.median(v for v, _ in valued) if valued else None
        if metric in QUOTIENTS:
            whole = sum(w for _, w in valued)
            return Decimal(sum(v for v, _ in valued)) / Decimal(whole) if whole else None
        return sum(v for v, _ in valued)
