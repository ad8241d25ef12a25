"""Independent twins of the metrics, in plain SQL text and loops; do not edit to make a test pass.

Each reads whole tables and folds them row by row in Python, with money's own rounding and split.
"""

from __future__ import annotations

import datetime as dt
import statistics
from collections import defaultdict
from decimal import Decimal
from zoneinfo import ZoneInfo

from sqlalchemy import text

from crm_core.money import Money, allocate, from_major, round_half_even
from crm_core.periods import FiscalCalendar


def _all(session, sql, **parameters):
    return [dict(row) for row in session.execute(text(sql), parameters).mappings()]


class Twin:
    """The metrics of one company, period and time."""

    def __init__(self, session, period, as_of):
        self.session, self.period, self.as_of = session, period, as_of
        company = _all(session, "select * from company")[0]
        self.currency = company["currency"]
        self.zone = ZoneInfo(company["time_zone"])
        self.calendar = FiscalCalendar(self.zone, company["fiscal_year_start_month"])
        self.start, self.end = self.calendar.bounds(period)
        self.stock_at = min(as_of, self.end - dt.timedelta(microseconds=1))
        self.rates = [
            row for row in _all(session, "select * from fx_rates") if row["recorded_at"] <= as_of
        ]
        self.rates.sort(key=lambda row: (row["valid_from"], row["recorded_at"]))
        self.kinds = {row["stage"]: row["kind"] for row in _all(session, "select * from stages")}

    def convert(self, major, currency, day):
        """Return minor units of the company's currency, None without a rate."""
        if currency == self.currency:
            return from_major(major, self.currency).minor
        direct = inverse = None
        for row in self.rates:
            if row["valid_from"] <= day:
                if (row["base"], row["quote"]) == (currency, self.currency):
                    direct = row["rate"]
                if (row["base"], row["quote"]) == (self.currency, currency):
                    inverse = row["rate"]
        if direct is not None:
            return from_major(major * direct, self.currency).minor
        if inverse is not None:
            return from_major(major / inverse, self.currency).minor
        return None

    def history(self, happened_by, known_at):
        """Return deal -> list of (field, occurred, recorded, sequence, value), folded order."""
        deals = {
            row["id"]: row
            for row in _all(self.session, "select * from opportunities")
            if row["created_at"] <= happened_by and row["recorded_at"] <= known_at
        }
        events = defaultdict(list)
        for row in _all(self.session, "select * from opportunity_events"):
            if (
                row["opportunity_id"] in deals
                and row["occurred_at"] <= happened_by
                and row["recorded_at"] <= known_at
            ):
                events[row["opportunity_id"]].append(row)
        for rows in events.values():
            rows.sort(key=lambda r: (r["occurred_at"], r["recorded_at"], r["sequence"]))
        return deals, events

    @staticmethod
    def fold(rows):
        state = {}
        for row in rows:
            state[row["field"]] = row["new_value"]
        return state

    def closings(self):
        """Yield (deal, outcome, closed_at, owner) of deals that stand closed as of the question."""
        deals, events = self.history(self.as_of, self.as_of)
        for deal, rows in events.items():
            steps = [
                (self.kinds[row["new_value"]], row["occurred_at"])
                for row in rows
                if row["field"] == "stage"
            ]
            if not steps or steps[-1][0] not in ("won", "lost"):
                continue
            outcome = steps[-1][0]
            while steps and steps[-1][0] == outcome:
                closed_at = steps.pop()[1]
            owner = self.fold(
                [r for r in rows if r["field"] == "owner_id" and r["occurred_at"] <= closed_at]
            ).get("owner_id")
            yield deals[deal], outcome, closed_at, owner, self.fold(rows)

    def day(self, instant):
        return instant.astimezone(self.zone).date()

    def in_period(self, closed_at):
        return self.period.contains(self.day(closed_at))

    # every source yields (user, value or None, weight)

    def bookings(self):
        versions = defaultdict(list)
        for row in _all(self.session, "select * from orders"):
            if row["recorded_at"] <= self.as_of:
                versions[row["id"]].append(row)
        credited = defaultdict(list)
        for row in _all(self.session, "select * from credits where kind = 'revenue'"):
            credited[row["order_id"]].append((row["user_id"], row["share"]))
        for name, rows in versions.items():
            order = max(rows, key=lambda r: r["recorded_at"])
            if order["status"] != "signed" or not self.period.contains(order["ordered_on"]):
                continue
            if order["ordered_on"] > self.day(self.as_of):
                continue
            money = Money(order["amount_minor"], order["currency"])
            value = self.convert(money.major, order["currency"], order["ordered_on"])
            shares = sorted(credited[name]) or [(order["owner_id"], Decimal(1))]
            rest = 1 - sum(share for _, share in shares)
            if rest > 0:
                shares.append((None, rest))
            whole = sum(share for _, share in shares)
            weights = [share for _, share in shares]
            if value is None:
                parts = [None] * len(shares)
            else:
                parts = [m.minor for m in allocate(Money(value, self.currency), weights)]
            for (user, share), part in zip(shares, parts, strict=True):
                yield user, part, share / whole

    def average_deal(self):
        return ((u, v, w) for u, v, w in self.bookings() if v != 0)

    def win_rate_closed(self):
        for _, outcome, closed_at, owner, _ in self.closings():
            if self.in_period(closed_at):
                yield owner, int(outcome == "won"), 1

    def cycle_days(self):
        for deal, outcome, closed_at, owner, _ in self.closings():
            if outcome == "won" and self.in_period(closed_at):
                yield owner, (self.day(closed_at) - self.day(deal["created_at"])).days, 1

    def won_amount(self):
        for deal, outcome, closed_at, owner, state in self.closings():
            if outcome == "won" and self.in_period(closed_at):
                amount = state.get("amount")
                value = None
                if amount is not None:
                    value = self.convert(Decimal(amount), deal["currency"], self.day(closed_at))
                yield owner, value, 1

    def _open(self):
        deals, events = self.history(self.stock_at, self.as_of)
        for deal, rows in events.items():
            state = self.fold(rows)
            if self.kinds[state["stage"]] != "open":
                continue
            value = None
            if state.get("amount") is not None:
                value = self.convert(
                    Decimal(state["amount"]), deals[deal]["currency"], self.day(self.stock_at)
                )
            yield deal, state, value

    def _due(self, state):
        day = state.get("expected_close_on")
        return day is not None and self.period.contains(dt.date.fromisoformat(day))

    def pipeline(self):
        return ((state.get("owner_id"), value, 1) for _, state, value in self._open())

    def pipeline_in_period(self):
        for _, state, value in self._open():
            if self._due(state):
                yield state.get("owner_id"), value, 1

    def weighted_pipeline(self):
        given = {}
        for row in _all(self.session, "select * from predictions order by as_of, id"):
            if row["as_of"] <= self.stock_at:
                given[row["opportunity_id"]] = row["p_win"]
        for deal, state, value in self._open():
            if self._due(state):
                p = given.get(deal)
                weighted = None
                if value is not None and p is not None:
                    weighted = round_half_even(value * Decimal(f"{p:.15g}"))
                yield state.get("owner_id"), weighted, 1

    def slip_rate(self):
        if self.as_of < self.start:
            return
        _, before = self.history(self.start, min(self.start, self.as_of))
        _, after = self.history(self.stock_at, self.as_of)
        for deal, rows in before.items():
            state = self.fold(rows)
            if self.kinds[state["stage"]] != "open" or not self._due(state):
                continue
            later = self.fold(after[deal])
            slipped = (
                self.kinds[later["stage"]] in ("open", "on_hold")
                and dt.date.fromisoformat(later["expected_close_on"]) >= self.period.end
            )
            yield state.get("owner_id"), int(slipped), 1

    def activities(self):
        versions = {}
        for row in _all(self.session, "select * from activities order by recorded_at"):
            if row["recorded_at"] <= self.as_of:
                versions[row["id"]] = row
        for row in versions.values():
            counted = ("call", "email", "meeting", "visit", "demo", "proposal")
            is_known = row["occurred_at"] <= self.as_of
            if is_known and row["kind"] in counted and self.in_period(row["occurred_at"]):
                yield row["user_id"], 1, 1

    def value(self, metric, users=None):
        """Return the number in minor units or natural units, None when there is none."""
        rows = [
            (value, weight)
            for user, value, weight in getattr(self, metric)()
            if users is None or user in users
        ]
        valued = [(v, w) for v, w in rows if v is not None]
        if metric == "cycle_days":
            return statistics.median(v for v, _ in valued) if valued else None
        if metric in ("win_rate_closed", "slip_rate", "average_deal"):
            if not valued:
                return None
            return Decimal(sum(v for v, _ in valued)) / Decimal(sum(w for _, w in valued))
        return sum(v for v, _ in valued)

    def target(self, person):
        """Return a person's prorated target for a quarter that its quotas match exactly."""
        rows = [
            row
            for row in _all(
                self.session,
                "select * from quotas where subject_kind='user' and subject_id=:p "
                "and metric='bookings' and period_start=:s and period_end=:e "
                "order by recorded_at",
                p=person,
                s=self.period.start,
                e=self.period.end,
            )
            if row["recorded_at"] <= self.as_of
            and (row["approved_at"] is None or row["approved_at"] <= self.as_of)
        ]
        if not rows:
            return None
        quota = rows[-1]
        money = Money(quota["amount_minor"], quota["currency"])
        minor = self.convert(money.major, quota["currency"], quota["period_start"])
        user = _all(self.session, "select * from users where id=:p", p=person)[0]
        present = [
            day
            for day in (self.period.start + dt.timedelta(days=i) for i in range(self.period.days))
            if (user["hired_on"] is None or user["hired_on"] <= day)
            and (user["left_on"] is None or day < user["left_on"])
        ]
        if minor is None or not present:
            return None
        return round_half_even(Decimal(minor) * Decimal(len(present)) / Decimal(self.period.days))
