"""Roll-ups with adjustments: pure numbers over a tree of people, in minor units.

Each person has at most one superior. A column of a person holds four amounts:

- ``raw``: the deals of the person and of everybody below;
- ``without_owner``: own deals plus what the person sees of each direct report, without what the
  person set for their own column;
- ``owner_view``: what the person set for it, else ``without_owner``;
- ``all_adjustments``: what the person's superior set for it, else ``owner_view``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from crm_core.forecasts.catalogue import COLUMNS, RollUp


@dataclass(frozen=True, slots=True)
class Sum:
    """Some deals: their value, how many, and how many of them have no value.

    ``unpriced`` have an amount but no exchange rate; ``without_amount`` have no amount.
    """

    minor: int = 0
    deals: int = 0
    unpriced: int = 0
    without_amount: int = 0

    def __add__(self, other: Sum) -> Sum:
        return Sum(
            self.minor + other.minor,
            self.deals + other.deals,
            self.unpriced + other.unpriced,
            self.without_amount + other.without_amount,
        )


NOTHING = Sum()
Owned = Mapping[str, Sum]
"""Category → the deals that one person owns in it."""


@dataclass(frozen=True, slots=True)
class Adjustment:
    """An amount that somebody set for a person's column.

    ``base_minor`` is what stood there when it was set: where that has changed since, the
    adjustment is stale, and stays.
    """

    subject_id: str
    column: str
    author_id: str
    minor: int
    base_minor: int
    note: str
    recorded_at: dt.datetime


@dataclass(frozen=True, slots=True)
class Cell:
    """One column of one person; amounts in minor units of the company's currency."""

    raw: int
    without_owner: int
    owner_view: int
    all_adjustments: int
    deals: Sum
    own: Sum
    by_owner: Adjustment | None = None
    by_superior: Adjustment | None = None

    @property
    def owner_is_stale(self) -> bool:
        """Whether what the person set rests on another amount than stands below it now."""
        return self.by_owner is not None and self.by_owner.base_minor != self.without_owner

    @property
    def superior_is_stale(self) -> bool:
        """Whether what the superior set rests on another amount than the person's now."""
        return self.by_superior is not None and self.by_superior.base_minor != self.owner_view

    @property
    def stale(self) -> bool:
        """Whether an adjustment of this cell rests on an amount that has changed since."""
        return self.owner_is_stale or self.superior_is_stale


Parents = Mapping[str, str | None]
"""Person → superior, None at the top; free of cycles."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The cells of people, by person and column."""

    roll_up: RollUp
    cells: Mapping[str, Mapping[str, Cell]] = field(default_factory=dict)


def bottom_up(parents: Parents) -> Iterator[str]:
    """Yield everybody after all who are below them."""
    below: dict[str, int] = dict.fromkeys(parents, 0)
    for superior in parents.values():
        if superior is not None:
            below[superior] += 1
    ready = sorted(person for person, count in below.items() if not count)
    while ready:
        person = ready.pop()
        yield person
        superior = parents[person]
        if superior is not None:
            below[superior] -= 1
            if not below[superior]:
                ready.append(superior)


def roll_up(
    parents: Parents,
    owned: Mapping[str, Owned],
    adjustments: Mapping[tuple[str, str, str], Adjustment],
    *,
    method: RollUp,
) -> Grid:
    """Return every person's cells.

    ``adjustments`` by (subject, column, author): the one in force. One counts where its author
    is the person or the person's superior now; what a former superior set no longer does.
    """
    columns = COLUMNS[method]
    direct: dict[str, list[str]] = {person: [] for person in parents}
    cells: dict[str, dict[str, Cell]] = {}
    for person in bottom_up(parents):
        superior = parents[person]
        if superior is not None:
            direct[superior].append(person)
        mine = owned.get(person, {})
        cells[person] = {}
        for column, categories in columns.items():
            own = _total(mine, categories)
            below = [cells[report][column] for report in direct[person]]
            without_owner = own.minor + sum(cell.all_adjustments for cell in below)
            by_owner = adjustments.get((person, column, person))
            owner_view = without_owner if by_owner is None else by_owner.minor
            by_superior = None if superior is None else adjustments.get((person, column, superior))
            deals = own
            for cell in below:
                deals += cell.deals
            cells[person][column] = Cell(
                raw=deals.minor,
                without_owner=without_owner,
                owner_view=owner_view,
                all_adjustments=owner_view if by_superior is None else by_superior.minor,
                deals=deals,
                own=own,
                by_owner=by_owner,
                by_superior=by_superior,
            )
    return Grid(method, cells)


def _total(owned: Owned, categories: Collection[str]) -> Sum:
    found = NOTHING
    for category in sorted(categories):
        found += owned.get(category, NOTHING)
    return found


def together(
    cells: Mapping[str, Mapping[str, Cell]], *, method: RollUp, own: Owned
) -> dict[str, Cell]:
    """Return the cells of people side by side, none below another, and of deals of nobody."""
    result = {}
    for column, categories in COLUMNS[method].items():
        found = [person[column] for person in cells.values()]
        nobodys = _total(own, categories)
        deals = nobodys
        for cell in found:
            deals += cell.deals
        seen = nobodys.minor + sum(cell.all_adjustments for cell in found)
        result[column] = Cell(
            raw=deals.minor,
            without_owner=seen,
            owner_view=seen,
            all_adjustments=seen,
            deals=deals,
            own=nobodys,
        )
    return result
