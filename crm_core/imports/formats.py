"""How a column writes its dates and numbers: the one form that all of its values have."""

from __future__ import annotations

from dataclasses import dataclass

from crm_core.imports.compiling import plain_number
from crm_core.imports.mapping import NumberFormat
from crm_core.imports.report import ColumnProfile
from crm_core.imports.scratch import Scratch, literal, quoted

_LOOKED_AT = 20_000
_MOST_STAGES = 60
_DATES = (
    "%Y/%m/%d", "%Y.%m.%d", "%Y年%m月%d日", "%Y%m%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y",
    "%d-%m-%Y", "%m-%d-%Y", "%d-%b-%Y", "%d %b %Y", "%b %d, %Y",
)  # fmt: skip
_TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M %p")
_MISSING = ("NULL", "null", "N/A", "n/a", "#N/A", "NaN", "nan", "None", "-", "--", "无", "空")
_NUMBERS = (
    NumberFormat(thousands=","),
    NumberFormat(decimal=","),
    NumberFormat(decimal=",", thousands="."),
    NumberFormat(decimal=",", thousands=" "),
    NumberFormat(thousands=",", strip="$€£¥￥ "),
    NumberFormat(decimal=",", thousands=".", strip="$€£¥￥ "),
)


@dataclass(frozen=True, slots=True)
class Format:
    """What a column holds, and how it writes it where that is not our own way.

    ``others`` are date formats that read every value too, as another day: nobody can tell.
    """

    kind: str
    date: str | None = None
    number: NumberFormat | None = None
    others: tuple[str, ...] = ()


def missing_words(scratch: Scratch, source: str, names: list[str]) -> list[str]:
    """Return the words of a file that commonly mean that nothing was given."""
    found = []
    for word in _MISSING:
        held = " or ".join(f"trim({quoted(name)}) = {literal(word)}" for name in names)
        if scratch.rows(f"select 1 from {quoted(source)} where {held} limit 1", "Missing words"):
            found.append(word)
    return found


def find(scratch: Scratch, source: str, column: ColumnProfile, missing: list[str]) -> Format:
    """Return the form of a column's values, by all of the first 20,000 filled ones."""
    if column.guess in ("empty", "boolean", "date", "number"):
        if column.guess == "number" and "date" in column.name.casefold():
            dates = _dates(scratch, source, column.name, missing, ("%Y%m%d",))
            if dates:
                return Format("date", dates[0])
        return Format(column.guess)
    dates = _dates(scratch, source, column.name, missing, [d + t for d in _DATES for t in _TIMES])
    if dates:
        return Format("date", dates[0], others=tuple(dates[1:]))
    for number in _NUMBERS:
        if _all(scratch, source, column.name, missing, f"{plain_number(number, 'v')} is not null"):
            return Format("number", number=number)
    return Format(column.guess)


def _dates(
    scratch: Scratch, source: str, name: str, missing: list[str], forms: list[str] | tuple[str, ...]
) -> list[str]:
    """Return the formats in which every value is a day, each day another one."""
    return [
        form
        for form in forms
        if _all(
            scratch, source, name, missing,
            f"year(try_strptime(v, {literal(form)})) between 1900 and 2200",
        )
    ]  # fmt: skip


def _all(scratch: Scratch, source: str, name: str, missing: list[str], condition: str) -> bool:
    held = f"trim(cast({quoted(name)} as varchar))"
    nothing = ", ".join(literal(word) for word in ("", *missing))
    row = scratch.rows(
        f"select count(*), count(*) filter (where {condition}) from (select {held} as v "
        f"from {quoted(source)} where {held} not in ({nothing}) limit {_LOOKED_AT})",
        f"The format of {name}",
    )[0]
    return bool(row[0]) and row[0] == row[1]


def distinct(scratch: Scratch, source: str, name: str) -> tuple[str, ...]:
    """Return the distinct values of a column in the order of their first line."""
    held = f"trim(cast({quoted(name)} as varchar))"
    rows = scratch.rows(
        f"select {held}, min(_line) from {quoted(source)} where {held} <> '' group by 1 "
        f"order by 2 limit {_MOST_STAGES}",
        f"The values of {name}",
    )
    return tuple(str(row[0]) for row in rows)
