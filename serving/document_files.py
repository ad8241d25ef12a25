"""Documents as CSV and XLSX that are safe to open: no text of a customer's runs as a formula."""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
from typing import Any

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.styles import Alignment, Font
from openpyxl.utils import get_column_letter

from crm_core.imports.rows import guard
from crm_core.money import Money, minor_digits
from serving.documents import Cell, Document, Figure
from serving.explanations import Words

_STAMP = Words("About", "说明")
_NOT_IN_A_CELL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
_NOT_IN_A_TAB = re.compile(r"[\[\]:*?/\\']")
_LONGEST_TAB = 31
_WIDEST = 60
_MARK = "\ufeff"
"""What tells Excel that a CSV is UTF-8."""


def csv_file(document: Document, *, language: str) -> bytes:
    """Return the table as UTF-8 CSV, the stamp in columns of every row.

    Numbers are plain, amounts in major units with all their places, ratios as fractions.
    """
    target = io.StringIO(_MARK, newline="")
    target.seek(0, io.SEEK_END)
    writer = csv.writer(target)
    stamp = [mark.value.text(language) for mark in document.stamp]
    heads = [*document.headings(language), *(mark.key for mark in document.stamp)]
    writer.writerow([guard(head) for head in heads])
    for row in document.rows:
        writer.writerow([*(_text(cell) for cell in row), *(guard(value) for value in stamp)])
    return target.getvalue().encode()


def _text(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, Money):
        return f"{cell.major:.{minor_digits(cell.currency)}f}"
    if isinstance(cell, Figure):
        return f"{cell.plain:f}"
    return cell.isoformat() if isinstance(cell, dt.date) else guard(cell) or ""


def xlsx_file(document: Document, *, language: str) -> bytes:
    """Return the table as a workbook of two sheets: the table, and what it is.

    Amounts, ratios, counts and days are numbers with their format; text is text, also where it
    begins like a formula.
    """
    book = Workbook(write_only=True)
    book.properties.creator = "Winward"
    book.properties.title = document.title.text(language)
    sheet = book.create_sheet(_tab(document.title.text(language)))
    heads = list(document.headings(language))
    for place, head in enumerate(heads):
        widest = max([len(_text(row[place])) for row in document.rows[:1000]] + [len(head)])
        width = min(_WIDEST, widest * (2 if head and ord(max(head)) > 0x2E80 else 1) + 3)
        sheet.column_dimensions[get_column_letter(place + 1)].width = width
    sheet.freeze_panes = "A2"
    sheet.append([_cell(sheet, head, bold=True) for head in heads])
    for row in document.rows:
        sheet.append([_cell(sheet, cell) for cell in row])
    about = book.create_sheet(_tab(_STAMP.text(language)))
    about.column_dimensions["A"].width, about.column_dimensions["B"].width = 24, 90
    for mark in document.stamp:
        said = (mark.name.text(language), mark.value.text(language))
        about.append([_cell(about, said[0], bold=True), _cell(about, said[1], wraps=True)])
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


def _tab(title: str) -> str:
    return _NOT_IN_A_TAB.sub(" ", title)[:_LONGEST_TAB].strip() or "Winward"


def _cell(sheet: Any, cell: Cell, *, bold: bool = False, wraps: bool = False) -> Any:  # noqa: ANN401 - openpyxl's own
    made: Any = WriteOnlyCell(sheet)
    if isinstance(cell, Money):
        digits = minor_digits(cell.currency)
        made.value = cell.major
        made.number_format = "#,##0" + (f".{'0' * digits}" if digits else "")
    elif isinstance(cell, Figure):
        made.value = cell.plain
        made.number_format = {"ratio": "0.0%", "count": "#,##0.##"}.get(cell.unit, "#,##0.0")
        if cell.plain == int(cell.plain) and cell.unit != "ratio":
            made.number_format = "#,##0"
    elif isinstance(cell, str):
        made.value = _NOT_IN_A_CELL.sub("", cell)
        made.data_type = "s"  # what begins with = stays text
        made.quotePrefix = guard(cell) != cell
    else:
        made.value = cell
        if cell is not None:
            made.number_format = "yyyy-mm-dd"
    made.font = Font(bold=bold)
    if wraps:
        made.alignment = Alignment(wrap_text=True, vertical="top")
    return made
