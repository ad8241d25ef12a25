"""Rows about records that were merged into others: they go to the survivor.

A source system does not know of our merges and sends the old ids again. What names a merged
record names its survivor; a merged record's own row counts for the survivor, unless the
survivor's row is there too.
"""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm_core.database import run
from crm_core.imports.scratch import literal, quoted
from crm_core.imports.staging import Stage

_FINAL = """
with recursive trail(table_name, loser_id, id) as (
  select table_name, loser_id, survivor_id from merged_records
  union
  select t.table_name, t.loser_id, m.survivor_id from trail t
  join merged_records m on m.table_name = t.table_name and m.loser_id = t.id
)
select table_name, loser_id, id as survivor_id from trail t where not exists (
  select 1 from merged_records m where m.table_name = t.table_name and m.loser_id = t.id)
"""


def redirect(session: Session, stage: Stage) -> None:
    """Let the undecided rows of a stage name survivors instead of merged records."""
    merged = set(session.scalars(text("select distinct table_name from merged_records")))
    if not merged:
        return
    for column in stage.table.columns:
        if column.refers_to in merged and stage.has(column.name):
            name = quoted(column.name)
            count = run(
                session,
                f"update {stage.name} s set {name} = m.survivor_id from ({_FINAL}) m "
                f"where m.table_name = {literal(str(column.refers_to))} and m.loser_id = s.{name} "
                "and s._verdict is null",
            )
            stage.note(
                "merged", column.name, count, f"{column.name} named a merged record; its survivor "
                "was taken",
            )  # fmt: skip
    if stage.table.name in merged and stage.has("id"):
        _redirect_rows(session, stage)


def _redirect_rows(session: Session, stage: Stage) -> None:
    of_table = f"m.table_name = {literal(stage.table.name)} and m.loser_id = s.id"
    count = run(
        session,
        f"update {stage.name} s set _verdict = 'duplicate', _column = 'id', _value = s.id, "
        "_reason = s.id || ' was merged into ' || m.survivor_id || ', whose own row counts' "
        f"from ({_FINAL}) m where {of_table} and s._verdict is null and exists "
        f"(select 1 from {stage.name} o where o.id = m.survivor_id and o._verdict is null)",
    )
    count += run(
        session,
        f"update {stage.name} s set id = m.survivor_id from ({_FINAL}) m where {of_table} "
        "and s._verdict is null",
    )
    stage.note("merged", "id", count, "the record was merged; its row went to the survivor")
