"""Every twin of a metric, and how each one's rows become its number; written from MONEY.md."""

from __future__ import annotations

import statistics
from decimal import Decimal

from tests.oracles.order_kpis import OrderTwin

QUOTIENTS = ("win_rate_closed", "win_rate_amount", "slip_rate", "average_deal")
MEDIANS = ("cycle_days",)


class Twin(OrderTwin):
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
        valued = [(v, w) for v, w in self.rows(metric, users) if v is not None]
        if metric in MEDIANS:
            return statistics.median(v for v, _ in valued) if valued else None
        if metric in QUOTIENTS:
            whole = sum(w for _, w in valued)
            return Decimal(sum(v for v, _ in valued)) / Decimal(whole) if whole else None
        return sum(v for v, _ in valued)
