"""Checking rows before they are written: may this person write this, to that record, now."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy.orm import Session

from crm_core.audit import operations as audit
from crm_core.errors import Conflict
from crm_core.opportunities.models import Opportunity
from crm_core.people import permissions
from crm_core.people.queries import Visibility
from crm_core.processes import gates
from crm_core.processes.gates import CriteriaMissing, UnknownStage
from crm_core.records import access, custom_fields, queries, rows, scopes
from crm_core.records.access import Asker
from crm_core.records.queries import NoSuchRecord
from crm_core.records.rows import Record
from crm_core.records.tables import SHAPES, Shape
from crm_core.records.writing import Cells, Verdict

EVERYONE = Visibility(everyone=True)
Mode = Literal["create", "change", "upsert"]

SERVER_SETS = {"opportunities": frozenset({"recorded_at", "history"})}
"""Columns of the exchange format that no person writes: the program knows them better."""

_BEGAN = {"accounts": "created_at", "contacts": "created_at", "leads": "created_at",
          "opportunities": "created_at"}  # fmt: skip
_OWNER = {"accounts": "owner_id", "leads": "owner_id", "opportunities": "owner_id",
          "orders": "owner_id", "activities": "user_id"}  # fmt: skip


class AlreadyExists(Conflict):
    """A record with this key exists; change it instead."""


class Stale(Conflict):
    """Somebody changed the record since it was read; nothing was written."""


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes, when the program learns of it, and from where."""

    asker: Asker
    recorded_at: dt.datetime
    channel: audit.Channel = "api"
    address: str | None = None


@dataclass(slots=True)
class Row:
    """One row on its way: what was asked, what stands in the store, what became of it."""

    key: str
    given: Record
    mode: Mode
    if_match: str | None = None
    before: Record | None = None
    cells: Cells = field(default_factory=dict)
    verdict: Verdict | None = None

    def reject(self, column: str | None, reason: str) -> None:
        """Keep the first reason why the row is not taken."""
        if self.verdict is None:
            value = rows.cell(self.given.get(column)) if column else None
            self.verdict = Verdict("rejected", column, value, reason)


def meet_the_store(
    session: Session, shape: Shape, batch: list[Row], writer: Writer, currency: str
) -> None:
    """Compare each row with what stands in the store and with what its writer may do."""
    asker = writer.asker
    wanted = [row.key for row in batch]
    stored = queries.stored(session, shape, wanted, may=EVERYONE, locked=True)
    may = asker.within("edit", shape.name)
    editable = stored if may.everyone else queries.stored(session, shape, wanted, may=may)
    seen = access.fields(session, shape.name, "view", asker=asker)
    edits = access.fields(session, shape.name, "edit", asker=asker)
    single = len(batch) == 1 and batch[0].mode != "upsert"
    for row in batch:
        known = stored.get(row.key)
        if known is not None:
            row.before = rows.record(shape, known, currency=currency)
        if row.mode == "create" and known is not None:
            raise AlreadyExists(f"{shape.name} has a record {row.key!r}; change it instead.")
        if row.mode == "change" or known is not None:
            if row.key not in editable:
                _refuse(session, shape, row, asker, single=single)
                continue
            assert row.before is not None
            tag = rows.etag(rows.narrowed(row.before, seen))
            if row.if_match not in (None, "*", tag):
                raise Stale(
                    f"{shape.name} {row.key!r} was changed since you read it; read it again and "
                    f"repeat your change. It is now {tag}."
                )
        _check_fields(shape, row, edits, writer)
        if row.before is None:
            custom_fields.require_present(session, shape, row.given, row.reject)
        _fill_cells(shape, row, writer)
        if shape.name == "opportunities" and known is not None:
            _pass_the_gate(session, row, writer, single=single)


def _pass_the_gate(session: Session, row: Row, writer: Writer, *, single: bool) -> None:
    """Refuse a stage whose criteria the deal does not fulfil. Raises CriteriaMissing."""
    assert row.before is not None
    stage = row.given.get("stage")
    if not isinstance(stage, str) or stage == row.before["stage"]:
        return
    deal = session.get_one(Opportunity, row.key)
    try:
        missing = gates.missing(session, deal, stage, as_of=writer.recorded_at)
    except UnknownStage:
        return  # the reading of the row names it
    if missing and single:
        raise CriteriaMissing(missing)
    if missing:
        row.reject("stage", "; ".join(each.text for each in missing))


def _refuse(session: Session, shape: Shape, row: Row, asker: Asker, *, single: bool) -> None:
    """Say "not found" for what is hidden, "not allowed" for what may only be seen."""
    visible = queries.stored(session, shape, [row.key], may=asker.within("view", shape.name))
    if row.key in visible:
        if single:
            raise permissions.MayNot(f"You may see {shape.name} {row.key!r} but not change it.")
        row.reject(None, "you may see this record but not change it")
    elif single:
        raise NoSuchRecord(f"There is no record {row.key!r} in {shape.name}.")
    else:
        row.reject(None, "there is no such record, or its key is taken")


def _check_fields(shape: Shape, row: Row, edits: access.Fields, writer: Writer) -> None:
    """Refuse fields that the table does not have, or that the writer may not write."""
    known = {column.name for column in shape.table.columns}
    server = SERVER_SETS.get(shape.name, frozenset())
    for name, value in row.given.items():
        if name.startswith("x_") and shape.table.custom_fields:
            if name not in edits and _differs(row, name, value):
                row.reject(name, f"your role may not edit {name}")
        elif name not in known:
            row.reject(name, f"{shape.name} has no field {name}; it has {', '.join(sorted(known))}")
        elif name in server and _differs(row, name, value):
            row.reject(name, f"{name} is set by the program; leave it out")
        elif name in shape.table.key and name != "recorded_at":
            if row.mode == "change" and _differs(row, name, value):
                row.reject(name, f"{name} identifies the record and never changes")
        elif name in edits or not _differs(row, name, value):
            continue
        elif not _may_be_set_at_birth(shape, row, name, value, writer):
            row.reject(name, f"your role may not edit {name}; leave it out")


def _may_be_set_at_birth(
    shape: Shape, row: Row, name: str, value: Any, writer: Writer  # noqa: ANN401 - a JSON value
) -> bool:  # fmt: skip
    """Return whether a new record may say this although it may not be edited: "mine"."""
    return (
        row.before is None
        and _OWNER.get(shape.name) == name
        and rows.cell(value) == writer.asker.viewer.id
    )


def _differs(row: Row, name: str, value: Any) -> bool:  # noqa: ANN401 - a JSON value
    """Return whether a given value is another than the stored one; repeating it is no edit."""
    if row.before is None:
        return value is not None
    return rows.cell(value) != rows.cell(row.before.get(name))


def check_references(session: Session, shape: Shape, batch: list[Row], writer: Writer) -> None:
    """Reject references to records that the writer may not see, as if they did not exist."""
    if writer.asker.visibility.everyone:
        return
    for column in shape.table.columns:
        if column.refers_to not in scopes.SCOPES:
            continue
        named = {
            text
            for row in batch
            if (text := row.cells.get(column.name)) and _differs(row, column.name, text)
        }
        if not named:
            continue
        other = SHAPES[column.refers_to]
        may = writer.asker.within("view", other.name)
        missing = named - set(queries.stored(session, other, named, may=may))
        for row in batch:
            text = row.cells.get(column.name)
            if text in missing:
                row.reject(column.name, f"{column.name} {text} is not among the {other.name}")


def _fill_cells(shape: Shape, row: Row, writer: Writer) -> None:
    """Complete the cells: a known record keeps what is not given, a new one gets its beginning."""
    server = SERVER_SETS.get(shape.name, frozenset())
    given = {name: value for name, value in row.given.items() if name not in server}
    if row.before is not None:
        kept = {
            name: value
            for name, value in row.before.items()
            if value is not None and name not in server and not _is_a_version(shape, name)
        }
        merged = {**kept, **given}
        if shape.name == "opportunities":
            _follow_the_stage(row, merged, given)
    else:
        merged = given
        began = _BEGAN.get(shape.name)
        if began is not None and merged.get(began) is None:
            merged[began] = writer.recorded_at
        owner = _OWNER.get(shape.name)
        may = writer.asker.within("edit", shape.name)
        if owner is not None and merged.get(owner) is None and not may.everyone:
            merged[owner] = writer.asker.viewer.id
        if shape.name == "opportunities":
            merged["recorded_at"] = writer.recorded_at
    if shape.is_append_only and merged.get("recorded_at") is None:
        merged["recorded_at"] = writer.recorded_at
    row.cells = {name: rows.cell(value) for name, value in merged.items()}


def _is_a_version(shape: Shape, name: str) -> bool:
    """Return whether the column says which version a row is; a change makes a new one."""
    return shape.is_versioned and name == "recorded_at"


def _follow_the_stage(row: Row, merged: Record, given: Record) -> None:
    """Forget when a deal closed if its stage changes and the writer says nothing of it."""
    assert row.before is not None
    if "stage" in given and given["stage"] != row.before["stage"] and "closed_at" not in given:
        merged.pop("closed_at", None)
