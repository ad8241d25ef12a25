"""A stored row as the exchange format writes it, in JSON, and the version tag of what it says."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Container, Mapping
from decimal import Decimal
from typing import Any

from crm_core.money import Money
from crm_core.records import keys
from crm_core.records.tables import Shape

Record = dict[str, Any]
"""Field → value: text, number, boolean or null. Money, decimals, days and times are text."""


def record(shape: Shape, row: Mapping[str, Any], *, currency: str) -> Record:
    """Return the row in the exchange format; ``currency`` is the company's."""
    own = row.get("currency") or currency
    found: Record = {}
    for column in shape.table.columns:
        value = row[shape.stored_name(column)]
        if column.kind == "money" and value is not None:
            value = f"{Money(int(value), own).major:f}"
        found[column.name] = plain(value)
    if shape.table.custom_fields:
        found.update(sorted((row["custom"] or {}).items()))
    return found


def plain(value: Any) -> Any:  # noqa: ANN401 - any stored value
    """Return a stored value as JSON can hold it."""
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return f"{value:f}"
    return value


def key_of(shape: Shape, row: Any) -> str:  # noqa: ANN401 - a row by column name
    """Return the key of a stored row: the company has the one key ``company``."""
    if not shape.key:
        return shape.name
    return keys.join([str(plain(row[name])) for name in shape.key])


def narrowed(found: Record, fields: Container[str]) -> Record:
    """Return the fields of a record that are among ``fields``."""
    return {name: value for name, value in found.items() if name in fields}


def etag(found: Record) -> str:
    """Return the tag that changes whenever what the record says changes."""
    text = json.dumps(found, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return f'"{hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]}"'


def cell(value: Any) -> str | None:  # noqa: ANN401 - a JSON value
    """Return a value as the import would find it in a cell; None is an empty one."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{Decimal(repr(value)):f}"
    if isinstance(value, (dt.date, Decimal)):
        return str(plain(value))
    return str(value)
