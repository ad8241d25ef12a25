"""Proposing a mapping for a foreign file: which table it is, what its columns mean, what is left.

A proposal is a draft for a person: it names what it matched and by which word, keeps what it does
not know as custom fields where the table has them, and never drops a column that holds data.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from crm_core import exchange
from crm_core.errors import Invalid, NotFound
from crm_core.imports import drafting, formats, profiling, readers, synonyms, workbook_reader
from crm_core.imports.proposals import Match, Proposal, Proposed
from crm_core.imports.report import ColumnProfile, FileProfile
from crm_core.imports.scratch import Scratch
from crm_core.imports.workspaces import workspace

_ENDINGS = (".csv", ".xlsx", ".parquet", ".tsv", ".txt")
_FEWEST = 2
"""A file is only taken for a table when so many of its columns are known there."""

_FITS = {
    "integer": ("number",),
    "decimal": ("number",),
    "money": ("number",),
    "month": ("number",),
    "date": ("date",),
    "instant": ("date",),
    "boolean": ("boolean",),
}


def propose(path: Path) -> Proposal:
    """Return a proposal for a file, a workbook or a folder. Reads no store and writes nothing."""
    if not path.exists():
        raise NotFound(f"{path} does not exist; give the folder or file to profile.")
    with workspace(None, "winward-profile-") as folder:
        scratch = Scratch(folder, time_zone="UTC")
        try:
            files = tuple(
                _propose(scratch, f"file_{number}", *source)
                for number, source in enumerate(_sources(path), 1)
            )
        finally:
            scratch.close()
    if not files:
        raise NotFound(f"{path} holds no CSV, Excel or Parquet file.")
    held = [m for file in files for m in file.matches if m.source.filled]
    cells = sum(match.source.filled for match in held)
    kept = [match for match in held if match.is_accounted]
    return Proposal(
        files,
        drafting.draft(path.stem, files),
        len(kept) / len(held) if held else 1.0,
        sum(match.source.filled for match in kept) / cells if cells else 1.0,
    )


def _sources(path: Path) -> Iterator[tuple[Path, str | None]]:
    """Yield (file, sheet) for everything that can be read."""
    candidates = sorted(path.iterdir()) if path.is_dir() else [path]
    for file in candidates:
        if not file.is_file() or (path.is_dir() and file.suffix.lower() not in _ENDINGS):
            continue
        kind = readers.kind_of(file)
        if kind == "zip":
            raise Invalid(f"{file.name} is a zip archive; unpack it and profile its files.")
        sheets = workbook_reader.sheets(file) if kind == "xlsx" else []
        if len(sheets) > 1:
            yield from ((file, sheet) for sheet in sheets)
        else:
            yield file, None


def _propose(scratch: Scratch, key: str, path: Path, sheet: str | None) -> Proposed:
    label = path.name if sheet is None else f"{path.name}, sheet {sheet}"
    readers.check(path, label)
    with readers.open_source(path, label, readers.Options(sheet=sheet)) as source:
        rows = scratch.load(key, source, lambda *_: None)
    missing = formats.missing_words(scratch, key, source.names)
    columns = profiling.columns(scratch, key, source.names, missing, {})
    found = {column.name: formats.find(scratch, key, column, missing) for column in columns}
    table = _table_of(sheet or path.stem, columns, found)
    matches = _match(table, columns, found)
    profile = FileProfile(
        label,
        source.format,
        source.encoding,
        source.delimiter,
        rows,
        0,
        tuple(replace(m.source, used="mapped" if m.target else "unmapped") for m in matches),
    )
    stage = next((m.source.name for m in matches if m.target == "stage"), None)
    stages = formats.distinct(scratch, key, stage) if stage and table == "opportunities" else ()
    return Proposed(path.name, sheet, profile, table, matches, stages, tuple(missing))


def _table_of(
    name: str, columns: tuple[ColumnProfile, ...], found: dict[str, formats.Format]
) -> str | None:
    """Return the table that most columns and the file's name speak for."""
    scores = []
    for position, table in enumerate(exchange.TABLES):
        known = _known(table.name, columns, found)
        required = sum(column.required for column in table.columns if column.name in known)
        named = synonyms.plain(name) in synonyms.tables()[table.name]
        if len(known) >= _FEWEST or (named and known):
            scores.append((len(known) + required + 4 * named, -position, table.name))
    return max(scores)[2] if scores else None


def _known(
    table: str, columns: tuple[ColumnProfile, ...], found: dict[str, formats.Format]
) -> dict[str, ColumnProfile]:
    """Return the source column of each target: the first whose name and kind fit."""
    taken: dict[str, ColumnProfile] = {}
    used: set[str] = set()
    for target in exchange.table(table).columns:
        words = synonyms.columns(table)[target.name]
        for column in columns:
            kind = found[column.name].kind
            fits = kind == "empty" or kind in _FITS.get(target.kind, (kind,))
            if column.name not in used and synonyms.plain(column.name) in words and fits:
                taken[target.name] = column
                used.add(column.name)
                break
    return taken


def _match(
    table: str | None, columns: tuple[ColumnProfile, ...], found: dict[str, formats.Format]
) -> tuple[Match, ...]:
    if table is None:
        return tuple(Match(column, None, found[column.name]) for column in columns)
    by_source = {column.name: target for target, column in _known(table, columns, found).items()}
    keeps = exchange.table(table).custom_fields
    matches, names = [], set()
    for column in columns:
        target: str | None = by_source.get(column.name)
        is_custom = target is None and keeps and bool(column.filled)
        if is_custom:
            target = base = "x_" + "_".join(synonyms.plain(column.name).split())
            number = 2
            while target in names:
                target, number = f"{base}_{number}", number + 1
            names.add(target)
        matches.append(Match(column, target, found[column.name], is_custom))
    return tuple(matches)
