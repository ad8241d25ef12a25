"""Locks by record: two writers of one record wait for each other, all others do not."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import text
from sqlalchemy.orm import Session

_SPACE = 7_240
"""First half of the advisory locks' keys; imports lock under another one."""


def hold(session: Session, table: str, keys: Iterable[str]) -> None:
    """Wait for and hold the locks of these records until the transaction ends.

    They are taken in one order, so that two writers cannot wait for each other in a circle.
    """
    names = sorted({f"{table}:{key}" for key in keys})
    session.execute(
        text(
            "select pg_advisory_xact_lock(:space, n) from (select distinct hashtext(k) as n "
            "from unnest(cast(:names as text[])) k order by 1) numbers"
        ),
        {"space": _SPACE, "names": names},
    ).all()
