"""Delimited UTF-8 text by the block: what is plainly well-formed is split by Arrow, not in Python.

A block ends where a record ends. It is taken here only if its quotes stand exactly as RFC 4180
says and every row has the header's width, so that both ways of reading must agree; any other
block goes through the reader that knows why a row is wrong. From a block whose end cannot be
told, the rest of the file goes there.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv

from crm_core.imports import limits
from crm_core.imports.rows import LINE, PROBLEM, as_text

BLOCK = 2 * limits.MEBIBYTE
_LARGEST = 8 * limits.MEBIBYTE
_LOOKS_BACK = 50


@dataclass(frozen=True, slots=True)
class Rest:
    """Where in a file the careful reader must go on, and how many lines came before."""

    offset: int
    lines: int


Careful = Callable[[bytes, int], Iterator[pa.Table]]
"""Reads a block whose first line follows that many lines."""


def read(
    stream: BinaryIO, names: list[str], delimiter: str, *, lines: int, careful: Careful
) -> Iterator[pa.Table | Rest]:
    """Yield the rows after the stream's position as batches, at last perhaps where to go on.

    ``lines`` is how many came before.
    """
    plain = _Plain(names, delimiter)
    held, offset = b"", stream.tell()
    while True:
        more = stream.read(BLOCK)
        held += more
        end = _end_of_record(held) if more else len(held)
        if end is None and len(held) <= _LARGEST:
            continue
        block = held[:end]
        found = plain.split(block, lines) if end is not None else None
        if found is None and not (end and plain.is_closed(block)):
            if held:
                yield Rest(offset, lines)
            return
        yield from careful(block, lines) if found is None else (found,)
        held = held[len(block) :]
        offset, lines = offset + len(block), lines + block.count(b"\n")
        if not more:
            return


def _end_of_record(held: bytes) -> int | None:
    """Return the position after the last line end outside of quotes."""
    inside = held.count(b'"') % 2
    position = len(held)
    for _ in range(_LOOKS_BACK):
        before = held.rfind(b"\n", 0, position)
        if before < 0:
            return None
        inside = (inside + held.count(b'"', before, position)) % 2
        if not inside:
            return before + 1
        position = before
    return None


def _has_blank_line(block: bytes) -> bool:
    return block.startswith((b"\n", b"\r\n")) or b"\n\n" in block or b"\n\r\n" in block


class _Plain:
    """Splits blocks without oddities into columns of text."""

    def __init__(self, names: list[str], delimiter: str) -> None:
        self._names = names
        self._before = np.frombuffer(delimiter.encode() + b"\n", np.uint8)
        self._after = np.frombuffer(delimiter.encode() + b"\r\n", np.uint8)
        self._parse = arrow_csv.ParseOptions(delimiter=delimiter, ignore_empty_lines=False)
        self._read = arrow_csv.ReadOptions(
            column_names=names, use_threads=False, block_size=2 * _LARGEST
        )
        self._convert = arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            null_values=[],
            strings_can_be_null=False,
        )

    def is_closed(self, block: bytes) -> bool:
        """Return whether every quote of the block opens or closes a cell, or is doubled in one.

        Then no record crosses the block's end, whatever else is wrong in it.
        """
        if b"\x00" in block or block.count(b"\r") != block.count(b"\r\n"):
            return False
        if b'"' not in block:
            return True
        letters = np.frombuffer(b"\n" + block + b"\n", np.uint8)
        quotes = np.flatnonzero(letters == ord('"'))
        opening, closing = quotes[::2], quotes[1::2]
        if len(opening) != len(closing):
            return False
        doubled = opening[1:] == closing[:-1] + 1
        opens = np.isin(letters[opening - 1], self._before)
        closes = np.isin(letters[closing + 1], self._after)
        opens[1:] |= doubled
        closes[:-1] |= doubled
        return bool(opens.all() and closes.all())

    def split(self, block: bytes, lines: int) -> pa.Table | None:
        """Return a block's rows, None if the careful reader must say what they are."""
        if not block or not self.is_closed(block) or _has_blank_line(block):
            return None
        try:
            cells = arrow_csv.read_csv(io.BytesIO(block), self._read, self._parse, self._convert)
        except pa.ArrowInvalid:
            return None
        ends = np.flatnonzero(np.frombuffer(block, np.uint8) == ord("\n")) + 1
        widths = np.diff(ends, prepend=0, append=len(block))
        rows = len(ends) + (0 if block.endswith(b"\n") else 1)
        if rows != cells.num_rows or widths.max() > limits.LONGEST_LINE:
            return None  # a line end within quotes, or a line that may be too long
        numbers = pa.array(np.arange(lines + 1, lines + 1 + rows, dtype=np.int64))
        columns = [as_text(column) for column in cells.columns]
        return pa.table(
            [numbers, pa.nulls(rows, pa.string()), *columns], names=[LINE, PROBLEM, *self._names]
        )
