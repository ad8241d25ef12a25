"""Undoing a batch by set-based SQL, sparing whatever was edited afterwards.

Restored first, removed second, children before parents. A row is left alone, with the reason, if
it no longer is as the batch left it or if a row that stays refers to it. A deal's current columns
follow its events again.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from crm_core.audit import operations as audit
from crm_core.database import run
from crm_core.imports import batches, former, references
from crm_core.imports.loading import BUSINESS_KEY
from crm_core.imports.models import ImportBatch
from crm_core.imports.scratch import literal, quoted
from crm_core.imports.states import WrongState
from crm_core.imports.tracking import DEAL_STATIC, DEALS, EVENTS, TABLES, Shape, keep_as, then
from crm_core.opportunities import projection

_DERIVED = (
    ("recommendation_outcomes", "recommendation_id"),
    ("recommendations", "opportunity_id"),
    ("advice_decisions", "opportunity_id"),
    ("predictions", "opportunity_id"),
)
"""What the program itself said of a deal; it goes with the deal unless a person answered it."""

_STORE = text("update import_batches set undone = :undone where id = :id").bindparams(
    bindparam("undone", type_=JSONB)
)


@dataclass(slots=True)
class Undone:
    """What a rollback did: rows removed, restored and kept, by table."""

    batch: int
    removed: dict[str, int] = field(default_factory=dict)
    restored: dict[str, int] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)

    @property
    def kept_rows(self) -> int:
        """How many rows were left alone."""
        return sum(self.kept.values())

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {"removed": self.removed, "restored": self.restored, "kept": self.kept}


def roll_back(
    session: Session,
    number: int,
    *,
    at: dt.datetime,
    by: str | None = None,
    channel: audit.Channel = "cli",
) -> Undone:
    """Undo a committed batch; return what was undone and what was kept. It is audited.

    A batch that kept rows can be rolled back again, once the later edits are gone.
    Raises NoBatch, WrongState.
    """
    session.execute(text("select pg_advisory_xact_lock(:key)"), {"key": batches.LOCK})
    batch = batches.find(session, number)
    session.refresh(batch, with_for_update=True)
    _require_undoable(batch)
    keep_as(session, number, recorded_at=at)
    work = _Work(session, number, then(session, number, batch.tracked), Undone(number))
    run(
        session,
        f"update import_changes set kept = null where batch_id = {number} and kept is not null",
    )
    for table in TABLES:
        work.restore(table)
    for table in reversed(TABLES):
        work.remove(table)
    work.count_kept()
    batch.progress = None
    audit.record(
        session, actor=by, action="roll back", table="import_batches", record_id=str(number),
        changes={"status": (batch.status, "rolled_back"), "kept": (None, work.undone.kept)},
        occurred_at=at, channel=channel, address=None,
    )  # fmt: skip
    batch.status = "rolled_back"
    batch.rolled_back_at = at
    session.flush()
    session.execute(_STORE, {"undone": work.undone.as_json(), "id": number})
    return work.undone


def _require_undoable(batch: ImportBatch) -> None:
    if batch.status == "rolled_back" and not (batch.undone or {}).get("kept"):
        raise WrongState(f"Import {batch.id} is rolled back already; nothing is left of it.")
    if batch.status not in ("committed", "rolled_back"):
        raise WrongState(
            f"Import {batch.id} is {batch.status}; only a committed import can be rolled back."
        )
    if not batch.tracked:
        raise WrongState(
            f"Import {batch.id} was made before imports kept what they changed; "
            "it cannot be rolled back."
        )


@dataclass(slots=True)
class _Work:
    """One rollback while it runs."""

    session: Session
    batch: int
    shapes: dict[str, Shape]
    undone: Undone

    def run(self, sql: str) -> int:
        """Run one statement; return the rows it touched."""
        return run(self.session, sql)

    def _entries(self, table: str, action: str) -> str:
        return (
            f"c.batch_id = {self.batch} and c.table_name = {literal(table)} "
            f"and c.action = '{action}'"
        )

    def _has(self, table: str, action: str) -> bool:
        return bool(
            self.session.scalar(
                text(f"select exists (select 1 from import_changes c where "
                     f"{self._entries(table, action)})")
            )
        )  # fmt: skip

    def restore(self, table: str) -> None:
        """Give updated rows back what they were, newest change first."""
        if not self._has(table, "updated"):
            return
        shape = self.shapes[table]
        columns = DEAL_STATIC if table == DEALS else shape.columns
        total = 0
        while done := self._restore_once(shape, columns):
            total += done
        key = quoted(shape.key[0])
        reason = f"case when t.{key} is null then 'gone' else 'changed' end"
        self.run(
            f"update import_changes c set kept = {reason} from import_changes d "
            f"left join {quoted(table)} t on {references.matches(self.session, shape, 't', 'd')} "
            f"where d.ctid = c.ctid and {self._entries(table, 'updated')} and c.kept is null"
        )
        if total:
            self.undone.restored[table] = total

    def _restore_once(self, shape: Shape, columns: tuple[str, ...]) -> int:
        """Restore the rows that are as this batch left them; return how many."""
        table = quoted(shape.name)
        self.run("drop table if exists pg_temp.undo_now")
        self.run(
            "create temporary table undo_now on commit drop as select distinct on (c.key) "
            f"c.ctid as entry, c.key, c.before, null::text as reason from import_changes c "
            f"join {table} t on {references.matches(self.session, shape, 't', 'c')} "
            f"where {self._entries(shape.name, 'updated')} and c.kept is null "
            f"and {shape.fingerprint('t', columns)} = c.print order by c.key, c.ctid desc"
        )
        for reference in references.of(self.session, shape.name):
            if reference.column in columns:
                self.run(
                    f"update undo_now u set reason = 'reference' where u.before ->> "
                    f"{literal(reference.column)} is not null and not exists (select 1 from "
                    f"{quoted(reference.parent)} p where p.{quoted(reference.parent_column)}::text "
                    f"= u.before ->> {literal(reference.column)})"
                )
        sets = ", ".join(f"{quoted(name)} = r.{quoted(name)}" for name in columns)
        done = self.run(
            f"update {table} t set {sets} from undo_now u "
            f"cross join lateral jsonb_populate_record(null::{table}, u.before) r "
            f"where {references.matches(self.session, shape, 't', 'u')} and u.reason is null"
        )
        former.forget(self.session, shape, self.batch)
        self.run(
            "update import_changes c set kept = u.reason from undo_now u "
            "where c.ctid = u.entry and u.reason is not null"
        )
        self.run(
            "delete from import_changes c using undo_now u "
            "where c.ctid = u.entry and u.reason is null"
        )
        return done

    def remove(self, table: str) -> None:
        """Remove inserted rows that are as the batch left them and that nothing needs."""
        if table == EVENTS:
            self._mark(DEALS)
            self._remove_events()
            return
        if table != DEALS:
            self._mark(table)
        if not self._marked(table):
            return
        if table == DEALS:
            self._remove_derived()
        shape = self.shapes[table]
        name = _undo(table)
        done = self.run(
            f"delete from {quoted(table)} t using {name} u "
            f"where {references.matches(self.session, shape, 't', 'u')} and u.reason is null"
        )
        self.run(
            f"update import_changes c set kept = u.reason from {name} u "
            "where c.ctid = u.entry and u.reason is not null"
        )
        self.run(
            f"delete from import_changes c using {name} u "
            "where c.ctid = u.entry and (u.reason is null or u.reason = 'gone')"
        )
        if done:
            self.undone.removed[table] = done

    def _marked(self, table: str) -> bool:
        found = self.session.scalar(text(f"select to_regclass('pg_temp.{_undo(table)}')"))
        return found is not None

    def _mark(self, table: str) -> None:
        """List the rows that the batch inserted, with the reason of those that must stay."""
        if not self._has(table, "inserted"):
            return
        shape, name = self.shapes[table], _undo(table)
        keys = ", ".join(f"t.{quoted(column)}" for column in shape.key)
        self.run(
            f"create temporary table {name} on commit drop as select c.ctid as entry, c.key, "
            f"{keys}, case when t.{quoted(shape.key[0])} is null then 'gone' "
            f"when {shape.fingerprint('t')} <> c.print then 'changed' end as reason "
            f"from import_changes c left join {quoted(table)} t "
            f"on {references.matches(self.session, shape, 't', 'c')} "
            f"where {self._entries(table, 'inserted')}"
        )
        self.run(f"create index on {name} ({quoted(shape.key[0])})")
        self.run(f"analyze {name}")
        if table in BUSINESS_KEY:
            self._mark_corrected(table)
        if table == "custom_fields":
            self._mark_used_fields()
        self._mark_needed(table)

    def _mark_corrected(self, table: str) -> None:
        """Spare a version that a later one, not of this batch, corrects."""
        same = " and ".join(f"t.{column} = u.{column}" for column in BUSINESS_KEY[table])
        self.run(
            f"update {_undo(table)} u set reason = 'corrected' where u.reason is null and exists "
            f"(select 1 from {table} t where {same} and t.recorded_at > u.recorded_at "
            f"and not exists (select 1 from {_undo(table)} v where v.recorded_at = t.recorded_at "
            f"and {same.replace('u.', 'v.')}))"
        )

    def _mark_used_fields(self) -> None:
        rows = self.session.execute(text("select table_name, name from undo_custom_fields")).all()
        for table, name in rows:
            used = text(f"select exists (select 1 from {quoted(table)} where custom ? :name)")
            if self.session.scalar(used, {"name": name}):
                self.session.execute(
                    text(
                        "update undo_custom_fields set reason = 'needed custom' "
                        "where table_name = :table and name = :name"
                    ),
                    {"table": table, "name": name},
                )

    def _mark_needed(self, table: str) -> None:
        """Rows that others refer to must stay; so must their parents in the same table."""
        name = _undo(table)
        derived = {child for child, _ in _DERIVED}
        for found in references.to(self.session, table):
            if found.table in derived or found.table == table:
                continue
            ours = self._last_version(table)
            if (table, found.table) == (DEALS, EVENTS):
                ours = self._not_ours("x")
            if (table, found.table) == (DEALS, "leads"):  # they are removed after the deals
                ours = (
                    f" and not exists (select 1 from import_changes c where c.key[1] = x.id and "
                    f"{self._entries('leads', 'inserted')})"
                )
            self.run(
                f"update {name} u set reason = {literal('needed ' + found.table)} "
                f"where u.reason is null and exists (select 1 from {quoted(found.table)} x "
                f"where x.{quoted(found.column)} = u.{quoted(found.parent_column)}{ours})"
            )
        if table == DEALS:
            self.run(
                f"update {name} u set reason = 'needed recommendation_responses' where u.reason "
                "is null and u.id in (select r.opportunity_id from recommendations r "
                "join recommendation_responses a on a.recommendation_id = r.id)"
            )
        for found in references.to(self.session, table):
            if found.table == table:
                self._keep_parents(table, found)

    def _keep_parents(self, table: str, own: references.Reference) -> None:
        child, parent = quoted(own.column), quoted(own.parent_column)
        key = quoted(self.shapes[table].key[0])
        while self.run(
            f"update {_undo(table)} u set reason = {literal('needed ' + table)} "
            f"where u.reason is null and exists (select 1 from {quoted(table)} x "
            f"left join {_undo(table)} v on v.{key} = x.{key} where x.{child} = u.{parent} "
            f"and (v.{key} is null or v.reason is not null))"
        ):
            pass  # a row that stays keeps its parent, which keeps its own

    def _last_version(self, table: str) -> str:
        """Return the SQL that a row is the last of its versions: only then others need it."""
        if table not in ("orders", "activities"):
            return ""
        return (
            f" and not exists (select 1 from {table} t left join {_undo(table)} v on v.id = t.id "
            "and v.recorded_at = t.recorded_at where t.id = u.id and v.id is null)"
        )

    def _not_ours(self, alias: str) -> str:
        """Return the SQL that leaves out events of this batch, which go with their deal."""
        return (
            " and not exists (select 1 from import_changes r where r.batch_id = "
            f"{self.batch} and r.table_name = '{EVENTS}' and {alias}.sequence between "
            "r.key[1]::bigint and r.key[2]::bigint)"
        )

    def _remove_events(self) -> None:
        """Remove the batch's events, except of deals that stay whole and of fields set again."""
        if not self._has(EVENTS, "inserted"):
            return
        self.run(
            "create temporary table undo_events on commit drop as "
            "select e.sequence, e.opportunity_id, e.field, null::text as reason "
            f"from import_changes c join {EVENTS} e on e.sequence between c.key[1]::bigint "
            f"and c.key[2]::bigint where {self._entries(EVENTS, 'inserted')}"
        )
        self.run("create unique index on undo_events (sequence)")
        self.run("analyze undo_events")
        inserted = "select 1 from undo_opportunities d where d.id = u.opportunity_id"
        if self._marked(DEALS):
            self.run(
                "update undo_events u set reason = 'deal' from undo_opportunities d "
                "where d.id = u.opportunity_id and d.reason is not null"
            )
        else:
            inserted = "select 1 where false"
        self.run(
            f"update undo_events u set reason = 'changed' where u.reason is null "
            f"and not exists ({inserted}) and exists (select 1 from {EVENTS} e "
            "left join undo_events v on v.sequence = e.sequence "
            "where e.opportunity_id = u.opportunity_id and e.field = u.field "
            "and e.sequence > u.sequence and v.sequence is null)"
        )
        self._drop_events(inserted)

    def _drop_events(self, inserted: str) -> None:
        done = self.run(
            f"delete from {EVENTS} e using undo_events u "
            "where e.sequence = u.sequence and u.reason is null"
        )
        self.run(f"delete from import_changes c where {self._entries(EVENTS, 'inserted')}")
        self.run(
            "insert into import_changes (batch_id, table_name, key, action, kept) select "
            f"{self.batch}, '{EVENTS}', array[sequence::text, sequence::text], 'inserted', reason "
            "from undo_events where reason is not null"
        )
        self.run(
            "create temporary table undo_touched on commit drop as select distinct "
            "u.opportunity_id as id from undo_events u where u.reason is null "
            f"and not exists ({inserted})"
        )
        projection.project(self.session, "undo_touched")
        if done:
            self.undone.removed[EVENTS] = done

    def _remove_derived(self) -> None:
        gone = f"select id from {_undo(DEALS)} where reason is null"
        for table, column in _DERIVED:
            which = (
                f"select id from recommendations where opportunity_id in ({gone})"
                if column == "recommendation_id"
                else gone
            )
            done = self.run(f"delete from {table} where {column} in ({which})")
            if done:
                self.undone.removed[table] = done

    def count_kept(self) -> None:
        """Count what stayed, by table."""
        rows = self.session.execute(
            text(
                "select table_name, count(*) from import_changes "
                "where batch_id = :batch and kept is not null group by 1 order by 1"
            ),
            {"batch": self.batch},
        )
        self.undone.kept = {str(table): int(count) for table, count in rows}


def _undo(table: str) -> str:
    return f"undo_{table}"
