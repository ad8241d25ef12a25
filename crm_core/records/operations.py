"""Writing records of any table: create, change, and many at once, each with its verdict.

Every write is judged like an import's row, checked against what the person may do to the record
as it was *and* as it becomes, guarded against a concurrent edit, and kept in the audit log.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy.orm import Session

from crm_core.audit import operations as audit
from crm_core.database import company_wide, run
from crm_core.errors import Conflict, Invalid
from crm_core.imports.company import Company
from crm_core.people import permissions
from crm_core.people import queries as people
from crm_core.people.queries import Visibility
from crm_core.records import access, custom_fields, keys, locks, queries, rows, scopes, writing
from crm_core.records.access import Asker
from crm_core.records.queries import Found, NoSuchRecord
from crm_core.records.rows import Record
from crm_core.records.tables import SHAPES, Shape
from crm_core.records.writing import Cells, Verdict

MOST_ROWS = 1_000
EVERYONE = Visibility(everyone=True)
Mode = Literal["create", "change", "upsert"]

SERVER_SETS = {"opportunities": frozenset({"recorded_at", "history"})}
"""Columns of the exchange format that no person writes: the program knows them better."""

_BEGAN = {"accounts": "created_at", "contacts": "created_at", "leads": "created_at",
          "opportunities": "created_at"}  # fmt: skip
_OWNER = {"accounts": "owner_id", "leads": "owner_id", "opportunities": "owner_id",
          "orders": "owner_id", "activities": "user_id"}  # fmt: skip


class RecordRejected(Invalid):
    """A record's values are wrong; ``problems`` says which field and why."""

    def __init__(self, message: str, problems: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class AlreadyExists(Conflict):
    """A record with this key exists; change it instead."""


class VersionMissing(Invalid):
    """A change does not say which version of the record it changes."""


class Stale(Conflict):
    """Somebody changed the record since it was read; nothing was written."""


class NeverChanged(Conflict):
    """A row of this table is never changed; a correction is one more row."""


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes, when the program learns of it, and from where."""

    asker: Asker
    recorded_at: dt.datetime
    channel: audit.Channel = "api"
    address: str | None = None


@dataclass(slots=True)
class _Row:
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


def create(session: Session, shape: Shape, given: Record, *, writer: Writer) -> Found:
    """Write a new record; return it as its writer sees it.

    Raises AlreadyExists, RecordRejected naming the field, MayNot.
    """
    row = _new(shape, given, mode="create")
    _write_one(session, shape, row, writer)
    key = queries.newest_event(session, given) if shape.is_append_only else row.key
    return queries.one(session, shape, key, asker=writer.asker)


def change(
    session: Session,
    shape: Shape,
    key: str,
    given: Record,
    *,
    if_match: str | None,
    writer: Writer,
) -> Found:
    """Change the given fields of a record; return it as its writer sees it.

    ``if_match`` is the version that the writer read, or ``*`` for any. Raises VersionMissing,
    Stale when somebody else changed it, NoSuchRecord, NeverChanged, RecordRejected and MayNot.
    """
    if shape.is_append_only:
        raise NeverChanged(
            f"A row of {shape.name} is never changed; add one with a later recorded_at."
        )
    if if_match is None:
        raise VersionMissing(
            "Send the ETag of the record you read as If-Match, so that nobody's change is lost; "
            "or If-Match: * to change it whatever it is now."
        )
    key = queries.survivor(session, shape.name, key)
    row = _Row(key, dict(given), "change", if_match)
    _write_one(session, shape, row, writer)
    return queries.one(session, shape, key, asker=writer.asker)


def upsert(
    session: Session, shape: Shape, given: Sequence[Record], *, partial: bool, writer: Writer
) -> list[tuple[str, Verdict]]:
    """Create what is new and change what is known; return each row's key and verdict in order.

    With ``partial`` the sound rows are written whatever becomes of the others; without it one
    rejected row keeps all from being written, and the sound ones say ``withheld``.
    """
    if len(given) > MOST_ROWS:
        raise Invalid(f"At most {MOST_ROWS} rows are taken at once; send the rest separately.")
    batch = [_new(shape, one, mode="upsert") for one in given]
    _write(session, shape, batch, writer, partial=partial)
    return [(row.key, row.verdict or Verdict("withheld")) for row in batch]


def _new(shape: Shape, given: Record, *, mode: Mode) -> _Row:
    """Return a row with the id, begin and owner that its writer need not say."""
    filled = dict(given)
    if shape.key == ("id",) and filled.get("id") in (None, ""):
        filled["id"] = uuid.uuid4().hex
    if shape.is_append_only:
        return _Row(f"new-{uuid.uuid4().hex}", filled, mode)
    if not shape.key:
        return _Row(shape.name, filled, mode)
    parts = [rows.cell(filled.get(name)) or _default(shape, name) for name in shape.key]
    row = _Row(keys.join([part or "" for part in parts]), filled, mode)
    for name, part in zip(shape.key, parts, strict=True):
        if part is None:
            row.reject(name, f"{name} is missing")
    return row


def _default(shape: Shape, name: str) -> str | None:
    return "revenue" if (shape.name, name) == ("credits", "kind") else None


def _write_one(session: Session, shape: Shape, row: _Row, writer: Writer) -> None:
    """Write one row. Raises RecordRejected when it was not taken."""
    _write(session, shape, [row], writer, partial=False)
    verdict = row.verdict
    if verdict is not None and verdict.is_rejected:
        reason = verdict.reason or "The record was not taken"
        sentence = reason if reason.endswith(".") else f"{reason}."
        raise RecordRejected(f"{shape.name}: {sentence}", [(verdict.column or shape.name, reason)])


def _write(
    session: Session, shape: Shape, batch: list[_Row], writer: Writer, *, partial: bool
) -> None:
    """Write the rows that can be taken; every row has a verdict afterwards."""
    permissions.require(writer.asker.viewer, "edit", shape.name)
    if shape.is_append_only and not writer.asker.within("edit", shape.name).everyone:
        raise permissions.MayNot(f"Your role may not add rows to {shape.name}; edit the deal.")
    company = people.company(session)
    where = Company(company.currency, company.time_zone)
    locks.hold(session, shape.name, [row.key for row in batch])
    # what the writer may do is decided here, row by row; a hidden record must not be overwritten
    with company_wide(session, reason="a key that is taken is taken, whoever may see its record"):
        _meet_the_store(session, shape, batch, writer, company.currency)
        _check_references(session, shape, batch, writer)
        kinds = custom_fields.check(session, shape, [(row.given, row.reject) for row in batch])
        _tell_history(session, writer)
        _attempt(session, shape, batch, writer, where, kinds, partial=partial)


def _attempt(
    session: Session,
    shape: Shape,
    batch: list[_Row],
    writer: Writer,
    company: Company,
    kinds: dict[str, str],
    *,
    partial: bool,
) -> None:
    """Write until no row has to be taken back."""
    while todo := [row for row in batch if row.verdict is None]:
        if not partial and len(todo) < len(batch):
            return  # a row was rejected before anything was written
        try:
            with session.begin_nested():
                verdicts = writing.write(
                    session, shape, [row.cells for row in todo], kinds=kinds, company=company,
                    recorded_at=writer.recorded_at,
                )  # fmt: skip
                _settle(todo, verdicts, _strays(session, shape, todo, verdicts, writer), partial)
        except _Withdrawn:
            continue
        _audit(session, shape, todo, writer)


class _Withdrawn(Exception):
    """Raised to take back what was written because some row may not be."""


def _settle(todo: list[_Row], verdicts: Sequence[Verdict], strays: set[str], partial: bool) -> None:
    """Give the rows their verdicts, or reject the bad ones and raise _Withdrawn."""
    bad = False
    for row, verdict in zip(todo, verdicts, strict=True):
        if row.key in strays:
            row.reject(None, "the record would belong to somebody you may not act for")
        elif verdict.is_rejected and (strays or not partial):
            row.verdict = verdict
        bad = bad or row.verdict is not None
    if bad:
        raise _Withdrawn
    for row, verdict in zip(todo, verdicts, strict=True):
        row.verdict = verdict


def _meet_the_store(
    session: Session, shape: Shape, batch: list[_Row], writer: Writer, currency: str
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
        _fill_cells(shape, row, edits, writer)


def _refuse(session: Session, shape: Shape, row: _Row, asker: Asker, *, single: bool) -> None:
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


def _check_fields(shape: Shape, row: _Row, edits: access.Fields, writer: Writer) -> None:
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
    shape: Shape, row: _Row, name: str, value: Any, writer: Writer  # noqa: ANN401 - a JSON value
) -> bool:  # fmt: skip
    """Return whether a new record may say this although it may not be edited: "mine"."""
    return (
        row.before is None
        and _OWNER.get(shape.name) == name
        and rows.cell(value) == writer.asker.viewer.id
    )


def _differs(row: _Row, name: str, value: Any) -> bool:  # noqa: ANN401 - a JSON value
    """Return whether a given value is another than the stored one; repeating it is no edit."""
    if row.before is None:
        return value is not None
    return rows.cell(value) != rows.cell(row.before.get(name))


def _check_references(session: Session, shape: Shape, batch: list[_Row], writer: Writer) -> None:
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


def _fill_cells(shape: Shape, row: _Row, edits: access.Fields, writer: Writer) -> None:
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
        if owner is not None and merged.get(owner) is None and owner not in edits:
            merged[owner] = writer.asker.viewer.id
        if shape.name == "opportunities":
            merged["recorded_at"] = writer.recorded_at
    if shape.is_append_only and merged.get("recorded_at") is None:
        merged["recorded_at"] = writer.recorded_at
    row.cells = {name: rows.cell(value) for name, value in merged.items()}


def _is_a_version(shape: Shape, name: str) -> bool:
    """Return whether the column says which version a row is; a change makes a new one."""
    return shape.is_versioned and name == "recorded_at"


def _follow_the_stage(row: _Row, merged: Record, given: Record) -> None:
    """Forget when a deal closed if its stage changes and the writer says nothing of it."""
    assert row.before is not None
    if "stage" in given and given["stage"] != row.before["stage"] and "closed_at" not in given:
        merged.pop("closed_at", None)


def _strays(
    session: Session, shape: Shape, todo: list[_Row], verdicts: Sequence[Verdict], writer: Writer
) -> set[str]:
    """Return the keys of written rows that their writer may no longer act for."""
    may = writer.asker.within("edit", shape.name)
    written = {
        row.key
        for row, verdict in zip(todo, verdicts, strict=True)
        if verdict.verdict in ("inserted", "updated")
    }
    if may.everyone or not written:
        return set()
    return written - set(queries.stored(session, shape, written, may=may))


def _tell_history(session: Session, writer: Writer) -> None:
    """Tell the database who changes records and when we learned of it."""
    run(
        session,
        "select set_config('winward.recorded_at', :at, true), "
        "set_config('winward.user_id', :who, true)",
        at=writer.recorded_at.isoformat(),
        who=writer.asker.viewer.id,
    )


def _audit(session: Session, shape: Shape, todo: Sequence[_Row], writer: Writer) -> None:
    """Keep what changed: field, old, new."""
    written = [
        row for row in todo if row.verdict is not None
        and row.verdict.verdict in ("inserted", "updated")
    ]  # fmt: skip
    audit.record_all(
        session,
        [
            audit.Entry(
                actor=writer.asker.viewer.id,
                action="create" if row.before is None else "edit",
                table=shape.name,
                record_id=row.key,
                changes=_changes(row),
                occurred_at=writer.recorded_at,
                channel=writer.channel,
                address=writer.address,
            )
            for row in written
        ],
    )


def _changes(row: _Row) -> Mapping[str, tuple[object, object]]:
    old = {name: rows.cell(value) for name, value in (row.before or {}).items()}
    return {
        name: (old.get(name), rows.cell(value))
        for name, value in row.given.items()
        if old.get(name) != rows.cell(value)
    }
