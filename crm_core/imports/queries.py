"""Reads about how facts came in."""

from __future__ import annotations

from sqlalchemy import Connection, text

FactsMark = tuple[int, ...]

_MARK = text(
    """
    select (select coalesce(sum(id) filter (where status = 'committed'), 0) from import_batches),
           (select coalesce(sum(id) filter (where status = 'rolled_back'), 0) from import_batches),
           (select coalesce(max(sequence), 0) from opportunity_events),
           (select count(*) from opportunities), (select count(*) from activities),
           (select count(*) from opportunity_contacts), (select count(*) from accounts),
           (select count(*) from orders), (select count(*) from users),
           (select count(*) from stages),
           (select coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint
              from pg_stat_user_tables
             where relname in ('company', 'stages', 'opportunities', 'opportunity_events',
                               'activities', 'opportunity_contacts', 'contacts', 'accounts',
                               'orders', 'users', 'products', 'fx_rates'))
    """
)


def facts_mark(connection: Connection) -> FactsMark:
    """Return numbers that change when facts change; equal marks mean the same facts.

    An import, a deal's change and every added row show at once; a row edited in place shows by
    PostgreSQL's own counters, about a second after it was committed.
    """
    return tuple(int(number) for number in connection.execute(_MARK).one())
