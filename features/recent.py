"""The facts of a store, indexed and held in memory until something in the store changes.

A live score must not read the whole company again for each deal. The indexed facts answer for
any instant (each row filters both clocks itself), so one copy serves every question; before
each use one short query asks whether anything was added.
"""

from __future__ import annotations

import datetime as dt
import threading
from dataclasses import dataclass

from sqlalchemy import Connection, Engine

from crm_core.database import company_wide_engine
from crm_core.imports.queries import FactsMark, facts_mark
from features.facts import load
from features.history import History

_EVERYTHING = dt.datetime(9999, 1, 1, tzinfo=dt.UTC)
_MOST_FACTS = 3_000_000
"""Above this the facts are not kept: memory is worth more than the time to read them again."""


@dataclass(frozen=True, slots=True)
class _Held:
    """Indexed facts, the store they came from and its state then."""

    store: str
    mark: FactsMark
    history: History


class _Memory:
    """Holds the facts of one store; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: _Held | None = None

    def history(self, bind: Engine | Connection) -> History:
        """Return the store's indexed facts, read again only if the store changed."""
        url = bind.engine.url.render_as_string(hide_password=False)
        if isinstance(bind, Engine):
            with bind.connect() as connection:
                mark = facts_mark(connection)
        else:
            mark = facts_mark(bind)
        with self._lock:
            held = self._held
            if held is not None and (held.store, held.mark) == (url, mark):
                return held.history
            # a connection of its own: the pool's may all be held by requests that wait for this
            own = company_wide_engine(bind, reason="one copy of the facts serves every question")
            history = History(load(own, as_of=_EVERYTHING))
            size = len(history.facts.events) + len(history.facts.activities)
            self._held = _Held(url, mark, history) if size <= _MOST_FACTS else None
            return history


_memory = _Memory()


def history(bind: Engine | Connection) -> History:
    """Return the store's facts, indexed; in memory while nothing in the store changes."""
    return _memory.history(bind)
