"""Excel workbooks (.xlsx), read row by row; dates and numbers become canonical text."""

from __future__ import annotations

import datetime as dt
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast
from xml.etree.ElementTree import ParseError

import pyarrow as pa
from openpyxl.reader.excel import ExcelReader

from crm_core.errors import Invalid
from crm_core.imports import limits, workbook_checks
from crm_core.imports.rows import Source, table

_ROWS = 5_000
_BROKEN = (zipfile.BadZipFile, KeyError, ParseError, OSError, EOFError, ValueError, TypeError)


def open_workbook(path: Path, label: str, *, sheet: str | None) -> Source:
    """Return one sheet of a workbook: ``sheet``, else the only one that holds data.

    Raises Damaged when the file is cut off, Refused for bombs, Invalid for a missing sheet.
    """
    book, close = _open(path, label)
    try:
        rows = _rows(_choose(book, label, sheet), label)
        names = _header(next(rows, ()))
        limits.check_header(label, names)
    except _BROKEN as error:
        close()
        raise limits.Damaged(f"{label} is a damaged or cut-off workbook; save it again.") from error
    except Invalid:
        close()
        raise
    return Source(label, "xlsx", None, None, names, _batches(rows, names, label), close)


def sheets(path: Path) -> list[str]:
    """Return the names of a workbook's sheets."""
    book, close = _open(path, path.name)
    try:
        return list(book.sheetnames)
    finally:
        close()


def _open(path: Path, label: str) -> tuple[Any, Callable[[], None]]:
    """Return a workbook, whatever its name ends in, and what closes it."""
    workbook_checks.check(path, label)
    stream = path.open("rb")
    try:
        reader = ExcelReader(stream, read_only=True, data_only=True)
        reader.archive = workbook_checks.GuardedArchive(stream)
        reader.archive.label = label
        reader.read()
        book = reader.wb
    except limits.Refused:
        stream.close()
        raise
    except _BROKEN as error:
        stream.close()
        raise limits.Damaged(f"{label} is a damaged or cut-off workbook; save it again.") from error

    def close() -> None:
        book.close()
        stream.close()

    return book, close


def _choose(book: Any, label: str, sheet: str | None) -> Any:  # noqa: ANN401 - untyped library
    if sheet is not None:
        for name in book.sheetnames:
            if name.casefold() == sheet.casefold():
                return book[name]
        raise Invalid(f"{label} has no sheet {sheet!r}; it has {', '.join(book.sheetnames)}.")
    if len(book.sheetnames) > 1:
        raise Invalid(
            f"{label} has {len(book.sheetnames)} sheets ({', '.join(book.sheetnames)}); "
            "name the one to read in the mapping (sheet: …)."
        )
    return book[book.sheetnames[0]]


def _rows(sheet: Any, label: str) -> Iterator[tuple[Any, ...]]:  # noqa: ANN401 - untyped library
    """Return the rows of a sheet as they are, whatever size the file claims for it."""
    if not hasattr(sheet, "reset_dimensions"):
        raise Invalid(f"{label}: {sheet.title!r} is a chart; name a sheet that holds rows.")
    sheet.reset_dimensions()
    return cast("Iterator[tuple[Any, ...]]", sheet.iter_rows(values_only=True))


def _header(cells: tuple[Any, ...]) -> list[str]:
    names = [cell_text(cell).strip() for cell in cells]
    while names and not names[-1]:
        names.pop()
    return [name or f"column_{position}" for position, name in enumerate(names, 1)]


def cell_text(cell: Any) -> str:  # noqa: ANN401 - a cell holds anything
    """Return a cell as text: dates in ISO 8601, whole numbers without a fraction."""
    if cell is None:
        return ""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else repr(cell)
    if isinstance(cell, dt.datetime):
        day_only = cell.time() == dt.time()
        return cell.date().isoformat() if day_only else cell.isoformat(sep=" ")
    if isinstance(cell, dt.date):
        return cell.isoformat()
    return str(cell)


def _batches(rows: Iterator[tuple[Any, ...]], names: list[str], label: str) -> Iterator[pa.Table]:
    width = len(names)
    lines: list[int] = []
    problems: list[str | None] = []
    texts: list[list[str]] = []
    number = 1
    while True:
        try:
            row = next(rows, None)
        except _BROKEN as error:
            raise limits.Damaged(
                f"{label} is damaged after row {number}; save it again."
            ) from error
        if row is None or len(texts) >= _ROWS:
            if texts:
                yield table(names, lines, problems, texts)
            lines, problems, texts = [], [], []
        if row is None:
            return
        number += 1
        if number > workbook_checks.HIGHEST_ROW + 1:
            raise limits.Refused(f"{label} numbers its rows beyond what a sheet can have.")
        if any(cell is not None and cell != "" for cell in row):
            cells = [cell_text(cell) for cell in row[:width]]
            texts.append(cells + [""] * (width - len(cells)))
            lines.append(number)
            beyond = any(cell is not None for cell in row[width:])
            problems.append("the row has cells to the right of the header" if beyond else None)
