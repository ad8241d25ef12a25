"""The facts of a store, indexed and held in memory until something in the store changes.

A live score must not read the whole company again for each deal. The indexed facts answer for
any instant (each row filters both clocks itself), so one copy serves every question; before
each use one short query asks whether anything was added.
"""

from __future__ import annotations

import datetime as dt
import threading
from dataclasses import dataclass

from sqlalchemy import Engine, text

from features.facts import load
from features.history import History

_EVERYTHING = dt.datetime(9999, 1, 1, tzinfo=dt.UTC)
_MOST_FACTS = 3_000_000
"""Above this the facts are not kept: memory is worth more than the time to read them again."""
_MARK = text(
    "select (select max(sequence) from opportunity_events), (select count(*) from opportunities), "
    "(select count(*) from activities), (select count(*) from opportunity_contacts), "
    "(select count(*) from accounts), (select count(*) from orders), "
    "(select count(*) from users), (select count(*) from stages), "
    "(select max(id) from import_batches)"
)


@dataclass(frozen=True, slots=True)
class _Held:
    """Indexed facts, the store they came from and its state then."""

    store: str
    mark: tuple[object, ...]
    history: History


class _Memory:
    """Holds the facts of one store; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: _Held | None = None

    def history(self, engine: Engine) -> History:
        """Return the store's indexed facts, read again only if the store changed."""
        store = engine.url.render_as_string(hide_password=True)
        with self._lock:
            with engine.connect() as connection:
                mark = tuple(connection.execute(_MARK).one())
            held = self._held
            if held is not None and (held.store, held.mark) == (store, mark):
                return held.history
            history = History(load(engine, as_of=_EVERYTHING))
            size = len(history.facts.events) + len(history.facts.activities)
            self._held = _Held(store, mark, history) if size <= _MOST_FACTS else None
            return history


_memory = _Memory()


def history(engine: Engine) -> History:
    """Return the store's facts, indexed; in memory while nothing is added to the store.

    A change that adds no row (an account's industry edited in place) is noticed with the next
    addition or import.
    """
    return _memory.history(engine)
