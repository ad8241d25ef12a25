"""Opening a source file: what it truly is (by its first bytes), and its rows as text, streamed."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from crm_core.errors import Invalid
from crm_core.imports import limits, parquet_reader, text_reader, workbook_reader
from crm_core.imports.rows import IGNORED, Source

Format = Literal["auto", "csv", "spaces", "fixed", "xlsx", "parquet"]


class NotReadable(Invalid):
    """The file is of a kind that is not read."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a mapping wants a file read; None lets the reader find out."""

    format: Format = "auto"
    encoding: str | None = None
    delimiter: str | None = None
    sheet: str | None = None
    widths: tuple[tuple[str, int, int], ...] = ()


def kind_of(path: Path) -> str:
    """Return what a file is by its first bytes, whatever its name says."""
    with path.open("rb") as stream:
        head = stream.read(8)
    if head.startswith(b"PK\x03\x04"):
        return "xlsx" if _is_workbook(path) else "zip"
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(b"PK\x05\x06"):
        return "zip"
    for magic, what in _FOREIGN.items():
        if head.startswith(magic):
            raise NotReadable(f"{path.name} is {what}; save it as CSV, .xlsx or Parquet first.")
    return "text"


_FOREIGN = {
    b"\xd0\xcf\x11\xe0": "an old Excel file (.xls)",
    b"\x1f\x8b": "packed with gzip",
    b"%PDF": "a PDF",
    b"7z\xbc\xaf": "a 7-zip archive",
    b"Rar!": "a RAR archive",
    b"\x89PNG": "a picture",
    b"SQLite f": "an SQLite database",
}


def _is_workbook(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.startswith("xl/") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError):
        return path.suffix.lower() != ".zip"  # damaged: its reader says so


def check(path: Path, label: str) -> None:
    """Refuse at once what its first bytes give away: before it is hashed, copied or profiled."""
    if kind_of(path) == "text":
        limits.check_head(path, label)


def open_source(path: Path, label: str, options: Options) -> Source:
    """Return a file's header and its rows in batches of text; nothing is read whole.

    Raises Invalid subclasses (Refused, Damaged, Undecodable, NotReadable) with the remedy.
    """
    if path.stat().st_size == 0:
        raise Invalid(f"{label} is empty; it needs a header row and its data.")
    kind = kind_of(path)
    if kind == "xlsx":
        return workbook_reader.open_workbook(path, label, sheet=options.sheet)
    if kind == "parquet":
        return parquet_reader.open_parquet(path, label)
    if kind == "zip":
        raise NotReadable(f"{label} is a zip archive; name the file inside it in the mapping.")
    limits.check_head(path, label)
    if options.format in ("spaces", "fixed") and not _is_of_rejected_rows(path):
        return text_reader.open_columns(
            path, label, encoding=options.encoding, widths=options.widths
        )
    return text_reader.open_delimited(
        path, label, encoding=options.encoding, delimiter=options.delimiter
    )


def _is_of_rejected_rows(path: Path) -> bool:
    """Return whether we wrote the file: rejected rows are CSV whatever the source was."""
    with path.open("rb") as stream:
        return IGNORED[0].encode() in stream.readline(limits.LONGEST_LINE)
