"""The facts that live scores are made from, kept in this process until something new is recorded.

Loading a company's facts takes a second, making one row of them milliseconds. A row uses only
what was known at its own time, whatever else is loaded, so that facts loaded once answer any
question until new ones come in; a mark of the store tells when they did.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import pandas as pd
from sqlalchemy import Engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from crm_core.database import create_engine
from crm_core.imports.queries import FactsMark, facts_mark
from crm_core.settings import Settings
from features import facts as fact_store
from features import opportunity, snapshots
from features.fact_tables import Facts
from features.history import History

MOST_EVENTS_KEPT = 3_000_000
"""Above this many changes and activities a process keeps none of them (a few GB of memory)."""
_EVER = dt.datetime(9999, 1, 1, tzinfo=dt.UTC)


@dataclass
class _Kept:
    """What one process keeps of one store."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    mark: FactsMark | None = None
    history: History | None = None


_KEPT: WeakKeyDictionary[Engine, _Kept] = WeakKeyDictionary()
_OPENING = threading.Lock()


def rows(
    session: Session, pairs: pd.DataFrame, *, settings: Settings, columns: Sequence[str]
) -> pd.DataFrame:
    """Return feature rows as ``features.snapshots.rows`` does, from kept facts where it can."""
    bind = session.get_bind()
    engine = bind if isinstance(bind, Engine) else bind.engine
    with _OPENING:
        kept = _KEPT.setdefault(engine, _Kept())
    mark = facts_mark(session)
    with kept.lock:  # the history fills itself on demand: one question at a time
        if kept.mark != mark:
            loaded = _load(engine)
            is_small = len(loaded.events) + len(loaded.activities) <= MOST_EVENTS_KEPT
            kept.history = History(loaded) if is_small else None
            kept.mark = mark
        if kept.history is not None:
            return opportunity.rows(kept.history, pairs, columns=columns)
    return snapshots.rows(engine, pairs, settings=settings, columns=columns)


def _load(engine: Engine) -> Facts:
    """Return every fact, read through a connection of its own.

    The pool's may all be held by requests that wait for this one.
    """
    apart = create_engine(engine.url.render_as_string(hide_password=False), poolclass=NullPool)
    return fact_store.load(apart, as_of=_EVER)
