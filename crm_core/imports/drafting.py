"""A proposal as a mapping file: YAML with, behind every column, what it seems to hold."""

from __future__ import annotations

import json
from collections.abc import Iterator

from crm_core import exchange
from crm_core.errors import printable
from crm_core.imports import synonyms
from crm_core.imports.mapping import NumberFormat
from crm_core.imports.profiling import PROFILED
from crm_core.imports.proposals import Match, Proposed
from crm_core.imports.scratch import quoted

_KINDS = ("number", "date", "boolean", "category", "text")


def draft(name: str, files: tuple[Proposed, ...]) -> str:
    """Return the mapping's text. What a person must decide stands in lines that say TODO."""
    keys = _keys(files)
    lines = [
        f"name: {_text(name)}",
        "description: Proposed by winward profile; read it before you trust it.",
        "# company: {name: …, currency: EUR, time_zone: Europe/Berlin}  # if the store has none",
        "files:",
    ]
    for key, file in zip(keys, files, strict=True):
        lines += _file(key, file)
    stages = list(_stages(files))
    lines += ["stages:", *stages] if stages else []
    lines.append("tables:")
    derived = {file.table for file in files if file.table and file.derived_id}
    given = {file.table for file in files if file.table}
    for key, file in zip(keys, files, strict=True):
        lines += _table(key, file, derived, given)
    return "\n".join(lines) + "\n"


def _keys(files: tuple[Proposed, ...]) -> list[str]:
    keys: list[str] = []
    for number, file in enumerate(files, 1):
        key = "_".join(synonyms.plain(file.sheet or file.path.rpartition(".")[0]).split())
        keys.append(key if key.isidentifier() and key not in keys else f"file_{number}")
    return keys


def _text(value: str) -> str:
    """Return text as a YAML scalar: JSON strings are YAML."""
    return json.dumps(value, ensure_ascii=False)


def _file(key: str, file: Proposed) -> Iterator[str]:
    yield f"  {key}:  # {file.profile.rows:,} rows"
    yield f"    path: {_text(file.path)}"
    if file.sheet is not None:
        yield f"    sheet: {_text(file.sheet)}"
    if file.missing_words:
        yield f"    missing: [{', '.join(map(_text, file.missing_words))}]"
    empty = [match.source.name for match in file.matches if not match.source.filled]
    if empty:
        yield f"    dropped: [{', '.join(map(_text, empty))}]  # empty"


def _stages(files: tuple[Proposed, ...]) -> Iterator[str]:
    for position, stage in enumerate(dict.fromkeys(s for f in files for s in f.stages), 1):
        kind = synonyms.stage_kind(stage)
        yield f"  - {{stage: {_text(stage)}, position: {position}, kind: {kind}}}"


def _table(key: str, file: Proposed, derived: set[str], given: set[str]) -> Iterator[str]:
    if file.table is None:
        yield f"  # TODO {key}: no table is known for it; see docs/imports.md"
        return
    yield f"  - table: {file.table}"
    yield f"    from: {key}"
    yield "    columns:"
    for column in exchange.table(file.table).columns:
        match = next((m for m in file.matches if m.target == column.name), None)
        made = file.derived(column.name) if column.required and match is None else None
        if match is not None:
            yield from _column(match, column, derived, given)
        elif made is not None:
            yield f"      {column.name}: {{expression: {_text(made)}}}"
        elif column.required:
            yield f"      # TODO {column.name}: must be given; no column is known for it"
    custom = [match for match in file.matches if match.is_custom]
    if custom:
        yield "    custom:"
    for match in custom:
        kind = match.found.kind if match.found.kind in _KINDS else "text"
        yield f"      {_text(str(match.target))}: {_source(match, kind=kind)}{_comment(match)}"
    for match in file.matches:
        if not match.is_accounted:
            name = printable(match.source.name)
            yield f"    # TODO {_text(name)} is not taken{_comment(match)}"


def _column(
    match: Match, column: exchange.Column, derived: set[str], given: set[str]
) -> Iterator[str]:
    refers = column.refers_to
    if refers is not None and refers not in given:
        yield f"      # {column.name} names {refers}, which no file here gives: import them first"
    source = _source(match)
    if refers in derived:
        source = f"{{expression: {_text(f'slug({quoted(match.source.name)})')}}}"
    yield f"      {column.name}: {source}{_comment(match)}"
    seen = min(match.source.filled, PROFILED)
    if column.name == "id" and match.source.distinct < seen:
        yield f"      # TODO id repeats: {match.source.distinct:,} values in {seen:,} rows"


def _source(match: Match, *, kind: str | None = None) -> str:
    parts = [f"column: {_text(match.source.name)}"]
    if kind is not None:
        parts.append(f"kind: {kind}")
    if match.found.date is not None:
        parts.append(f"dates: [{_text(match.found.date)}]")
    if match.found.number is not None:
        parts.append(f"number: {_number(match.found.number)}")
    return parts[0].removeprefix("column: ") if len(parts) == 1 else f"{{{', '.join(parts)}}}"


def _number(form: NumberFormat) -> str:
    given = form.model_dump(exclude_defaults=True)
    return "{" + ", ".join(f"{key}: {_text(value)}" for key, value in given.items()) + "}"


def _comment(match: Match) -> str:
    """Return what the column holds, for the reader of the file."""
    source = match.source
    samples = ", ".join(printable(sample)[:20].replace("\n", " ") for sample in source.examples)
    said = f"  # {match.found.kind}, {source.filled:,} of {source.rows:,} filled: {samples}"
    if match.found.others:
        said += f"; TODO {' or '.join(match.found.others)} reads every value too"
    return said
