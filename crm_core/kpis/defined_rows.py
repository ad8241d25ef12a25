"""The rows behind a user-defined metric: a fact's rows with the metric's own value and filter."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sqlalchemy import Numeric, Select, Text, and_, case, cast, func, literal, null, or_

from crm_core.kpis.attaching import attached
from crm_core.kpis.checking import Checked
from crm_core.kpis.facts import Fact, row_field
from crm_core.kpis.formula_sql import compiled
from crm_core.kpis.question import Expression, Question
from crm_core.kpis.sources import rows_of
from crm_core.money import minor_digits
from crm_core.orders.conversion import half_even

_LARGEST = Decimal(10) ** 18
"""A value beyond counts as none: no sum of rows can then exceed what is added exactly."""
_AMOUNT = "amount"
_KEPT = ("kind", "row_id", "user_id", "day", "placed_on")
_REFERENCES = ("account_id", "product_id", "opportunity_id")


def defined_rows(metric: Checked, question: Question) -> Select[Any]:
    """Return the rows of a metric that is not a ratio, in the columns of every source."""
    assert metric.fact is not None
    digits = minor_digits(question.currency)
    rows = rows_of(metric.fact.source, question).subquery(f"{metric.draft.id}_facts")
    own = {name: row_field(name, rows, minor_digits=digits) for name in metric.reads}
    others = [metric.attributes[name] for name, found in own.items() if found is None]
    statement, beside = attached(rows, others, question)
    columns = {**{name: sql for name, sql in own.items() if sql is not None}, **beside}
    reads_amount = _AMOUNT in metric.reads and metric.fact.worth == _AMOUNT
    unpriced = rows.c.unpriced if reads_amount else cast(null(), Text)
    value, label = _value(metric, columns, rows, digits)
    statement = statement.add_columns(
        *(rows.c[name] for name in _KEPT),
        label.label("label"),
        cast(value, Numeric).label("value"),
        rows.c.weight,
        unpriced.label("unpriced"),
        *(rows.c[name] for name in _REFERENCES),
    )
    if metric.filter is None:
        return statement
    counts = compiled(metric.filter.node, columns)
    # an amount without a rate decides nothing: such a row stays, so that it is told
    return statement.where(or_(counts, rows.c.unpriced.is_not(None)) if reads_amount else counts)


def _value(
    metric: Checked,
    columns: dict[str, Expression],
    rows: Any,  # noqa: ANN401 - a subquery
    digits: int,
) -> tuple[Expression, Expression]:
    """Return what a row is worth, in minor units for money, and what it is called."""
    if metric.value is None:
        return rows.c.weight, rows.c.label
    found = compiled(metric.value.node, columns)
    if metric.draft.way == "share":
        worth = case((found.is_(True), rows.c.weight), (found.is_(False), 0), else_=null())
        return worth, rows.c.label
    if metric.draft.way == "count_distinct":
        return case((found.is_not(None), rows.c.weight), else_=null()), found
    if metric.draft.unit == "money":
        found = half_even(found * literal(Decimal(1).scaleb(digits), Numeric))
    is_sane = and_(found.is_not(None), func.abs(found) < _LARGEST)
    return case((is_sane, found), else_=null()), rows.c.label


def lineage(fact: Fact, metric: Checked) -> tuple[str, ...]:
    """Return the columns a metric is computed from, as record.field."""
    named = [fact.event_date.split(" ")[0]]
    if metric.draft.way == "count":
        named.append(f"{fact.id} (each one)")
    for name in metric.reads:
        attribute = metric.attributes[name]
        home = fact.id if attribute.home == "row" else attribute.home
        named.append(f"{home}.{attribute.stored or name}")
    return tuple(dict.fromkeys(named))
