"""What the columns of a source seem to hold, and whether the mapping accounts for each."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from crm_core.errors import Invalid
from crm_core.imports import limits
from crm_core.imports.mapping import Mapping, TableSpec
from crm_core.imports.report import ColumnProfile
from crm_core.imports.rows import IGNORED, PROBLEM
from crm_core.imports.scratch import Scratch, literal, quoted

_NUMBER = r"[+-]?(0|[1-9]\d{0,14})?(\.\d+)?([eE][+-]?\d{1,3})?"
_DATE = r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}.*)?"
_BOOLEANS = pa.array(["true", "false", "yes", "no"])
_EXAMPLES = 3
_LOOKED_AT = 500
_CATEGORIES = 60
PROFILED = 20_000
_GUESSED = 200_000
"""Cells looked at: to describe a column, and to fix the kind of a custom field for good."""


_SHOWN = 80
_READ = 200
"""Letters of a cell that are looked at, so that long texts do not fill the memory."""

_TOGETHER = 20
"""Columns whose cells are fetched in one query."""


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
    for start in range(0, len(names), _TOGETHER):
        some = names[start : start + _TOGETHER]
        filled = dict(zip(some, map(int, counts[start : start + _TOGETHER]), strict=True))
        for name, cells in _described(scratch, source, filled, missing).items():
            profiles.append(
                ColumnProfile(
                    name,
                    cells.kind,
                    filled[name],
                    int(rows),
                    cells.distinct,
                    cells.low,
                    cells.high,
                    cells.examples,
                    used.get(name, "unmapped"),
                )
            )
    return tuple(profiles)


def guess(scratch: Scratch, source: str, name: str, missing: list[str]) -> str:
    """Return the kind of custom field a column holds; ``text`` when it is empty."""
    found = _Cells.of(_cells(scratch, source, name, missing, _GUESSED))
    if found.kind == "date" and _days(scratch, source, [name], missing, _GUESSED)[name] is None:
        return found.otherwise
    return "text" if found.kind == "empty" else found.kind


@dataclass(frozen=True, slots=True)
class _Cells:
    """What the filled cells of a column have in common; ``otherwise`` if no date is one."""

    kind: str
    distinct: int
    low: str | None = None
    high: str | None = None
    examples: tuple[str, ...] = ()
    otherwise: str = "text"

    @classmethod
    def of(cls, cells: pa.Array) -> _Cells:
        """Describe cells; a kind ``date`` still has to be proved."""
        values = pc.unique(cells)
        if not len(values):
            return cls("empty", 0)
        trimmed = pc.utf8_trim(values, characters=" ")
        otherwise = "category" if len(values) <= max(_CATEGORIES, len(cells) // 50) else "text"
        if pc.all(pc.is_in(pc.utf8_lower(trimmed), value_set=_BOOLEANS)).as_py():
            kind = "boolean"
        elif pc.all(pc.match_substring_regex(trimmed, rf"\A(?:{_NUMBER})\z")).as_py():
            kind = "number"
        elif pc.all(pc.match_substring_regex(trimmed, rf"\A(?:{_DATE})\z")).as_py():
            kind = "date"
        else:
            kind = otherwise
        low, high = _number_range(values) if kind == "number" else pc.min_max(values).values()
        first = sorted(set(cells.slice(0, _LOOKED_AT).to_pylist()))[:_EXAMPLES]
        examples = tuple(value[:_SHOWN] for value in first)
        return cls(
            kind, len(values), _short(_plain(low)), _short(_plain(high)), examples, otherwise
        )


def _plain(value: pa.Scalar | str | None) -> str | None:
    return value.as_py() if isinstance(value, pa.Scalar) else value


def _number_range(values: pa.Array) -> tuple[str | None, str | None]:
    """Return the least and the greatest number: 10 is more than 9, though not as text."""
    numbers = []
    for text in values.to_pylist():
        with suppress(ValueError):  # a lone sign
            numbers.append((float(text), text))
    return (min(numbers)[1], max(numbers)[1]) if numbers else (None, None)


def _described(
    scratch: Scratch, source: str, filled: dict[str, int], missing: list[str]
) -> dict[str, _Cells]:
    """Describe columns, of which it is known how many cells are filled."""
    cells = {name: f"left({_text(name)}, {_READ})" for name in filled}
    shown = ", ".join(f"{cell} as {quoted(name)}" for name, cell in cells.items())
    sample = scratch.table(
        f"select {shown} from {quoted(source)}{_sound(scratch, source)} limit {PROFILED}",
        f"The profile of {source}",
    )
    found = {}
    for name, count in filled.items():
        held = _held(sample.column(name).combine_chunks(), missing)
        if len(held) < min(count, PROFILED):  # seldom filled: look further down
            held = _cells(scratch, source, name, missing, PROFILED)
        found[name] = _Cells.of(held)
    dated = [name for name, of in found.items() if of.kind == "date"]
    for name, ends in _days(scratch, source, dated, missing, PROFILED).items():
        of = found[name]
        found[name] = (
            replace(of, kind=of.otherwise)
            if ends is None
            else replace(of, low=_short(ends[0]), high=_short(ends[1]))
        )
    return found


def _held(cells: pa.Array, missing: list[str]) -> pa.Array:
    """Return the cells that hold anything."""
    nothing = pa.array(["", *missing], pa.string())
    is_nothing = pc.is_in(pc.utf8_trim(cells, characters=" "), value_set=nothing)
    return cells.filter(pc.and_(pc.is_valid(cells), pc.invert(is_nothing)))


def _cells(scratch: Scratch, source: str, name: str, missing: list[str], limit: int) -> pa.Array:
    """Return the first filled cells of a column."""
    sound = _sound(scratch, source) or " where true"
    found = scratch.table(
        f"select left({_text(name)}, {_READ}) as v from {quoted(source)}{sound} "
        f"and {_holds(name, _nothing(missing))} limit {limit}",
        f"The profile of {name}",
    )
    return found.column("v").combine_chunks()


def _days(
    scratch: Scratch, source: str, names: list[str], missing: list[str], limit: int
) -> dict[str, tuple[str, str] | None]:
    """Return the first and last day or time of columns, None for one that holds another text."""
    sound = _sound(scratch, source) or " where true"
    time = "try_cast(trim(v) as timestamptz)"
    parts = [
        f"select {place} as place, bool_and({time} is not null), min_by(v, {time}), "
        f"max_by(v, {time}) from (select distinct v from (select {_text(name)} as v "
        f"from {quoted(source)}{sound} and {_holds(name, _nothing(missing))} limit {limit}))"
        for place, name in enumerate(names)
    ]
    if not parts:
        return {}
    rows = scratch.rows(" union all ".join(parts), f"The profile of {source}")
    return {names[place]: (low, high) if all_are else None for place, all_are, low, high in rows}


def _nothing(missing: list[str]) -> str:
    return ", ".join(literal(word) for word in ("", *missing))


def _text(name: str) -> str:
    return f"cast({quoted(name)} as varchar)"


def _holds(name: str, nothing: str) -> str:
    value = _text(name)
    return f"{value} is not null and trim({value}) not in ({nothing})"


def _sound(scratch: Scratch, source: str) -> str:
    return f" where {PROBLEM} is null" if PROBLEM in scratch.columns(source) else ""


def _short(value: str | None) -> str | None:
    return value if value is None else value[:_SHOWN]


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
