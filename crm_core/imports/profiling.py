"""What the columns of a source seem to hold, and whether the mapping accounts for each."""

from __future__ import annotations

import re
from dataclasses import dataclass

from crm_core.errors import Invalid
from crm_core.imports import limits
from crm_core.imports.mapping import Mapping, TableSpec
from crm_core.imports.report import ColumnProfile
from crm_core.imports.rows import IGNORED, PROBLEM
from crm_core.imports.scratch import Scratch, literal, quoted

_NUMBER = r"[+-]?(0|[1-9]\d{0,14})?(\.\d+)?([eE][+-]?\d{1,3})?"
_DATE = r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}.*)?"
_EXAMPLES = 3
_CATEGORIES = 60
PROFILED = 20_000
_GUESSED = 200_000
"""Cells looked at: to describe a column, and to fix the kind of a custom field for good."""


_RANGE_OF = {"number": 2, "date": 4}
"""Where the least and greatest value of a kind stand: 10 is more than 9, though not as text."""


class Unmapped(Invalid):
    """A source column holds data and the mapping neither takes nor drops it."""


def columns(
    scratch: Scratch, source: str, names: list[str], missing: list[str], used: dict[str, str]
) -> tuple[ColumnProfile, ...]:
    """Return the profile of each column; ``used`` says mapped or dropped by name.

    Rows and filled cells are counted in the whole file; kind, range and number of distinct
    values are what the first ``PROFILED`` filled cells show.
    """
    nothing = _nothing(missing)
    wanted = ["count(*)", *(f"count(*) filter ({_holds(name, nothing)})" for name in names)]
    rows, *counts = scratch.rows(
        f"select {', '.join(wanted)} from {quoted(source)}{_sound(scratch, source)}",
        f"The profile of {source}",
    )[0]
    profiles = []
    for name, count in zip(names, counts, strict=True):
        cells = _cells(scratch, source, name, nothing, PROFILED)
        profiles.append(
            ColumnProfile(
                name,
                cells.kind,
                int(count),
                int(rows),
                cells.distinct,
                cells.low,
                cells.high,
                _examples(scratch, source, name, nothing),
                used.get(name, "unmapped"),
            )
        )
    return tuple(profiles)


def guess(scratch: Scratch, source: str, name: str, missing: list[str]) -> str:
    """Return the kind of custom field a column holds; ``text`` when it is empty."""
    kind = _cells(scratch, source, name, _nothing(missing), _GUESSED).kind
    return "text" if kind == "empty" else kind


@dataclass(frozen=True, slots=True)
class _Cells:
    """What the filled cells of a column have in common."""

    kind: str
    distinct: int
    low: str | None
    high: str | None


def _cells(scratch: Scratch, source: str, name: str, nothing: str, limit: int) -> _Cells:
    sound = _sound(scratch, source) or " where true"
    number, time = "try_cast(trim(v) as double)", "try_cast(trim(v) as timestamptz)"
    ranges = ", ".join(f"min_by(v, {value}), max_by(v, {value})" for value in ("v", number, time))
    held, distinct, *ends, numbers, dates, booleans = scratch.rows(
        f"with held as (select cast({quoted(name)} as varchar) as v from {quoted(source)}{sound} "
        f"and {_holds(name, nothing)} limit {limit}) "
        f"select count(*), count(distinct v), {ranges}, "
        f"count(*) filter (regexp_full_match(trim(v), {literal(_NUMBER)})), "
        f"count(*) filter (regexp_full_match(trim(v), {literal(_DATE)}) "
        "and try_cast(trim(v) as timestamptz) is not null), "
        "count(*) filter (lower(trim(v)) in ('true','false','yes','no')) from held",
        f"The profile of {name}",
    )[0]
    if held == 0:
        kind = "empty"
    elif booleans == held:
        kind = "boolean"
    elif numbers == held:
        kind = "number"
    elif dates == held:
        kind = "date"
    else:
        kind = "category" if distinct <= max(_CATEGORIES, held // 50) else "text"
    low, high = ends[_RANGE_OF.get(kind, 0) :][:2]
    return _Cells(kind, int(distinct), _short(low), _short(high))


def _nothing(missing: list[str]) -> str:
    return ", ".join(literal(word) for word in ("", *missing))


def _holds(name: str, nothing: str) -> str:
    value = f"cast({quoted(name)} as varchar)"
    return f"{value} is not null and trim({value}) not in ({nothing})"


def _sound(scratch: Scratch, source: str) -> str:
    return f" where {PROBLEM} is null" if PROBLEM in scratch.columns(source) else ""


def _short(value: str | None) -> str | None:
    return value if value is None else value[:80]


def _examples(scratch: Scratch, source: str, name: str, nothing: str) -> tuple[str, ...]:
    value = f"cast({quoted(name)} as varchar)"
    rows = scratch.rows(
        f"select distinct v from (select {value} as v from {quoted(source)} "
        f"where {value} is not null and trim({value}) not in ({nothing}) limit 500) "
        f"order by v limit {_EXAMPLES}",
        f"The examples of {name}",
    )
    return tuple(str(row[0])[:80] for row in rows)


def uses(mapping: Mapping, key: str, names: list[str]) -> dict[str, str]:
    """Return for each column of a file whether the mapping takes it or drops it by name."""
    file = mapping.files[key]
    taken: set[str] = set()
    for spec in mapping.tables:
        taken |= _taken(spec, key, mapping.file_of(spec.source))
    text = _unquoted("\n".join(_sql(mapping)))
    found = {}
    for name in names:
        if name in file.dropped or name in IGNORED:
            found[name] = "dropped"
        elif name in taken or re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", text):
            found[name] = "mapped"
    return found


def _taken(spec: TableSpec, key: str, own: str) -> set[str]:
    """Return the columns of a file that one table names; a view may pass a column through."""
    taken: set[str] = set()
    for column in [*spec.columns.values(), *spec.custom.values()]:
        prefix, _, rest = (column.column or "").partition(".")
        if own == key and column.column:
            taken.add(column.column)
        if prefix == key:
            taken.add(rest)
    for join in spec.join:
        if join.file == key:
            taken.update(join.on.values())
        if spec.source == key:
            taken.update(join.on)
    return taken


def _sql(mapping: Mapping) -> list[str]:
    """Return every piece of SQL in a mapping that reads columns."""
    parts = [view.query for view in mapping.views.values()]
    for spec in mapping.tables:
        parts.append(spec.where or "")
        parts += [
            column.expression or "" for column in [*spec.columns.values(), *spec.custom.values()]
        ]
    return parts


def _unquoted(text: str) -> str:
    """Return SQL with the table prefix of a column taken away, so that its name stands alone."""
    return re.sub(r"\b\w+\.(?=[\"\w])", "", text)


def require_all_used(label: str, profile: tuple[ColumnProfile, ...]) -> None:
    """Stop when a column holds data that nobody asked for. Raises Unmapped with its name."""
    lost = [column for column in profile if column.used == "unmapped" and column.filled]
    if lost:
        names = ", ".join(
            f"{limits.shown(column.name)!r} ({column.filled:,} filled, "
            f"e.g. {limits.shown(column.examples[0])!r})"
            for column in lost[:10]
        )
        raise Unmapped(
            f"{label} holds data in {names}, which the mapping neither takes nor drops; "
            "map it, keep it as a custom field (x_…), or list it under dropped."
        )
