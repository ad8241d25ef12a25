"""Curves over age with the still open counted in: pure numbers, exact.

A row ends won (1), lost (0), or is still open (None) at an age in days. Aalen–Johansen: the two
ends compete, so the chance of being won by an age is the sum, over the ages up to it, of the
chance of still being open just before it × the share of those open that were won at it. With one
kind of end it is Kaplan–Meier's 1 − S. What closes at the age at which another row was last seen
open closed before it.
Source: Aalen & Johansen, An empirical transition matrix (1978).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal

Curve = tuple[tuple[int, int | None, int], ...]
"""(age in days, 1 won or 0 lost or None still open, how many rows)."""
_HALF = Decimal("0.5")


@dataclass(frozen=True, slots=True)
class _Step:
    """An age at which something ended, and the two chances from it on."""

    age: int
    won: Decimal
    still_open: Decimal


def _steps(curve: Iterable[tuple[int, int | None, int]]) -> Iterator[_Step]:
    won: Counter[int] = Counter()
    closed: Counter[int] = Counter()
    gone: Counter[int] = Counter()
    for age, outcome, count in curve:
        gone[age] += count
        if outcome is not None:
            closed[age] += count
            won[age] += count * outcome
    at_risk = sum(gone.values())
    chance, still_open = Decimal(0), Decimal(1)
    for age in sorted(gone):
        if closed[age]:
            chance += still_open * won[age] / at_risk
            still_open *= Decimal(at_risk - closed[age]) / at_risk
            yield _Step(age, chance, still_open)
        at_risk -= gone[age]


def by_age(curve: Curve, days: int) -> Decimal | None:
    """Return the chance of being won by an age, with losing as a competing end.

    None without rows, and when no row was watched that long and some are still open: what
    happens to them later is not known.
    """
    if not curve:
        return None
    result = _Step(0, Decimal(0), Decimal(1))
    for step in _steps(curve):
        if step.age > days:
            break
        result = step
    watched = max(age for age, _, _ in curve)
    return None if watched < days and result.still_open > 0 else result.won


def half_life(curve: Curve) -> Decimal | None:
    """Return the age by which half have closed, won or lost; None when half never did."""
    for step in _steps(curve):
        if step.still_open <= _HALF:
            return Decimal(step.age)
    return None
