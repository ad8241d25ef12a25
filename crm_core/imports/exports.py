"""Exporting the store in the exchange format: every table as CSV, safe to open in Excel."""

from __future__ import annotations

import csv
import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm_core import exchange
from crm_core.imports.rows import guard
from crm_core.imports.scratch import quoted
from crm_core.money import Money

_ROWS = 5_000
_ORDER_BY = {"opportunity_events": "sequence"}
_GUARDED = ("id", "text", "choice")


def export(session: Session, folder: Path) -> dict[str, int]:
    """Write one CSV per table that has rows; return the number of rows of each.

    Text that a spreadsheet would run begins with an apostrophe, which the import takes away
    again. Custom fields are columns named ``x_…``. Events of custom fields have no place in the
    exchange format; the fields' present values do.
    """
    folder.mkdir(parents=True, exist_ok=True)
    currency = session.execute(text("select currency from company")).scalar_one_or_none()
    counts = {}
    for table in exchange.TABLES:
        rows = _export_table(session, table, folder / f"{table.name}.csv", currency or "")
        if rows:
            counts[table.name] = rows
    return counts


def _export_table(session: Session, table: exchange.Table, path: Path, currency: str) -> int:
    fields = _custom_fields(session, table)
    columns = [
        f"{column.name}_minor" if column.kind == "money" else column.name
        for column in table.columns
    ]
    chosen = ", ".join(f"t.{quoted(name)}" for name in columns)
    custom = ", t.custom" if table.custom_fields else ""
    where = " where t.field <> 'custom'" if table.name == "opportunity_events" else ""
    order = _ORDER_BY.get(table.name) or ", ".join(quoted(name) for name in table.key) or "1"
    found = session.execute(
        text(f"select {chosen}{custom} from {quoted(table.name)} t{where} order by {order}"),
        execution_options={"stream_results": True},
    )
    total = 0
    stream = None
    try:
        for part in found.partitions(_ROWS):
            if stream is None:
                stream = path.open("w", encoding="utf-8", newline="")
                writer = csv.writer(stream)
                writer.writerow([*(column.name for column in table.columns), *fields])
            for row in part:
                writer.writerow(_row(table, row, fields, currency))
            total += len(part)
    finally:
        if stream is not None:
            stream.close()
    return total


def _custom_fields(session: Session, table: exchange.Table) -> list[str]:
    if not table.custom_fields:
        return []
    rows = session.execute(
        text(
            f"select distinct k from {quoted(table.name)} t, jsonb_object_keys(t.custom) k "
            "order by 1"
        )
    )
    return [str(row[0]) for row in rows]


def _row(table: exchange.Table, row: Any, fields: list[str], currency: str) -> list[str]:  # noqa: ANN401 - a database row
    values = list(row)
    custom = values.pop() if table.custom_fields else {}
    names = [column.name for column in table.columns]
    own = values[names.index("currency")] if "currency" in names else None
    cells = [
        _cell(column, value, own or currency)
        for column, value in zip(table.columns, values, strict=True)
    ]
    return cells + [_custom_cell(custom.get(name)) for name in fields]


def _cell(column: exchange.Column, value: Any, currency: str) -> str:  # noqa: ANN401 - any column
    if value is None:
        return ""
    if column.kind == "money":
        return f"{Money(int(value), currency).major:f}"
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat()
    if isinstance(value, Decimal):
        return f"{value:f}"
    shown = str(value)
    return (guard(shown) or "") if column.kind in _GUARDED else shown


def _custom_cell(value: Any) -> str:  # noqa: ANN401 - a JSON value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return guard(value) or ""
    return str(value)
