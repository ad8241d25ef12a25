"""From contributions that add up to reasons in words; the only door to SHAP.

A served score is ``base + sum of group contributions`` in log-odds, exactly. This module checks
that, turns log-odds into probability points that add up too, and says the largest contributions
in a sentence that carries facts of the deal. A contribution is an association that the model
found in past deals; no word here calls it more than that.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features import definitions
from features.feature import Language, OwnField

LANGUAGES: tuple[Language, Language] = ("en", "zh")
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


REST_NAME = Words("Everything else", "其他因素")
GROUP_NAMES: Mapping[str, Words] = {
    group.name: Words(group.en, group.zh) for group in definitions.GROUPS
}


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


def effects(*, base_value: float, contributions: Mapping[str, float]) -> tuple[Effect, ...]:
    """Return the chart's bars: groups of at least 0.15 log-odds, largest first, then the rest.

    The bars' points sum to the served probability less the base's, within 1e-9.
    """
    shown = sorted(
        (name for name, value in contributions.items() if abs(value) >= SHOWN_LOG_ODDS),
        key=lambda name: (-abs(contributions[name]), name),
    )
    hidden = [value for name, value in contributions.items() if name not in shown]
    values = [contributions[name] for name in shown]
    labels = [(name, GROUP_NAMES.get(name, Words(name, name))) for name in shown]
    if hidden:
        values.append(math.fsum(hidden))
        labels.append((REST, REST_NAME))
    points = probability_points(base_value=base_value, contributions=values)
    return tuple(
        Effect(group, name, value, point)
        for (group, name), value, point in zip(labels, values, points, strict=True)
    )


def reasons(
    *,
    by_group: Mapping[str, float],
    by_feature: Mapping[str, float],
    groups: Mapping[str, str],
    values: Mapping[str, float],
    categories: Mapping[str, str],
    own: Mapping[str, OwnField] | None = None,
) -> tuple[Reason, ...]:
    """Return at most three reasons in the score's direction and one against it, largest first.

    A group speaks when it moves the score by 0.15 log-odds or more. Its sentence states a fact
    of the deal (``values``; ``categories`` names the coded ones, ``own`` describes the company's
    own fields): that of the feature which weighs most among those of the group (``groups``) that
    lean its way and have words. Groups without any such fact stay bars of the chart.
    """
    silent = {group: weight for group, weight in by_group.items() if abs(weight) >= SHOWN_LOG_ODDS}
    said = []
    for name in sorted(by_feature, key=lambda each: (-abs(by_feature[each]), each)):
        if not silent:
            break
        weight = silent.get(groups.get(name, ""), 0.0)
        if weight * by_feature[name] <= 0:
            continue
        sentence = _sentence(name, values[name], categories.get(name), own, rises=weight > 0)
        if sentence is not None:
            value = None if math.isnan(values[name]) else values[name]
            facts = {"feature": name, "value": value, "category": categories.get(name)}
            said.append(Reason(groups[name], weight > 0, weight, sentence, facts))
            del silent[groups[name]]
    said.sort(key=lambda reason: (-abs(reason.contribution), reason.group))
    rises = math.fsum(by_group.values()) >= 0
    along = [reason for reason in said if reason.supports == rises][:MOST_REASONS]
    against = [reason for reason in said if reason.supports != rises][:1]
    return (*along, *against)


def _sentence(
    name: str,
    value: float,
    category: str | None,
    own: Mapping[str, OwnField] | None,
    *,
    rises: bool,
) -> Words | None:
    """Return the fact in words; None where there are none for it."""
    try:
        feature = definitions.feature(name, own)
    except definitions.UnknownFeature:
        return None  # of a model trained by another version of the program
    if feature.is_category and category is None:
        return None  # a number that stands for an unknown name says nothing to a person
    english, chinese = (
        feature.reason(value, language, rises=rises, category=category) for language in LANGUAGES
    )
    return Words(english, chinese) if english and chinese else None


def tree_contributions(booster: Any, rows: NDArray[np.float64]) -> NDArray[np.float64]:  # noqa: ANN401 - LightGBM has no types
    """Return what SHAP's TreeExplainer finds: rows x features in log-odds, the base value last.

    The independent twin of the contributions that are served.
    """
    import shap  # noqa: PLC0415 - slow to import; never on a request path

    explainer = shap.TreeExplainer(booster, feature_perturbation="tree_path_dependent")
    with warnings.catch_warnings():
        # shap announces a change of years ago: one array, or one per class
        warnings.filterwarnings("ignore", message="LightGBM binary classifier")
        found = np.asarray(explainer.shap_values(rows), dtype=np.float64)
    if found.ndim == 3:
        found = found[-1]
    base = np.full((len(rows), 1), np.ravel(explainer.expected_value)[-1])
    return np.hstack([found, base])


def draw_beeswarm(
    *,
    contributions: NDArray[np.float64],
    rows: NDArray[np.float64],
    names: Sequence[str],
    path: Path,
) -> None:
    """Draw the contributions of a cohort of deals, one dot per deal and feature, as a picture."""
    import matplotlib as mpl  # noqa: PLC0415 - plots only; never on a request path

    mpl.use("Agg")
    import shap  # noqa: PLC0415 - slow to import; never on a request path
    from matplotlib import pyplot as plt  # noqa: PLC0415 - plots only

    explained = shap.Explanation(values=contributions, data=rows, feature_names=list(names))
    figure = plt.figure()
    try:
        shap.plots.beeswarm(explained, show=False)
        plt.gcf().savefig(path, bbox_inches="tight", dpi=120)
    finally:
        plt.close(figure)
