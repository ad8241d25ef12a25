"""Reads about how facts came in."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, RowMapping, text
from sqlalchemy.orm import Session

from crm_core.imports.states import KILLED, RUNNING, NoBatch

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


@dataclass(frozen=True, slots=True)
class BatchView:
    """One import as pages and the API show it. ``doing`` is what is being done to it now."""

    id: int
    source: str
    mapping: str | None
    status: str
    dry_run: bool
    only: tuple[str, ...]
    pilot: str | None
    since: int | None
    started_by: str | None
    started_at: dt.datetime
    finished_at: dt.datetime | None
    seconds: Decimal | None
    doing: dict[str, Any] | None
    error: str | None
    counts: dict[str, dict[str, int]]
    findings: list[dict[str, Any]]
    delta: dict[str, Any] | None
    reconciliation: dict[str, Any] | None
    undone: dict[str, Any] | None
    rolled_back_at: dt.datetime | None
    is_tracked: bool

    @property
    def rows(self) -> int:
        """How many rows the files offered."""
        return sum(each["rows"] for each in self.counts.values())

    @property
    def rejected(self) -> int:
        """How many rows were not taken."""
        return sum(each["rejected"] for each in self.counts.values())

    @property
    def changed(self) -> int:
        """How many rows were inserted or updated."""
        return sum(each["inserted"] + each["updated"] for each in self.counts.values())

    @property
    def rows_per_second(self) -> int | None:
        """How fast it was; None while nobody knows."""
        return int(self.rows / self.seconds) if self.seconds and self.rows else None

    @property
    def kept(self) -> int:
        """How many rows a rollback left alone."""
        return sum(((self.undone or {}).get("kept") or {}).values())

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens by itself."""
        return self.status not in ("queued", "running") and self.doing is None

    @property
    def may_be_undone(self) -> bool:
        """Whether there is something to roll back."""
        left = self.status == "committed" or (self.status == "rolled_back" and self.kept > 0)
        return left and self.is_tracked and self.doing is None


@dataclass(frozen=True, slots=True)
class RejectionView:
    """A row that was not taken."""

    id: int
    table: str | None
    file: str
    line: int
    column: str | None
    value: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class KeptView:
    """A row that a rollback left alone, and the code of why."""

    table: str
    key: tuple[str, ...]
    reason: str


_BATCHES = """
    select b.*, b.status = 'running' and not exists (
      select 1 from pg_locks l where l.locktype = 'advisory' and l.classid = :lock
        and l.objid = b.id and l.granted
        and l.database = (select oid from pg_database where datname = current_database())
    ) as is_dead from import_batches b
"""


def batches(session: Session, *, limit: int, before: int | None = None) -> list[BatchView]:
    """Return imports, newest first, from below number ``before`` on."""
    where = "where b.id < :before" if before is not None else ""
    rows = session.execute(
        text(f"{_BATCHES} {where} order by b.id desc limit :limit"),
        {"lock": RUNNING, "limit": limit, "before": before},
    )
    return [_view(row._mapping) for row in rows]


def batch(session: Session, number: int) -> BatchView:
    """Return one import. Raises NoBatch."""
    row = session.execute(
        text(f"{_BATCHES} where b.id = :id"), {"lock": RUNNING, "id": number}
    ).one_or_none()
    if row is None:
        raise NoBatch(f"There is no import {number}.")
    return _view(row._mapping)


def _view(row: RowMapping) -> BatchView:
    options = row["options"] or {}
    dead = bool(row["is_dead"])
    plain = {
        name: row[name]
        for name in (
            "id", "source", "mapping", "started_by", "started_at", "finished_at", "seconds",
            "counts", "findings", "delta", "reconciliation", "undone", "rolled_back_at",
        )
    }  # fmt: skip
    return BatchView(
        **plain,
        status="failed" if dead else row["status"],
        error=KILLED if dead else row["error"],
        doing=None if dead else row["progress"],
        dry_run=bool(options.get("dry_run")),
        only=tuple(options.get("only") or ()),
        pilot=options.get("pilot"),
        since=options.get("since"),
        is_tracked=bool(row["tracked"]),
    )


def rejections(session: Session, number: int, *, after: int, limit: int) -> list[RejectionView]:
    """Return rejected rows of an import in order, from above id ``after`` on."""
    rows = session.execute(
        text(
            'select id, table_name, file, line, "column", value, reason from import_rejections '
            "where batch_id = :batch and id > :after order by id limit :limit"
        ),
        {"batch": number, "after": after, "limit": limit},
    )
    return [RejectionView(*row) for row in rows]


def kept(session: Session, number: int, *, limit: int) -> list[KeptView]:
    """Return the rows that a rollback left alone."""
    rows = session.execute(
        text(
            "select table_name, key, kept from import_changes where batch_id = :batch "
            "and kept is not null order by table_name, key limit :limit"
        ),
        {"batch": number, "limit": limit},
    )
    return [KeptView(table, tuple(key), reason) for table, key, reason in rows]
