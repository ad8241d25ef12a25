"""Former values that the database kept of a batch's changes, forgotten when it is undone."""

from __future__ import annotations

from sqlalchemy.orm import Session

from crm_core.database import run
from crm_core.imports.scratch import literal
from crm_core.imports.tracking import Shape


def forget(session: Session, shape: Shape, batch: int) -> None:
    """Forget what a batch changed in the rows of ``undo_now`` that have just been restored.

    Not where somebody changed the record since, and changed it back: then the whole story stays.
    """
    table = literal(shape.name)
    run(
        session,
        "delete from record_events h using "
        f"(select {_key(shape)} as key from undo_now u where u.reason is null) r "
        f"where h.table_name = {table} and h.key = r.key and h.batch_id = :batch "
        "and h.changes <> '{}' and not exists (select 1 from record_events x "
        f"where x.table_name = {table} and x.key = r.key and x.changes <> '{{}}' "
        "and x.batch_id is distinct from :batch and x.sequence > (select min(y.sequence) "
        f"from record_events y where y.table_name = {table} and y.key = r.key "
        "and y.batch_id = :batch))",
        batch=batch,
    )


def _key(shape: Shape) -> str:
    """Return the SQL of a row's key as the history of records writes it."""
    if shape.name == "company":
        return literal(shape.name)
    if len(shape.key) == 1:
        return "u.key[1]"
    parts = range(1, len(shape.key) + 1)
    return " || '|' || ".join(f"winward_key_part(u.key[{part}])" for part in parts)
