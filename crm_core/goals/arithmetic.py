"""Passing a goal down: weights, exact parts, the reconciliation with commits, and hard goals. Pure.

Whatever the method, the parts are whole minor units that sum exactly to parent × factor as long
as nobody holds a part by hand; what then differs is the residual, which is shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

from crm_core.errors import Invalid, NotAllowed
from crm_core.money import Money, allocate, apply_rate, total

State = Literal["draft", "discussion", "approved", "locked", "withdrawn"]
Act = Literal["submit", "comment", "send_back", "approve", "lock", "withdraw"]
Component = Literal["history", "potential", "even", "season"]
COMPONENTS: tuple[Component, ...] = ("history", "potential", "even", "season")
MOVES: Mapping[tuple[State, Act], State] = {
    ("draft", "submit"): "discussion",
    ("draft", "withdraw"): "withdrawn",
    ("discussion", "comment"): "discussion",
    ("discussion", "send_back"): "draft",
    ("discussion", "approve"): "approved",
    ("discussion", "withdraw"): "withdrawn",
    ("approved", "lock"): "locked",
}
MOST_FACTOR, LEAST_FACTOR = Decimal(3), Decimal("0.1")
HARD, EASY = Decimal("1.5"), Decimal("0.6")
"""A quota above or below these multiples of the potential is flagged before it is locked."""
FEWEST_PERIODS = 2
"""Fewer past periods say nothing about what somebody can reach."""


class NoSuchMove(Invalid):
    """A version in that state cannot be moved so."""


class SelfApproval(NotAllowed):
    """Who wrote, proposed or carries a goal does not approve it."""


class NotADecomposition(Invalid):
    """The factor, the mix or the held amounts of a decomposition are not as they must be."""


def moved(state: State, act: Act) -> State:
    """Return the state after an act. Raises NoSuchMove."""
    try:
        return MOVES[state, act]
    except KeyError:
        may = ", ".join(known for before, known in MOVES if before == state) or "nothing"
        raise NoSuchMove(f"A {state} goal cannot be moved by {act!r}; possible: {may}.") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """Who gets a part, and what is known of them; None: nothing is known.

    ``heads`` are people, ``capacity`` the share of the period's days they are there, ``ramp``
    their strength on those days, both from 0 to 1. ``season`` is the share of a year's sales of
    a stretch of time, where a goal is passed to shorter periods.
    """

    kind: Literal["user", "org_unit", "period"]
    id: str
    history: Decimal | None = None
    potential: Decimal | None = None
    heads: int = 1
    capacity: Decimal = Decimal(1)
    ramp: Decimal = Decimal(1)
    season: Decimal | None = None

    def measure(self, component: Component) -> Decimal:
        """Return what the child weighs in one component: as much of it as they are there for."""
        given = {
            "history": self.history,
            "potential": self.potential,
            "even": Decimal(self.heads),
            "season": self.season,
        }[component]
        return max(given or Decimal(0), Decimal(0)) * self.capacity * self.ramp


@dataclass(frozen=True, slots=True)
class Line:
    """One child's part: its share by component (of 1), the weight they make, and the amount.

    ``held`` was fixed by hand; ``given`` is what the weights alone would have made it.
    """

    child: Child
    shares: Mapping[Component, Decimal]
    weight: Decimal
    given: Money
    amount: Money
    held: bool = False


@dataclass(frozen=True, slots=True)
class Split:
    """A goal passed down. ``passed`` is parent × factor; ``residual`` is Σ lines − passed.

    ``mix`` is the weight of each component as it was used: one that says nothing of any child
    is left out and the others share its weight.
    """

    factor: Decimal
    mix: Mapping[Component, Decimal]
    passed: Money
    lines: tuple[Line, ...]

    @property
    def residual(self) -> Money:
        """What the children carry beyond (or, negative, short of) what was passed down."""
        parts = total((line.amount for line in self.lines), currency=self.passed.currency)
        return parts - self.passed


def split(
    parent: Money,
    children: Sequence[Child],
    *,
    mix: Mapping[Component, Decimal],
    factor: Decimal = Decimal(1),
    held: Mapping[str, Money] | None = None,
) -> Split:
    """Pass a goal down by weights. Children's amounts sum to parent × factor exactly.

    ``held`` fixes some children's amounts by id; the rest is allocated among the others. Where
    the held ones leave nothing to allocate, or nobody to allocate it to, the residual says so.
    Raises NotADecomposition and CurrencyMismatch.
    """
    _check(children, mix, factor, held or {})
    passed = apply_rate(parent, factor)
    used = _used(children, mix)
    shares = [
        {component: _share(children, child, component) for component in used} for child in children
    ]
    weights = [sum((used[c] * s[c] for c in used), Decimal(0)) for s in shares]
    if not any(weights):
        weights = [Decimal(1) for _ in children]
    whole = sum(weights, Decimal(0))
    given = allocate(passed, weights)
    lines = tuple(
        Line(child, share, weight / whole, amount, amount)
        for child, share, weight, amount in zip(children, shares, weights, given, strict=True)
    )
    return Split(factor, used, passed, _hold(lines, passed, held or {}))


def _check(
    children: Sequence[Child],
    mix: Mapping[Component, Decimal],
    factor: Decimal,
    held: Mapping[str, Money],
) -> None:
    if not children:
        raise NotADecomposition("There is nobody below to pass this goal to.")
    if not LEAST_FACTOR <= factor <= MOST_FACTOR:
        raise NotADecomposition(f"The factor lies between {LEAST_FACTOR} and {MOST_FACTOR}.")
    if any(weight < 0 or not weight.is_finite() for weight in mix.values()) or not any(
        mix.values()
    ):
        raise NotADecomposition("Weights are none negative and not all zero.")
    if unknown := held.keys() - {child.id for child in children}:
        raise NotADecomposition(f"{', '.join(sorted(unknown))} gets no part of this goal.")
    if any(amount.minor < 0 for amount in held.values()):
        raise NotADecomposition("A held amount is not negative.")


def _used(children: Sequence[Child], mix: Mapping[Component, Decimal]) -> dict[Component, Decimal]:
    """Return the components that say something, their weights made to sum to 1."""
    telling = {
        component: weight
        for component, weight in mix.items()
        if weight and any(child.measure(component) for child in children)
    }
    whole = sum(telling.values(), Decimal(0))
    return {component: weight / whole for component, weight in telling.items()}


def _share(children: Sequence[Child], child: Child, component: Component) -> Decimal:
    return child.measure(component) / sum(each.measure(component) for each in children)


def _hold(lines: tuple[Line, ...], passed: Money, held: Mapping[str, Money]) -> tuple[Line, ...]:
    if not held:
        return lines
    free = [line for line in lines if line.child.id not in held]
    rest = passed - total(held.values(), currency=passed.currency)
    amounts: dict[str, Money] = dict(held)
    if free:
        left = rest if rest.minor > 0 else Money(0, passed.currency)
        weights = [line.weight for line in free]
        parts = allocate(left, weights if any(weights) else [Decimal(1) for _ in free])
        amounts |= {line.child.id: part for line, part in zip(free, parts, strict=True)}
    return tuple(
        replace(line, amount=amounts[line.child.id], held=line.child.id in held) for line in lines
    )


def reconciled(found: Split, commits: Mapping[str, Money], *, trust: Decimal, exact: bool) -> Split:
    """Return a split between what is passed down and what the children commit to.

    Each part is (1 − trust) × top-down + trust × commit, the top-down part for who has not
    committed. With ``exact`` the parts are then scaled to sum to what was passed; without, the
    residual shows the distance. Held parts stay. Raises NotADecomposition.
    """
    if not 0 <= trust <= 1:
        raise NotADecomposition("Trust in the commits lies between 0 and 1.")
    wanted = {line.child.id: _between(line, commits.get(line.child.id), trust)
              for line in found.lines}  # fmt: skip
    if exact:
        free = [line for line in found.lines if not line.held]
        fixed = total((x.amount for x in found.lines if x.held), currency=found.passed.currency)
        rest = found.passed - fixed
        weights = [Decimal(wanted[line.child.id].minor) for line in free]
        if free and rest.minor >= 0:
            parts = allocate(rest, weights if any(weights) else [Decimal(1) for _ in free])
            wanted |= {line.child.id: part for line, part in zip(free, parts, strict=True)}
    return replace(
        found,
        lines=tuple(
            line if line.held else replace(line, amount=wanted[line.child.id])
            for line in found.lines
        ),
    )


def _between(line: Line, commit: Money | None, trust: Decimal) -> Money:
    if commit is None:
        return line.amount
    return apply_rate(line.amount, 1 - trust) + apply_rate(commit, trust)


@dataclass(frozen=True, slots=True)
class Difficulty:
    """A quota held against what its subject could reach.

    ``potential`` is the mean of ``periods`` past periods of the same length, brought to the days
    they will be there; None with too few of them. ``flag`` is set beyond HARD and EASY.
    """

    potential: Decimal | None
    periods: int
    ratio: Decimal | None
    flag: Literal["unattainable", "trivial"] | None


def difficulty(
    amount: Decimal, *, past: Sequence[tuple[Decimal, Decimal]], presence: Decimal
) -> Difficulty:
    """Return quota ÷ potential in natural units, and whether that needs a reason.

    ``past`` holds, by period, the actual and the share of it they were there at full strength;
    periods without presence say nothing. ``presence`` is that share of the period ahead.
    """
    telling = [(actual, there) for actual, there in past if there > 0]
    if len(telling) < FEWEST_PERIODS or presence <= 0:
        return Difficulty(None, len(telling), None, None)
    sold = sum((actual for actual, _ in telling), Decimal(0))
    rate = sold / sum((there for _, there in telling), Decimal(0))
    potential = rate * presence
    if potential <= 0:
        return Difficulty(potential, len(telling), None, "unattainable" if amount > 0 else None)
    ratio = amount / potential
    flag: Literal["unattainable", "trivial"] | None = None
    if ratio > HARD:
        flag = "unattainable"
    elif ratio < EASY:
        flag = "trivial"
    return Difficulty(potential, len(telling), ratio, flag)
