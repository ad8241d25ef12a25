"""From contributions that add up to reasons in words; the only door to SHAP.

A served score is ``base + sum of group contributions`` in log-odds, exactly. This module checks
that, turns log-odds into probability points that add up too, and says the largest contributions
in a sentence that carries facts of the deal. A contribution is an association that the model
found in past deals; no word here calls it more than that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SHOWN_LOG_ODDS = 0.15
MOST_REASONS = 3
TOLERANCE = 1e-6
REST = "rest"


class DoesNotAddUp(AssertionError):
    """An explanation does not sum to the score it explains: a bug, never shown to a user."""


@dataclass(frozen=True, slots=True)
class Words:
    """One text in the two languages of the product."""

    en: str
    zh: str

    def text(self, locale: str) -> str:
        """Return the text for a locale; anything that is not Chinese reads English."""
        return self.zh if locale.lower().startswith("zh") else self.en


REST_NAME = Words("everything else", "其他因素")


@dataclass(frozen=True, slots=True)
class Effect:
    """One bar of the chart: a group's share of the score against the average deal's.

    ``contribution`` is in log-odds, ``points`` in probability (0.11 = eleven points).
    """

    group: str
    name: Words
    contribution: float
    points: float


@dataclass(frozen=True, slots=True)
class Reason:
    """One group's sentence; ``supports`` is true when it goes with a higher probability."""

    group: str
    supports: bool
    contribution: float
    sentence: Words
    facts: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Return what is stored beside the prediction."""
        return {
            "group": self.group,
            "supports": self.supports,
            "contribution": self.contribution,
            "en": self.sentence.en,
            "zh": self.sentence.zh,
            "facts": dict(self.facts),
        }


def sigmoid(log_odds: float) -> float:
    """Return the probability of log-odds, without overflow at either end."""
    if log_odds >= 0:
        return 1 / (1 + math.exp(-log_odds))
    odds = math.exp(log_odds)
    return odds / (1 + odds)


def check_sum(*, base_value: float, contributions: Mapping[str, float], margin: float) -> None:
    """Raise DoesNotAddUp unless base + contributions is the served log-odds within 1e-6."""
    total = math.fsum([base_value, *contributions.values()])
    if not abs(total - margin) <= TOLERANCE:  # a NaN must fail too
        raise DoesNotAddUp(f"the explanation sums to {total!r}, the served log-odds is {margin!r}")


def probability_points(*, base_value: float, contributions: Sequence[float]) -> tuple[float, ...]:
    """Return each contribution in probability, exactly additive whatever their order.

    The integrated gradient along the straight line from the base to the score in log-odds:
    ``dp_i = phi_i (sigma(l) - sigma(l0)) / (l - l0)``; when the score is at the base the secant
    becomes the tangent ``sigma'(l0)``.
    """
    total = math.fsum(contributions)
    start = sigmoid(base_value)
    if abs(total) < 1e-9:
        slope = start * (1 - start)
    else:
        slope = (sigmoid(base_value + total) - start) / total
    return tuple(slope * contribution for contribution in contributions)


def effects(
    *, base_value: float, contributions: Mapping[str, float], names: Mapping[str, Words]
) -> tuple[Effect, ...]:
    """Return the chart's bars: groups of at least 0.15 log-odds, largest first, then the rest.

    The bars' points sum to the served probability less the base's, within 1e-9.
    """
    shown = sorted(
        (name for name, value in contributions.items() if abs(value) >= SHOWN_LOG_ODDS),
        key=lambda name: (-abs(contributions[name]), name),
    )
    hidden = [value for name, value in contributions.items() if name not in shown]
    values = [contributions[name] for name in shown]
    labels = [(name, names.get(name, Words(name, name))) for name in shown]
    if hidden:
        values.append(math.fsum(hidden))
        labels.append((REST, REST_NAME))
    points = probability_points(base_value=base_value, contributions=values)
    return tuple(
        Effect(group, name, value, point)
        for (group, name), value, point in zip(labels, values, points, strict=True)
    )
