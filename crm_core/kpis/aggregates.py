"""The sums over the rows of many metrics, by subject, in one statement.

Who may see what is applied to the rows, before anything is added up.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Literal

from sqlalchemy import Integer, Numeric, Select, Text, cast, func, literal, null, select, union_all
from sqlalchemy.orm import Session

from crm_core.kpis.arithmetic import EMPTY, Aggregate, MetricValue, from_aggregate
from crm_core.kpis.catalogue import NEEDED_FACTS
from crm_core.kpis.membership import units_of
from crm_core.kpis.metric import Metric, Texts
from crm_core.kpis.question import Question
from crm_core.kpis.slicing import Slicing
from crm_core.kpis.sources import is_recorded, rows_of

Grouping = Literal["user", "org_unit"]
Grouped = Grouping | Slicing | None
"""By what rows are grouped: a slicing's subjects are its keys."""
Sums = dict[str | None, dict[str, Aggregate]]
"""By subject and metric; subject None is the whole scope or what belongs to no subject."""


def values_of(
    wanted: Collection[Metric],
    sums: Mapping[str, Aggregate],
    asked: Question,
    unrecorded: Mapping[str, Texts],
) -> dict[str, MetricValue]:
    """Return the metrics of one subject from its sums."""
    return {
        item.id: from_aggregate(
            item,
            replace(sums.get(item.id, EMPTY), unrecorded=unrecorded.get(item.source)),
            currency=asked.currency,
        )
        for item in wanted
    }


def unrecorded_facts(
    session: Session, asked: Question, wanted: Collection[Metric]
) -> dict[str, Texts]:
    """Return, by source, the sentence about facts the company never recorded; one statement.

    Asked once for all subjects: a person without an order has sold nothing only where orders
    are recorded at all.
    """
    own = {name: (each.needs, each.silence) for name, each in asked.defined.items()}
    needed = {**NEEDED_FACTS, **own}
    sources = {item.source: needed[item.source] for item in wanted if item.source in needed}
    facts = sorted({fact for fact, _ in sources.values()})
    if not facts:
        return {}
    row = session.execute(select(*(is_recorded(fact, asked).label(fact) for fact in facts))).one()
    return {
        source: sentence for source, (fact, sentence) in sources.items() if not row._mapping[fact]
    }


def aggregates(
    session: Session,
    asked: Question,
    wanted: Sequence[Metric],
    *,
    grouping: Grouped = None,
) -> Sums:
    """Return the sums by subject and metric, by one statement and one more for curves."""
    found: Sums = {}
    if wanted:
        parts = [_sums(item, asked, grouping=grouping) for item in wanted]
        for row in session.execute(union_all(*parts)):
            found.setdefault(row.subject, {})[row.metric] = Aggregate(
                rows=row.rows,
                valued=row.valued,
                value=row.value,
                weight=row.weight,
                median=row.median,
                unpriced=row.unpriced,
                unpriced_currency=row.unpriced_currency,
            )
    _add_curves(session, asked, wanted, found, grouping=grouping)
    return found


def _add_curves(
    session: Session,
    asked: Question,
    wanted: Sequence[Metric],
    found: Sums,
    *,
    grouping: Grouped,
) -> None:
    curved = [item for item in wanted if item.aggregation == "survival"]
    sources = {item.source for item in curved}
    points: dict[tuple[str | None, str], list[tuple[int, int | None, int]]] = {}
    if sources:
        parts = [_points(source, asked, grouping=grouping) for source in sorted(sources)]
        for row in session.execute(union_all(*parts)):
            point = (row.age, row.outcome, row.rows)
            points.setdefault((row.subject, row.source), []).append(point)
    for item in curved:
        for subject, sums in found.items():
            curve = tuple(points.get((subject, item.source), ()))
            if item.id in sums:
                sums[item.id] = replace(sums[item.id], curve=curve)


def _scoped(
    source: str, name: str, asked: Question, *, grouping: Grouped
) -> tuple[Any, Any, Select[Any]]:
    """Return a source's rows, the column of their subject, and an empty select of those seen."""
    rows = rows_of(source, asked).subquery(name)
    if isinstance(grouping, Slicing):
        rows = grouping.keyed(rows, asked, name=f"{name}_sliced")
        seen = select().select_from(rows).where(asked.scope.condition(rows.c.user_id))
        return rows, rows.c.slice, seen
    subject: Any = cast(null(), Text)
    statement: Select[Any] = select().select_from(rows)
    if grouping == "user":
        subject = rows.c.user_id
    elif grouping == "org_unit":
        unit = units_of(rows.c.user_id, rows.c.placed_on)
        subject = unit.c.unit_id
        statement = statement.join(unit, literal(True), isouter=True)
    return rows, subject, statement.where(asked.scope.condition(rows.c.user_id))


def _sums(item: Metric, asked: Question, *, grouping: Grouped) -> Select[Any]:
    rows, subject, statement = _scoped(item.source, f"{item.id}_rows", asked, grouping=grouping)
    has_value = rows.c.value.is_not(None)
    # the median is of whole days or hundredths of hours: exact in double precision
    medians = {"median": rows.c.value, "pace": rows.c.weight}
    median: Any = null()
    if item.aggregation in medians:
        median = _median(medians[item.aggregation])
    elif item.aggregation == "distinct":
        median = func.count(rows.c.label.distinct()).filter(has_value)
    statement = statement.add_columns(
        literal(item.id, Text).label("metric"),
        subject.label("subject"),
        func.count().label("rows"),
        func.count(rows.c.value).label("valued"),
        func.sum(rows.c.value).label("value"),
        func.sum(rows.c.weight).filter(has_value).label("weight"),
        cast(median, Numeric).label("median"),
        func.count(rows.c.unpriced).label("unpriced"),
        func.min(rows.c.unpriced).label("unpriced_currency"),
    )
    return statement if grouping is None else statement.group_by(subject)


def _median(value: Any) -> Any:  # noqa: ANN401 - a column
    """Return the mean of the two middle values, exact: percentile_cont would take doubles."""
    low = func.percentile_disc(0.5).within_group(value)
    high = func.percentile_disc(0.5).within_group(value.desc())
    return (cast(low, Numeric) + cast(high, Numeric)) * literal(Decimal("0.5"), Numeric)


def _points(source: str, asked: Question, *, grouping: Grouped) -> Select[Any]:
    """Return how many rows of a source ended how at each age: few rows, whatever the deals."""
    rows, subject, statement = _scoped(source, f"{source}_points", asked, grouping=grouping)
    columns = (
        literal(source, Text).label("source"),
        subject.label("subject"),
        cast(rows.c.weight, Integer).label("age"),
        cast(rows.c.value, Integer).label("outcome"),
    )
    keys = [rows.c.weight, rows.c.value]
    if grouping is not None:
        keys.append(subject)
    return statement.add_columns(*columns, func.count().label("rows")).group_by(*keys)
