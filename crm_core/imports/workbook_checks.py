"""What is refused in an Excel workbook: entities, endless rows, texts beyond any use.

A workbook is a zip archive of XML; the archive itself is judged by :mod:`limits`.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import IO, Any

from crm_core.imports import limits

HIGHEST_ROW = 1_048_576
_SHARED_STRINGS = 64 * limits.MEBIBYTE
_UNGUARDED = ("xl/sharedStrings.xml", "xl/styles.xml")
_PROLOG = 1 << 16
_ROW_BYTES = 8 * limits.MEBIBYTE
_ROW_TAGS = 200_000
_ROOT = re.compile(rb"<[A-Za-z_]")
_BEFORE_ROOT = re.compile(rb"<\?.*?\?>|<!--.*?-->", re.DOTALL)
_ROWS_END = re.compile(rb"</(?:\w+:)?sheetData>")
_TAIL = 64


def check(path: Path, label: str) -> None:
    """Refuse a workbook that is a bomb or declares entities, before anything of it is parsed."""
    with limits.open_archive(path, largest=limits.LARGEST_WORKBOOK) as archive:
        for member in archive.infolist():
            _check_member(archive, member, label)


def _check_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, label: str) -> None:
    if member.filename == "xl/sharedStrings.xml" and member.file_size > _SHARED_STRINGS:
        raise limits.Refused(f"{label} holds more text than is read; save it as CSV.")
    with archive.open(member) as stream:
        start = stream.read(1024)
        named_so = member.filename.endswith((".xml", ".rels"))
        if not named_so and not start.lstrip().startswith(b"<"):
            return
        if _declares_nothing(start, whole=len(start) < 1024):
            return
        start += stream.read(_PROLOG)
    if not _declares_nothing(start, whole=True):
        raise limits.Refused(
            f"{label} declares entities or hides how {member.filename} begins, "
            "as only an attack does."
        )


def _declares_nothing(start: bytes, *, whole: bool) -> bool:
    """Return whether the root element begins in plain sight, with no declarations before it."""
    plain = _BEFORE_ROOT.sub(b"", start.removeprefix(b"\xef\xbb\xbf"))
    root = _ROOT.search(plain)
    if root is None:
        return whole and not plain.strip()
    return not plain[: root.start()].strip()


class GuardedArchive(zipfile.ZipFile):
    """The workbook's archive, whose sheets are guarded wherever the parser opens them."""

    label = "The workbook"

    def open(self, name: Any, mode: Any = "r", *args: Any, **options: Any) -> Any:  # noqa: ANN401 - as the base class
        """Return a member's bytes."""
        stream = super().open(name, mode, *args, **options)
        where = name.filename if isinstance(name, zipfile.ZipInfo) else name
        return stream if where in _UNGUARDED else GuardedRows(stream, self.label)


class GuardedRows:
    """The XML of a sheet as it is parsed; refuses a row that is too long to be one."""

    def __init__(self, stream: IO[bytes], label: str) -> None:
        self._stream, self._label = stream, label
        self._bytes = self._tags = 0
        self._tail = b""
        self._over = False

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        block = self._stream.read(size)
        if not self._over:
            self._count(block)
        return block

    def close(self) -> None:
        """Close the sheet."""
        self._stream.close()

    def __enter__(self) -> GuardedRows:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _count(self, block: bytes) -> None:
        seen = self._tail + block
        if _ROWS_END.search(seen):
            self._over = True
            return
        ended = seen.rfind(b"row>")
        if ended >= len(self._tail) - 4 and ended >= 0:
            self._bytes = self._tags = 0
            block = seen[ended + 4 :]
        self._bytes += len(block)
        self._tags += block.count(b"<")
        self._tail = seen[-_TAIL:]
        if self._bytes > _ROW_BYTES or self._tags > _ROW_TAGS:
            raise limits.Refused(
                f"{self._label} holds a row of more cells than a sheet can have; "
                f"at most {limits.MOST_COLUMNS:,} columns are read."
            )
