"""The categories of a deal, the columns that add them up, and the terms of a bridge, as data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from crm_core.errors import Invalid

Category = Literal["pipeline", "best_case", "most_likely", "commit", "closed", "omitted"]
CATEGORIES: tuple[Category, ...] = get_args(Category)

RollUp = Literal["cumulative", "single"]
ROLL_UPS: tuple[RollUp, ...] = get_args(RollUp)

_OPEN: frozenset[Category] = frozenset({"pipeline", "best_case", "most_likely", "commit"})

COLUMNS: Mapping[RollUp, Mapping[str, frozenset[Category]]] = {
    "cumulative": {
        "open_pipeline": _OPEN,
        "best_case": frozenset({"best_case", "most_likely", "commit", "closed"}),
        "most_likely": frozenset({"most_likely", "commit", "closed"}),
        "commit": frozenset({"commit", "closed"}),
        "closed": frozenset({"closed"}),
    },
    "single": {
        "pipeline": frozenset({"pipeline"}),
        "best_case": frozenset({"best_case"}),
        "most_likely": frozenset({"most_likely"}),
        "commit": frozenset({"commit"}),
        "closed": frozenset({"closed"}),
    },
}
"""By roll-up, what each column adds up. ``omitted`` is in none."""

ADJUSTABLE = ("best_case", "most_likely", "commit")
"""The columns that a person may set; what is closed and the whole open pipeline are facts."""

PICKABLE: tuple[Category, ...] = ("pipeline", "best_case", "most_likely", "commit", "omitted")
"""What may be picked for an open deal: a deal is closed by its stage, never by a pick."""

Term = Literal[
    "new",
    "won",
    "lost",
    "pulled_in",
    "pushed_out",
    "amount_up",
    "amount_down",
    "category_change",
    "owner_in",
    "owner_out",
    "exchange_rate",
    "removed",
    "adjustments",
]
TERMS: tuple[Term, ...] = get_args(Term)
"""Why a forecast changed, in the order in which a bridge tells it.

``removed`` is a deal whose record is gone (an import rolled back); ``adjustments`` is the
change of what people set by hand, zero in a bridge of raw amounts.
"""

Layer = Literal["naive", "rep", "manager", "stage_week", "weighted", "model"]
LAYERS: tuple[Layer, ...] = get_args(Layer)
"""Who or what forecast: baselines, people and (from issue 5 on) the model."""

BASELINES: tuple[Layer, ...] = ("naive", "stage_week", "weighted")


class UnknownColumn(Invalid):
    """There is no such column in that roll-up."""


def summed(roll_up: RollUp, column: str) -> frozenset[Category]:
    """Return the categories that a column adds up. Raises UnknownColumn."""
    try:
        return COLUMNS[roll_up][column]
    except KeyError:
        known = ", ".join(COLUMNS[roll_up])
        raise UnknownColumn(
            f"There is no column {column!r} in the {roll_up} roll-up; there are {known}."
        ) from None


def category_of(*, kind: str, of_stage: str | None, picked: str | None) -> Category:
    """Return a deal's category: the outcome's, else the one picked, else its stage's.

    A deal that is won is closed and one that is lost is omitted, whatever was picked. A deal
    that is not won cannot be closed: such a pick is passed over, and a stage that says so counts
    as commit. On hold is omitted and a stage that says nothing is pipeline.
    """
    if kind == "won":
        return "closed"
    if kind == "lost":
        return "omitted"
    if picked in PICKABLE:
        return picked
    if of_stage == "closed":
        return "commit"
    if of_stage in PICKABLE:
        return of_stage
    return "omitted" if kind == "on_hold" else "pipeline"
