"""Temporary tables in the store's own transaction: rows as read, then a verdict on each.

COPY brings the rows in; everything that needs the store (duplicates, references, rules between
columns) is decided there by set-based SQL. When the transaction ends the tables are gone.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import psycopg
import pyarrow as pa
import pyarrow.csv as arrow_csv
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm_core import exchange
from crm_core.database import run
from crm_core.imports import amounts
from crm_core.imports.report import Finding, TableCounts
from crm_core.imports.scratch import Progress, literal, quoted
from crm_core.imports.tracking import Tracker

_TYPES = {
    "integer": "bigint",
    "decimal": "numeric",
    "money": "bigint",
    "date": "date",
    "instant": "timestamptz",
    "month": "smallint",
    "boolean": "boolean",
    "json": "jsonb",
}
VERDICTS = ("inserted", "updated", "unchanged", "rejected", "duplicate")


@dataclass(slots=True)
class Stage:
    """One table of one import while it is being judged and loaded."""

    name: str
    table: exchange.Table
    columns: dict[str, str]
    file: str
    tracker: Tracker
    unknown_becomes_null: set[str] = field(default_factory=set)
    known_at_created: set[str] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)

    def has(self, column: str) -> bool:
        """Return whether the source gave the column."""
        return column in self.columns

    def note(self, kind: str, column: str | None, rows: int, sentence: str) -> None:
        """Keep a finding if it is about any row."""
        if rows:
            self.findings.append(Finding(kind, self.table.name, column, rows, sentence))


def scalar(session: Session, sql: str, **values: object) -> int:
    """Return the single number a query answers."""
    return int(session.execute(text(sql), values).scalar_one() or 0)


def create(session: Session, stage: Stage) -> None:
    """Create the temporary table of a stage."""
    columns = "".join(
        f", {quoted(name)} {_TYPES.get(kind, 'text')}" for name, kind in stage.columns.items()
    )
    run(session, f"drop table if exists pg_temp.{stage.name}")
    run(
        session,
        f"create temporary table {stage.name} (_n bigint generated always as identity, "
        f"_line bigint, _column text, _value text, _reason text, _verdict text{columns}) "
        "with (fillfactor = 50) on commit drop",  # room for each row's verdict beside it
    )


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some compiled rows as COPY takes them, and how many amounts were rounded per column."""

    rows: int
    text: bytes
    rounded: dict[str, int]


def chunks(
    batches: Iterator[pa.RecordBatch], columns: Iterable[tuple[str, str]], *, currency: str
) -> Iterator[Chunk]:
    """Yield compiled rows as chunks for :func:`fill`. Money becomes minor units here."""
    money = [name for name, kind in columns if kind == "money"]
    for batch in batches:
        ready = pa.Table.from_batches([batch])
        rounded = {}
        for name in money:
            ready, rounded[name] = amounts.in_minor_units(ready, name, currency)
        yield Chunk(batch.num_rows, _as_csv(ready), rounded)


def fill(session: Session, stage: Stage, given: Iterator[Chunk], *, progress: Progress) -> int:
    """Copy the rows in; return how many."""
    names = ["_line", "_column", "_value", "_reason", *stage.columns]
    copy = f"copy {stage.name} ({', '.join(map(quoted, names))}) from stdin (format csv)"
    driver = cast("psycopg.Connection[Any]", session.connection().connection.driver_connection)
    rows = 0
    rounded: Counter[str] = Counter()
    with driver.cursor() as cursor, cursor.copy(copy.encode()) as sink:
        for chunk in given:
            sink.write(chunk.text)
            rounded.update(chunk.rounded)
            rows += chunk.rows
            progress(f"checking {stage.table.name}", rows, None)
    for name, count in rounded.items():
        stage.note(
            "rounded",
            name,
            count,
            "amounts had more decimals than their currency; rounded half to even",
        )
    run(session, f"update {stage.name} set _verdict = 'rejected' where _reason is not null")
    if stage.table.key and stage.has(stage.table.key[0]):
        run(session, f"create index on {stage.name} ({quoted(stage.table.key[0])})")
    run(session, f"analyze {stage.name}")
    return rows


def copy_in(session: Session, table: str, batches: Iterator[pa.RecordBatch]) -> None:
    """Copy batches into a temporary table whose columns they have, in order."""
    driver = cast("psycopg.Connection[Any]", session.connection().connection.driver_connection)
    with driver.cursor() as cursor, cursor.copy(f"copy {table} from stdin (format csv)") as sink:
        for batch in batches:
            sink.write(_as_csv(pa.Table.from_batches([batch])))


def _as_csv(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    arrow_csv.write_csv(table, sink, arrow_csv.WriteOptions(include_header=False))
    return sink.getvalue()


def reject(session: Session, stage: Stage, condition: str, column: str | None, reason: str) -> int:
    """Reject the undecided rows ``s`` that meet a condition; ``reason`` is SQL text."""
    value = f"s.{quoted(column)}::text" if column and stage.has(column) else "null"
    shown = literal(column) if column else "null"
    return run(
        session,
        f"update {stage.name} s set _verdict = 'rejected', _column = {shown}, _value = {value}, "
        f"_reason = {reason} where s._verdict is null and ({condition})",
    )


def settle_duplicates(session: Session, stage: Stage) -> None:
    """Judge rows that name the same key again: a true copy is a duplicate, another is rejected."""
    key = [name for name in stage.table.key if stage.has(name)]
    if not key:  # the company: one row
        reject(
            session,
            stage,
            f"s._n > (select min(_n) from {stage.name})",
            None,
            "'only the first row counts'",
        )
        return
    columns = ", ".join(quoted(name) for name in key)
    if not scalar(
        session,
        f"select count(*) from (select from {stage.name} where _verdict is null "
        f"group by {columns} having count(*) > 1 limit 1) again",
    ):
        return
    told = " || ', ' || ".join(f"coalesce(s.{quoted(name)}::text, '')" for name in key)
    run(
        session,
        f"with ranked as (select _n, _line, first_value(_n) over w as first_n, "
        f"first_value(_line) over w as first_line from {stage.name} where _verdict is null "
        f"window w as (partition by {columns} order by _n)), "
        f"again as (select r._n, r.first_line, row({_prefixed('a', stage)}) is not distinct from "
        f"row({_prefixed('b', stage)}) as same from ranked r "
        f"join {stage.name} a on a._n = r._n join {stage.name} b on b._n = r.first_n "
        f"where r._n <> r.first_n) "
        f"update {stage.name} s set _verdict = case when same then 'duplicate' else 'rejected' end,"
        f" _column = {literal(key[0])}, _value = s.{quoted(key[0])}::text, "
        f"_reason = case when same then 'a copy of line ' || first_line else "
        f"{literal(', '.join(key) + ' ')} || {told}"
        f" || ' stands already in line ' || first_line || ' with other values; it must be unique' "
        f"end from again where again._n = s._n",
    )


def _prefixed(alias: str, stage: Stage) -> str:
    return ", ".join(f"{alias}.{quoted(name)}" for name in stage.columns)


def settle_references(session: Session, stage: Stage) -> None:
    """Reject rows that refer to nothing, or empty the reference where the mapping says so."""
    for column in stage.table.columns:
        if column.refers_to is None or not stage.has(column.name):
            continue
        name = quoted(column.name)
        itself = column.refers_to == stage.table.name
        known = f"not exists (select 1 from {quoted(column.refers_to)} t where t.id = s.{name})"
        if itself:
            known += (
                f" and not exists (select 1 from {stage.name} o where o.id = s.{name} "
                "and o._verdict is null)"
            )
        missing = f"s.{name} is not null and {known}"
        if column.name in stage.unknown_becomes_null:
            count = run(
                session,
                f"update {stage.name} s set {name} = null where s._verdict is null and {missing}",
            )
            stage.note(
                "unknown reference",
                column.name,
                count,
                f"{column.name} named a record of {column.refers_to} that does not exist; "
                "left empty",
            )
            continue
        reason = (
            f"{literal(column.name + ' ')} || s.{name} || ' is not among the {column.refers_to}; "
            f"import them first or correct it'"
        )
        while reject(session, stage, missing, column.name, reason) and itself:
            pass  # a row that loses its parent may itself have been a parent


def counts(session: Session, stage: Stage) -> TableCounts:
    """Return how many rows met which fate."""
    rows = session.execute(text(f"select _verdict, count(*) from {stage.name} group by 1")).all()
    found = {str(verdict): int(count) for verdict, count in rows}
    return TableCounts(sum(found.values()), *(found.get(verdict, 0) for verdict in VERDICTS))
