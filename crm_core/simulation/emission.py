"""Writing exchange tables, the columns the format declares in its order: CSV or Parquet."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from crm_core import exchange
from crm_core.simulation.draws import Integers

Cell = str | int | None
Columns = dict[str, NDArray[np.generic] | pa.Array | list[str]]
Sheet = dict[str, list[Cell]]
"""A table to be written: cells by column; all columns equally long."""


class CsvTables:
    """Exchange tables written as CSV; a table may come in several sheets."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.rows: dict[str, int] = {}

    def add(self, name: str, sheet: Sheet) -> None:
        """Append a sheet to its table."""
        columns = list(_columns(name, sheet))
        begun = name in self.rows
        path = self._folder / f"{name}.csv"
        with path.open("a" if begun else "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            if not begun:
                writer.writerow(columns)
            writer.writerows(zip(*(sheet[column] for column in columns), strict=True))
        self.rows[name] = self.rows.get(name, 0) + len(sheet[columns[0]])

    def close(self) -> None:
        """Nothing is left to be written."""


class ParquetTables:
    """Tables written as Parquet, a row group for each sheet; memory holds one sheet at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers: dict[str, parquet.ParquetWriter] = {}
        self.rows: dict[str, int] = {}

    def add(self, name: str, sheet: Sheet) -> None:
        """Append a sheet of the exchange format to its table."""
        columns = {
            column: pa.array(sheet[column]).cast(pa.string()).cast(_TYPES.get(kind, pa.string()))
            for column, kind in _columns(name, sheet).items()
        }
        self.append(name, pa.table(columns))

    def append(self, name: str, table: pa.Table) -> None:
        """Append rows to a table."""
        if name not in self._writers:
            path = self._folder / f"{name}.parquet"
            self._writers[name] = parquet.ParquetWriter(path, table.schema, compression="zstd")
        self._writers[name].write_table(table)
        self.rows[name] = self.rows.get(name, 0) + table.num_rows

    def close(self) -> None:
        """Write what ends each file."""
        for writer in self._writers.values():
            writer.close()


_TYPES: dict[str, pa.DataType] = {
    "integer": pa.int64(),
    "month": pa.int64(),
    "instant": pa.timestamp("ms", tz="UTC"),
    "date": pa.date32(),
    "money": pa.decimal128(24, 2),
    "decimal": pa.decimal128(24, 7),
}


def _columns(name: str, sheet: Sheet) -> dict[str, str]:
    """Return the columns of a sheet in the format's order, each with its kind."""
    table = exchange.table(name)
    declared = {c.name: str(c.kind) for c in table.columns if c.name in sheet}
    columns = declared | {name: "text" for name in sheet if name.startswith("x_")}
    assert set(columns) == set(sheet), f"{name} has no columns {set(sheet) - set(columns)}"
    return columns


def instants(seconds: Integers) -> list[Cell]:
    """Return instants as ISO 8601 in UTC."""
    texts: list[Cell] = np.datetime_as_string(
        seconds.astype("datetime64[s]"), timezone="UTC"
    ).tolist()
    return texts


def instant(seconds: int) -> str:
    """Return one instant as ISO 8601 in UTC."""
    return str(instants(np.asarray([seconds]))[0])


def days(numbers: Integers) -> list[Cell]:
    """Return day numbers as ISO 8601 dates."""
    texts: list[Cell] = np.datetime_as_string(numbers.astype("datetime64[D]")).tolist()
    return texts


def major(minor: int, digits: int) -> str:
    """Return an amount of minor units in major units, exact."""
    if digits == 0:
        return str(minor)
    sign, whole = ("-", -minor) if minor < 0 else ("", minor)
    unit = 10**digits
    return f"{sign}{whole // unit}.{whole % unit:0{digits}d}"


def named(names: Sequence[str], codes: Integers) -> list[Cell]:
    """Return the name of each code; empty for an empty name or a code below zero."""
    lookup = np.asarray([name or None for name in names] + [None], dtype=object)
    cells: list[Cell] = lookup[np.where(codes < 0, len(names), codes)].tolist()
    return cells


def numbered(prefix: str, width: int, count: int) -> list[str]:
    """Return ids ``prefix00001`` … for ``count`` things."""
    return [f"{prefix}{number:0{width}d}" for number in range(1, count + 1)]
