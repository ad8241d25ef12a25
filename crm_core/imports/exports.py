"""Exporting the store in the exchange format, so that an import brings all of it back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from crm_core import exchange
from crm_core.database import transaction
from crm_core.errors import Conflict
from crm_core.imports.scratch import Progress, quoted
from crm_core.imports.sheets import Field, Form, open_sheet
from crm_core.imports.workspaces import workspace
from crm_core.money import Money

_ROWS = 5_000
KINDS_FILE = "custom_fields"
"""The file beside the tables that says what each custom field holds."""

NOT_EXPORTED = {
    "company": {"id"},
    "users": {"password_hash"},
    "opportunities": {"forecast_category", "outcome"},
    "opportunity_events": {"sequence"},
}
"""Columns that are secret, derived from the others, or mean nothing in another store."""

_EXPRESSIONS = {
    ("opportunity_events", "new_value"): (
        "case when t.field = 'amount' then trim_scale(t.new_value::numeric)::text "
        "else t.new_value end"
    )
}
_ORDER_BY = {"opportunity_events": 't.opportunity_id collate "C", t.occurred_at, t.sequence'}
_TEXT = ("id", "text", "choice", "currency")


class FolderInUse(Conflict):
    """The folder to export into holds something already."""


def export(
    engine: Engine, folder: Path, *, form: Form = "csv", progress: Progress | None = None
) -> dict[str, int]:
    """Write every table that has rows into a new folder; return the number of rows of each.

    One consistent moment of the store, streamed in the order of the keys, so that the same facts
    always give the same bytes. The folder appears whole or not at all. Raises FolderInUse when it
    exists and is not empty.
    """
    folder = Path(os.path.abspath(folder))
    _require_free(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    moment = engine.execution_options(isolation_level="REPEATABLE READ")
    with workspace(folder.parent, f".{folder.name}.winward-export-") as work:
        part = work / "tables"
        part.mkdir(mode=0o755)
        with transaction(moment) as session:
            counts = _write(session, part, form, progress or _silent)
        _require_free(folder)
        part.replace(folder)
    return counts


def _silent(phase: str, done: int, total: int | None) -> None:
    """Report progress to nobody."""


def _require_free(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.exists() or folder.is_symlink():
        what = "is not empty" if folder.is_dir() else "is not a folder"
        raise FolderInUse(f"{folder} {what}; name a new folder to export into.")


def _write(session: Session, folder: Path, form: Form, progress: Progress) -> dict[str, int]:
    currency = session.execute(text("select currency from company")).scalar_one_or_none() or ""
    kinds = _custom_kinds(session)
    counts, listed = {}, []
    for table in exchange.TABLES:
        own = {name: kind for (where, name), kind in kinds.items() if where == table.name}
        rows = _write_table(session, table, own, folder, form, currency, progress)
        if rows:
            counts[table.name] = rows
        listed += [(table.name, name, kind) for name, kind in own.items()]
    if listed:
        fields = [Field(name, "text") for name in ("table", "name", "kind")]
        sheet = open_sheet(folder / f"{KINDS_FILE}.{form}", fields, form)
        sheet.write(listed)
        sheet.close()
    return counts


def _write_table(
    session: Session,
    table: exchange.Table,
    kinds: dict[str, str],
    folder: Path,
    form: Form,
    currency: str,
    progress: Progress,
) -> int:
    fields = [
        *(Field(column.name, column.kind) for column in table.columns),
        *(Field(name, f"custom {kind}") for name, kind in kinds.items()),
    ]
    sheet = open_sheet(folder / f"{table.name}.{form}", fields, form) if kinds else None
    total = 0
    for part in _rows(session, table):
        sheet = sheet or open_sheet(folder / f"{table.name}.{form}", fields, form)
        sheet.write([_values(table, row, list(kinds), currency) for row in part])
        total += len(part)
        progress(f"writing {table.name}", total, None)
    if sheet is not None:
        sheet.close()
    return total


def _rows(session: Session, table: exchange.Table) -> Iterator[Any]:
    """Yield the rows of a table in parts, by a cursor of the server."""
    chosen = ", ".join(_expression(table, column) for column in table.columns)
    custom = ", t.custom" if table.custom_fields else ""
    order = _ORDER_BY.get(table.name) or ", ".join(_order(table, name) for name in table.key)
    found = session.execute(
        text(f"select {chosen}{custom} from {quoted(table.name)} t order by {order or '1'}"),
        execution_options={"stream_results": True, "max_row_buffer": _ROWS},
    )
    return found.partitions(_ROWS)


def _expression(table: exchange.Table, column: exchange.Column) -> str:
    """Return the SQL of a column; numbers lose the zeros that only say how they were written."""
    special = _EXPRESSIONS.get((table.name, column.name))
    if special is not None:
        return special
    if column.kind == "money":
        return f"t.{quoted(column.name + '_minor')}"
    name = f"t.{quoted(column.name)}"
    return f"trim_scale({name})" if column.kind == "decimal" else name


def _order(table: exchange.Table, name: str) -> str:
    """Return a key column to sort by, its letters by code point whatever the server's locale."""
    collation = ' collate "C"' if table.column(name).kind in _TEXT else ""
    return f"t.{quoted(name)}{collation}"


def _custom_kinds(session: Session) -> dict[tuple[str, str], str]:
    """Return what each custom field holds: as fixed at its first import, else as its values are."""
    kinds = {}
    for table in exchange.TABLES:
        if not table.custom_fields:
            continue
        rows = session.execute(
            text(
                "select name, max(kind) from (select name, kind from custom_fields "
                "where table_name = :table union all select k.key, null from "
                f"(select distinct e.key from {quoted(table.name)} t, "
                "jsonb_object_keys(t.custom) e(key)) k) f group by name "
                'order by name collate "C"'
            ),
            {"table": table.name},
        ).all()
        for name, kind in rows:
            kinds[table.name, str(name)] = kind or _kind_of_values(session, table, str(name))
    return kinds


def _kind_of_values(session: Session, table: exchange.Table, name: str) -> str:
    found = session.execute(
        text(
            f"select distinct jsonb_typeof(t.custom -> :name) from {quoted(table.name)} t "
            "where t.custom ? :name"
        ),
        {"name": name},
    ).scalars()
    kinds = set(found) - {"null"}
    return {"number": "number", "boolean": "boolean"}.get("".join(kinds), "text")


def _values(table: exchange.Table, row: Any, fields: list[str], currency: str) -> list[Any]:  # noqa: ANN401 - a database row
    values = list(row)
    custom = values.pop() if table.custom_fields else {}
    names = [column.name for column in table.columns]
    if "currency" in names:
        position = names.index("currency")
        values[position] = values[position] or currency
        currency = values[position]
    for position, column in enumerate(table.columns):
        if column.kind == "money" and values[position] is not None:
            values[position] = Money(int(values[position]), currency).major
    return values + [custom.get(name) for name in fields]
