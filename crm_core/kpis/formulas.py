"""The language of user-defined metrics: typed nodes, and what is wrong with a formula.

A formula says what a row is worth (``amount / quantity``) or whether it counts
(``tier = 'A' and amount > 10000``). It is parsed into these nodes and nothing else: there are
fields, constants and a closed list of operators. :mod:`crm_core.kpis.formula_sql` turns nodes
into SQL with bound values; nothing is ever evaluated as Python.

Numbers are exact decimals: ``1 / 2`` is 0.5. Division is rounded half up to twelve decimals and
by zero gives nothing. What is computed from nothing is nothing, as in SQL.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from crm_core.errors import Invalid

Kind = Literal["number", "money", "text", "date", "boolean", "null"]
Value = Decimal | str | dt.date | bool | None
DIVISION_DECIMALS = 12


class FormulaInvalid(Invalid):
    """A formula is not of the language, names something unknown, or mixes kinds.

    ``position`` counts characters from 1; ``near`` holds known names like the unknown one.
    """

    def __init__(self, message: str, *, position: int, near: tuple[str, ...] = ()) -> None:
        self.position = position
        self.near = near
        meant = f" Did you mean {' or '.join(near)}?" if near else ""
        super().__init__(f"At character {position}: {message}{meant}")


@dataclass(frozen=True, slots=True)
class Constant:
    """A value written in the formula."""

    value: Value
    kind: Kind


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the fact's rows. Money is in major units of the company's currency."""

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Apply:
    """An operator or function of :data:`OPERATORS` on its arguments.

    ``case`` takes condition, value, condition, value, …, otherwise; ``in`` takes what is looked
    for and then constants.
    """

    operator: str
    arguments: tuple[Node, ...]
    kind: Kind


Node = Constant | Field | Apply

FUNCTIONS = {
    "abs": (1, 1),
    "ceil": (1, 1),
    "coalesce": (2, 8),
    "contains": (2, 2),
    "days_between": (2, 2),
    "floor": (1, 1),
    "greatest": (2, 8),
    "least": (2, 8),
    "month": (1, 1),
    "nullif": (2, 2),
    "round": (1, 2),
    "starts_with": (2, 2),
    "year": (1, 1),
}
"""Every function with the least and the most arguments it takes."""

OPERATORS = frozenset(
    {
        "+", "-", "*", "/", "neg", "=", "<>", "<", "<=", ">", ">=", "and", "or", "not",
        "is_null", "in", "between", "case", *FUNCTIONS,
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Formula:
    """A formula that was read and found sound."""

    text: str
    node: Node

    @property
    def kind(self) -> Kind:
        """What the formula gives."""
        return self.node.kind

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields it reads, in the order in which it first names them."""
        return tuple(dict.fromkeys(fields_of(self.node)))


def fields_of(node: Node) -> Iterator[str]:
    """Yield the names of the fields below a node."""
    if isinstance(node, Field):
        yield node.name
    elif isinstance(node, Apply):
        for argument in node.arguments:
            yield from fields_of(argument)


def is_constant(node: Node) -> bool:
    """Return whether no field is below a node."""
    return next(fields_of(node), None) is None
