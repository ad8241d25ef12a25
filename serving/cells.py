"""Parts of a number: the cross table, a cell's address, and the rows of a cell."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from sqlalchemy.orm import Session

from crm_core.database import company_wide
from crm_core.errors import Invalid, NotFound
from crm_core.kpis import attributes, rights
from crm_core.kpis.attributes import Attribute
from crm_core.kpis.definitions import all_metrics, resolve
from crm_core.kpis.metric import Metric
from crm_core.kpis.slices import Slices, dimensions_named, slice_rows, slices
from crm_core.money import Money
from crm_core.people.queries import HasRole, Viewer, Visibility
from crm_core.periods import Period
from serving import exports, performance
from serving.documents import Cell, Column, Document
from serving.explanations import Words
from serving.performance import RowsBehind

DEFAULTS = ("region", "product_family", "industry")
"""Rows, columns and the segment that splits each row."""

NONE = Words("(none)", "(无)")


class NotACell(Invalid):
    """A cell was not named by one value per dimension."""


class NoSuchCell(NotFound):
    """Nothing that the viewer may see lies in the cell."""


@dataclass(frozen=True, slots=True)
class Place:
    """A cell of a number: its dimensions and one value of each, None for "none"."""

    by: tuple[str, ...]
    key: tuple[Any, ...]

    @property
    def query(self) -> str:
        """The place as part of a link's query."""
        pairs = [*(("by", each) for each in self.by), ("key", json.dumps(list(self.key)))]
        return urlencode(pairs, quote_via=quote)


def place_named(by: Sequence[str], key: str | None) -> Place | None:
    """Return the cell of a link, None without one. Raises NotACell."""
    if not by and key is None:
        return None
    try:
        values = json.loads(key or "")
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, list) or len(values) != len(by):
        raise NotACell("key is a JSON list with one value for each by.")
    if not all(each is None or isinstance(each, str | bool) for each in values):
        raise NotACell("A value of a key is a text, true, false or null.")
    return Place(tuple(by), tuple(values))


def rows_link(metric_id: str, period: str, cell: Mapping[str, Any]) -> str:
    """Return the link to the rows of a cell."""
    place = Place(tuple(cell), tuple(cell.values()))
    return f"/kpis/{metric_id}?period={quote(period)}&{place.query}"


@dataclass(frozen=True, slots=True)
class Amount:
    """A cell of the table: its value, and the link to its rows."""

    money: Money
    link: str


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: ``segment`` is None on the line that sums a row's segments."""

    label: str | None
    segment: str | None
    is_sum: bool
    cells: tuple[Amount | None, ...]
    total: Amount


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossTable:
    """A metric by three dimensions; every part sums to the whole.

    ``reason`` says why some rows are in no sum. ``totals`` stand under the columns.
    """

    metric: Metric
    period: Period
    as_of: dt.datetime
    dimensions: tuple[Attribute, ...]
    choices: tuple[Attribute, ...]
    metrics: tuple[Metric, ...]
    columns: tuple[str | None, ...]
    rows: tuple[Row, ...]
    totals: tuple[Amount, ...]
    whole: Amount
    reason: Words | None


def cross_table(
    session: Session,
    metric_id: str,
    *,
    by: Sequence[str],
    viewer: HasRole,
    visibility: Visibility,
    period: Period,
    as_of: dt.datetime,
) -> CrossTable:
    """Return the table. By a fixed number of statements.

    Raises UnknownMetric, MayNot, UnknownDimension, NotSliceable, and NotACell unless the metric
    is a sum of money and there are three dimensions.
    """
    item = rights.require(session, viewer, metric_id, as_of=as_of)
    if len(by) != len(DEFAULTS) or not _sums_money(item):
        raise NotACell("The table shows a sum of money by three different dimensions.")
    rights.require_dimensions(viewer, dimensions_named(session, by))
    with company_wide(session, reason=performance.CREDIT):
        found = slices(session, metric_id, by=by, scope=visibility, period=period, as_of=as_of)
    known = attributes.dimensions(session)
    made = _Maker(found)
    told = found.whole.reasons
    return CrossTable(
        metric=item,
        period=period,
        as_of=as_of,
        dimensions=found.dimensions,
        choices=tuple(each for each in known.values() if rights.may_slice(viewer, each)),
        metrics=tuple(
            each
            for each in all_metrics(session, as_of=as_of)
            if _sums_money(each) and rights.may_see(viewer, each)
        ),
        columns=tuple(made.labels[1][each] for each in made.keys[1]),
        rows=tuple(made.rows()),
        totals=tuple(made.amount(None, each, None, at=(1,)) for each in made.keys[1]),
        whole=made.whole(),
        reason=None if told is None else Words(told[1], told[0]),
    )


def _sums_money(item: Metric) -> bool:
    return item.unit == "money" and item.aggregation == "sum"


_SUMMED = ((), (0,), (1,), (0, 1), (0, 2), (0, 1, 2))
"""By which of the dimensions the cells are added up."""


class _Maker:
    """Adds the cells up to the lines of the table."""

    def __init__(self, found: Slices) -> None:
        self.found = found
        self.keys: list[list[Any]] = []
        self.labels: list[dict[Any, str | None]] = []
        for place in range(len(DEFAULTS)):
            labels = {cell.key[place]: cell.labels[place] for cell in found.cells}
            self.labels.append(labels)
            ordered = sorted((label is None, label or "", key) for key, label in labels.items())
            self.keys.append([key for _, _, key in ordered])
        self.sums: dict[tuple[Any, ...], int] = {}
        for cell in found.cells:
            for at in _SUMMED:
                part = (at, *(cell.key[place] for place in at))
                self.sums[part] = self.sums.get(part, 0) + int(cell.value.numerator or 0)

    def amount(self, row: Any, column: Any, segment: Any, *, at: tuple[int, ...]) -> Amount:  # noqa: ANN401 - parts of a key
        """Return the sum of the cells that agree in the dimensions ``at``."""
        wanted = (row, column, segment)
        minor = self.sums[(at, *(wanted[place] for place in at))]
        named = {self.found.dimensions[place].name: wanted[place] for place in at}
        link = rows_link(self.found.metric.id, self.found.period.name, named)
        return Amount(Money(minor, self.found.whole.currency or ""), link)

    def whole(self) -> Amount:
        """Return the number itself."""
        link = f"/kpis/{self.found.metric.id}?period={quote(self.found.period.name)}"
        return Amount(Money(self.sums.get(((),), 0), self.found.whole.currency or ""), link)

    def rows(self) -> list[Row]:
        """Return each row's sum with its segments below."""
        there = {cell.key for cell in self.found.cells}
        result: list[Row] = []
        for row in self.keys[0]:
            label = self.labels[0][row]
            cells = [
                self.amount(row, column, None, at=(0, 1))
                if any((row, column, each) in there for each in self.keys[2])
                else None
                for column in self.keys[1]
            ]
            total = self.amount(row, None, None, at=(0,))
            result.append(Row(label, None, True, tuple(cells), total))
            for segment in self.keys[2]:
                if any((row, column, segment) in there for column in self.keys[1]):
                    result.append(self._segment(row, segment, there))
        return result

    def _segment(self, row: Any, segment: Any, there: set[Any]) -> Row:  # noqa: ANN401 - parts of a key
        cells = [
            self.amount(row, column, segment, at=(0, 1, 2))
            if (row, column, segment) in there
            else None
            for column in self.keys[1]
        ]
        total = self.amount(row, None, segment, at=(0, 2))
        name = self.labels[2][segment]
        return Row(self.labels[0][row], name, False, tuple(cells), total)


def rows_behind(
    session: Session,
    metric_id: str,
    place: Place | None,
    *,
    viewer: HasRole,
    visibility: Visibility,
    person: str | None,
    period: Period,
    as_of: dt.datetime,
    limit: int,
    offset: int = 0,
) -> RowsBehind:
    """Return a metric, or its part in a cell, with a window of its rows; they sum to it.

    Raises UnknownMetric, UnknownDimension, NotSliceable, and NoSuchCell where nothing lies.
    """
    if place is None:
        return performance.metric_rows(
            session, metric_id, visibility=visibility, person=person, period=period, as_of=as_of,
            limit=limit, offset=offset,
        )  # fmt: skip
    rights.require_dimensions(viewer, dimensions_named(session, place.by))
    chosen = resolve(session, [metric_id], as_of=as_of)
    with company_wide(session, reason=performance.CREDIT):
        found = slices(
            session, metric_id, by=place.by, scope=visibility, period=period, as_of=as_of
        )
        cell = next((each for each in found.cells if each.key == place.key), None)
        if cell is None:
            raise NoSuchCell("Nothing you may see lies in this cell.")
        rows = slice_rows(
            session, metric_id, by=place.by, key=place.key, scope=visibility, period=period,
            as_of=as_of, limit=limit, offset=offset,
        )  # fmt: skip
    names = [Words(each.names[1], each.names[0]) for each in found.dimensions]
    return RowsBehind(
        period=period,
        as_of=as_of,
        tile=performance.tile(chosen.by_id[metric_id], cell.value, period),
        rows=tuple(rows),
        rows_of=performance.rows_metric(chosen, metric_id),
        currency=found.whole.currency,
        cell=tuple(zip(names, cell.labels, strict=True)),
    )


def document(session: Session, table: CrossTable, *, viewer: Viewer, language: str) -> Document:
    """Return the table with its sums, each line saying which row and segment it is of."""
    heads = [Words(each.names[1], each.names[0]) for each in table.dimensions]
    columns = [Column("row", heads[0]), Column("segment", heads[2])]
    for number, label in enumerate(table.columns):
        name = NONE if label is None else Words(label, label)
        columns.append(Column(f"column_{number}", name, "number"))
    columns.append(Column("total", Words("Total", "合计"), "number"))
    all_of = Words("(all)", "(全部)").text(language)
    lines: list[tuple[Cell, ...]] = []
    for row in table.rows:
        segment = all_of if row.is_sum else row.segment or NONE.text(language)
        amounts = [None if cell is None else cell.money for cell in (*row.cells, row.total)]
        lines.append((row.label or NONE.text(language), segment, *amounts))
    sums = [each.money for each in (*table.totals, table.whole)]
    lines.append((all_of, all_of, *sums))
    return Document(
        name=f"{table.metric.id}-by-{'-'.join(each.name for each in table.dimensions)}",
        title=Words(table.metric.names[1], table.metric.names[0]),
        columns=tuple(columns),
        rows=tuple(lines),
        stamp=exports.stamp(
            session, viewer=viewer, period=table.period, as_of=table.as_of,
            about=exports.whose(None), definitions={table.metric.id: table.metric.version},
        ),
    )  # fmt: skip
