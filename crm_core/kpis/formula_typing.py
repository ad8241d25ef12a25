"""Which kinds an operator takes and gives: money is not a number, a day is not a text.

Errors are TypeErrors whose sentence the reader tells with its place.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import replace

from crm_core.kpis.formulas import FUNCTIONS, Apply, Constant, Kind, Node, is_constant

_ORDERED: tuple[Kind, ...] = ("number", "money", "date")
_COUNTED: tuple[Kind, ...] = ("number", "money")


def applied(operator: str, arguments: Sequence[Node]) -> Node:
    """Return the operator on its arguments, typed. Raises TypeError."""
    return _RULES[operator](operator, tuple(arguments))


def adapted(node: Node, wanted: Kind) -> Node:
    """Return a node as one of the wanted kind: constants may be read as another kind.

    A constant number is money where money is needed, a constant text a day where a day is
    needed, and nothing is of every kind. Raises TypeError.
    """
    if node.kind == wanted:
        return node
    if node.kind == "null":
        return replace(node, kind=wanted)
    if node.kind == "number" and wanted == "money" and is_constant(node):
        return replace(node, kind="money")
    if wanted == "date" and isinstance(node, Constant) and isinstance(node.value, str):
        return Constant(_day(node.value), "date")
    raise TypeError(f"a {node.kind} stands where a {wanted} is needed.")


def _day(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise TypeError(f"'{text}' is not a day; write it like '2026-01-31'.") from None


def _alike(arguments: Sequence[Node]) -> tuple[tuple[Node, ...], Kind]:
    """Return the arguments as the one kind they share."""
    given = [node.kind for node in arguments if not is_constant(node) and node.kind != "null"]
    given += [node.kind for node in arguments if node.kind != "null"]
    kind: Kind = given[0] if given else "null"
    try:
        return tuple(adapted(node, kind) for node in arguments), kind
    except TypeError as error:
        if "is not a day" in str(error):
            raise
        kinds = " and ".join(dict.fromkeys(node.kind for node in arguments))
        raise TypeError(f"{kinds} do not go together.") from None


def _require(kind: Kind, allowed: Sequence[Kind], operator: str) -> None:
    if kind not in (*allowed, "null"):
        raise TypeError(f"{operator} takes a {' or '.join(allowed)}, not a {kind}.")


def _sum(operator: str, arguments: tuple[Node, ...]) -> Node:
    alike, kind = _alike(arguments)
    _require(kind, _COUNTED, operator)
    return Apply(operator, alike, kind if kind != "null" else "number")


def _product(operator: str, arguments: tuple[Node, ...]) -> Node:
    first, second = (_or_number(node, operator) for node in arguments)
    kinds = (first.kind, second.kind)
    if kinds == ("money", "money"):
        raise TypeError("money times money is not an amount.")
    return Apply(operator, (first, second), "money" if "money" in kinds else "number")


def _quotient(operator: str, arguments: tuple[Node, ...]) -> Node:
    first, second = (_or_number(node, operator) for node in arguments)
    if second.kind == "money":
        return Apply(operator, (adapted(first, "money"), second), "number")
    return Apply(operator, (first, second), first.kind)


def _or_number(node: Node, operator: str) -> Node:
    _require(node.kind, _COUNTED, operator)
    return adapted(node, "number") if node.kind == "null" else node


def _single(operator: str, arguments: tuple[Node, ...]) -> Node:
    node = _or_number(arguments[0], operator)
    return Apply(operator, (node, *arguments[1:]), node.kind)


def _comparison(operator: str, arguments: tuple[Node, ...]) -> Node:
    alike, kind = _alike(arguments)
    if operator not in ("=", "<>", "in"):
        _require(kind, _ORDERED, operator)
    if operator == "in" and not all(is_constant(node) for node in alike[1:]):
        raise TypeError("after in stand constants only.")
    if kind == "null":
        alike = tuple(adapted(node, "number") for node in alike)
    return Apply(operator, alike, "boolean")


def _logic(operator: str, arguments: tuple[Node, ...]) -> Node:
    for node in arguments:
        _require(node.kind, ("boolean",), operator)
    return Apply(operator, tuple(adapted(node, "boolean") for node in arguments), "boolean")


def _presence(operator: str, arguments: tuple[Node, ...]) -> Node:
    node = arguments[0]
    return Apply(operator, (adapted(node, "text") if node.kind == "null" else node,), "boolean")


def _choice(operator: str, arguments: tuple[Node, ...]) -> Node:
    """Type functions that return one of their arguments."""
    alike, kind = _alike(arguments)
    if operator in ("least", "greatest"):
        _require(kind, _ORDERED, operator)
    if kind == "null":
        raise TypeError(f"{operator} needs something besides null.")
    return Apply(operator, alike, kind)


def _case(operator: str, arguments: tuple[Node, ...]) -> Node:
    pairs, otherwise = arguments[:-1], arguments[-1]
    conditions = [adapted(node, "boolean") for node in pairs[::2]]
    values, kind = _alike([*pairs[1::2], otherwise])
    if kind == "null":
        raise TypeError("case needs a value besides null.")
    both: list[Node] = []
    for condition, value in zip(conditions, values, strict=False):
        both += [condition, value]
    return Apply(operator, (*both, values[-1]), kind)


def _of(kinds: Kind, result: Kind) -> Callable[[str, tuple[Node, ...]], Node]:
    def rule(operator: str, arguments: tuple[Node, ...]) -> Node:
        return Apply(operator, tuple(adapted(node, kinds) for node in arguments), result)

    return rule


_RULES: dict[str, Callable[[str, tuple[Node, ...]], Node]] = {
    **dict.fromkeys(("+", "-"), _sum),
    "*": _product,
    "/": _quotient,
    **dict.fromkeys(("neg", "abs", "ceil", "floor", "round"), _single),
    **dict.fromkeys(("=", "<>", "<", "<=", ">", ">=", "in", "between"), _comparison),
    **dict.fromkeys(("and", "or", "not"), _logic),
    "is_null": _presence,
    **dict.fromkeys(("coalesce", "least", "greatest", "nullif"), _choice),
    "case": _case,
    **dict.fromkeys(("contains", "starts_with"), _of("text", "boolean")),
    "days_between": _of("date", "number"),
    **dict.fromkeys(("year", "month"), _of("date", "number")),
}
assert set(FUNCTIONS) <= set(_RULES)
