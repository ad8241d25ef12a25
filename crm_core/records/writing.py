"""Writing records through the import's own pipeline, so that both judge a row alike.

The rows become text cells, are typed by the compiled query of the exchange format, staged,
judged by the same rules and written by the same statements as a file's rows.
"""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm_core import exchange
from crm_core.database import run
from crm_core.imports import loading, merged, staging
from crm_core.imports.company import Company
from crm_core.imports.compiling import Compiler
from crm_core.imports.mapping import Mapping
from crm_core.imports.rows import LINE, PROBLEM, Source
from crm_core.imports.scratch import Scratch, quoted
from crm_core.imports.staging import Stage
from crm_core.imports.tracking import Tracker
from crm_core.opportunities import completion
from crm_core.opportunities import operations as opportunities
from crm_core.records.tables import VERSIONED, Shape

Cells = dict[str, str | None]
"""Field → text as a file's cell would hold it; None is an empty cell."""

_STAGE = "api_{}"


class _Untracked(Tracker):
    """Writes without keeping what was written: no batch will be rolled back."""

    def insert(self, session: Session, table: str, statement: str, **values: object) -> int:
        """Run an INSERT; return how many rows it wrote."""
        del table
        return run(session, statement, **values)

    def update(
        self, session: Session, table: str, *, sets: str, source: str, where: str, **values: object
    ) -> int:
        """Update the rows ``t`` of a table from ``source``; return how many."""
        return run(
            session, f"update {quoted(table)} t set {sets} from {source} where {where}", **values
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one row: inserted, updated, unchanged, duplicate, or rejected and why."""

    verdict: str
    column: str | None = None
    value: str | None = None
    reason: str | None = None

    @property
    def is_rejected(self) -> bool:
        """Whether the row was not taken."""
        return self.verdict == "rejected"


def write(
    session: Session,
    shape: Shape,
    rows: Sequence[Cells],
    *,
    kinds: dict[str, str],
    company: Company,
    recorded_at: dt.datetime,
) -> list[Verdict]:
    """Judge and write rows of one table; return what became of each, in their order.

    ``kinds`` says what each custom field among the cells holds. A field that no row has keeps
    its value; within the rows, an absent field is an empty one.
    """
    stage = _staged(session, shape.table, rows, kinds=kinds, company=company)
    staging.settle_references(session, stage)
    if shape.name == "opportunities":
        _write_deals(session, stage, company, recorded_at)
    elif shape.name == "opportunity_events":
        completion.record_late_events(session, stage.name, frozenset(stage.columns))
    else:
        loading.check_rules(session, stage)
        if shape.name == "company":
            loading.upsert_company(session, stage)
        elif shape.name in VERSIONED:
            loading.append_versions(
                session, stage, recorded_at=recorded_at, time_zone=company.time_zone
            )
        else:
            loading.upsert(session, stage)
    found = session.execute(
        text(f"select _verdict, _column, _value, _reason from {stage.name} order by _line")
    ).all()
    run(session, f"drop table {stage.name}")
    return [Verdict(*row) for row in found]


def _staged(
    session: Session,
    table: exchange.Table,
    rows: Sequence[Cells],
    *,
    kinds: dict[str, str],
    company: Company,
) -> Stage:
    """Type the cells and bring them into a temporary table, judged among each other."""
    given = {name for row in rows for name in row}
    required = {column.name for column in table.columns if column.required}
    columns = [c.name for c in table.columns if c.name in given | required]
    custom = sorted(name for name in given if name.startswith("x_"))
    mapping = _mapping(table, columns, custom)
    with tempfile.TemporaryDirectory(prefix="winward-records-") as folder:
        scratch = Scratch(Path(folder), time_zone=company.time_zone)
        try:
            scratch.load(table.name, _source(table.name, [*columns, *custom], rows), _silent)
            compiler = Compiler(
                mapping,
                {table.name: scratch.columns(table.name)},
                currency=company.currency,
                time_zone=company.time_zone,
            )
            compiled = compiler.compile(mapping.tables[0], kinds)
            stage = Stage(
                _STAGE.format(table.name),
                table,
                dict(compiled.columns),
                file=table.name,
                tracker=_Untracked(0, {}, 0),
            )
            staging.create(session, stage)
            staging.fill(
                session,
                stage,
                staging.chunks(
                    scratch.batches(compiled.query, f"The reading of {table.name}"),
                    compiled.columns,
                    currency=company.currency,
                ),
                progress=_silent,
            )
        finally:
            scratch.close()
    merged.redirect(session, stage)
    staging.settle_duplicates(session, stage)
    return stage


def _mapping(table: exchange.Table, columns: list[str], custom: list[str]) -> Mapping:
    return Mapping.model_validate(
        {
            "name": "records",
            "files": {table.name: {"path": table.name, "trim": False}},
            "tables": [
                {
                    "table": table.name,
                    "from": table.name,
                    "columns": {name: name for name in columns},
                    "custom": {name: name for name in custom},
                }
            ],
        }
    )


def _source(label: str, names: list[str], rows: Sequence[Cells]) -> Source:
    lines = pa.array(range(1, len(rows) + 1), pa.int64())
    problems = pa.nulls(len(rows), pa.string())
    cells = [pa.array([row.get(name) for row in rows], pa.string()) for name in names]
    batch = pa.table([lines, problems, *cells], names=[LINE, PROBLEM, *names])
    return Source(label, "json", None, None, names, iter([batch]), lambda: None)


def _silent(phase: str, done: int, total: int | None) -> None:
    """Report progress to nobody."""


def _write_deals(
    session: Session, stage: Stage, company: Company, recorded_at: dt.datetime
) -> None:
    incoming = opportunities.Incoming(
        table=stage.name,
        columns=frozenset(stage.columns),
        known_at_created=frozenset(),
        events=None,
        recorded_at=recorded_at,
        currency=company.currency,
    )
    opportunities.check(session, incoming)
    opportunities.record_rows(session, incoming)
    completion.complete(session, incoming)
