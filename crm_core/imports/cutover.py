"""What changed since an earlier import of the same source: told at the cut-over."""

from __future__ import annotations

from sqlalchemy.orm import Session

from crm_core.imports import batches, references, staging
from crm_core.imports.scratch import literal, quoted
from crm_core.imports.staging import Stage
from crm_core.imports.tracking import DEAL_STATIC, DEALS, EVENTS, Shape, then

Delta = dict[str, dict[str, int]]


def edited_here(session: Session, since: int) -> dict[str, int]:
    """Return how many rows of an earlier import people changed here since, by table.

    Asked before the new import writes, which may set such rows back. Raises NoBatch, WrongState.
    """
    batch = batches.find(session, since)
    found = {}
    for name, shape in then(session, batch.id, batch.tracked).items():
        if name != EVENTS:
            found[name] = _edited(session, since, shape)
    return {name: rows for name, rows in found.items() if rows}


def _edited(session: Session, since: int, shape: Shape) -> int:
    matches = references.matches(session, shape, "t", "c")
    static = shape.fingerprint("t", DEAL_STATIC) if shape.name == DEALS else "c.print"
    return staging.scalar(
        session,
        f"select count(*) from (select distinct on (c.key) c.*, {static} as static, "
        f"{shape.fingerprint('t')} as whole from import_changes c join {quoted(shape.name)} t "
        f"on {matches} where c.batch_id = {since} and c.table_name = {literal(shape.name)} "
        "order by c.key, c.ctid desc) c where c.print <> case when c.table_name = "
        f"'{DEALS}' and c.action = 'updated' then c.static else c.whole end",
    )


def delta(session: Session, since: int, stages: list[Stage], edited: dict[str, int]) -> Delta:
    """Return by table: new, changed and unchanged rows, rows gone from the source, edited here."""
    found: Delta = {}
    for stage in stages:
        counts = staging.counts(session, stage)
        before = found.get(stage.table.name, {})
        told = {"new": counts.inserted, "changed": counts.updated, "unchanged": counts.unchanged}
        found[stage.table.name] = {
            name: rows + before.get(name, 0) for name, rows in told.items()
        } | {
            "gone": _gone(session, since, stages, stage),
            "edited_here": edited.get(stage.table.name, 0),
        }
    return found


def _gone(session: Session, since: int, stages: list[Stage], stage: Stage) -> int:
    """Count the rows that the earlier import brought and today's source has no more."""
    if stage.table.name == EVENTS or not stage.table.key:
        return 0
    shape = stage.tracker.shapes[stage.table.name]
    places = [
        (place, name)
        for place, name in enumerate(shape.key, 1)
        if name != "recorded_at" and stage.has(name)
    ]
    absent = " and ".join(
        f"not exists (select 1 from {other.name} s where "
        + " and ".join(f"s.{quoted(name)}::text = c.key[{place}]" for place, name in places)
        + ")"
        for other in stages
        if other.table.name == stage.table.name
    )
    return staging.scalar(
        session,
        f"select count(*) from import_changes c where c.batch_id = {since} and c.action = "
        f"'inserted' and c.table_name = {literal(shape.name)} and {absent}",
    )
