"""What looks wrong in rows that could be taken: told with counts and examples, never rejected.

A rule is SQL over a staged row ``s``. Only rows that are in the store now are asked; ``:now`` is
when the import learnt of them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm_core.imports import doubles, hierarchies
from crm_core.imports.report import Finding
from crm_core.imports.scratch import quoted
from crm_core.imports.staging import Stage

EARLIEST = "1970-01-02"
_EXAMPLES = 3
_YEARS_AHEAD = 10
_TAKEN = "s._verdict in ('inserted', 'updated', 'unchanged')"
_OPEN_ENDS = {"valid_to"}
_HAPPENED = {
    "created_at", "occurred_at", "recorded_at", "closed_at", "ordered_on", "invoiced_on",
    "received_on", "opened_at", "day", "added_at", "qualified_at", "approved_at",
}  # fmt: skip
_NEVER_NEGATIVE = {
    "accounts": ("annual_revenue", "employees"),
    "products": ("list_price", "cost"),
    "campaigns": ("cost",),
    "opportunities": ("amount",),
    "orders": ("amount", "quantity", "cost"),
    "subscriptions": ("monthly_amount",),
    "quotas": ("amount",),
    "activities": ("duration_minutes",),
    "usage": ("value",),
}
_IN_ORDER = {
    "opportunities": (("created_at", "closed_at"), ("created_at", "expected_close_on")),
    "opportunity_events": (("occurred_at", "recorded_at"),),
    "activities": (("occurred_at", "recorded_at"),),
    "leads": (("created_at", "qualified_at"),),
    "subscriptions": (("started_on", "ended_on"), ("started_on", "renews_on")),
    "campaigns": (("started_on", "ended_on"),),
    "users": (("hired_on", "left_on"),),
    "org_units": (("valid_from", "valid_to"),),
}
_TOLD_BY_EVENTS = (
    "stage", "amount", "owner_id", "product_id", "expected_close_on", "closed_at",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rule:
    """A kind of finding about a column: the SQL of an odd row, what it shows, the sentence."""

    kind: str
    column: str
    condition: str
    shown: str
    text: str
    join: str = ""


def check(session: Session, stages: list[Stage], *, recorded_at: dt.datetime) -> None:
    """Add a finding to each stage for every rule that any of its rows breaks."""
    for stage in stages:
        by_join: dict[str, list[Rule]] = {}
        for rule in _rules(stage):
            by_join.setdefault(rule.join, []).append(rule)
        for join, rules in by_join.items():
            _ask(session, stage, join, rules, recorded_at)
        if stage.table.name == "accounts" and stage.has("parent_id"):
            _tell_circles(session, stage)
        doubles.tell(session, stage)


def _ask(
    session: Session, stage: Stage, join: str, rules: list[Rule], recorded_at: dt.datetime
) -> None:
    """Count the rows of all rules in one scan; look for examples only where there are any."""
    counts = ", ".join(f"count(*) filter (where {rule.condition})" for rule in rules)
    source = f"from {stage.name} s {join} where {_TAKEN}"
    values = {"now": recorded_at} if ":now" in counts else {}
    found = session.execute(text(f"select {counts} {source}"), values).one()
    for rule, rows in zip(rules, found, strict=True):
        if rows:
            examples = session.execute(
                text(
                    f"select s._line, {rule.shown} {source} and ({rule.condition}) "
                    f"order by s._n limit {_EXAMPLES}"
                ),
                {"now": recorded_at} if ":now" in rule.condition else {},
            )
            stage.findings.append(
                Finding(
                    rule.kind,
                    stage.table.name,
                    rule.column,
                    int(rows),
                    rule.text,
                    tuple(f"line {line}: {value}" for line, value in examples),
                )
            )


def _rules(stage: Stage) -> Iterator[Rule]:
    yield from _of_dates(stage)
    yield from _of_signs(stage)
    yield from _of_order(stage)
    if stage.table.name == "opportunities":
        yield from _of_deals(stage)
    if stage.table.name == "opportunity_events":
        yield Rule(
            "order of times",
            "occurred_at",
            "s.occurred_at < o.created_at",
            "s.opportunity_id || ' ' || s.occurred_at || ' before ' || o.created_at",
            "something happened to a deal before it was created",
            "join opportunities o on o.id = s.opportunity_id",
        )


def _of_dates(stage: Stage) -> Iterator[Rule]:
    for name, kind in stage.columns.items():
        if kind not in ("date", "instant") or name in _OPEN_ENDS:
            continue
        column = f"s.{quoted(name)}"
        happened = name in _HAPPENED
        limit = "interval '1 day'" if happened else f"interval '{_YEARS_AHEAD} years'"
        yield Rule(
            "date too early", name, f"{column} < '{EARLIEST}'", f"{column}::text",
            "lies before 1970, as an empty date often does",
        )  # fmt: skip
        yield Rule(
            "date in the future", name,
            f"{column} > cast(:now as timestamptz) + {limit}", f"{column}::text",
            "lies in the future although it should have happened already"
            if happened else f"lies more than {_YEARS_AHEAD} years ahead",
        )  # fmt: skip


def _of_signs(stage: Stage) -> Iterator[Rule]:
    for name in _NEVER_NEGATIVE.get(stage.table.name, ()):
        if stage.has(name):
            decimal = stage.columns[name] == "decimal"
            value = f"trim_scale(s.{quoted(name)})" if decimal else f"s.{quoted(name)}"
            unit = " in minor units" if stage.columns[name] == "money" else ""
            yield Rule(
                "negative", name, f"{value} < 0", f"{value}::text",
                f"is negative{unit}; see whether it is a return or a slip",
            )  # fmt: skip


def _of_order(stage: Stage) -> Iterator[Rule]:
    for first, then in _IN_ORDER.get(stage.table.name, ()):
        if stage.has(first) and stage.has(then):
            a, b = f"s.{quoted(first)}", f"s.{quoted(then)}"
            as_days = stage.columns[first] != stage.columns[then]
            condition = f"{b}::date < {a}::date" if as_days else f"{b} < {a}"
            yield Rule(
                "order of times", then, condition, f"{b} || ' before ' || {a}",
                f"lies before {first}",
            )  # fmt: skip


def _of_deals(stage: Stage) -> Iterator[Rule]:
    """Compare the row with what the events say; the events are the truth."""
    join = "join opportunities o on o.id = s.id"
    for name in _TOLD_BY_EVENTS:
        if not stage.has(name):
            continue
        kept = "o.amount_minor" if name == "amount" else f"o.{name}"
        yield Rule(
            "row against events",
            name,
            f"s.{name} is not null and {kept} is distinct from s.{name}",
            f"s.id || ': ' || s.{name} || ' in the row, ' || coalesce({kept}::text, 'nothing') "
            "|| ' by its events'",
            "the deal's row and its events disagree; the events count",
            join,
        )


def _tell_circles(session: Session, stage: Stage) -> None:
    circles = hierarchies.circles(session, stage.table.name, "parent_id")
    if circles:
        stage.findings.append(
            Finding(
                "circle",
                stage.table.name,
                "parent_id",
                sum(len(circle) for circle in circles),
                "accounts are each other's parents, so none of them is at the top",
                tuple(hierarchies.told(circle) for circle in circles[:_EXAMPLES]),
            )
        )
