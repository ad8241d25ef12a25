"""Which encoding a text file is in: found in one pass over its bytes, and named in the report."""

from __future__ import annotations

import codecs
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from crm_core.errors import Invalid
from crm_core.imports import limits

_BLOCK = 1 << 20
_SAMPLE = 1 << 18
_HIGH_RUN = re.compile(rb"[\x80-\xff]+")
_BOMS = (
    (codecs.BOM_UTF8, "UTF-8 with BOM", "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "UTF-16 LE", "utf-16"),
    (codecs.BOM_UTF16_BE, "UTF-16 BE", "utf-16"),
)
NAMES = {
    "UTF-8": "utf-8",
    "UTF-8 with BOM": "utf-8-sig",
    "UTF-16 LE": "utf-16-le",
    "UTF-16 BE": "utf-16-be",
    "GB18030": "gb18030",
    "Windows-1252": "cp1252",
    "ISO 8859-1": "latin-1",
}


class Undecodable(Invalid):
    """A byte is not text in the file's encoding."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """An encoding by its common name and by Python's."""

    name: str
    codec: str


def digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def named(name: str, file: str) -> Encoding:
    """Return the encoding that a mapping names. Raises Invalid."""
    for common, codec in NAMES.items():
        if name.casefold() in (common.casefold(), codec):
            return Encoding(common, codec)
    try:
        return Encoding(name, codecs.lookup(name).name)
    except LookupError as error:
        raise Invalid(
            f"{file}: {name!r} is not an encoding; write one of {', '.join(NAMES)}."
        ) from error


def detect(path: Path, label: str) -> Encoding:
    """Return the encoding of a text file: by its BOM, else by what all of its bytes allow.

    Raises Undecodable when the file is nearly UTF-8 but for some bytes: guessing another
    encoding would turn good letters into wrong ones. Raises Refused when a line never ends.
    """
    with path.open("rb") as stream:
        head = stream.read(_SAMPLE)
    for bom, name, codec in _BOMS:
        if head.startswith(bom):
            return Encoding(name, codec)
    if b"\x00" in head:
        wide = _wide(head)
        if wide is not None:
            return wide
    bad_at = first_undecodable(path, "utf-8", label)
    if bad_at is None:
        return Encoding("UTF-8", "utf-8")
    return _by_high_bytes(path, bad_at, label)


def _wide(head: bytes) -> Encoding | None:
    """Return UTF-16 without BOM when nearly every second byte is NUL."""
    even, odd = head[0:20000:2], head[1:20000:2]
    if odd.count(0) > 0.4 * len(odd) and even.count(0) < 0.1 * len(even):
        return Encoding("UTF-16 LE", "utf-16-le")
    if even.count(0) > 0.4 * len(even) and odd.count(0) < 0.1 * len(odd):
        return Encoding("UTF-16 BE", "utf-16-be")
    return None


def first_undecodable(path: Path, codec: str, label: str) -> int | None:
    """Return the offset of the first byte that is not text in the codec.

    Raises Refused at a line that is longer than any row, without reading the rest.
    """
    decoder = codecs.getincrementaldecoder(codec)()
    offset = line_began = lines = 0
    with path.open("rb") as stream:
        while True:
            block = stream.read(_BLOCK)
            held = len(decoder.getstate()[0])
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                return offset - held + error.start
            if not block:
                return None
            ended = max(block.rfind(b"\n"), block.rfind(b"\r"))
            if ended >= 0:
                lines, line_began = lines + block.count(b"\n"), offset + ended
            offset += len(block)
            if offset - line_began > limits.LONGEST_LINE_BYTES:
                raise limits.too_long(label, lines + 1)


def _by_high_bytes(path: Path, bad_at: int, label: str) -> Encoding:
    with path.open("rb") as stream:
        stream.seek(max(0, bad_at - _SAMPLE // 2))
        sample = stream.read(_SAMPLE)
    runs = _HIGH_RUN.findall(sample)
    if _mostly_utf8(runs):
        raise Undecodable(undecodable_message(path, label, Encoding("UTF-8", "utf-8"), bad_at))
    pairs = sum(len(run) % 2 == 0 for run in runs)
    if pairs >= 0.7 * len(runs) and _reads_as_chinese(sample):
        return Encoding("GB18030", "gb18030")
    if re.search(rb"[\x81\x8d\x8f\x90\x9d]", sample):
        return Encoding("ISO 8859-1", "latin-1")
    return Encoding("Windows-1252", "cp1252")


def _mostly_utf8(runs: list[bytes]) -> bool:
    good = 0
    for run in runs:
        try:
            run.decode("utf-8")
        except UnicodeDecodeError:
            continue
        good += 1
    return good > len(runs) - good


def _reads_as_chinese(sample: bytes) -> bool:
    text = sample.decode("gb18030", errors="replace")
    high = [letter for letter in text if ord(letter) > 0x7F]
    chinese = sum(
        "一" <= letter <= "鿿" or "　" <= letter <= "〿" or "＀" <= letter <= "￯" for letter in high
    )
    return bool(high) and chinese >= 0.8 * len(high)


def undecodable_message(path: Path, label: str, encoding: Encoding, offset: int) -> str:
    """Return the sentence for a byte that does not decode, with its line."""
    line, seen, byte = 1, 0, b""
    with path.open("rb") as stream:
        while seen < offset:
            block = stream.read(min(_BLOCK, offset - seen))
            if not block:
                break
            line += block.count(b"\n")
            seen += len(block)
        byte = stream.read(1)
    shown = f"byte 0x{byte.hex().upper()}" if byte else "the end"
    return (
        f"{label}, line {line}: {shown} is not {encoding.name} text although the rest is; "
        "save the file as UTF-8, or name its encoding in the mapping."
    )
