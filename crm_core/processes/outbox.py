"""The outbox: events written in the transaction in which they happen, handled by the worker."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import exists, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, aliased

from crm_core.processes import facts as subject_facts
from crm_core.processes.arithmetic import next_wait
from crm_core.processes.models import ProcessEvent


@dataclass(frozen=True, slots=True)
class Cause:
    """The event and the rule that made something happen; ``chain`` are all rules on the way."""

    event_id: int
    root_id: int
    depth: int
    chain: tuple[int, ...]


def emit(
    session: Session,
    kind: str,
    subject_id: str,
    *,
    changed: Mapping[str, tuple[Any, Any]] | None = None,
    actor_id: str | None,
    occurred_at: dt.datetime,
    recorded_at: dt.datetime,
    source_key: str | None = None,
    cause: Cause | None = None,
) -> int | None:
    """Write down that something happened; return the event's id.

    None when ``source_key`` was written before, so that a repeated delivery counts once.
    Nothing runs here: the worker handles the event after the commit.
    """
    subject_kind = subject_facts.EVENT_KINDS[kind]
    statement = (
        insert(ProcessEvent)
        .values(
            kind=kind, subject_kind=subject_kind, subject_id=subject_id,
            facts=subject_facts.of(session, subject_kind, subject_id) or {},
            changed={field: [old, new] for field, (old, new) in (changed or {}).items()},
            actor_id=actor_id, occurred_at=occurred_at, recorded_at=recorded_at,
            source_key=source_key,
            cause_id=cause.event_id if cause else None, root_id=cause.root_id if cause else None,
            depth=cause.depth if cause else 0, chain=list(cause.chain) if cause else [],
        )
        .on_conflict_do_nothing(index_elements=["source_key"])
        .returning(ProcessEvent.id)
    )  # fmt: skip
    return session.scalar(statement)


def claim(session: Session, *, now: dt.datetime) -> ProcessEvent | None:
    """Return the next event to handle, locked until the transaction ends; None when none waits.

    Events of one record are handled one after another, in the order in which they were
    written; those of different records by several workers at once.
    """
    earlier = aliased(ProcessEvent)
    before_it = exists().where(
        earlier.subject_kind == ProcessEvent.subject_kind,
        earlier.subject_id == ProcessEvent.subject_id,
        earlier.id < ProcessEvent.id,
        earlier.processed_at.is_(None),
    )
    return session.scalar(
        select(ProcessEvent)
        .where(
            ProcessEvent.processed_at.is_(None),
            or_(ProcessEvent.retry_at.is_(None), ProcessEvent.retry_at <= now),
            ~before_it,
        )
        .order_by(ProcessEvent.id)
        .limit(1)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    )


def finish(session: Session, event_id: int, *, now: dt.datetime) -> None:
    """Mark an event as handled."""
    session.execute(
        update(ProcessEvent).where(ProcessEvent.id == event_id).values(processed_at=now, error=None)
    )


def put_off(session: Session, event_id: int, *, now: dt.datetime, error: str) -> None:
    """Remember a failed attempt and when to try again; give up after the last."""
    attempts = session.scalar(
        select(ProcessEvent.attempts).where(ProcessEvent.id == event_id).with_for_update()
    )
    wait = next_wait((attempts or 0) + 1)
    values: dict[str, Any] = {"attempts": (attempts or 0) + 1, "error": error[:1000]}
    values |= {"processed_at": now} if wait is None else {"retry_at": now + wait}
    session.execute(update(ProcessEvent).where(ProcessEvent.id == event_id).values(**values))
