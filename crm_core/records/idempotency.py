"""Requests that may be repeated: the first answer is kept and given again, the effect is one."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from crm_core.errors import CrmError, Invalid
from crm_core.records.models import IdempotencyKey

KEPT = dt.timedelta(hours=24)
LONGEST_KEY = 200


class KeyReused(Invalid):
    """The key belongs to another request."""


class KeyInvalid(Invalid):
    """An Idempotency-Key is empty, too long or not plain text."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered: status, body as JSON text, headers that belong to it."""

    status: int
    body: str
    headers: dict[str, str] = field(default_factory=dict)
    is_replayed: bool = False


def digest(*parts: str | bytes) -> str:
    """Return what tells one request from another."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(part.encode() if isinstance(part, str) else part)
        whole.update(b"\0")
    return whole.hexdigest()


def once(
    session: Session,
    *,
    user_id: str,
    key: str,
    request: str,
    now: dt.datetime,
    act: Callable[[], Answer],
    refusal: Callable[[CrmError], Answer],
) -> Answer:
    """Return the answer to a request that may come more than once; ``act`` runs once.

    A second request with the key waits for the first to end, then gets its answer. What ``act``
    raises as a CrmError is undone and becomes the kept ``refusal``. Raises KeyReused when
    the key came with another ``request``.
    """
    if not key.strip() or len(key) > LONGEST_KEY or not key.isprintable():
        raise KeyInvalid(f"An Idempotency-Key has 1 to {LONGEST_KEY} printable characters.")
    session.execute(delete(IdempotencyKey).where(IdempotencyKey.expires_at <= now))
    mine = (IdempotencyKey.user_id == user_id, IdempotencyKey.key == key)
    is_first = session.execute(
        insert(IdempotencyKey)
        .values(user_id=user_id, key=key, digest=request, headers={}, expires_at=now + KEPT)
        .on_conflict_do_nothing()
        .returning(IdempotencyKey.key)
    ).first()
    if is_first is None:
        return _kept(session.execute(select(IdempotencyKey).where(*mine)).scalar_one(), request)
    try:
        with session.begin_nested():
            answer = act()
    except CrmError as error:
        answer = refusal(error)
    session.execute(
        update(IdempotencyKey)
        .where(*mine)
        .values(status=answer.status, body=answer.body, headers=answer.headers)
    )
    return answer


def _kept(found: IdempotencyKey, request: str) -> Answer:
    if found.digest != request:
        raise KeyReused(
            "This Idempotency-Key came with another request; use a new key for a new request."
        )
    assert found.status is not None
    assert found.body is not None
    return Answer(found.status, found.body, dict(found.headers), is_replayed=True)
