"""Filters and orders that a list may be asked for: a closed grammar over allow-listed fields.

A filter is ``field:operator:value``. Nothing of it reaches SQL but bound values; fields and
operators are looked up.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from sqlalchemy import ColumnElement, Text, cast, func, literal

from crm_core.errors import Invalid
from crm_core.orders.conversion import major
from crm_core.records.access import Fields
from crm_core.records.tables import Relation, Shape

MOST_FILTERS = 12
MOST_CHOICES = 200
OPERATORS = ("eq", "ne", "lt", "le", "gt", "ge", "in", "contains", "empty")
_TEXTS = frozenset({"id", "text", "choice", "currency"})
_CUSTOM = re.compile(r"x_\w{1,60}")


class FilterInvalid(Invalid):
    """A filter or an order is not of the grammar, or names a field that may not be used."""


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition on one field."""

    field: str
    operator: str
    value: str


def parse(text: str) -> Filter:
    """Return the filter that a text like ``amount:ge:1000`` means. Raises FilterInvalid."""
    field, _, rest = text.partition(":")
    operator, mark, value = rest.partition(":")
    if operator not in OPERATORS or not mark:
        raise FilterInvalid(
            f"Filter {text[:80]!r} is not field:operator:value with one of the operators "
            f"{', '.join(OPERATORS)}."
        )
    return Filter(field, operator, value)


def kind_of(shape: Shape, field: str, *, allowed: Fields) -> str:
    """Return the kind of a field that may be asked about. Raises FilterInvalid."""
    if field.startswith("x_"):
        if shape.table.custom_fields and _CUSTOM.fullmatch(field) and field in allowed:
            return "custom"
    elif field in allowed:
        return shape.column(field).kind
    known = ", ".join(allowed)
    raise FilterInvalid(f"{shape.name} has no field {field[:60]!r} to ask about; it has {known}.")


def expression(rows: Relation, field: str, kind: str, *, currency: str) -> Any:  # noqa: ANN401 - a column
    """Return the SQL of a field: money in major units, a custom field as its text."""
    if kind == "custom":
        return rows.c.custom.op("->>")(field)
    if kind != "money":
        return rows.c[field]
    own = rows.c.currency if "currency" in rows.c else literal(currency)
    return major(rows.c[f"{field}_minor"], func.coalesce(own, currency))


def value(kind: str, text: str, *, field: str) -> Any:  # noqa: ANN401 - a value of that kind
    """Return the value that a text means for a field of a kind. Raises FilterInvalid."""
    try:
        return _READERS.get(kind, str)(text)
    except (ValueError, InvalidOperation) as error:
        raise FilterInvalid(f"{field}: {text[:60]!r} is no {kind}; write {_LIKE[kind]}.") from error


def _instant(text: str) -> dt.datetime:
    moment = dt.datetime.fromisoformat(text.replace(" ", "+"))
    if moment.tzinfo is None:
        raise ValueError(text)
    return moment.astimezone(dt.UTC)


def _number(text: str) -> Decimal:
    number = Decimal(text)
    if not number.is_finite() or abs(number.adjusted()) > 40:
        raise ValueError(text)
    return number


def _integer(text: str) -> int:
    number = int(text)
    if abs(number) >= 2**63:
        raise ValueError(text)
    return number


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(text)
    return text == "true"


_READERS: dict[str, Callable[[str], Any]] = {
    "boolean": _boolean,
    "integer": _integer,
    "month": _integer,
    "decimal": _number,
    "money": _number,
    "date": dt.date.fromisoformat,
    "instant": _instant,
}
_LIKE = {
    "boolean": "true or false",
    "integer": "a whole number",
    "month": "a number from 1 to 12",
    "decimal": "a number like 1234.50",
    "money": "an amount like 1234.50",
    "date": "a day like 2026-11-30",
    "instant": "a time like 2026-11-30T09:00:00Z",
}


def condition(
    shape: Shape, rows: Relation, wanted: Filter, *, allowed: Fields, currency: str
) -> ColumnElement[bool]:
    """Return the SQL of a filter. Raises FilterInvalid."""
    kind = kind_of(shape, wanted.field, allowed=allowed)
    column = expression(rows, wanted.field, kind, currency=currency)
    if wanted.operator == "empty":
        if wanted.value not in ("true", "false"):
            raise FilterInvalid(f"{wanted.field}:empty takes true or false.")
        return column.is_(None) if wanted.value == "true" else column.is_not(None)  # type: ignore[no-any-return]
    if wanted.operator == "contains":
        if kind not in _TEXTS and kind != "custom":
            raise FilterInvalid(f"{wanted.field} is no text; contains asks about texts only.")
        return cast(column, Text).icontains(wanted.value, autoescape=True)
    if wanted.operator == "in":
        words = wanted.value.split(",")
        if len(words) > MOST_CHOICES:
            raise FilterInvalid(f"{wanted.field}:in takes at most {MOST_CHOICES} values.")
        return column.in_([value(kind, word, field=wanted.field) for word in words])  # type: ignore[no-any-return]
    return _compared(column, wanted.operator, value(kind, wanted.value, field=wanted.field))


def _compared(column: Any, operator: str, given: Any) -> ColumnElement[bool]:  # noqa: ANN401
    if operator == "ne":
        return column.is_distinct_from(given)  # type: ignore[no-any-return]
    comparisons: dict[str, Callable[[], ColumnElement[bool]]] = {
        "eq": lambda: column == given,
        "lt": lambda: column < given,
        "le": lambda: column <= given,
        "gt": lambda: column > given,
        "ge": lambda: column >= given,
    }
    return comparisons[operator]()
