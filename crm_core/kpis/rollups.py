"""Sums by day and person, made by the metrics' own definitions, from which periods are added up.

Only metrics whose rows of a period are those of its days, and whose sums add: a stock, a median
or a curve is asked of the rows every time.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Date, Select, Text, cast, func, insert, literal, null, select
from sqlalchemy.orm import Session

from crm_core.kpis.aggregates import Grouping, Sums
from crm_core.kpis.arithmetic import Aggregate
from crm_core.kpis.definitions import Resolved
from crm_core.kpis.membership import units_of
from crm_core.kpis.metric import Metric
from crm_core.kpis.models import DailyCell
from crm_core.kpis.question import Question
from crm_core.kpis.sources import rows_of
from crm_core.periods import Period

_ADDED = ("sum", "count", "ratio", "average")
FLOWS = frozenset(
    {
        "orders", "orders_not_zero", "margins", "invoices", "payments", "first_orders",
        "won_deals", "closed_deals", "closed_amounts", "activities", "visits", "calls",
        "new_leads", "qualified_leads",
    }
)  # fmt: skip
"""Sources of which the rows of a period are those of its days; the tests compare them."""


def can_be_rolled(item: Metric, chosen: Resolved) -> bool:
    """Return whether a metric's periods may be added up from days."""
    own = chosen.checked.get(item.id)
    is_flow = item.source in FLOWS if own is None else own.fact is not None and own.fact.is_flow
    return is_flow and item.aggregation in _ADDED and item.goal is None


def roll_up(
    session: Session, publication_id: int, metrics: Collection[Metric], asked: Question
) -> None:
    """Write the cells of the question's period, one statement per metric."""
    names = (
        "publication_id", "metric", "version", "day", "placed_on", "user_id", "rows", "valued",
        "value", "weight", "unpriced", "unpriced_currency",
    )  # fmt: skip
    for item in metrics:
        session.execute(insert(DailyCell).from_select(names, _cells(publication_id, item, asked)))


def _cells(publication_id: int, item: Metric, asked: Question) -> Select[Any]:
    rows = rows_of(item.source, asked).subquery()
    keys = (rows.c.day, rows.c.placed_on, rows.c.user_id)
    return (
        select(
            literal(publication_id),
            literal(item.id, Text),
            literal(item.version),
            *keys,
            func.count(),
            func.count(rows.c.value),
            func.sum(rows.c.value),
            func.sum(rows.c.weight).filter(rows.c.value.is_not(None)),
            func.count(rows.c.unpriced),
            func.min(rows.c.unpriced),
        )
        .where(asked.scope.condition(rows.c.user_id))
        .group_by(*keys)
    )


def added_up(
    session: Session,
    publication_id: int,
    metrics: Sequence[Metric],
    period: Period,
    *,
    grouping: Grouping | None,
) -> Sums:
    """Return the sums of a period from its days, by subject and metric, by one statement."""
    if not metrics:
        return {}
    cell = DailyCell
    subject: Any = cast(null(), Text)
    statement: Select[Any] = select()
    if grouping == "user":
        subject = cell.user_id
    elif grouping == "org_unit":
        unit = units_of(cell.user_id, cell.placed_on)  # type: ignore[arg-type]
        subject = unit.c.unit_id
        statement = statement.select_from(cell).join(unit, literal(True), isouter=True)
    statement = statement.add_columns(
        cell.metric,
        subject.label("subject"),
        func.sum(cell.rows).label("rows"),
        func.sum(cell.valued).label("valued"),
        func.sum(cell.value).label("value"),
        func.sum(cell.weight).label("weight"),
        func.sum(cell.unpriced).label("unpriced"),
        func.min(cell.unpriced_currency).label("unpriced_currency"),
    ).where(
        cell.publication_id == publication_id,
        cell.metric.in_([item.id for item in metrics]),
        cell.day >= cast(literal(period.start), Date),
        cell.day < cast(literal(period.end), Date),
    )
    found: Sums = {}
    keys = [cell.metric] if grouping is None else [cell.metric, subject]
    for row in session.execute(statement.group_by(*keys)):
        found.setdefault(row.subject, {})[row.metric] = Aggregate(
            rows=int(row.rows), valued=int(row.valued), value=row.value, weight=row.weight,
            median=None, unpriced=int(row.unpriced), unpriced_currency=row.unpriced_currency,
        )  # fmt: skip
    return found
