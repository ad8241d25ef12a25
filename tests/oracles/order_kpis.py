"""Independent twins of the metrics of invoices, payments, margins and new customers.

Written from MONEY.md, in loops over whole tables; do not edit to make a test pass.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from decimal import Decimal

from crm_core.money import Money, allocate, round_half_even
from tests.oracles.kpis import Twin, _all


class OrderTwin(Twin):
    """Adds what follows an order, and first orders."""

    def last_orders(self):
        """Return the newest known version of each order."""
        found = {}
        for row in _all(self.session, "select * from orders order by recorded_at"):
            if row["recorded_at"] <= self.as_of:
                found[row["id"]] = row
        return found

    def shares(self):
        result = defaultdict(list)
        for row in _all(self.session, "select * from credits where kind = 'revenue'"):
            result[row["order_id"]].append((row["user_id"], row["share"]))
        return result

    def split(self, value, order_id, owner, shares):
        """Yield (person, part, share of the whole) of a value credited as an order."""
        people = sorted(shares.get(order_id, ())) or [(owner, Decimal(1))]
        rest = 1 - sum(share for _, share in people)
        if rest > 0:
            people.append((None, rest))
        whole = sum(share for _, share in people)
        weights = [share for _, share in people]
        parts = [None] * len(people)
        if value is not None:
            parts = [m.minor for m in allocate(Money(value, self.currency), weights)]
        for (person, share), part in zip(people, parts, strict=True):
            yield person, part, share / whole

    def has_begun(self, day):
        return self.period.contains(day) and day <= self.day(self.as_of)

    def invoiced(self):
        orders, shares = self.last_orders(), self.shares()
        for bill in _all(self.session, "select * from invoices"):
            if self.has_begun(bill["invoiced_on"]):
                owner = orders.get(bill["order_id"], {}).get("owner_id")
                major = Money(bill["amount_minor"], bill["currency"]).major
                value = self.convert(major, bill["currency"], bill["invoiced_on"])
                yield from self.split(value, bill["order_id"], owner, shares)

    def cash_received(self):
        orders, shares = self.last_orders(), self.shares()
        bills = {row["id"]: row for row in _all(self.session, "select * from invoices")}
        for paid in _all(self.session, "select * from payments"):
            if self.has_begun(paid["received_on"]):
                order = paid["order_id"] or bills.get(paid["invoice_id"], {}).get("order_id")
                owner = orders.get(order, {}).get("owner_id")
                major = Money(paid["amount_minor"], paid["currency"]).major
                value = self.convert(major, paid["currency"], paid["received_on"])
                yield from self.split(value, order, owner, shares)

    def _signed(self):
        for order in self.last_orders().values():
            if order["status"] == "signed" and order["ordered_on"] <= self.day(self.as_of):
                yield order

    def _margin(self, order):
        """Return the order's margin in the company's minor units; None without cost or rate."""
        if order["cost_minor"] is None:
            return None
        margin = Money(order["amount_minor"] - order["cost_minor"], order["currency"])
        return self.convert(margin.major, order["currency"], order["ordered_on"])

    def gross_margin(self):
        shares = self.shares()
        for order in self._signed():
            if self.period.contains(order["ordered_on"]):
                yield from self.split(self._margin(order), order["id"], order["owner_id"], shares)

    def unpriced_margins(self):
        """Return how many margins have a cost but no exchange rate."""
        return [
            order
            for order in self._signed()
            if self.period.contains(order["ordered_on"])
            and order["cost_minor"] is not None
            and self._margin(order) is None
        ]

    def new_customers(self):
        shares, first = self.shares(), {}
        for order in sorted(self._signed(), key=lambda o: (o["ordered_on"], o["id"])):
            first.setdefault(order["account_id"], order)
        for order in first.values():
            if self.period.contains(order["ordered_on"]):
                credited = [s for s in shares[order["id"]] if s[1] > 0]
                person = order["owner_id"]
                if credited:
                    person = min(credited, key=lambda s: (-s[1], s[0]))[0]
                yield person, 1, 1

    def win_rate_amount(self):
        for deal, outcome, closed_at, owner, state in self.closings():
            if self.in_period(closed_at):
                amount, value = state.get("amount"), None
                if amount is not None:
                    value = self.convert(Decimal(amount), deal["currency"], self.day(closed_at))
                won = None if value is None else value if outcome == "won" else 0
                yield owner, won, value

    def margin_share(self):
        """Return margin ÷ amount of the orders with a cost of the 365 days to the stock's."""
        last = self.day(self.stock_at)
        margin = amount = Decimal(0)
        for order in self._signed():
            age = (last - order["ordered_on"]).days
            if 0 <= age < 365 and order["cost_minor"] is not None:
                major = Money(order["amount_minor"], order["currency"]).major
                amount += self.convert(major, order["currency"], order["ordered_on"]) or 0
                margin += self._margin(order) or 0
        return margin / amount if amount else None

    def pipeline_margin(self):
        share = self.margin_share()
        for _, state, value in self._open():
            if self._due(state):
                known = value is not None and share is not None
                yield state.get("owner_id"), round_half_even(value * share) if known else None, 1

    def pipeline_new_customers(self):
        bought = {
            order["account_id"]
            for order in self._signed()
            if order["ordered_on"] <= self.day(self.stock_at)
        }
        deals = {row["id"]: row for row in _all(self.session, "select * from opportunities")}
        due = sorted(
            (dt.date.fromisoformat(state["expected_close_on"]), deal, state.get("owner_id"))
            for deal, state, _ in self._open()
            if self._due(state)
        )
        seen = set()
        for _, deal, owner in due:
            customer = deals[deal]["account_id"] or ("deal", deal)
            if customer not in seen and customer not in bought:
                seen.add(customer)
                yield owner, 1, 1
