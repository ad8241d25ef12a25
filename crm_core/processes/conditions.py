"""Conditions as data: a closed grammar that is checked when written and never evaluated as code.

A condition is one of::

    {"all": [condition, …]}   {"any": [condition, …]}   {"not": condition}
    {"field": "amount", "op": ">=", "value": 10000}
    {}                                                   (always true)

Fields are the subject's facts as the event carries them. An empty field fulfils nothing but
``is_empty``, ``!=``, ``not_in`` and ``changed``; a value of another type than the field's
fulfils nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from crm_core.errors import Invalid

COMPARISONS = ("=", "!=", ">", ">=", "<", "<=")
LISTS = ("in", "not_in")
TEXTS = ("contains", "starts_with")
STATES = ("is_empty", "is_filled", "changed")
MOVES = ("became", "was")
OPERATORS = (*COMPARISONS, *LISTS, *TEXTS, *STATES, *MOVES)

DEEPEST = 6
MOST_PARTS = 60
LONGEST_VALUE = 500
_PLACE = "the condition"

Scalar = str | int | float | bool


class BadCondition(Invalid):
    """A condition does not follow the grammar; the message names the part."""


@dataclass(frozen=True, slots=True)
class Test:
    """One comparison of a field with a value (a tuple of them for lists, None for states)."""

    field: str
    op: str
    value: Scalar | tuple[Scalar, ...] | None


@dataclass(frozen=True, slots=True)
class Group:
    """Several conditions: ``all`` of them, ``any`` of them, or ``not`` the only one."""

    kind: str
    parts: tuple[Condition, ...]


Condition = Test | Group
Changes = Mapping[str, Any]
"""Field → [old, new]."""


def parse(data: object, *, fields: frozenset[str]) -> Condition:
    """Return the condition. Custom fields ``x_…`` are always known. Raises BadCondition."""
    budget = [MOST_PARTS]
    return _parse(data, fields, _PLACE, 1, budget)


def _parse(
    data: object, fields: frozenset[str], place: str, depth: int, budget: list[int]
) -> Condition:
    budget[0] -= 1
    if depth > DEEPEST or budget[0] < 0:
        raise BadCondition(
            f"{place} is too large; use at most {DEEPEST} levels and {MOST_PARTS} parts."
        )
    if not isinstance(data, Mapping):
        raise BadCondition(f"{place} is not an object; write field, op and value.")
    keys = frozenset(data)
    if not keys:
        return Group("all", ())
    if keys == {"not"}:
        part = _parse(data["not"], fields, f"{place}.not", depth + 1, budget)
        return Group("not", (part,))
    if keys in ({"all"}, {"any"}):
        (kind,) = keys
        return Group(kind, _parts(data[kind], fields, f"{place}.{kind}", depth, budget))
    if not {"field", "op"} <= keys <= {"field", "op", "value"}:
        raise BadCondition(f"{place} needs field, op and value, or one of all, any, not.")
    return _test(data, fields, place)


def _parts(
    data: object, fields: frozenset[str], place: str, depth: int, budget: list[int]
) -> tuple[Condition, ...]:
    if not isinstance(data, (list, tuple)) or not data:
        raise BadCondition(f"{place} needs a list of at least one condition.")
    return tuple(
        _parse(part, fields, f"{place}[{number}]", depth + 1, budget)
        for number, part in enumerate(data)
    )


def _test(data: Mapping[str, Any], fields: frozenset[str], place: str) -> Test:
    field, op = data["field"], data["op"]
    if not isinstance(field, str) or not (field in fields or _is_custom(field)):
        raise BadCondition(f"{place} names {field!r}, which is not a field of this event.")
    if op not in OPERATORS:
        raise BadCondition(f"{place} uses {op!r}; the operators are {', '.join(OPERATORS)}.")
    if op in STATES:
        if "value" in data:
            raise BadCondition(f"{place} gives a value, which {op} does not take.")
        return Test(field, op, None)
    if op in LISTS:
        values = data.get("value")
        if not isinstance(values, (list, tuple)) or not 0 < len(values) <= MOST_PARTS:
            raise BadCondition(f"{place} needs a list of values for {op}.")
        return Test(field, op, tuple(_scalar(each, place) for each in values))
    value = _scalar(data.get("value"), place)
    if op in TEXTS and not isinstance(value, str):
        raise BadCondition(f"{place} needs a text for {op}.")
    return Test(field, op, value)


def _is_custom(field: str) -> bool:
    return field.startswith("x_") and field.isidentifier() and len(field) <= 64


def _scalar(value: object, place: str) -> Scalar:
    if isinstance(value, bool) or (isinstance(value, int) and abs(value) < 10**18):
        return value
    if isinstance(value, float) and abs(value) < 1e18:
        return value
    if isinstance(value, str) and len(value) <= LONGEST_VALUE:
        return value
    raise BadCondition(f"{place} has a value that is no text, number or truth value.")


def holds(condition: Condition, facts: Mapping[str, Any], changed: Changes | None = None) -> bool:
    """Return whether the condition is true of these facts and changes."""
    if isinstance(condition, Group):
        if condition.kind == "not":
            return not holds(condition.parts[0], facts, changed)
        judge = all if condition.kind == "all" else any
        return judge(holds(part, facts, changed) for part in condition.parts)
    return _test_holds(condition, facts, changed or {})


def _test_holds(test: Test, facts: Mapping[str, Any], changed: Changes) -> bool:
    value = facts.get(test.field)
    if test.op in STATES:
        if test.op == "changed":
            return test.field in changed
        return _is_empty(value) == (test.op == "is_empty")
    if test.op in MOVES:
        old, new = changed.get(test.field, (None, None))
        return test.field in changed and _equal(new if test.op == "became" else old, test.value)
    if test.op in LISTS:
        assert isinstance(test.value, tuple)
        found = any(_equal(value, each) for each in test.value)
        return found == (test.op == "in")
    if test.op in ("=", "!="):
        return _equal(value, test.value) == (test.op == "=")
    return _ordered(test.op, value, test.value)


def _is_empty(value: object) -> bool:
    return value is None or value == ""


def _equal(value: object, wanted: object) -> bool:
    if _is_empty(value) or isinstance(value, bool) != isinstance(wanted, bool):
        return False
    number = _number(wanted) if not isinstance(wanted, str) else None
    if number is not None:
        return _number(value) == number
    return value == wanted


def _ordered(op: str, value: object, wanted: object) -> bool:
    if op in TEXTS:
        if not isinstance(value, str) or not isinstance(wanted, str):
            return False
        folded, sought = value.casefold(), wanted.casefold()
        return sought in folded if op == "contains" else folded.startswith(sought)
    left: Any
    right: Any
    if isinstance(wanted, str):
        left, right = _day(value), _day(wanted)
    else:
        left, right = _number(value), _number(wanted)
    if left is None or right is None:
        return False
    return bool({">": left > right, ">=": left >= right, "<": left < right}.get(op, left <= right))


def _number(value: object) -> Decimal | None:
    """Return a number, also one written as text as amounts are; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _day(value: object) -> dt.date | None:
    try:
        return dt.date.fromisoformat(value[:10]) if isinstance(value, str) else None
    except ValueError:
        return None
