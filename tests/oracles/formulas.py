"""The language of formulas a second time: walked in Python over exact decimals, without SQL."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal, localcontext

from crm_core.kpis.formulas import Constant, Field, Node

PRECISION = 400


def evaluate(node: Node, row: dict):
    """Return a formula's value for a row; None is nothing, as null in SQL."""
    with localcontext() as context:
        context.prec = PRECISION
        return _value(node, row)


def _value(node, row):
    if isinstance(node, Constant):
        return node.value
    if isinstance(node, Field):
        return row[node.name]
    if node.operator == "case":
        return _case(node.arguments, row)
    arguments = [_value(argument, row) for argument in node.arguments]
    special = _SPECIAL.get(node.operator)
    if special is not None:
        return special(*arguments)
    if any(argument is None for argument in arguments):
        return None
    return _STRICT[node.operator](*arguments)


def _case(arguments, row):
    for condition, value in zip(arguments[:-1:2], arguments[1:-1:2], strict=True):
        if _value(condition, row) is True:
            return _value(value, row)
    return _value(arguments[-1], row)


def _and(a, b):
    if a is False or b is False:
        return False
    return None if a is None or b is None else True


def _or(a, b):
    if a is True or b is True:
        return True
    return None if a is None or b is None else False


def _in(wanted, *choices):
    if wanted is None:
        return None
    if any(wanted == choice for choice in choices if choice is not None):
        return True
    return None if None in choices else False


def _between(value, low, high):
    return _and(_compare(value, low, "ge"), _compare(value, high, "le"))


def _compare(a, b, how):
    if a is None or b is None:
        return None
    return a >= b if how == "ge" else a <= b


def _extreme(choose):
    def of(*values):
        given = [value for value in values if value is not None]
        return choose(given) if given else None

    return of


def _quantized(value: Decimal, digits: int, rounding: str) -> Decimal:
    return value.quantize(Decimal(1).scaleb(-digits), rounding=rounding)


def _divide(a, b):
    if b == 0:
        return None
    return _quantized(a / b, 12, ROUND_HALF_UP)


_SPECIAL = {
    "and": _and,
    "or": _or,
    "in": _in,
    "between": _between,
    "is_null": lambda a: a is None,
    "coalesce": lambda *values: next((value for value in values if value is not None), None),
    "nullif": lambda a, b: None if a is not None and a == b else a,
    "least": _extreme(min),
    "greatest": _extreme(max),
}
_STRICT = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": _divide,
    "neg": lambda a: -a,
    "=": lambda a, b: a == b,
    "<>": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "not": lambda a: not a,
    "abs": abs,
    "ceil": lambda a: _quantized(a, 0, ROUND_CEILING),
    "floor": lambda a: _quantized(a, 0, ROUND_FLOOR),
    "round": lambda a, digits: _quantized(a, int(digits), ROUND_HALF_UP),
    "contains": lambda a, b: b in a,
    "starts_with": lambda a, b: a.startswith(b),
    "days_between": lambda a, b: Decimal((b - a).days),
    "year": lambda a: Decimal(a.year),
    "month": lambda a: Decimal(a.month),
}
