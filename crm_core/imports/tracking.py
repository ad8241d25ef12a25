"""Keeping what a batch writes, in the statements that write it, so that it can be undone.

A row's fingerprint is a hash of its columns as the batch left them: whoever changes the row
afterwards changes the hash, and a rollback then leaves the row alone. Events are never changed,
so runs of their sequence numbers are all that is kept of them.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm_core import exchange
from crm_core.database import run
from crm_core.imports.scratch import literal, quoted
from crm_core.imports.states import WrongState

EVENTS = "opportunity_events"
DEALS = "opportunities"
DEAL_STATIC = (
    "account_id", "name", "pipeline", "created_at", "recorded_at", "source", "campaign_id",
    "lost_reason", "history",
)  # fmt: skip
"""A deal's columns that no event drives; a batch restores these, the rest follows its events."""

TABLES = ("custom_fields", *(table.name for table in exchange.TABLES))
"""Every table that a batch may write, in the order of their references."""

_COLUMNS = text(
    """
    select c.relname, a.attname, coalesce(array_position(i.indkey::int2[], a.attnum), -1) as place
    from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
    join pg_index i on i.indrelid = c.oid and i.indisprimary
    where c.relnamespace = 'public'::regnamespace and c.relname = any(:tables)
      and not a.attisdropped and a.attgenerated = '' order by c.relname, a.attnum
    """
)


@dataclass(frozen=True, slots=True)
class Shape:
    """A stored table: its primary key and all its columns."""

    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]

    def keyed(self, alias: str) -> str:
        """Return the SQL of a row's key as an array of text."""
        return f"array[{', '.join(f'{alias}.{quoted(name)}::text' for name in self.key)}]"

    def fingerprint(self, alias: str, columns: tuple[str, ...] | None = None) -> str:
        """Return the SQL of the hash of a row's columns."""
        values = ", ".join(f"{alias}.{quoted(name)}" for name in columns or self.columns)
        return f"hash_record_extended(row({values}), 0)"


def shapes(session: Session) -> dict[str, Shape]:
    """Return the tables that a batch may write, as they are stored."""
    columns: dict[str, list[str]] = {}
    keys: dict[str, dict[int, str]] = {}
    for table, column, place in session.execute(_COLUMNS, {"tables": list(TABLES)}):
        columns.setdefault(table, []).append(column)
        if place >= 0:
            keys.setdefault(table, {})[place] = column
    return {
        name: Shape(name, tuple(keys[name][place] for place in sorted(keys[name])), tuple(found))
        for name, found in columns.items()
    }


def columns(session: Session) -> dict[str, list[str]]:
    """Return which columns of each table the fingerprints of a batch cover."""
    return {name: list(shape.columns) for name, shape in shapes(session).items()}


def then(session: Session, batch: int, tracked: dict[str, list[str]]) -> dict[str, Shape]:
    """Return the tables with those columns that a batch's fingerprints cover. Raises WrongState."""
    found = {}
    for name, shape in shapes(session).items():
        covered = tracked.get(name, [])
        gone = sorted(set(covered) - set(shape.columns))
        if gone:
            raise WrongState(
                f"The table {name} has lost its columns {', '.join(gone)} since import {batch}; "
                "what that import left can no longer be told."
            )
        if covered:
            found[name] = Shape(name, shape.key, tuple(covered))
    return found


def keep_as(session: Session, batch: int, *, recorded_at: dt.datetime) -> None:
    """Say for this transaction whose changes the history of records keeps, and learnt when."""
    run(
        session,
        "select set_config('winward.batch', :batch, true), "
        "set_config('winward.recorded_at', :at, true)",
        batch=str(batch),
        at=recorded_at.isoformat(),
    )


@dataclass(frozen=True, slots=True)
class Tracker:
    """Keeps what one batch writes; made when its transaction begins to write."""

    batch: int
    shapes: dict[str, Shape]
    events_before: int

    @classmethod
    def start(cls, session: Session, batch: int, *, recorded_at: dt.datetime) -> Tracker:
        """Return the tracker of a batch that has written nothing yet.

        What the database itself keeps of changed rows is of this batch and was learnt then.
        """
        keep_as(session, batch, recorded_at=recorded_at)
        last = session.scalar(text(f"select coalesce(max(sequence), 0) from {EVENTS}"))
        return cls(batch, shapes(session), int(last or 0))

    def insert(self, session: Session, table: str, statement: str, **values: object) -> int:
        """Run an INSERT and keep the rows it inserted; return how many."""
        shape = self.shapes[table]
        return run(
            session,
            f"with w as ({statement} returning *) insert into import_changes "
            "(batch_id, table_name, key, action, print) "
            f"select {self.batch}, {literal(table)}, {shape.keyed('w')}, 'inserted', "
            f"{shape.fingerprint('w')} from w",
            **values,
        )

    def keep_inserted(self, session: Session, table: str, which: str, **values: object) -> int:
        """Keep rows ``t`` that were just inserted by other means than :meth:`insert`."""
        shape = self.shapes[table]
        return run(
            session,
            "insert into import_changes (batch_id, table_name, key, action, print) "
            f"select {self.batch}, {literal(table)}, {shape.keyed('t')}, 'inserted', "
            f"{shape.fingerprint('t')} from {quoted(table)} t where {which}",
            **values,
        )

    def update(
        self, session: Session, table: str, *, sets: str, source: str, where: str, **values: object
    ) -> int:
        """Update the rows ``t`` of a table from ``source``, keeping each as it was before."""
        shape = self.shapes[table]
        same = " and ".join(f"b.{quoted(name)} = w.{quoted(name)}" for name in shape.key)
        return run(
            session,
            f"with b as materialized (select t.* from {quoted(table)} t, {source} where {where}), "
            f"w as (update {quoted(table)} t set {sets} from {source} where {where} "
            "returning t.*) insert into import_changes "
            "(batch_id, table_name, key, action, print, before) "
            f"select {self.batch}, {literal(table)}, {shape.keyed('w')}, 'updated', "
            f"{shape.fingerprint('w')}, to_jsonb(b) from w join b on {same}",
            **values,
        )

    def remember_deals(self, session: Session, ids: str) -> None:
        """Copy the deals that a query names, before anything of this batch changes them."""
        run(session, "drop table if exists pg_temp.deals_before")
        run(
            session,
            "create temporary table deals_before on commit drop as "
            f"select o.* from {DEALS} o where o.id in ({ids})",
        )

    def keep_deals(self, session: Session, stage: str | None) -> None:
        """Keep the deals that a stage inserted, and those among the remembered that changed."""
        shape = self.shapes[DEALS]
        columns = "(batch_id, table_name, key, action, print, before)"
        if stage is not None:
            run(
                session,
                f"insert into import_changes {columns} select {self.batch}, '{DEALS}', "
                f"{shape.keyed('o')}, 'inserted', {shape.fingerprint('o')}, null from {DEALS} o "
                f"join {stage} s on s.id = o.id where s._verdict = 'inserted'",
            )
        now = ", ".join(f"o.{name}" for name in DEAL_STATIC)
        then = ", ".join(f"b.{name}" for name in DEAL_STATIC)
        run(
            session,
            f"insert into import_changes {columns} select {self.batch}, '{DEALS}', "
            f"{shape.keyed('o')}, 'updated', {shape.fingerprint('o', DEAL_STATIC)}, to_jsonb(b) "
            f"from deals_before b join {DEALS} o on o.id = b.id "
            f"where row({now}) is distinct from row({then})",
        )
        run(session, "drop table deals_before")

    def keep_events(self, session: Session) -> None:
        """Keep the events that this transaction wrote, as runs of sequence numbers."""
        run(
            session,
            "insert into import_changes (batch_id, table_name, key, action) "
            f"select {self.batch}, '{EVENTS}', array[min(sequence)::text, max(sequence)::text], "
            "'inserted' from (select sequence, sequence - row_number() over (order by sequence) "
            f"as island from {EVENTS} where sequence > {self.events_before} "
            "and xmin = pg_current_xact_id()::xid) ours group by island",
        )
