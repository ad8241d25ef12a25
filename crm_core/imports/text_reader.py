"""Delimited, space-separated and fixed-width text, read line by line with bounded memory."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from crm_core.errors import Invalid
from crm_core.imports import block_reader, encodings, limits
from crm_core.imports.rows import Source, table

_ROWS = 20_000
_LETTERS = 8 * limits.MEBIBYTE
_BY_BLOCKS = ("utf-8", "utf-8-sig")
_DELIMITERS = ",;\t|"

csv.field_size_limit(limits.LONGEST_LINE)


def open_delimited(
    path: Path, label: str, *, encoding: str | None, delimiter: str | None
) -> Source:
    """Return a CSV-like file: RFC 4180 quotes, its delimiter among comma, semicolon, tab, pipe."""
    found = encodings.named(encoding, label) if encoding else encodings.detect(path, label)
    mark = delimiter or _sniff(path, label, found)
    lines = _Lines(path, label, found)
    try:
        reader = csv.reader(lines, delimiter=mark, strict=True)
        names = _header(reader, lines, label)
    except BaseException:
        lines.close()
        raise
    batches = _delimited(lines, reader, names, mark, label)
    return Source(label, "csv", found.name, mark, names, batches, lines.close)


def _delimited(
    lines: _Lines, reader: Iterator[list[str]], names: list[str], mark: str, label: str
) -> Iterator[pa.Table]:
    """Yield the rows after the header: by whole blocks where that is sure to be right."""

    def careful(block: bytes, before: int) -> Iterator[pa.Table]:
        part = _Lines(lines.path, label, lines.encoding, io.BytesIO(block), before)
        records = csv.reader(part, delimiter=mark, strict=True)
        yield from _batches(_split(records, part, label), names)

    with lines.path.open("rb") as stream:
        most = limits.LONGEST_LINE_BYTES
        header = b"".join(stream.readline(most) for _ in range(lines.number))
        if lines.encoding.codec not in _BY_BLOCKS or b"\r" in header.replace(b"\r\n", b""):
            yield from _batches(_split(reader, lines, label), names)
            return
        found = block_reader.read(stream, names, mark, lines=lines.number, careful=careful)
        for part in found:
            if isinstance(part, block_reader.Rest):
                stream.seek(part.offset)
                lines = _Lines(lines.path, label, lines.encoding, stream, part.lines)
                records = csv.reader(lines, delimiter=mark, strict=True)
                yield from _batches(_split(records, lines, label), names)
            else:
                yield part


def open_columns(
    path: Path, label: str, *, encoding: str | None, widths: tuple[tuple[str, int, int], ...]
) -> Source:
    """Return a file whose columns are separated by spaces, or stand at fixed ``widths``.

    With ``widths`` (name, first position, position after the last; from 0) there is no header.
    """
    found = encodings.named(encoding, label) if encoding else encodings.detect(path, label)
    lines = _Lines(path, label, found)
    try:
        if widths:
            form, names = "fixed", [name for name, _, _ in widths]
            split = ([text[start:end].strip() for _, start, end in widths] for text in lines)
        else:
            split = (text.split() for text in lines)
            form, names = "spaces", next(split, [])
        limits.check_header(label, names)
    except BaseException:
        lines.close()
        raise
    batches = _batches(((row, lines.number) for row in split if any(row)), names)
    return Source(label, form, found.name, None, names, batches, lines.close)


class _Lines:
    """The lines of a file, each checked for length, NUL and encoding; ``number`` counts them."""

    def __init__(
        self,
        path: Path,
        label: str,
        encoding: encodings.Encoding,
        rest: BinaryIO | None = None,
        before: int = 0,
    ) -> None:
        """Begin at the file's start, or with what is left of it after ``before`` lines."""
        self.path, self.label, self.encoding = path, label, encoding
        self.number = before
        if rest is None:
            self._stream = path.open(encoding=encoding.codec, newline="")
        else:  # after the BOM
            self._stream = io.TextIOWrapper(rest, encoding="utf-8", newline="")

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def __iter__(self) -> Iterator[str]:
        while True:
            try:
                line = self._stream.readline(limits.LONGEST_LINE + 1)
            except UnicodeDecodeError as error:
                raise self._undecodable() from error
            if not line:
                return
            self.number += 1
            if len(line) > limits.LONGEST_LINE:
                raise limits.too_long(self.label, self.number)
            if "\x00" in line:
                raise limits.Refused(
                    f"{self.label}, line {self.number} holds a NUL byte, so it is not a text "
                    "table; export it again as CSV."
                )
            yield line

    def _undecodable(self) -> encodings.Undecodable:
        offset = encodings.first_undecodable(self.path, self.encoding.codec, self.label) or 0
        return encodings.Undecodable(
            encodings.undecodable_message(self.path, self.label, self.encoding, offset)
        )


def _sniff(path: Path, label: str, encoding: encodings.Encoding) -> str:
    """Return the delimiter that splits the header into most columns."""
    lines = _Lines(path, label, encoding)
    try:
        header = next(iter(lines), "")
    finally:
        lines.close()
    counts = {}
    for mark in _DELIMITERS:
        try:
            counts[mark] = len(next(csv.reader([header], delimiter=mark, strict=True), []))
        except csv.Error:
            counts[mark] = 0
    best = max(counts, key=lambda mark: counts[mark])
    return best if counts[best] > 1 else ","


def _header(reader: Iterator[list[str]], lines: _Lines, label: str) -> list[str]:
    try:
        names = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise Invalid(
            f"{label}, line {lines.number}: the header cannot be read: {error}."
        ) from error
    while names and not names[-1]:
        names.pop()
    names = [name or f"column_{position}" for position, name in enumerate(names, 1)]
    limits.check_header(label, names)
    return names


def _split(
    reader: Iterator[list[str]], lines: _Lines, label: str
) -> Iterator[tuple[list[str] | str, int]]:
    """Yield (cells, or the problem; first line) of each record that is not blank."""
    while True:
        first = lines.number + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "unexpected end" in str(error) or "field limit" in str(error):
                raise limits.Damaged(
                    f"{label}, line {first}: a quote is opened and never closed; "
                    "the file is cut off or a quote inside a cell is not doubled."
                ) from error
            yield f"the line cannot be split: {error}", first
            continue
        if row:
            yield row, first


def _batches(
    records: Iterator[tuple[list[str] | str, int]], names: list[str]
) -> Iterator[pa.Table]:
    width = len(names)
    lines: list[int] = []
    problems: list[str | None] = []
    rows: list[list[str]] = []
    letters = 0
    for record, line in records:
        problem = None
        if isinstance(record, str):
            problem, record = record, []
        if len(record) != width:
            problem, record = _fit(record, width, problem)
        lines.append(line)
        problems.append(problem)
        rows.append(record)
        letters += sum(map(len, record))
        if len(rows) >= _ROWS or letters >= _LETTERS:
            yield table(names, lines, problems, rows)
            lines, problems, rows, letters = [], [], [], 0
    if rows:
        yield table(names, lines, problems, rows)


def _fit(row: list[str], width: int, problem: str | None) -> tuple[str | None, list[str]]:
    """Return a row of the header's width and why it was not; empty cells at its end are fine."""
    if problem is None and len(row) > width and not any(row[width:]):
        return None, row[:width]
    if problem is None:
        problem = f"the line has {len(row)} cells, the header {width}"
    return problem, (row + [""] * width)[:width]
