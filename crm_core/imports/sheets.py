"""Writing one table of an export: CSV that is safe to open in Excel, or typed Parquet."""

from __future__ import annotations

import csv
import datetime as dt
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from crm_core.errors import Invalid
from crm_core.imports.rows import guard

Form = Literal["csv", "parquet"]
_DECIMAL = pa.decimal128(38, 12)
_TYPES = {
    "integer": pa.int64(),
    "month": pa.int64(),
    "decimal": _DECIMAL,
    "money": _DECIMAL,
    "date": pa.date32(),
    "instant": pa.timestamp("us", "UTC"),
    "boolean": pa.bool_(),
    "custom number": pa.float64(),
    "custom boolean": pa.bool_(),
}


class NotWritable(Invalid):
    """A value has no place in the format of the export."""


@dataclass(frozen=True, slots=True)
class Field:
    """One column of a sheet: a kind of the exchange format, or ``custom`` and its kind."""

    name: str
    kind: str


class Sheet(Protocol):
    """A file that takes rows."""

    def write(self, rows: Sequence[Sequence[Any]]) -> None:
        """Append rows."""

    def close(self) -> None:
        """Finish the file; from now on it survives a crash."""


def open_sheet(path: Path, fields: Sequence[Field], form: Form) -> Sheet:
    """Return a new file of that form with its header."""
    return _Csv(path, fields) if form == "csv" else _Parquet(path, fields)


class _Csv:
    """UTF-8, RFC 4180; text that a spreadsheet would run begins with an apostrophe."""

    def __init__(self, path: Path, fields: Sequence[Field]) -> None:
        self._stream = path.open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._stream)
        self._writer.writerow([guard(field.name) for field in fields])

    def write(self, rows: Sequence[Sequence[Any]]) -> None:
        self._writer.writerows([cell(value) for value in row] for row in rows)

    def close(self) -> None:
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()


def cell(value: Any) -> str:  # noqa: ANN401 - a value of any kind
    """Return a value as a CSV cell: canonical, guarded where it is text."""
    if value is None:
        return ""
    if isinstance(value, str):
        return guard(value) or ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat()
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, dict | list):
        return guard(json.dumps(value, ensure_ascii=False, sort_keys=True)) or ""
    return str(value)


class _Parquet:
    """Typed columns; nothing is guarded, since nothing runs a Parquet file."""

    def __init__(self, path: Path, fields: Sequence[Field]) -> None:
        self._path, self._fields = path, fields
        self._schema = pa.schema(
            [(field.name, _TYPES.get(field.kind, pa.string())) for field in fields]
        )
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")

    def write(self, rows: Sequence[Sequence[Any]]) -> None:
        columns = list(zip(*rows, strict=True)) if rows else []
        arrays = [
            self._array(field, kind.type, values)
            for field, kind, values in zip(self._fields, self._schema, columns, strict=True)
        ]
        self._writer.write_batch(pa.record_batch(arrays, schema=self._schema))

    def _array(self, field: Field, kind: pa.DataType, values: Sequence[Any]) -> pa.Array:
        if kind == pa.string():
            values = [_text(value) for value in values]
        try:
            return pa.array(values, kind)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise NotWritable(
                f"{self._path.stem}.{field.name} holds a value that Parquet's {kind} cannot "
                f"({error}); export as CSV."
            ) from error

    def close(self) -> None:
        self._writer.close()
        with self._path.open("rb") as stream:
            os.fsync(stream.fileno())


def _text(value: Any) -> str | None:  # noqa: ANN401 - a value of any kind
    return value if value is None or isinstance(value, str) else cell(value)
