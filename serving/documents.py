"""A table that leaves the program: its columns, its rows and the stamp that says what it is.

A document holds values, never text made of them, so that a spreadsheet gets numbers as numbers
and every form of the same document holds the same values to the minor unit.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from crm_core.errors import Invalid
from crm_core.money import Money
from serving.explanations import Words

Form = Literal["csv", "xlsx", "pdf"]
MEDIA_TYPES: dict[Form, str] = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "pdf": "application/pdf",
}
MOST_ROWS: dict[Form, int] = {"csv": 100_000, "xlsx": 100_000, "pdf": 2_000}
_DECIMALS = Decimal(1).scaleb(-12)


class TooMuchToExport(Invalid):
    """A document has more rows than the form takes; none is left out silently."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with its unit; ``value`` in natural units, 1 = 100 % for a ratio."""

    value: Decimal
    unit: str

    @property
    def plain(self) -> Decimal:
        """The number to twelve decimals, without zeros that say nothing."""
        plain = self.value.quantize(_DECIMALS).normalize() + 0
        return plain if plain.as_tuple().exponent <= 0 else plain.quantize(Decimal(1))  # type: ignore[operator]


Cell = str | Money | Figure | dt.date | None


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its ``key`` for programs, its name for people, numbers stand at its end."""

    key: str
    name: Words
    kind: Literal["text", "number", "day"] = "text"


@dataclass(frozen=True, slots=True)
class Mark:
    """One line of the stamp; ``value`` may differ by language."""

    key: str
    name: Words
    value: Words


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A table with its title and stamp. ``name`` is the file's, without the ending."""

    name: str
    title: Words
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    stamp: tuple[Mark, ...]
    note: Words | None = None

    def fits(self, form: Form) -> None:
        """Raise TooMuchToExport when the form does not take all rows, or a row is ragged."""
        assert all(len(row) == len(self.columns) for row in self.rows)
        if len(self.rows) > MOST_ROWS[form]:
            raise TooMuchToExport(
                f"{len(self.rows):,} rows are more than the {MOST_ROWS[form]:,} that a {form} "
                "file takes; choose a shorter period or another form."
            )

    def headings(self, language: str) -> Iterator[str]:
        """Yield the columns' names; one that holds nothing but money of one currency names it."""
        for place, column in enumerate(self.columns):
            name = column.name.text(language)
            cells = [row[place] for row in self.rows if row[place] is not None]
            held = {cell.currency if isinstance(cell, Money) else "" for cell in cells}
            yield f"{name} ({held.pop()})" if len(held) == 1 and "" not in held else name
