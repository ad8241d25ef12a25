"""User-defined metrics a second time: a fact's rows in Python, formulas by the Decimal twin.

Attributes are folded from plain tables row by row; nothing of attaching.py is used.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import statistics
from decimal import ROUND_HALF_EVEN, Decimal

from sqlalchemy import select, text

from crm_core.kpis.checking import checked
from crm_core.kpis.sources import rows_of
from crm_core.money import minor_digits
from tests.oracles.formulas import evaluate

PLAIN = ("region", "country", "industry", "tier", "employees")


def facts(session, source, question):
    """Return a source's rows that the scope sees, as plain records."""
    rows = rows_of(source, question).subquery()
    return [
        dict(row._mapping)
        for row in session.execute(select(rows))
        if question.scope.allows(row.user_id)
    ]


class Attributes:
    """What the records beside a row were known to be at a time."""

    def __init__(self, session, question) -> None:
        self.session, self.as_of = session, question.as_of
        self.stood = {
            row.opportunity_id: row.stage for row in session.execute(select(question.stood))
        }
        self.accounts = self._records("accounts")
        self.products = self._records("products")
        self.deals = self._deals()
        self.orders = self._orders()
        self.places = list(session.execute(text("select * from assignments")))
        self.users = {
            row.id: row.org_unit_id for row in session.execute(text("select * from users"))
        }

    def _records(self, table):
        rows = self.session.execute(text(f"select to_jsonb(t) as row from {table} t")).scalars()
        found = {row["id"]: row for row in rows}
        events = self.session.execute(
            text("select * from record_events where table_name = :t order by sequence"),
            {"t": table},
        ).all()
        by_key: dict = {}
        for event in events:
            if event.changes:
                by_key.setdefault(event.key, []).append(event)
        for key, told in by_key.items():
            first, later = told[0], told[1:]
            state = dict(first.changes)
            known = [
                e for e in later if e.occurred_at <= self.as_of and e.recorded_at <= self.as_of
            ]
            for event in sorted(known, key=lambda e: (e.occurred_at, e.recorded_at, e.sequence)):
                state.update(event.changes)
            found[key] = state
        return found

    def _deals(self):
        rows = self.session.execute(text("select id, source, pipeline from opportunities"))
        found = {row.id: {"source": row.source, "pipeline": row.pipeline, "custom": {}}
                 for row in rows}  # fmt: skip
        events = self.session.execute(
            text("select * from opportunity_events where field = 'custom' and "
                 "occurred_at <= :t and recorded_at <= :t "
                 "order by occurred_at, recorded_at, sequence"),
            {"t": self.as_of},
        )  # fmt: skip
        for event in events:
            if event.new_value:
                found[event.opportunity_id]["custom"].update(json.loads(event.new_value))
        return found

    def _orders(self):
        rows = self.session.execute(
            text("select * from orders where recorded_at <= :t order by recorded_at"),
            {"t": self.as_of},
        )
        return {row.id: row for row in rows}

    def of(self, row, name):
        """Return one attribute of a row."""
        account = self.accounts.get(row["account_id"], {})
        product = self.products.get(row["product_id"], {})
        deal = self.deals.get(row["opportunity_id"], {})
        if name in PLAIN:
            value = account.get(name)
            return Decimal(value) if name == "employees" and value is not None else value
        simple = {
            "account": row["account_id"], "product": row["product_id"],
            "opportunity": row["opportunity_id"], "person": row["user_id"],
            "product_family": product.get("family"), "source": deal.get("source"),
            "pipeline": deal.get("pipeline"), "stage": self.stood.get(row["opportunity_id"]),
            "day": row["day"], "share": row["weight"],
        }  # fmt: skip
        if name in simple:
            return simple[name]
        if name == "team":
            return self.team(row["user_id"], row["placed_on"])
        if name in ("quantity", "currency"):
            order = self.orders.get(row["row_id"]) if row["kind"] == "order" else None
            if order is None or getattr(order, name) is None:
                return None
            return order.quantity * row["weight"] if name == "quantity" else order.currency
        return self.custom(name, account, deal)

    def team(self, person, day):
        if person is None:
            return None
        own = [place for place in self.places if place.user_id == person]
        if not own:
            return self.users[person]
        then = [p for p in own if day is not None and p.valid_from <= day
                and (p.valid_to is None or p.valid_to > day)]  # fmt: skip
        return max(then, key=lambda p: p.valid_from).org_unit_id if then else None

    @staticmethod
    def custom(name, account, deal):
        home = deal if name.startswith("opportunity_") or name == "x_since" else account
        stored = name.removeprefix("opportunity_").removeprefix("account_")
        value = (home.get("custom") or {}).get(stored)
        if value is None or value == "":
            return None
        if stored == "x_both":
            return value if isinstance(value, bool) else None
        if stored == "x_score":
            return Decimal(str(value)) if re.fullmatch(r"-?\d+(\.\d+)?", str(value)) else None
        if stored == "x_since":
            try:
                return dt.date.fromisoformat(str(value))
            except ValueError:
                return None
        return str(value)


def rows(session, draft, question):
    """Return (row, worth, weight, label, unpriced) of a metric that is no ratio."""
    found = checked(session, draft)
    digits = minor_digits(question.currency)
    attributes = Attributes(session, question)
    for row in facts(session, found.fact.source, question):
        fields = {}
        for name in found.attributes:
            if name == "amount":
                fields[name] = None if row["value"] is None else row["value"].scaleb(-digits)
            elif name == "days":
                fields[name] = row["value"]
            elif name == "is_won":
                fields[name] = None if row["value"] is None else row["value"] == 1
            elif name in found.reads:
                fields[name] = attributes.of(row, name)
        is_told = "amount" in found.reads and row["unpriced"] is not None
        if found.filter and evaluate(found.filter.node, fields) is not True and not is_told:
            continue
        value = None if found.value is None else evaluate(found.value.node, fields)
        yield row, worth(draft, row, value, digits), row["weight"], value, is_told


def worth(draft, row, value, digits):
    """Return what a row counts, money in minor units."""
    if draft.way == "count":
        return row["weight"]
    if value is None:
        return None
    if draft.way == "share":
        return row["weight"] if value else Decimal(0)
    if draft.way == "count_distinct":
        return row["weight"]
    if draft.unit == "money":
        return value.scaleb(digits).quantize(Decimal(1), rounding=ROUND_HALF_EVEN)
    return value


def number(draft, found):
    """Return a metric's number from its rows: money in minor units, "unpriced" where unknown."""
    found = list(found)
    if any(told for *_, told in found):
        return "unpriced"
    valued = [(value, weight, label) for _, value, weight, label, _ in found if value is not None]
    if draft.way == "count_distinct":
        return Decimal(len({label for *_, label in valued}))
    if draft.way == "median":
        return statistics.median([value for value, *_ in valued]) if valued else None
    total = sum((value for value, *_ in valued), Decimal(0))
    if draft.way in ("mean", "share"):
        weight = sum((weight for _, weight, _ in valued), Decimal(0))
        return total / weight if weight else None
    return None if found and not valued else total
