"""May a challenger serve? Every rule, on the same later rows for challenger and champion."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.bundle import Bundle
from training.datasets import days
from training.evaluation import (
    Interval,
    auc,
    bootstrap_mean,
    calibration_line,
    chance_ece,
    cluster_codes,
    ece,
    row_log_loss,
)
from training.leakage import MODEL_LIMIT
from training.parts import Array
from training.windows import LaterWindow

LARGEST_ECE = 0.03
SLOPES = (0.9, 1.1)
WORST_LOSS_OF_A_REFIT = 0.002
WORST_ECE_OF_A_REFIT = 0.005
FEWEST_DEALS_TO_COMPARE = 100
DRAWS = 200


@dataclass(frozen=True, slots=True)
class Decision:
    """``refusals`` are the sentences that stand against it, ``notes`` what else to know.

    ``difference`` is its log loss less the champion's on later rows that the champion had not
    seen (below 0: better), None where the two cannot be compared.
    """

    refusals: tuple[str, ...]
    notes: tuple[str, ...]
    difference: Interval | None = None

    @property
    def is_allowed(self) -> bool:
        """Whether nothing stands against it."""
        return not self.refusals


def decide(
    challenger: Bundle,
    report: dict[str, Any],
    window: LaterWindow | None,
    *,
    champion: Bundle | None,
    seed: int = 0,
) -> Decision:
    """Return whether the challenger may replace the champion, and why not.

    ``report`` is the challenger's :class:`training.reports.TrainingReport` in JSON.
    """
    refusals = [str(sentence) for sentence in report["suspected_leakage"]]
    notes: list[str] = []
    difference = None
    if window is not None:
        challenger.score(window.X)  # raises if any explanation does not add up
    if challenger.kind == "model" and window is not None:
        refusals += _against_base_rate(report)
        refusals += _calibration(window, seed=seed)
        refusals += _too_good(window)
    elif champion is not None and champion.kind == "model":
        refusals += _instead_of_a_model(challenger, window, champion, seed=seed)
    else:
        notes.append(f"Verdict: {report['verdict']}; it is served as {challenger.kind}.")
    if champion is not None and challenger.kind == champion.kind == "model" and window is not None:
        against, said, difference = _against_champion(window, champion, seed=seed)
        refusals += against
        notes += said
    return Decision(tuple(dict.fromkeys(refusals)), tuple(notes), difference)


def _against_base_rate(report: dict[str, Any]) -> list[str]:
    gain = report["gain"]
    if gain is not None and gain["high"] < 0.0:
        return []
    return ["It is not better than the base rate beyond noise on later time."]


def _calibration(window: LaterWindow, *, seed: int) -> list[str]:
    found = []
    error = ece(window.y, window.p, window.weight)
    chance = chance_ece(window.p, window.deal, window.weight, seed=seed)
    if error > LARGEST_ECE + chance:
        found.append(
            f"It is not calibrated: ECE {error:.3f} on later time, allowed {LARGEST_ECE} "
            f"and {chance:.3f} for chance."
        )
    slope = _slope(window, seed=seed)
    if slope.low > SLOPES[1] or slope.high < SLOPES[0]:
        found.append(
            f"It is {'too timid' if slope.value > 1 else 'too sure'}: calibration slope "
            f"{slope.value:.2f} [{slope.low:.2f}, {slope.high:.2f}] misses "
            f"{SLOPES[0]} to {SLOPES[1]}."
        )
    return found


def _slope(window: LaterWindow, *, seed: int) -> Interval:
    codes = cluster_codes(window.deal)
    number = int(codes.max()) + 1
    random = np.random.default_rng(seed)
    slopes = []
    for _ in range(DRAWS):
        times = np.bincount(random.integers(0, number, size=number), minlength=number)[codes]
        slopes.append(calibration_line(window.y, window.p, window.weight * times)[0])
    low, high = np.quantile(slopes, [0.025, 0.975])
    value = calibration_line(window.y, window.p, window.weight)[0]
    return Interval(value, float(low), float(high))


def _too_good(window: LaterWindow) -> list[str]:
    found = auc(window.y, window.p, window.weight)
    if found is not None and found >= MODEL_LIMIT:
        return [f"It is too good to be true: AUC {found:.3f} on later time; look for leakage."]
    return []


def _rows_unseen_by(
    window: LaterWindow, champion: Bundle
) -> tuple[NDArray[np.bool_], Array | None]:
    """Return the later rows after the champion's cut and its probabilities there.

    None when it cannot be asked: too few such deals, or a feature that no longer exists.
    """
    unseen = window.as_of >= days(dt.datetime.fromisoformat(champion.as_of))
    outcomes = window.y[unseen]
    deals = len(np.unique(window.deal[unseen]))
    places = {name: position for position, name in enumerate(window.features)}
    enough = deals >= FEWEST_DEALS_TO_COMPARE and 0.0 < outcomes.mean() < 1.0
    if not enough or any(name not in places for name in champion.features):
        return unseen, None
    columns = [places[name] for name in champion.features]
    return unseen, champion.score(window.X[unseen][:, columns]).p


def _against_champion(
    window: LaterWindow, champion: Bundle, *, seed: int
) -> tuple[list[str], list[str], Interval | None]:
    unseen, served = _rows_unseen_by(window, champion)
    if served is None:
        note = (
            f"Not compared with version {champion.version}: too few later deals that it had not "
            "seen, or its features have changed. It passes as a refit."
        )
        return [], [note], None
    y, weight, deal = window.y[unseen], window.weight[unseen], window.deal[unseen]
    ours = window.p[unseen]
    difference = row_log_loss(y, ours) - row_log_loss(y, served)
    worse = bootstrap_mean(difference, deal, weight, seed=seed)
    refusals = []
    if worse.high > WORST_LOSS_OF_A_REFIT and worse.value > 0.0:
        refusals.append(
            f"It is not as good as version {champion.version}: log loss {worse.value:+.4f} "
            f"[{worse.low:+.4f}, {worse.high:+.4f}] on the same later rows."
        )
    more = ece(y, ours, weight) - ece(y, served, weight)
    if more > WORST_ECE_OF_A_REFIT and ece(y, ours, weight) > LARGEST_ECE:
        refusals.append(f"It is worse calibrated than version {champion.version}: ECE {more:+.3f}.")
    note = (
        f"Against version {champion.version}: log loss {worse.value:+.4f} "
        f"[{worse.low:+.4f}, {worse.high:+.4f}] on {int(unseen.sum())} later rows."
    )
    return refusals, [note], worse


def _instead_of_a_model(
    challenger: Bundle, window: LaterWindow | None, champion: Bundle, *, seed: int
) -> list[str]:
    """Return why a base rate or an abstention may not replace a model that still works."""
    kept = [
        f"It serves {challenger.kind} and would replace a model (version {champion.version}) "
        "that is not shown to be worse; use force to retire that model."
    ]
    if window is None:
        return kept
    unseen, served = _rows_unseen_by(window, champion)
    if served is None:
        return kept
    y = window.y[unseen]
    difference = row_log_loss(y, served) - row_log_loss(y, window.p_base[unseen])
    worse = bootstrap_mean(difference, window.deal[unseen], window.weight[unseen], seed=seed)
    return [] if worse.low > 0.0 else kept
