"""Writing the audit log: one row per action on a record, chained by the database."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, cast

from sqlalchemy import Table, insert
from sqlalchemy.orm import Session

from crm_core.audit.models import AuditEntry

Channel = Literal["page", "api", "cli", "import", "job"]
Changes = Mapping[str, tuple[object, object]]
"""Field → (old, new). Times, dates and decimals are written as text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One action on one record; the fields mean what :class:`AuditEntry` says."""

    actor: str | None
    action: str
    table: str
    record_id: str | None
    changes: Changes
    occurred_at: dt.datetime
    channel: Channel
    address: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Who acts in a session, when and from where; said once where a request or command begins."""

    actor: str | None
    at: dt.datetime
    channel: Channel
    address: str | None = None
    request_id: str | None = None


_ORIGIN = "audit origin"
_APPEND = insert(cast("Table", AuditEntry.__table__)).inline()
"""Inline: nothing is read back, because not everybody who may append may read."""


def set_origin(session: Session, origin: Origin) -> None:
    """Say who acts in this session, for :func:`record_here` and for the request's id."""
    session.info[_ORIGIN] = origin


def origin_of(session: Session) -> Origin | None:
    """Return who acts in this session, None where nobody said so."""
    found: Origin | None = session.info.get(_ORIGIN)
    return found


def record_here(
    session: Session, *, action: str, table: str, record_id: str | None, changes: Changes
) -> bool:
    """Write down what is done in this session by whom its origin names; return whether it was.

    Without an origin (a batch, which writes one row for the whole) nothing is written.
    """
    origin = origin_of(session)
    if origin is None:
        return False
    record(
        session, actor=origin.actor, action=action, table=table, record_id=record_id,
        changes=changes, occurred_at=origin.at, channel=origin.channel, address=origin.address,
        request_id=origin.request_id,
    )  # fmt: skip
    return True


def record(
    session: Session,
    *,
    actor: str | None,
    action: str,
    table: str,
    record_id: str | None,
    changes: Changes,
    occurred_at: dt.datetime,
    channel: Channel,
    address: str | None,
    request_id: str | None = None,
) -> None:
    """Write down who did what, in the same transaction as what was done.

    ``changes`` never holds a secret: name the field and give None for both values.
    """
    record_all(
        session,
        [
            Entry(
                actor=actor, action=action, table=table, record_id=record_id, changes=changes,
                occurred_at=occurred_at, channel=channel, address=address, request_id=request_id,
            )
        ],
    )  # fmt: skip


def record_all(session: Session, entries: Iterable[Entry]) -> int:
    """Write several actions down in one statement; return how many."""
    origin = origin_of(session)
    rows = [_row(entry, origin) for entry in entries]
    if rows:
        session.execute(_APPEND, rows)
    return len(rows)


def _row(entry: Entry, origin: Origin | None) -> dict[str, object]:
    """Return the row; what the caller does not know of the request, the session's origin does."""
    address, request_id = entry.address, entry.request_id
    if origin is not None:
        address, request_id = address or origin.address, request_id or origin.request_id
    return {
        "occurred_at": entry.occurred_at,
        "actor": entry.actor,
        "action": entry.action,
        "table_name": entry.table,
        "record_id": entry.record_id,
        "changes": {
            field: [_plain(old), _plain(new)] for field, (old, new) in entry.changes.items()
        },
        "channel": entry.channel,
        "address": address,
        "request_id": request_id,
    }


def _plain(value: object) -> object:
    """Return a value as JSON can hold it exactly."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, (Decimal, float)):
        return str(value)
    if value is None or isinstance(value, (bool, int, str)):
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value
    return str(value)
