"""Reading a formula: parsed by sqlglot, taken over node by node from a closed list, typed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any, TypeVar

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from crm_core.kpis.formula_tokens import look_over
from crm_core.kpis.formula_typing import adapted, applied
from crm_core.kpis.formulas import (
    FUNCTIONS,
    Constant,
    Field,
    Formula,
    FormulaInvalid,
    Kind,
    Node,
)

_BINARY: dict[type[exp.Expr], str] = {
    exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/", exp.EQ: "=", exp.NEQ: "<>",
    exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=", exp.And: "and", exp.Or: "or",
    exp.Nullif: "nullif", exp.Contains: "contains", exp.StartsWith: "starts_with",
}  # fmt: skip
_UNARY: dict[type[exp.Expr], str] = {
    exp.Neg: "neg", exp.Not: "not", exp.Abs: "abs", exp.Ceil: "ceil", exp.Floor: "floor",
    exp.Year: "year", exp.Month: "month",
}  # fmt: skip
_MANY: dict[type[exp.Expr], str] = {
    exp.Coalesce: "coalesce", exp.Least: "least", exp.Greatest: "greatest",
}  # fmt: skip


def read(text: str, kinds: Mapping[str, Kind]) -> Formula:
    """Return a formula over fields of these kinds. Raises FormulaInvalid."""
    return _read(text, tuple(sorted(kinds.items())))


@lru_cache(maxsize=512)
def _read(text: str, kinds: tuple[tuple[str, Kind], ...]) -> Formula:
    known = dict(kinds)
    tokens = look_over(text, names=known)
    reader = _Reader(known, end=tokens[-1].position)
    try:
        return Formula(text, reader.node(_parsed(text)))
    except RecursionError:
        raise FormulaInvalid("the formula is too deep.", position=1) from None


def _parsed(text: str) -> exp.Expr:
    try:
        found = sqlglot.parse(text, read="postgres")
    except SqlglotError as error:
        errors: Any = getattr(error, "errors", None) or [{}]
        at = max(1, int(errors[0].get("col") or 1))
        raise FormulaInvalid("the formula is not complete here.", position=at) from None
    if len(found) != 1 or found[0] is None:
        raise FormulaInvalid("a formula is one expression.", position=1)
    return found[0]


Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class _Reader:
    """Takes over a parsed tree; ``end`` is the place told where a node does not know its own."""

    kinds: Mapping[str, Kind]
    end: int

    def node(self, tree: exp.Expr) -> Node:
        """Return our node for a parsed one. Raises FormulaInvalid for any other."""
        kind = type(tree)
        if kind in _BINARY:
            return self._applied(_BINARY[kind], tree, [tree.this, tree.expression])
        if kind in _UNARY:
            return self._applied(_UNARY[kind], tree, [tree.this])
        if kind in _MANY:
            return self._applied(_MANY[kind], tree, [tree.this, *tree.expressions])
        taker = _TAKERS.get(kind)
        if taker is None:
            raise self.refused(tree, f"{tree.key} is not part of the language of formulas.")
        return taker(self, tree)

    def refused(self, tree: exp.Expr, message: str) -> FormulaInvalid:
        """Return what to raise, at the place of the first name below the node."""
        starts = [
            each.meta["start"] for each in tree.find_all(exp.Identifier) if "start" in each.meta
        ]
        return FormulaInvalid(message, position=min(starts) + 1 if starts else self.end)

    def _applied(self, operator: str, tree: exp.Expr, arguments: list[exp.Expr]) -> Node:
        if any(not isinstance(each, exp.Expr) for each in arguments):
            raise self.refused(tree, f"{operator} lacks an argument.")
        if operator in FUNCTIONS:
            least, most = FUNCTIONS[operator]
            if not least <= len(arguments) <= most:
                raise self.refused(tree, f"{operator} takes {least} to {most} arguments.")
        return self._typed(operator, tree, [self.node(each) for each in arguments])

    def _typed(self, operator: str, tree: exp.Expr, nodes: list[Node]) -> Node:
        return self.at(tree, lambda: applied(operator, nodes))

    def at(self, tree: exp.Expr, make: Callable[[], Made]) -> Made:
        """Return what ``make`` makes; a TypeError's sentence is told with the node's place."""
        try:
            return make()
        except TypeError as error:
            raise self.refused(tree, str(error)) from None

    def column(self, tree: exp.Expr) -> Node:
        """Take over a field."""
        name = tree.name.lower()
        plain = isinstance(tree.this, exp.Identifier) and not tree.this.args.get("quoted")
        if len([part for part in tree.args.values() if part]) != 1 or not plain:
            raise self.refused(tree, "write the field's name alone.")
        if name not in self.kinds:
            raise self.refused(tree, f"there is no field {name}.")
        return Field(name, self.kinds[name])

    def literal(self, tree: exp.Expr) -> Node:
        """Take over a number or a text."""
        if tree.args.get("is_string"):
            return Constant(str(tree.this), "text")
        return Constant(Decimal(str(tree.this)), "number")

    def is_(self, tree: exp.Expr) -> Node:
        """Take over ``is null`` and ``is not null``."""
        if not isinstance(tree.expression, exp.Null):
            raise self.refused(tree, "after is stands null or not null.")
        found = self._applied("is_null", tree, [tree.this])
        return applied("not", [found]) if tree.args.get("negate") else found

    def in_(self, tree: exp.Expr) -> Node:
        """Take over ``in`` with constants."""
        choices = tree.expressions
        if not choices or tree.args.get("query") or tree.args.get("unnest"):
            raise self.refused(tree, "after in stands a list of constants in brackets.")
        return self._applied("in", tree, [tree.this, *choices])

    def between(self, tree: exp.Expr) -> Node:
        """Take over ``between``."""
        return self._applied("between", tree, [tree.this, tree.args["low"], tree.args["high"]])

    def case(self, tree: exp.Expr) -> Node:
        """Take over ``case when``."""
        if tree.args.get("this") is not None:
            raise self.refused(tree, "write case when <condition> then …")
        arguments: list[exp.Expr] = []
        for each in tree.args["ifs"]:
            arguments += [each.this, each.args["true"]]
        return self._applied("case", tree, [*arguments, tree.args.get("default") or exp.Null()])

    def round(self, tree: exp.Expr) -> Node:
        """Take over ``round``; the number of decimals is a constant from 0 to 6."""
        decimals = tree.args.get("decimals") or exp.Literal.number(0)
        digits = decimals.name if isinstance(decimals, exp.Literal) else ""
        if digits not in ("0", "1", "2", "3", "4", "5", "6") or decimals.args.get("is_string"):
            raise self.refused(tree, "round takes a whole number of decimals from 0 to 6.")
        return self._applied("round", tree, [tree.this, decimals])

    def named(self, tree: exp.Expr) -> Node:
        """Take over a function that the parser does not know."""
        name = tree.name.lower()
        if name not in FUNCTIONS:
            raise self.refused(tree, f"there is no function {name}.")
        return self._applied(name, tree, list(tree.expressions))


def _paren(reader: _Reader, tree: exp.Expr) -> Node:
    return reader.node(tree.this)


_TAKERS: dict[type[exp.Expr], Callable[[_Reader, Any], Node]] = {
    exp.Column: _Reader.column,
    exp.Literal: _Reader.literal,
    exp.Paren: _paren,
    exp.Null: lambda _reader, _tree: Constant(None, "null"),
    exp.Boolean: lambda _reader, tree: Constant(bool(tree.this), "boolean"),
    exp.Is: _Reader.is_,
    exp.In: _Reader.in_,
    exp.Between: _Reader.between,
    exp.Case: _Reader.case,
    exp.Round: _Reader.round,
    exp.Anonymous: _Reader.named,
}


def of_kind(formula: Formula, wanted: Kind) -> Formula:
    """Return the formula as one of that kind: a constant number is money too.

    Raises FormulaInvalid where it gives something else.
    """
    try:
        return Formula(formula.text, adapted(formula.node, wanted))
    except TypeError:
        raise FormulaInvalid(
            f"the formula gives a {formula.kind}, but a {wanted} is needed.", position=1
        ) from None
