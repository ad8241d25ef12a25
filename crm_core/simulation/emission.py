"""Writing exchange tables: the columns the format declares, in its order, as CSV (RFC 4180)."""

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
Columns = dict[str, NDArray[np.generic] | list[str]]
Sheet = dict[str, list[Cell]]
"""A table to be written: cells by column; all columns equally long."""


def write_sheet(folder: Path, name: str, sheet: Sheet) -> int:
    """Write a table of the exchange format and return its number of rows."""
    declared = [column.name for column in exchange.table(name).columns if column.name in sheet]
    columns = declared + [name for name in sheet if name.startswith("x_")]
    assert set(columns) == set(sheet), f"{name} has no columns {set(sheet) - set(columns)}"
    with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*(sheet[column] for column in columns), strict=True))
    return len(sheet[columns[0]])


def write_truth(folder: Path, name: str, columns: Columns) -> None:
    """Write a table of the sealed truth as Parquet."""
    folder.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.table(columns), folder / f"{name}.parquet", compression="zstd")


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
