"""Writing records of any table: create, change, and many at once, each with its verdict.

Every write is judged like an import's row, checked against what the person may do to the record
as it was *and* as it becomes, guarded against a concurrent edit, and kept in the audit log.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence

from sqlalchemy.orm import Session

from crm_core.audit import operations as audit
from crm_core.database import company_wide, run
from crm_core.errors import Conflict, Invalid
from crm_core.imports.company import Company
from crm_core.people import permissions
from crm_core.people import queries as people
from crm_core.processes import outbox
from crm_core.records import checking, custom_fields, keys, locks, queries, rows, writing
from crm_core.records.checking import Mode, Row, Writer
from crm_core.records.queries import Found
from crm_core.records.rows import Record
from crm_core.records.tables import Shape
from crm_core.records.writing import Verdict

MOST_ROWS = 1_000


class RecordRejected(Invalid):
    """A record's values are wrong; ``problems`` says which field and why."""

    def __init__(self, message: str, problems: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class VersionMissing(Invalid):
    """A change does not say which version of the record it changes."""


class NeverChanged(Conflict):
    """A row of this table is never changed; a correction is one more row."""


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
    row = Row(key, dict(given), "change", if_match)
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


def _new(shape: Shape, given: Record, *, mode: Mode) -> Row:
    """Return a row with the id, begin and owner that its writer need not say."""
    filled = dict(given)
    if shape.key == ("id",) and filled.get("id") in (None, ""):
        filled["id"] = uuid.uuid4().hex
    if shape.is_append_only:
        return Row(f"new-{uuid.uuid4().hex}", filled, mode)
    if not shape.key:
        return Row(shape.name, filled, mode)
    parts = [rows.cell(filled.get(name)) or _default(shape, name) for name in shape.key]
    row = Row(keys.join([part or "" for part in parts]), filled, mode)
    for name, part in zip(shape.key, parts, strict=True):
        if part is None:
            row.reject(name, f"{name} is missing")
    return row


def _default(shape: Shape, name: str) -> str | None:
    return "revenue" if (shape.name, name) == ("credits", "kind") else None


def _write_one(session: Session, shape: Shape, row: Row, writer: Writer) -> None:
    """Write one row. Raises RecordRejected when it was not taken."""
    _write(session, shape, [row], writer, partial=False)
    verdict = row.verdict
    if verdict is not None and verdict.is_rejected:
        reason = verdict.reason or "The record was not taken"
        sentence = reason if reason.endswith(".") else f"{reason}."
        raise RecordRejected(f"{shape.name}: {sentence}", [(verdict.column or shape.name, reason)])


def _write(
    session: Session, shape: Shape, batch: list[Row], writer: Writer, *, partial: bool
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
        checking.meet_the_store(session, shape, batch, writer, company.currency)
        checking.check_references(session, shape, batch, writer)
        kinds = custom_fields.check(session, shape, [(row.given, row.reject) for row in batch])
        _tell_history(session, writer)
        _attempt(session, shape, batch, writer, where, kinds, partial=partial)


def _attempt(
    session: Session,
    shape: Shape,
    batch: list[Row],
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
        _announce(session, shape, todo, writer)


class _Withdrawn(Exception):
    """Raised to take back what was written because some row may not be."""


def _settle(todo: list[Row], verdicts: Sequence[Verdict], strays: set[str], partial: bool) -> None:
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


def _strays(
    session: Session, shape: Shape, todo: list[Row], verdicts: Sequence[Verdict], writer: Writer
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


_EVENTS = {"opportunities": "opportunity", "accounts": "account", "leads": "lead",
           "activities": "activity"}  # fmt: skip


def _announce(session: Session, shape: Shape, todo: Sequence[Row], writer: Writer) -> None:
    """Keep in the log what changed, and tell the company's rules that it did."""
    written = [
        row for row in todo if row.verdict is not None
        and row.verdict.verdict in ("inserted", "updated")
    ]  # fmt: skip
    _audit(session, shape, written, writer)
    subject = _EVENTS.get(shape.name)
    for row in written:
        changes = _changes(row)
        what = "created" if row.before is None else "changed"
        if what == "changed" and "stage" in changes:
            what = "stage_changed"
        if subject is None or (subject == "activity" and what != "created"):
            continue
        outbox.emit(
            session, f"{subject}.{what}", row.key, changed=changes,
            actor_id=writer.asker.viewer.id, occurred_at=writer.recorded_at,
            recorded_at=writer.recorded_at,
        )  # fmt: skip


def _audit(session: Session, shape: Shape, written: Sequence[Row], writer: Writer) -> None:
    """Keep what changed: field, old, new."""
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


def _changes(row: Row) -> Mapping[str, tuple[object, object]]:
    old = {name: rows.cell(value) for name, value in (row.before or {}).items()}
    return {
        name: (old.get(name), rows.cell(value))
        for name, value in row.given.items()
        if old.get(name) != rows.cell(value)
    }
