"""Independent twins of the metrics of stages, ages, speed and follow-ups.

Written from MONEY.md, in loops over whole tables; do not edit to make a test pass.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from decimal import Decimal
from fractions import Fraction

from tests.oracles.kpis import _all
from tests.oracles.order_kpis import OrderTwin

FORTNIGHT = dt.timedelta(days=14)
FOLLOW_UPS = ("call", "email", "meeting", "visit", "demo", "proposal")


def aalen_johansen(ages, by):
    """Return P(won by an age) of (age, 'won' | 'lost' | 'open'), None where it is unknown.

    Written as the textbook has it: over the distinct ages at which something ended.
    """
    if not ages:
        return None
    chance, survivors = Fraction(0), Fraction(1)
    for moment in sorted({age for age, how in ages if how != "open" and age <= by}):
        exposed = sum(1 for age, _ in ages if age >= moment)
        wins = sum(1 for age, how in ages if age == moment and how == "won")
        ends = sum(1 for age, how in ages if age == moment and how != "open")
        chance += survivors * Fraction(wins, exposed)
        survivors *= 1 - Fraction(ends, exposed)
    if survivors and max(age for age, _ in ages) < by:
        return None
    return Decimal(chance.numerator) / Decimal(chance.denominator)


def kaplan_meier_median(ages):
    """Return the first age by which half have ended."""
    survivors = Fraction(1)
    for moment in sorted({age for age, how in ages if how != "open"}):
        exposed = sum(1 for age, _ in ages if age >= moment)
        ends = sum(1 for age, how in ages if age == moment and how != "open")
        survivors *= 1 - Fraction(ends, exposed)
        if survivors <= Fraction(1, 2):
            return moment
    return None


class DealTwin(OrderTwin):
    """Adds what happens to deals over time."""

    def journeys(self):
        """Yield (deal, its events, entries into stages without those on hold)."""
        deals, events = self.history(self.as_of, self.as_of)
        position = {r["stage"]: r["position"] for r in _all(self.session, "select * from stages")}
        for deal, rows in events.items():
            at = {}
            for row in rows:
                if row["field"] == "stage":
                    at[row["occurred_at"]] = row["new_value"]
            entries = []
            for when in sorted(at):
                kind = self.kinds[at[when]]
                if kind != "on_hold" and (not entries or entries[-1][1] != at[when]):
                    entries.append((when, at[when], kind, position[at[when]]))
            yield deals[deal], rows, entries

    def _entries(self):
        for _, rows, entries in self.journeys():
            for index, (when, _, kind, place) in enumerate(entries):
                if kind == "open" and self.in_period(when):
                    before = [
                        r for r in rows if r["field"] == "owner_id" and r["occurred_at"] <= when
                    ]
                    owner = self.fold(before).get("owner_id")
                    then = entries[index + 1] if index + 1 < len(entries) else None
                    yield owner, when, place, then

    def stage_conversion(self):
        for owner, _, place, then in self._entries():
            went_on = None
            if then is not None:
                went_on = int(then[2] == "won" or (then[2] == "open" and then[3] > place))
            yield owner, went_on, 1

    def stage_days(self):
        for owner, when, _, then in self._entries():
            days = None if then is None else (self.day(then[0]) - self.day(when)).days
            yield owner, days, 1

    def deal_ages(self):
        """Yield (owner, age, how it ended) of the deals created in the period."""
        closed = {deal["id"]: (how, at, owner) for deal, how, at, owner, _ in self.closings()}
        deals, events = self.history(self.as_of, self.as_of)
        for name, deal in deals.items():
            if not self.in_period(deal["created_at"]):
                continue
            owner = self.fold(events[name]).get("owner_id")
            how, at, owner = closed.get(name, ("open", self.as_of, owner))
            yield owner, (self.day(at) - self.day(deal["created_at"])).days, how

    def _cohort(self):
        outcome = {"won": 1, "lost": 0, "open": None}
        return ((owner, outcome[how], age) for owner, age, how in self.deal_ages())

    win_rate_cohort_90 = win_rate_cohort_180 = win_rate_cohort_365 = cycle_days_all = _cohort

    def velocity(self):
        """Yield the deals won in the 365 days to the stock's: amount and days."""
        last = self.day(self.stock_at)
        for deal, outcome, closed_at, owner, state in self.closings():
            day = self.day(closed_at)
            if outcome == "won" and 0 <= (last - day).days < 365:
                amount, value = state.get("amount"), None
                if amount is not None:
                    value = self.convert(Decimal(amount), deal["currency"], day)
                yield owner, value, (day - self.day(deal["created_at"])).days

    def _acts(self, kinds):
        versions = {}
        for row in _all(self.session, "select * from activities order by recorded_at"):
            if row["recorded_at"] <= self.as_of:
                versions[row["id"]] = row
        for row in versions.values():
            happened = row["occurred_at"] <= self.as_of and self.in_period(row["occurred_at"])
            if happened and row["kind"] in kinds:
                yield row

    def visits(self):
        return ((row["user_id"], 1, 1) for row in self._acts(("visit",)))

    def calls(self):
        return ((row["user_id"], 1, 1) for row in self._acts(("call",)))

    def effective_follow_ups(self):
        forward = defaultdict(list)
        for deal, _, entries in self.journeys():
            for before, then in zip(entries, entries[1:], strict=False):
                if then[2] == "won" or (then[2] == "open" and then[3] > before[3]):
                    forward[deal["id"]].append(then[0])
            if entries and entries[0][2] == "won":
                forward[deal["id"]].append(entries[0][0])
        for row in self._acts(FOLLOW_UPS):
            did = row["occurred_at"]
            moved = any(did < at <= did + FORTNIGHT for at in forward[row["opportunity_id"]])
            met = row["outcome"] and row["outcome"] not in ("No_answer", "no show")
            if met or (row["duration_minutes"] or 0) > 0 or moved:
                yield row["user_id"], 1, 1
