"""Why a deal's part of a forecast changed: exact shares by Shapley, in whole minor units.

A file of its own beside ``arithmetic.py``: pure, and the bridge's whole arithmetic. A deal's
part depends on five things: whose it is, when it is due, its category, its amount and its rate.
Each thing that changed gets the average, over every order in which the changes could have
happened, of what it adds when its turn comes: so no order is preferred, the shares sum exactly
to the change, and what has no effect gets nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from math import factorial, floor

from crm_core.forecasts.catalogue import TERMS, Category, Term
from crm_core.money import minor_digits
from crm_core.periods import Period


@dataclass(frozen=True, slots=True)
class Position:
    """A deal at a time. ``rate`` is units of the company's currency per unit, None if unknown."""

    opportunity_id: str
    owner_id: str | None
    kind: str
    category: Category
    due_on: dt.date | None
    amount: Fraction | None
    currency: str
    rate: Fraction | None


@dataclass(frozen=True, slots=True)
class View:
    """What counts at a time: the people, the period, the categories and the company's money."""

    people: Collection[str] | None
    period: Period
    categories: frozenset[Category]
    currency: str

    def is_ours(self, position: Position) -> bool:
        """Return whether the deal's owner is one of the people."""
        return self.people is None or position.owner_id in self.people

    def is_due(self, position: Position) -> bool:
        """Return whether the deal counts in the period."""
        return position.due_on is not None and self.period.contains(position.due_on)

    def value(self, position: Position | None) -> int:
        """Return the deal's part of the cell."""
        if position is None or not self.is_ours(position) or not self.is_due(position):
            return 0
        if position.category not in self.categories:
            return 0
        return worth(position.amount, position.rate, self.currency)


def worth(amount: Fraction | None, rate: Fraction | None, currency: str) -> int:
    """Return an amount at a rate in minor units, ties to even; nothing without either."""
    if amount is None or rate is None:
        return 0
    exact = amount * rate * Fraction(10) ** minor_digits(currency)
    below = floor(exact)
    rest = exact - below
    up = rest > Fraction(1, 2) or (rest == Fraction(1, 2) and below % 2 == 1)
    return below + 1 if up else below


Shares = dict[Term, int]


def shapley(
    players: Collection[Term], worth_of: Callable[[frozenset[Term]], int]
) -> dict[Term, Fraction]:
    """Return each player's exact share of ``worth_of`` everybody less ``worth_of`` nobody."""
    everybody = sorted(players)
    count = len(everybody)
    known = {
        frozenset(some): worth_of(frozenset(some))
        for size in range(count + 1)
        for some in combinations(everybody, size)
    }
    shares = {}
    for player in everybody:
        share = Fraction(0)
        for some, before in known.items():
            if player not in some:
                weight = Fraction(
                    factorial(len(some)) * factorial(count - len(some) - 1), factorial(count)
                )
                share += weight * (known[some | {player}] - before)
        shares[player] = share
    return shares


def whole(shares: Mapping[Term, Fraction], total: int) -> Shares:
    """Return the shares in whole units that sum to ``total``: largest remainder, ties in order."""
    ordered = [term for term in TERMS if term in shares]
    parts = {term: floor(shares[term]) for term in ordered}
    left = total - sum(parts.values())
    by_remainder = sorted(
        ordered, key=lambda term: (parts[term] - shares[term], ordered.index(term))
    )
    for term in by_remainder[:left]:
        parts[term] += 1
    return parts


def explain(
    earlier: Position | None, later: Position | None, *, before: View, after: View
) -> Shares:
    """Return why a deal's part of a cell changed, by term; the shares sum to the change.

    A deal that did not exist before is new as a whole, whatever became of it since; one whose
    record is gone is removed as a whole.
    """
    opening, closing = before.value(earlier), after.value(later)
    change = closing - opening
    if earlier is None or later is None:
        return {"new" if earlier is None else "removed": change} if change else {}
    players = _changes(earlier, later, before, after)

    def hybrid(changed: frozenset[Term]) -> int:
        def pick(term: Term | None, old: object, new: object) -> object:
            return new if term is not None and term in changed else old

        ours = pick(players.owner, before.is_ours(earlier), after.is_ours(later))
        due = pick(players.timing, before.is_due(earlier), after.is_due(later))
        category = pick(players.category, earlier.category, later.category)
        if not (ours and due and category in before.categories):
            return 0
        amount = later.amount if players.amount in changed else earlier.amount
        rate = later.rate if players.rate in changed else earlier.rate
        return worth(amount, rate, before.currency)

    shares = shapley(players.present, hybrid)
    return {term: part for term, part in whole(shares, change).items() if part}


@dataclass(frozen=True, slots=True)
class _Changes:
    """The name under which each thing that changed is told; None where it did not change."""

    owner: Term | None = None
    timing: Term | None = None
    category: Term | None = None
    amount: Term | None = None
    rate: Term | None = None

    @property
    def present(self) -> tuple[Term, ...]:
        named = (self.owner, self.timing, self.category, self.amount, self.rate)
        return tuple(term for term in named if term is not None)


def _changes(earlier: Position, later: Position, before: View, after: View) -> _Changes:
    def turned(old: bool, new: bool, into: Term, out_of: Term) -> Term | None:
        if old == new:
            return None
        return into if new else out_of

    return _Changes(
        owner=turned(before.is_ours(earlier), after.is_ours(later), "owner_in", "owner_out"),
        timing=turned(before.is_due(earlier), after.is_due(later), "pulled_in", "pushed_out"),
        category=_outcome(earlier, later),
        amount=None
        if earlier.amount == later.amount
        else "amount_up"
        if (later.amount or 0) > (earlier.amount or 0)
        else "amount_down",
        rate=None if earlier.rate == later.rate else "exchange_rate",
    )


def _outcome(earlier: Position, later: Position) -> Term | None:
    """Return under which name a change of category is told: by its outcome, if it has a new one."""
    if earlier.category == later.category:
        return None
    if later.kind != earlier.kind and later.kind == "won":
        return "won"
    if later.kind != earlier.kind and later.kind == "lost":
        return "lost"
    return "category_change"
