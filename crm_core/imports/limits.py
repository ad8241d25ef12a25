"""Upload bombs, refused before they are opened: archives, lines and headers beyond any use."""

from __future__ import annotations

import codecs
import re
import zipfile
from pathlib import Path, PurePosixPath

from crm_core.errors import Invalid

MEBIBYTE = 1 << 20
LONGEST_LINE = MEBIBYTE
LONGEST_LINE_BYTES = 4 * LONGEST_LINE  # a letter takes four bytes at most
MOST_COLUMNS = 2_000
MOST_MEMBERS = 10_000
LARGEST_ARCHIVE = 8 << 30
LARGEST_WORKBOOK = 1 << 30
HIGHEST_RATIO = 200
RATIO_COUNTS_FROM = 10 * MEBIBYTE

_SYMLINK = 0o120000
_SHOWN = 60
_CONTROLS = bytes(code for code in range(32) if code not in b"\t\n\r\x0c\x1a")
_LINE_END = re.compile(rb"[\r\n]")


class Refused(Invalid):
    """A file that is too large, too deep or malicious to be read."""


class Damaged(Invalid):
    """A file that is cut off or not what its first bytes promise."""


def open_archive(path: Path, *, largest: int = LARGEST_ARCHIVE) -> zipfile.ZipFile:
    """Return the archive if it is whole and harmless.

    Raises Damaged when it cannot be read, Refused when it would unpack to more than ``largest``
    bytes or more than ``HIGHEST_RATIO`` times its size, or when a member would leave the folder.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise Damaged(
            f"{path.name} is a damaged or cut-off archive or workbook ({error}); "
            "export or copy it again."
        ) from error
    try:
        _check_members(path, archive, largest)
    except Refused:
        archive.close()
        raise
    return archive


def _check_members(path: Path, archive: zipfile.ZipFile, largest: int) -> None:
    members = archive.infolist()
    if len(members) > MOST_MEMBERS:
        raise Refused(
            f"{path.name} holds {len(members):,} files; at most {MOST_MEMBERS:,} are read."
        )
    for member in members:
        parts = PurePosixPath(member.filename.replace("\\", "/"))
        if parts.is_absolute() or ".." in parts.parts or ":" in parts.parts[:1]:
            raise Refused(f"{path.name} holds {member.filename!r}, which leads out of its folder.")
        if (member.external_attr >> 16) & 0o170000 == _SYMLINK:
            raise Refused(f"{path.name} holds a link, {member.filename!r}; pack the file itself.")
    unpacked = sum(member.file_size for member in members)
    if unpacked > largest:
        raise Refused(
            f"{path.name} would unpack to {unpacked / (1 << 30):.1f} GiB; "
            f"at most {largest / (1 << 30):.0f} GiB are read. Split it."
        )
    check_ratio(path.name, unpacked, path.stat().st_size)


def check_ratio(file: str, unpacked: int, packed: int) -> None:
    """Refuse what grows when it is unpacked as no honest file does."""
    if unpacked > RATIO_COUNTS_FROM and unpacked > HIGHEST_RATIO * packed:
        raise Refused(
            f"{file} unpacks to more than {HIGHEST_RATIO} times its size, as only an attack does."
        )


def shown(name: str) -> str:
    """Return a name for a message, cut where it is too long to be one."""
    return name if len(name) <= _SHOWN else f"{name[:_SHOWN]}…"


def too_long(file: str, line: int) -> Refused:
    """Return the error of a line that is longer than any row."""
    return Refused(
        f"{file}, line {line:,} is longer than {LONGEST_LINE:,} characters; is this a text table?"
    )


def check_head(path: Path, file: str) -> None:
    """Refuse a text file that begins with an endless line or is not text at all."""
    with path.open("rb") as stream:
        head = stream.read(LONGEST_LINE_BYTES + 1)
    if len(head) > LONGEST_LINE_BYTES and not _LINE_END.search(head):
        raise too_long(file, 1)
    sample = head[: MEBIBYTE // 4]
    controls = len(sample) - len(sample.translate(None, _CONTROLS))
    if b"\x00" in sample or controls <= max(8, len(sample) // 100) or _is_utf_8(sample):
        return  # the reader names the line of a NUL; valid UTF-8 with odd letters is text
    raise Refused(
        f"{file} is not text: {controls:,} of its first {len(sample):,} bytes are control "
        "characters; export the table as CSV, .xlsx or Parquet."
    )


def _is_utf_8(sample: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return False
    return True


def check_header(file: str, names: list[str]) -> None:
    """Refuse a header that is empty, too wide or names a column twice (letter case ignored)."""
    if not names or not any(names):
        raise Invalid(f"{file} has no header row; its first line must name the columns.")
    if len(names) > MOST_COLUMNS:
        raise Refused(
            f"{file} has {len(names):,} columns; at most {MOST_COLUMNS:,} are read. "
            "Check its delimiter."
        )
    seen: dict[str, str] = {}
    for name in names:
        folded = name.casefold()
        if folded in seen:
            raise Invalid(f"{file} names the column {shown(name)!r} twice; rename one of them.")
        seen[folded] = name
