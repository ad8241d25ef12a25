"""Upkeep asked for by a person: what they may know, hand over and merge, then who does it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from crm_core.database import company_wide
from crm_core.people import permissions
from crm_core.records import access, duplicates, history, merging, queries, rows, transfer
from crm_core.records.access import Asker
from crm_core.records.duplicates import Candidate
from crm_core.records.history import Change
from crm_core.records.merging import Merged, Rule
from crm_core.records.queries import NoSuchRecord
from crm_core.records.rows import Record
from crm_core.records.tables import Shape, shape
from crm_core.records.transfer import Handed


@dataclass(frozen=True, slots=True)
class History:
    """What a record was at a time, and the changes known then."""

    state: dict[str, Any] | None
    changes: tuple[Change, ...]


def history_of(
    session: Session, table: Shape, key: str, *, asker: Asker, as_of: dt.datetime
) -> History:
    """Return a record's past as far as the asker may view its fields.

    Who may see the record today may see its past. Raises NoSuchRecord, MayNot and NoHistory.
    """
    found = queries.one(session, table, key, asker=asker)
    visible = access.fields(session, table.name, "view", asker=asker)
    with company_wide(session, reason="who may see a record may see what it was"):
        state = history.state(session, table, found.key, as_of=as_of)
        changes = history.changes(session, table, found.key, as_of=as_of)
    shown = [
        Change(each.occurred_at, each.recorded_at, each.sequence, values, each.user_id)
        for each in changes
        if (values := _seen(each.values, visible))
    ]
    return History(_seen(state, visible) if state is not None else None, tuple(shown))


_OF_A_DEAL = frozenset({"stage_since", "forecast_category"})


def _seen(values: Mapping[str, Any], visible: access.Fields) -> dict[str, Any]:
    """Return the values that may be viewed, custom ones beside the others."""
    flat = {**values}
    custom = flat.pop("custom", None)
    if isinstance(custom, dict):
        flat |= custom
    return {
        name: value
        for name, value in flat.items()
        if name.removesuffix("_minor") in visible or name in _OF_A_DEAL
    }


def hand_over(
    session: Session,
    wanted: transfer.Wanted,
    *,
    asker: Asker,
    recorded_at: dt.datetime,
    dry_run: bool,
) -> list[Handed]:
    """Hand records over, as far as the asker may edit them and their owner. Raises MayNot."""
    for table in wanted.tables:
        permissions.require(asker.viewer, "edit", table, "owner_id")
    return transfer.transfer(
        session,
        wanted,
        within=asker.visibility,
        user_id=asker.viewer.id,
        channel="api",
        recorded_at=recorded_at,
        dry_run=dry_run,
    )


def duplicates_of(session: Session, table: Shape, key: str, *, asker: Asker) -> list[Candidate]:
    """Return the records, among those that the asker may view, that this one may duplicate."""
    found = queries.one(session, table, key, asker=asker)
    may = asker.within("view", table.name)
    return duplicates.candidates(session, table, found.record, may=may)


def duplicate_pairs(
    session: Session, table: Shape, *, asker: Asker, after: str | None, limit: int
) -> list[tuple[str, Candidate]]:
    """Return pairs of records, among those the asker may view, that may be one."""
    permissions.require(asker.viewer, "view", table.name)
    may = asker.within("view", table.name)
    return duplicates.pairs(session, table, may=may, since=after, limit=limit)


def require_new(session: Session, table: Shape, given: Record, *, asker: Asker) -> None:
    """Raise LooksLikeADuplicate when a visible record is almost certainly the same."""
    if table.name in duplicates.TABLES:
        cells = {name: rows.cell(value) for name, value in given.items()}
        duplicates.require_new(session, table, cells, may=asker.within("view", table.name))


def merge(
    session: Session,
    *,
    table: str,
    survivor: str,
    loser: str,
    rules: Mapping[str, Rule],
    asker: Asker,
    recorded_at: dt.datetime,
    dry_run: bool,
) -> Merged:
    """Merge two records that the asker may approve changes of. Raises MayNot and NoSuchRecord."""
    permissions.require(asker.viewer, "approve", table)
    may = asker.within("approve", table)
    found = queries.stored(session, shape(table), [survivor, loser], may=may)
    for key in (survivor, loser):
        if key not in found:
            raise NoSuchRecord(f"There is no record {key!r} in {table}.")
    wanted = merging.Wanted(table=table, survivor=survivor, loser=loser, rules=rules)
    # rows of the loser that the asker cannot see must not be left behind
    with company_wide(session, reason="everything of the loser goes to the survivor"):
        return merging.merge(
            session, wanted, user_id=asker.viewer.id, channel="api", recorded_at=recorded_at,
            dry_run=dry_run,
        )  # fmt: skip


def undo_merge(
    session: Session, *, table: str, loser: str, user_id: str, recorded_at: dt.datetime
) -> str:
    """Bring a merged record back; only for who sees everything."""
    return merging.undo(
        session, table, loser, user_id=user_id, channel="api", recorded_at=recorded_at
    )
