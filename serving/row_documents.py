"""The rows behind a number as a document: all of them, so that they sum to it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection

from sqlalchemy.orm import Session

from crm_core.database import company_wide
from crm_core.kpis import queries, rights
from crm_core.kpis.definitions import resolve
from crm_core.kpis.queries import MetricRow
from crm_core.kpis.slices import dimensions_named, slice_rows
from crm_core.money import from_major
from crm_core.people import queries as people
from crm_core.people.queries import Viewer, Visibility
from crm_core.periods import Period
from serving import exports, performance
from serving.cells import Place
from serving.documents import MOST_ROWS, Cell, Column, Document, Figure, Form
from serving.explanations import Words

COLUMNS = (
    Column("kind", Words("Kind", "类型")),
    Column("row_id", Words("Row", "编号")),
    Column("label", Words("Name", "名称")),
    Column("person", Words("Credited to", "归属人")),
    Column("day", Words("Day", "日期"), "day"),
    Column("value", Words("Value", "数值"), "number"),
    Column("weight", Words("Weight", "权重"), "number"),
    Column("unpriced", Words("No exchange rate", "缺少汇率")),
)


def document(
    session: Session,
    metric_id: str,
    *,
    viewer: Viewer,
    visibility: Visibility,
    person: str | None,
    period: Period,
    as_of: dt.datetime,
    form: Form,
    place: Place | None = None,
) -> Document:
    """Return a metric's rows that the viewer may export.

    Raises UnknownMetric, NoSuchPerson, TooMuchToExport before the rows are read, and MayNot
    where not all of them may be exported: fewer would not sum to the number.
    """
    item = rights.require(session, viewer, metric_id, as_of=as_of)
    scope = performance.of_person(visibility, person)
    if place is not None:
        rights.require_dimensions(viewer, dimensions_named(session, place.by))
    with company_wide(session, reason=performance.CREDIT):
        rows = _rows(
            session, metric_id, place, scope, period=period, as_of=as_of, most=MOST_ROWS[form] + 1
        )
    for kind in sorted({row.kind for row in rows}):
        rights.require_exportable(viewer, kind, visibility=scope)
    names = people.names(session, {row.user_id for row in rows if row.user_id is not None})
    behind = performance.rows_metric(resolve(session, [metric_id], as_of=as_of), metric_id)
    currency = people.company(session).currency if behind.unit == "money" else None
    whose = names.get(person, person) if person else None
    return Document(
        name=f"{metric_id}-{period.name}",
        title=Words(f"{item.names[1]}: rows", f"{item.names[0]}:明细"),
        columns=COLUMNS,
        rows=tuple(_cells(row, names, behind.unit, currency) for row in rows),
        stamp=exports.stamp(
            session, viewer=viewer, period=period, as_of=as_of, definitions={item.id: item.version},
            about=exports.whose(whose),
        ),
    )  # fmt: skip


def _rows(
    session: Session,
    metric_id: str,
    place: Place | None,
    scope: Visibility,
    *,
    period: Period,
    as_of: dt.datetime,
    most: int,
) -> list[MetricRow]:
    if place is None:
        return queries.rows(session, metric_id, scope=scope, period=period, as_of=as_of, limit=most)
    return slice_rows(
        session, metric_id, by=place.by, key=place.key, scope=scope, period=period, as_of=as_of,
        limit=most,
    )  # fmt: skip


def may_export(viewer: Viewer, kinds: Collection[str], *, visibility: Visibility) -> bool:
    """Return whether the viewer may take rows of these kinds along, and there are some."""
    return bool(kinds) and all(
        rights.may_export(viewer, kind, visibility=visibility) for kind in kinds
    )


def _cells(
    row: MetricRow, names: dict[str, str], unit: str, currency: str | None
) -> tuple[Cell, ...]:
    value: Cell = None
    if row.value is not None:
        value = Figure(row.value, unit) if currency is None else from_major(row.value, currency)
    return (
        row.kind,
        row.row_id,
        row.label,
        None if row.user_id is None else names.get(row.user_id, row.user_id),
        row.day,
        value,
        Figure(row.weight, "count"),
        row.unpriced,
    )
