"""Reading the audit log, and finding the first row that somebody altered."""

from __future__ import annotations

import datetime as dt
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from crm_core.audit.models import AuditEntry
from crm_core.errors import Invalid


class NotASeal(Invalid):
    """A text is not a seal of the log."""


_BROKEN = text("""
with chained as (
    select a.id, a.chain, a.place, a.previous, a.hash,
           sha256(a.previous || convert_to(audit_content(a), 'UTF8')) as expected,
           lag(a.hash) over chain as before, lag(a.place) over chain as place_before
    from audit_log a
    window chain as (partition by a.chain order by a.place)
)
select id, chain, place, case
    when place <> coalesce(place_before, 0) + 1 then 'removed'
    when previous <> coalesce(before, ''::bytea) then 'replaced'
    else 'altered' end as kind
from chained
where hash <> expected or previous <> coalesce(before, ''::bytea)
   or place <> coalesce(place_before, 0) + 1
order by id
limit 1
""")

_ENDS = text("""
select distinct on (chain) chain, place, encode(hash, 'hex') as hash
from audit_log order by chain, place desc
""")


@dataclass(frozen=True, slots=True)
class Broken:
    """The first row at which the chain does not hold.

    ``kind``: ``altered`` (its content), ``removed`` (rows before it are missing), ``replaced``
    (the row before it is not the one it was chained to).
    """

    id: int
    chain: int
    place: int
    kind: str


@dataclass(frozen=True, slots=True)
class Seal:
    """The number of rows, and the place and hash at which each chain ends.

    Kept outside the database, it shows later that rows were cut off the end too.
    """

    rows: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One row of the log; ``changes`` is field → (old, new)."""

    id: int
    occurred_at: dt.datetime
    actor: str | None
    action: str
    table: str
    record_id: str | None
    changes: Mapping[str, Any]
    channel: str
    address: str | None
    request_id: str | None


def first_broken(session: Session) -> Broken | None:
    """Return the first row that was altered or before which rows are missing; None if all hold."""
    row = session.execute(_BROKEN).one_or_none()
    return None if row is None else Broken(row.id, row.chain, row.place, row.kind)


def seal(session: Session) -> Seal:
    """Return the log's present seal: ``chain:place:hash`` of each chain's last row."""
    ends = session.execute(_ENDS).all()
    rows = session.scalar(select(func.count()).select_from(AuditEntry)) or 0
    return Seal(rows, ",".join(f"{end.chain}:{end.place}:{end.hash}" for end in ends))


def extends(session: Session, earlier: str) -> bool:
    """Return whether the log still holds every end that an earlier seal names.

    Raises NotASeal.
    """
    for end in filter(None, earlier.split(",")):
        parts = end.split(":")
        if len(parts) != 3 or not parts[0].isdigit() or not parts[1].isdigit():
            raise NotASeal("That is not a seal; give the text that 'winward audit verify' printed.")
        there = select(AuditEntry.hash).where(
            AuditEntry.chain == int(parts[0]), AuditEntry.place == int(parts[1])
        )
        found = session.scalar(there)
        if found is None or bytes(found).hex() != parts[2]:
            return False
    return True


def lines(
    session: Session,
    *,
    table: str | None = None,
    record_id: str | None = None,
    actor: str | None = None,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
    before_id: int | None = None,
    limit: int = 100,
) -> tuple[Line, ...]:
    """Return rows of the log, newest first; ``before_id`` continues after a page's last row.

    Whose rows is decided by the session's scope (``database.scope``), in the database.
    """
    comparisons: tuple[tuple[Any, Any, Any], ...] = (
        (AuditEntry.table_name, operator.eq, table),
        (AuditEntry.record_id, operator.eq, record_id),
        (AuditEntry.actor, operator.eq, actor),
        (AuditEntry.occurred_at, operator.ge, since),
        (AuditEntry.occurred_at, operator.lt, until),
        (AuditEntry.id, operator.lt, before_id),
    )
    wanted = [compare(column, value) for column, compare, value in comparisons if value is not None]
    statement = select(AuditEntry).where(*wanted).order_by(AuditEntry.id.desc()).limit(limit)
    return tuple(_line(row) for row in session.scalars(statement))


def _line(row: AuditEntry) -> Line:
    return Line(
        id=row.id, occurred_at=row.occurred_at, actor=row.actor, action=row.action,
        table=row.table_name, record_id=row.record_id, changes=row.changes, channel=row.channel,
        address=row.address, request_id=row.request_id,
    )  # fmt: skip
