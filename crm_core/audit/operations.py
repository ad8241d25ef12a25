"""Writing the audit log: one row per action on a record, chained by the database."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from sqlalchemy import insert
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
    rows = [_row(entry) for entry in entries]
    if rows:
        session.execute(insert(AuditEntry), rows)
    return len(rows)


def _row(entry: Entry) -> dict[str, object]:
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
        "address": entry.address,
        "request_id": entry.request_id,
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
