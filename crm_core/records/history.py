"""What a record was at a time: a fold of its append-only events, blind to the future twice over.

An event counts as of t when it had happened (``occurred_at`` ≤ t) *and* was known
(``recorded_at`` ≤ t). Of two values of a field the one that happened last holds; of the same
instant the one recorded later; then the one written later (``sequence``).
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, literal_column, select, text
from sqlalchemy.orm import Session

from crm_core.errors import Invalid
from crm_core.opportunities import queries as opportunities
from crm_core.opportunities.models import Opportunity, OpportunityEvent
from crm_core.records import lookups
from crm_core.records.models import RecordEvent
from crm_core.records.rows import plain
from crm_core.records.tables import Shape

MOST_EVENTS = 1_000
TRACKED = frozenset({
    "company", "org_units", "users", "assignments", "accounts", "contacts", "campaigns", "leads",
    "products", "stages", "subscriptions", "credits",
})  # fmt: skip
"""Tables whose changes the database keeps as events; deals have events of their own."""


class NoHistory(Invalid):
    """The rows of this table never change, or their history is not kept."""


@dataclass(frozen=True, slots=True)
class Change:
    """Values that a record took on at one time: field → new value."""

    occurred_at: dt.datetime
    recorded_at: dt.datetime
    sequence: int
    values: dict[str, Any] = field(repr=False)
    user_id: str | None = None


def fold(changes: Iterable[Change], *, as_of: dt.datetime) -> dict[str, Any] | None:
    """Return what a record was known to be at ``as_of``; None before anything was known of it."""
    seen = [
        change for change in changes if change.occurred_at <= as_of and change.recorded_at <= as_of
    ]
    if not seen:
        return None
    state: dict[str, Any] = {}
    for change in sorted(seen, key=lambda one: (one.occurred_at, one.recorded_at, one.sequence)):
        state.update(change.values)
    return state


def changes(session: Session, shape: Shape, key: str, *, as_of: dt.datetime) -> list[Change]:
    """Return what is known of a record's changes at ``as_of``, the oldest first.

    Raises NoHistory for a table whose history is not kept.
    """
    if shape.name == "opportunities":
        return _of_deal(session, key, as_of)
    if shape.is_versioned:
        return _of_versions(session, shape, key, as_of)
    if shape.name not in TRACKED:
        raise NoHistory(f"No history of {shape.name} is kept; its rows are written once.")
    return _of_record(session, shape, key, as_of)


def _of_record(session: Session, shape: Shape, key: str, as_of: dt.datetime) -> list[Change]:
    """Return the kept changes; where there are none, the row itself is what it always was."""
    of_record = (RecordEvent.table_name == shape.name, RecordEvent.key == key)
    found = session.scalars(
        select(RecordEvent)
        .where(
            *of_record,
            RecordEvent.changes != {},
            RecordEvent.occurred_at <= as_of,
            RecordEvent.recorded_at <= as_of,
        )
        .order_by(RecordEvent.occurred_at, RecordEvent.recorded_at, RecordEvent.sequence)
        .limit(MOST_EVENTS)
    )
    told = [
        Change(each.occurred_at, each.recorded_at, each.sequence, each.changes, each.user_id)
        for each in found
    ]
    if told:
        return told
    first = _unchanged(session, shape, key)
    return [first] if first is not None and first.occurred_at <= as_of >= first.recorded_at else []


def _unchanged(session: Session, shape: Shape, key: str) -> Change | None:
    """Return the state of a record that nothing has changed since it was written."""
    row = session.scalar(
        select(func.to_jsonb(literal_column(f'"{shape.name}"')))
        .select_from(shape.stored)
        .where(lookups.among(shape, shape.stored, [key]))
    )
    if row is None:
        return None
    row.pop("password_hash", None)
    first = session.execute(
        _FIRST, {"table": shape.name, "key": key, "row": json.dumps(row)}
    ).one_or_none()
    if first is None:
        return None
    return Change(first.occurred_at, first.recorded_at, 0, first.changes, first.user_id)


_FIRST = text("select * from winward_first_state(:table, :key, cast(:row as jsonb))")
"""No row when former values are kept: then those tell."""


def _of_deal(session: Session, key: str, as_of: dt.datetime) -> list[Change]:
    found = session.scalars(
        select(OpportunityEvent)
        .where(
            OpportunityEvent.opportunity_id == key,
            OpportunityEvent.occurred_at <= as_of,
            OpportunityEvent.recorded_at <= as_of,
        )
        .order_by(
            OpportunityEvent.occurred_at, OpportunityEvent.recorded_at, OpportunityEvent.sequence
        )
        .limit(MOST_EVENTS)
    )
    return [
        Change(each.occurred_at, each.recorded_at, each.sequence,
               {each.field: each.new_value}, each.user_id)
        for each in found
    ]  # fmt: skip


def _of_versions(session: Session, shape: Shape, key: str, as_of: dt.datetime) -> list[Change]:
    stored = shape.stored
    found = session.execute(
        select(stored)
        .where(lookups.among(shape, stored, [key]), stored.c.recorded_at <= as_of)
        .order_by(stored.c.recorded_at)
        .limit(MOST_EVENTS)
    ).mappings()
    return [
        Change(row["recorded_at"], row["recorded_at"], number,
               {name: plain(value) for name, value in row.items()})
        for number, row in enumerate(found)
    ]  # fmt: skip


def state(session: Session, shape: Shape, key: str, *, as_of: dt.datetime) -> dict[str, Any] | None:
    """Return what a record of any table with a history was known to be at ``as_of``.

    None when it was not known then. Raises NoHistory.
    """
    if shape.name != "opportunities":
        return fold(changes(session, shape, key, as_of=as_of), as_of=as_of)
    found = opportunities.states(session, [key], as_of=as_of).get(key)
    if found is None:
        return None
    deal = session.get_one(Opportunity, key)
    known = {
        name: plain(getattr(found, name))
        for name in (
            "stage", "stage_since", "amount", "expected_close_on", "owner_id",
            "forecast_category", "product_id",
        )
    }  # fmt: skip
    static = {name: plain(getattr(deal, name)) for name in ("account_id", "created_at", "pipeline")}
    return {"id": key, **static, **known, **found.custom}
