"""Independent twins of the metrics of leads, contracts, people at work and data health.

Written from MONEY.md, in loops over whole tables; do not edit to make a test pass.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from decimal import Decimal

from crm_core.money import Money, round_half_even
from tests.oracles.deal_kpis import FOLLOW_UPS, DealTwin
from tests.oracles.kpis import _all

DAY = dt.timedelta(days=1)


class CustomerTwin(DealTwin):
    """Adds what comes before a deal, and what comes after an order."""

    def _leads(self, column):
        for lead in _all(self.session, "select * from leads"):
            when = lead[column]
            if when is not None and when <= self.as_of and self.in_period(when):
                yield lead

    def new_leads(self):
        return ((lead["owner_id"], 1, 1) for lead in self._leads("created_at"))

    def qualified_leads(self):
        return ((lead["owner_id"], 1, 1) for lead in self._leads("qualified_at"))

    def lead_conversion(self):
        stored = {row["id"] for row in _all(self.session, "select id from opportunities")}
        known, _ = self.history(self.as_of, self.as_of)
        for lead in self._leads("created_at"):
            deal = lead["converted_opportunity_id"]
            lost_track = deal is not None and deal not in stored
            yield lead["owner_id"], None if lost_track else int(deal in known), 1

    def business_hours(self, start, end):
        """Return the hours of Monday to Friday, 9 to 18, between two instants, day by day."""
        begin = start.astimezone(self.zone).replace(tzinfo=None)
        stop = end.astimezone(self.zone).replace(tzinfo=None)
        total, day = dt.timedelta(), begin.date()
        while day <= stop.date():
            if day.isoweekday() <= 5:
                opened = max(begin, dt.datetime.combine(day, dt.time(9)))
                closed = min(stop, dt.datetime.combine(day, dt.time(18)))
                total += max(closed - opened, dt.timedelta())
            day += DAY
        return Decimal(total // dt.timedelta(microseconds=1)) / 3_600_000_000

    def first_touch_hours(self):
        versions = {}
        for row in _all(self.session, "select * from activities order by recorded_at"):
            if row["recorded_at"] <= self.as_of:
                versions[row["id"]] = row
        for lead in self._leads("created_at"):
            touched = [
                row["occurred_at"]
                for row in versions.values()
                if row["opportunity_id"] is not None
                and row["opportunity_id"] == lead["converted_opportunity_id"]
                and row["kind"] in FOLLOW_UPS
                and lead["created_at"] <= row["occurred_at"] <= self.as_of
            ]
            hours = None
            if touched:
                hours = round(self.business_hours(lead["created_at"], min(touched)), 4)
            yield lead["owner_id"], hours, 1

    def monthly(self, on, priced_on):
        """Return account → minor units a month of its contracts on a day, None without a rate."""
        result = {}
        for row in _all(self.session, "select * from subscriptions"):
            runs = row["started_on"] <= on and (row["ended_on"] is None or on < row["ended_on"])
            if runs:
                amount = Money(row["monthly_amount_minor"], row["currency"])
                value = self.convert(amount.major, row["currency"], priced_on)
                before = result.get(row["account_id"], 0)
                result[row["account_id"]] = (
                    None if value is None or before is None else before + value
                )
        return result

    def _retained(self, start, end):
        """Yield (owner, opening, closing) of the customers on the day before a period."""
        if self.day(self.as_of) < start:
            return
        first, last = start - DAY, min(end - DAY, self.day(self.as_of))
        opening, closing = self.monthly(first, first), self.monthly(last, first)
        owner = {r["id"]: r["owner_id"] for r in _all(self.session, "select * from accounts")}
        for account, before in opening.items():
            after = closing.get(account, 0)
            if before is None or after is None:
                yield owner[account], None, None
            elif before > 0:
                yield owner[account], before, after

    def _customers(self):
        return self._retained(self.period.start, self.period.end)

    def churn_logo(self):
        for owner, _, after in self._customers():
            yield owner, None if after is None else int(after == 0), 1

    def churn_revenue(self):
        for owner, before, after in self._customers():
            yield owner, None if after is None else max(before - after, 0), before

    def grr(self):
        for owner, before, after in self._customers():
            yield owner, None if after is None else min(before, after), before

    def nrr(self):
        return ((owner, after, before) for owner, before, after in self._customers())

    def clv(self):
        today = self.day(self.stock_at)
        year = list(self._retained(today - 364 * DAY, today + DAY))
        year = [(before, after) for _, before, after in year if before is not None]
        lost = Decimal(sum(after == 0 for _, after in year)) / len(year) if year else None
        margin = self.margin_share()
        owner = {r["id"]: r["owner_id"] for r in _all(self.session, "select * from accounts")}
        for account, amount in self.monthly(today, today).items():
            if amount == 0:
                continue
            worth = None
            if None not in (amount, lost, margin):
                exact = amount * 12 * margin * Decimal("1.1") / (Decimal("0.1") + lost)
                worth = round_half_even(exact)
            yield owner[account], worth, 1

    def adoption_active(self):
        days = defaultdict(set)
        for table, who in (("activities", "user_id"), ("opportunity_events", "user_id")):
            for row in _all(self.session, f"select * from {table}"):
                if row["recorded_at"] <= self.as_of and row["occurred_at"] <= self.as_of:
                    days[row[who]].add(self.day(row["occurred_at"]))
        for row in _all(self.session, "select * from audit_log"):
            if row["channel"] in ("page", "api") and row["occurred_at"] <= self.as_of:
                days[row["actor"]].add(self.day(row["occurred_at"]))
        people = _all(self.session, "select * from users")
        day = self.period.start
        while day < self.period.end and day <= self.day(self.as_of):
            if day.isoweekday() == 1:
                week = {day + number * DAY for number in range(7)}
                for person in people:
                    came = person["hired_on"] is None or person["hired_on"] < day + 7 * DAY
                    if came and (person["left_on"] is None or person["left_on"] > day):
                        yield person["id"], int(bool(week & days[person["id"]])), 1
            day += DAY

    def _passing(self, dimension):
        runs = [r for r in _all(self.session, "select * from health_runs order by ran_at, id")
                if r["ran_at"] <= self.stock_at]  # fmt: skip
        for row in _all(self.session, "select * from health_results"):
            is_newest = bool(runs) and row["run_id"] == runs[-1]["id"]
            if is_newest and row["dimension"] == dimension and row["checked"]:
                yield None, max(Decimal(0), 1 - Decimal(row["failing"]) / row["checked"]), 1

    def dq_completeness(self):
        return self._passing("completeness")

    def dq_validity(self):
        return self._passing("validity")

    def dq_freshness(self):
        return self._passing("freshness")

    def market_share(self):
        """Nothing is recorded of markets: there is no number, and never a zero."""
        return ()

    profit = market_share
