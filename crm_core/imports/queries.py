"""Reads about how facts came in."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.orm import Session

FactsMark = tuple[int, ...]

_MARK = text(
    """
    select (select coalesce(max(id), 0) from import_batches),
           (select coalesce(max(sequence), 0) from opportunity_events),
           (select coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint
              from pg_stat_user_tables
             where relname in ('company', 'stages', 'opportunities', 'opportunity_events',
                               'activities', 'opportunity_contacts', 'contacts', 'accounts',
                               'orders', 'users', 'products', 'fx_rates'))
    """
)


def facts_mark(session: Session) -> FactsMark:
    """Return numbers that change when facts change; equal marks mean the same facts.

    An import and a deal's change show at once. Other writes show by PostgreSQL's own counters,
    about a second after they were committed.
    """
    return tuple(int(number) for number in session.execute(_MARK).one())
