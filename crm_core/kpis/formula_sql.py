"""From a formula's nodes to SQL, every constant bound: the one meaning of the language."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Date,
    Integer,
    Numeric,
    Text,
    and_,
    case,
    cast,
    extract,
    func,
    literal,
    not_,
    null,
    or_,
)

from crm_core.kpis.formulas import DIVISION_DECIMALS, Constant, Field, Kind, Node

Expression = ColumnElement[Any]
_TYPES: dict[Kind, Any] = {
    "number": Numeric, "money": Numeric, "text": Text, "date": Date, "boolean": Boolean,
    "null": Text,
}  # fmt: skip
_WIDE = Decimal(1).scaleb(-20) * 10**20
"""One, written with twenty decimals: a quotient keeps at least as many as its dividend has."""


def compiled(node: Node, columns: Mapping[str, Expression]) -> Expression:
    """Return the SQL of a node over these columns (money in major units)."""
    if isinstance(node, Field):
        return columns[node.name]
    if isinstance(node, Constant):
        if node.value is None:
            return cast(null(), _TYPES[node.kind])
        return literal(node.value, _TYPES[node.kind])
    arguments = [compiled(argument, columns) for argument in node.arguments]
    return _COMPILERS[node.operator](arguments)


def _divided(arguments: Sequence[Expression]) -> Expression:
    wide = arguments[0] * literal(_WIDE, Numeric)
    return func.round(wide / func.nullif(arguments[1], 0), DIVISION_DECIMALS, type_=Numeric)


def _case(arguments: Sequence[Expression]) -> Expression:
    pairs = list(zip(arguments[:-1:2], arguments[1:-1:2], strict=True))
    return case(*pairs, else_=arguments[-1])


def _round(arguments: Sequence[Expression]) -> Expression:
    return func.round(arguments[0], cast(arguments[1], Integer), type_=Numeric)


_COMPILERS: dict[str, Callable[[Sequence[Expression]], Expression]] = {
    "+": lambda a: a[0] + a[1],
    "-": lambda a: a[0] - a[1],
    "*": lambda a: a[0] * a[1],
    "/": _divided,
    "neg": lambda a: -a[0],
    "=": lambda a: a[0] == a[1],
    "<>": lambda a: a[0] != a[1],
    "<": lambda a: a[0] < a[1],
    "<=": lambda a: a[0] <= a[1],
    ">": lambda a: a[0] > a[1],
    ">=": lambda a: a[0] >= a[1],
    "and": lambda a: and_(a[0], a[1]),
    "or": lambda a: or_(a[0], a[1]),
    "not": lambda a: not_(a[0]),
    "is_null": lambda a: a[0].is_(None),
    "in": lambda a: a[0].in_(a[1:]),
    "between": lambda a: a[0].between(a[1], a[2]),
    "case": _case,
    "abs": lambda a: func.abs(a[0], type_=Numeric),
    "ceil": lambda a: func.ceil(a[0], type_=Numeric),
    "floor": lambda a: func.floor(a[0], type_=Numeric),
    "round": _round,
    "coalesce": lambda a: func.coalesce(*a),
    "nullif": lambda a: func.nullif(a[0], a[1]),
    "least": lambda a: func.least(*a),
    "greatest": lambda a: func.greatest(*a),
    "contains": lambda a: func.strpos(a[0], a[1]) > 0,
    "starts_with": lambda a: func.starts_with(a[0], a[1]),
    "days_between": lambda a: cast(a[1] - a[0], Numeric),
    "year": lambda a: cast(extract("year", a[0]), Numeric),
    "month": lambda a: cast(extract("month", a[0]), Numeric),
}
