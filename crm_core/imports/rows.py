"""The shape in which every reader hands over rows, and the guard against formulas in cells."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

LINE = "_line"
PROBLEM = "_problem"
IGNORED = ("winward_line", "winward_column", "winward_reason")
"""Columns of a file of rejected rows; ignored when that file is imported again."""

_GUARDED = r"^'('*[=+\-@\t\r])"
_DANGEROUS = re.compile(r"'*[=+\-@\t\r]")


@dataclass(slots=True)
class Source:
    """A source file: its header and its rows as batches of text columns.

    Every batch has ``_line`` (the line, or the row of a sheet or Parquet file), ``_problem``
    (why the row could not be split into its columns, else null) and the columns ``names``.
    """

    label: str
    format: str
    encoding: str | None
    delimiter: str | None
    names: list[str]
    batches: Iterator[pa.Table]
    close: Callable[[], None]

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def table(
    names: list[str], lines: list[int], problems: list[str | None], rows: list[list[str]]
) -> pa.Table:
    """Return rows of equal width as a batch; an empty cell is null."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    arrays = [as_text(pa.array(column, pa.string())) for column in columns]
    return pa.table(
        [pa.array(lines, pa.int64()), pa.array(problems, pa.string()), *arrays],
        names=[LINE, PROBLEM, *names],
    )


def as_text(array: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Return a column as it is handed over: an empty cell is null, a guarded formula is plain."""
    empty = pc.equal(array, "")
    if pc.any(empty).as_py():
        array = pc.if_else(empty, pa.scalar(None, pa.string()), array)
    return unquote_formulas(array)


def unquote_formulas(array: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Take away the one apostrophe that :func:`guard` put before a formula."""
    if not pc.any(pc.starts_with(array, "'")).as_py():
        return array
    return pc.replace_substring_regex(array, _GUARDED, r"\1")


def guard(value: str | None) -> str | None:
    """Return text that a spreadsheet will not run: an apostrophe before ``= + - @ TAB CR``."""
    if value is not None and _DANGEROUS.match(value):
        return "'" + value
    return value
