"""Every twin of a metric, and how each one's rows become its number; written from MONEY.md."""

from __future__ import annotations

import datetime as dt
import statistics
from decimal import Decimal

from crm_core.money import Money, from_major, round_half_even
from crm_core.periods import Period
from tests.oracles.customer_kpis import CustomerTwin
from tests.oracles.deal_kpis import aalen_johansen, kaplan_meier_median
from tests.oracles.forecast_kpis import ForecastTwin
from tests.oracles.kpis import _all

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

    def target_of(self, goal, person):
        """Return a person's prorated target for a quarter that its quotas match exactly.

        In minor units of the company's currency; a number of customers as a plain number.
        """
        known = [
            row
            for row in _all(self.session, "select * from quotas order by recorded_at")
            if (row["subject_kind"], row["subject_id"], row["metric"]) == ("user", person, goal)
            and (row["period_start"], row["period_end"]) == (self.period.start, self.period.end)
            and row["recorded_at"] <= self.as_of
            and (row["approved_at"] is None or row["approved_at"] <= self.as_of)
        ]
        if not known:
            return None
        quota = known[-1]
        major = Money(quota["amount_minor"], quota["currency"]).major
        minor = from_major(major, self.currency).minor
        if goal != "new_customers":
            minor = self.convert(major, quota["currency"], quota["period_start"])
        user = next(u for u in _all(self.session, "select * from users") if u["id"] == person)
        days = [self.period.start + dt.timedelta(days=i) for i in range(self.period.days)]
        present = [
            day
            for day in days
            if (user["hired_on"] is None or user["hired_on"] <= day)
            and (user["left_on"] is None or day < user["left_on"])
        ]
        if minor is None or not present:
            return None
        prorated = round_half_even(Decimal(minor) * len(present) / len(days))
        return Money(prorated, self.currency).major if goal == "new_customers" else prorated

    def against(self, goal, person):
        """Return (attainment, gap, coverage, pipeline needed) of a person, each or None."""
        target, rows = self.target_of(goal, person), self.rows(goal, {person})
        if target is None or any(v is None for v, _ in rows) and goal != "gross_margin":
            return None
        if rows and all(v is None for v, _ in rows):
            return None
        actual = Decimal(sum(v for v, _ in rows if v is not None))
        gap = Decimal(target) - actual
        name = {"gross_margin": "pipeline_margin", "new_customers": "pipeline_new_customers"}
        open_rows = self.rows(name.get(goal, "pipeline_in_period"), {person})
        valued = [v for v, _ in open_rows if v is not None]
        due = None if open_rows and not valued else sum(valued)
        last = self.day(self.stock_at)
        year = Period(last - dt.timedelta(days=364), last + dt.timedelta(days=1), "a year")
        before = Twin(self.session, year, self.as_of)
        rate = "win_rate_closed" if goal == "new_customers" else "win_rate_amount"
        is_thin = len(before.rows(rate, {person})) < 10
        won = None if is_thin else before.value(rate, {person})
        is_open = gap > 0 and due is not None
        coverage = Decimal(due) / gap if is_open else None
        needed = gap / won - due if is_open and won else None
        return actual / target if target > 0 else None, gap, coverage, needed
