"""Which actions are shown, in which order, and with which chance. Pure and reproducible.

Score = expected lift × amount in the company's currency - cost of the effort. A deal's list is
drawn position by position from the five best: by a Boltzmann distribution mixed with a floor, so
that every one of them can be shown and later evaluation has overlap. The draw is seeded by the
deal and the day; the chance an action had of standing at its rank is exact, not estimated.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from crm_core.money import Money, apply_rate, from_major

Arm = Literal["advice", "playbook_only", "holdout"]

POOL = 5
SHOWN = 3
FLOOR = 0.05
TEMPERATURE = 0.25
URGENCY_WEIGHT = 0.5
PENALTY = 0.3
HOLDOUT_SHARE = 0.10
PLAYBOOK_SHARE = 0.05
REPEAT_DAYS = 14
COOL_DOWN_DAYS = 21

HOUR_COSTS: Mapping[str, Decimal] = {
    "USD": Decimal(60),
    "EUR": Decimal(55),
    "GBP": Decimal(48),
    "CHF": Decimal(75),
    "CNY": Decimal(160),
    "JPY": Decimal(4500),
}
"""What an hour of a rep costs, in major units: stated assumptions, not measured. A currency that
is not here makes the effort free: no cost is guessed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An action that applies to a deal, with what it is expected to be worth.

    ``value`` is lift × amount and ``score`` that less the cost of the effort, in minor units of
    the company's currency; both None when the deal's amount is not known there.
    """

    action: str
    family: str
    urgency: float
    lift: float
    value: int | None
    cost: int
    score: int | None

    @property
    def is_worth_it(self) -> bool:
        """Whether the effort is expected to pay, as far as the amount is known."""
        return self.score is None or self.score > 0


def candidate(
    *,
    action: str,
    family: str,
    urgency: float,
    lift: float,
    effort_minutes: int,
    amount: Money | None,
    currency: str,
) -> Candidate:
    """Return the candidate with its value, cost and score."""
    hour = HOUR_COSTS.get(currency, Decimal(0))
    cost = from_major(hour * effort_minutes / 60, currency).minor
    value = None if amount is None else apply_rate(amount, Decimal(str(lift))).minor
    score = None if value is None else value - cost
    return Candidate(
        action=action,
        family=family,
        urgency=urgency,
        lift=lift,
        value=value,
        cost=cost,
        score=score,
    )


def utilities(candidates: Sequence[Candidate]) -> dict[str, float]:
    """Return what a deal's candidates are ordered by: score on a common scale, and urgency.

    Scores are divided by the largest in size, so that a temperature means the same for small and
    large deals. Without an amount the effort alone counts. Urgency is the playbook's own order
    among actions of like value.
    """
    scores = {c.action: float(-c.cost if c.score is None else c.score) for c in candidates}
    scale = max((abs(score) for score in scores.values()), default=0.0) or 1.0
    return {c.action: scores[c.action] / scale + URGENCY_WEIGHT * c.urgency for c in candidates}


def pool(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates that may be drawn: worth their effort, the best five, best first."""
    worthy = [c for c in candidates if c.is_worth_it]
    order = utilities(worthy)
    return sorted(worthy, key=lambda c: (-order[c.action], c.action))[:POOL]


def chances(
    left: Sequence[Candidate], chosen: Sequence[Candidate], order: Mapping[str, float]
) -> list[float]:
    """Return the chance of each action that is left to stand at the next position.

    An action of a family that already stands in the list is penalised. Each chance is at least
    :data:`FLOOR`; they sum to one.
    """
    families = {c.family for c in chosen}
    adjusted = [order[c.action] - (PENALTY if c.family in families else 0.0) for c in left]
    highest = max(adjusted)
    weights = [math.exp((utility - highest) / TEMPERATURE) for utility in adjusted]
    free = 1.0 - FLOOR * len(left)
    return [FLOOR + free * weight / sum(weights) for weight in weights]


def draw(candidates: Sequence[Candidate], *, seed: int, shown: int = SHOWN) -> list[Candidate]:
    """Return the list that the seed draws: at most ``shown`` actions, in their order."""
    chance = random.Random(seed)  # noqa: S311 - reproducible on purpose, protects nothing
    left = pool(candidates)
    order = utilities(left)
    chosen: list[Candidate] = []
    while left and len(chosen) < shown:
        (picked,) = chance.choices(left, weights=chances(left, chosen, order))
        chosen.append(picked)
        left.remove(picked)
    return chosen


def propensities(
    candidates: Sequence[Candidate], *, shown: int = SHOWN
) -> dict[str, tuple[float, ...]]:
    """Return, by action of the pool, the exact chance of standing at each position.

    Summed over every list that could have been drawn (at most 60), so that the chances at one
    position sum to one.
    """
    drawable = pool(candidates)
    positions = min(shown, len(drawable))
    found = {c.action: [0.0] * positions for c in drawable}
    order = utilities(drawable)
    for sequence, probability in _sequences(drawable, [], order, positions, 1.0):
        for position, picked in enumerate(sequence):
            found[picked.action][position] += probability
    return {action: tuple(values) for action, values in found.items()}


def _sequences(
    left: list[Candidate],
    chosen: list[Candidate],
    order: Mapping[str, float],
    positions: int,
    probability: float,
) -> Iterator[tuple[list[Candidate], float]]:
    if len(chosen) == positions:
        yield chosen, probability
        return
    for picked, chance in zip(left, chances(left, chosen, order), strict=True):
        rest = [c for c in left if c is not picked]
        yield from _sequences(rest, [*chosen, picked], order, positions, probability * chance)


def fixed(candidates: Sequence[Candidate], *, shown: int = SHOWN) -> list[Candidate]:
    """Return the list without exploration: at each position the action of the highest chance."""
    left = pool(candidates)
    order = utilities(left)
    chosen: list[Candidate] = []
    while left and len(chosen) < shown:
        odds = chances(left, chosen, order)
        best = max(range(len(left)), key=lambda i: (odds[i], -i))
        chosen.append(left.pop(best))
    return chosen


def seed(opportunity_id: str, day: dt.date) -> int:
    """Return the seed of a deal's draw on a day."""
    return _hash(f"draw {opportunity_id} {day.isoformat()}")


def arm(account_key: str) -> Arm:
    """Return an account's arm, for good: 10 % no advice, 5 % the fixed order, else advice."""
    share = _hash(f"arm {account_key}") / 2**64
    if share < HOLDOUT_SHARE:
        return "holdout"
    return "playbook_only" if share < HOLDOUT_SHARE + PLAYBOOK_SHARE else "advice"


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """An action that was shown for the deal before, and the latest response to it."""

    action: str
    day: dt.date
    anchor: str
    response: str | None
    responded_on: dt.date | None
    snoozed_until: dt.datetime | None


Standing = Literal["new", "carried", "blocked"]


def standing(past: Sequence[Past], *, anchor: str, day: dt.date, as_of: dt.datetime) -> Standing:
    """Return whether an action that applies may be recommended, is still standing, or may not.

    ``past`` are the earlier recommendations of the same action for the same deal. An unanswered
    one stays for 14 days and is no new recommendation; the same action is recommended at most
    once in 14 days, not within 21 days of a dismissal, not before a snooze ends, and not again
    after "done" while the situation is the same.
    """
    if not past:
        return "new"
    if any(_refuses(each, anchor=anchor, day=day, as_of=as_of) for each in past):
        return "blocked"
    last = max(past, key=lambda each: each.day)
    if (day - last.day).days >= REPEAT_DAYS:
        return "new"
    return "blocked" if last.response in ("done", "dismissed") else "carried"


def _refuses(past: Past, *, anchor: str, day: dt.date, as_of: dt.datetime) -> bool:
    if past.response == "done":
        return past.anchor == anchor
    if past.response == "dismissed" and past.responded_on is not None:
        return (day - past.responded_on).days < COOL_DOWN_DAYS
    return past.snoozed_until is not None and past.snoozed_until > as_of


@dataclass(frozen=True, slots=True, kw_only=True)
class DealOption:
    """A deal's best action, for choosing what a person's day begins with."""

    opportunity_id: str
    account_id: str | None
    action: str
    family: str
    utility: float


def of_the_day(options: Sequence[DealOption], *, shown: int = SHOWN) -> list[str]:
    """Return the deals that a person's day begins with, at most three.

    Greedy with a penalty of 0.3 (of the largest utility) for an action of the same family and
    0.3 for the same account. It looks only at what applies, never at what was drawn, so each
    deal's first action keeps the chance it was drawn with.
    """
    scale = max((abs(option.utility) for option in options), default=0.0) or 1.0
    left = sorted(options, key=lambda o: (-o.utility, o.opportunity_id))
    chosen: list[DealOption] = []
    while left and len(chosen) < shown:
        families = {o.family for o in chosen}
        accounts = {o.account_id for o in chosen if o.account_id}

        def worth(option: DealOption) -> float:
            penalties = (option.family in families) + (option.account_id in accounts)  # noqa: B023 - used at once
            return option.utility / scale - PENALTY * penalties

        best = max(left, key=worth)
        chosen.append(best)
        left.remove(best)
    return [option.opportunity_id for option in chosen]
