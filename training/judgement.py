"""Is the chosen model better than the base rate? Asked of later time only, fold after fold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training import calibration
from training.evaluation import (
    Interval,
    bootstrap_auc,
    bootstrap_mean,
    row_log_loss,
    sigmoid,
)
from training.parts import Array

Line = tuple[float, float]
IDENTITY: Line = (1.0, 0.0)
Fit = Callable[[Array, Array, Array, NDArray[np.int64]], Line]


@dataclass(frozen=True, slots=True)
class OutOfTime:
    """The later rows of one fold: what was predicted before, what happened after."""

    margin: Array
    base: Array
    y: Array
    weight: Array
    deal: NDArray[np.int64]


def joined(folds: list[OutOfTime]) -> OutOfTime:
    """Return the rows of all folds one after another."""
    return OutOfTime(
        margin=np.concatenate([fold.margin for fold in folds]),
        base=np.concatenate([fold.base for fold in folds]),
        y=np.concatenate([fold.y for fold in folds]),
        weight=np.concatenate([fold.weight for fold in folds]),
        deal=np.concatenate([fold.deal for fold in folds]),
    )


@dataclass(frozen=True, slots=True)
class Calibrated:
    """Margins of each fold mapped by what the folds before it taught, and the map for later.

    The map is the identity unless it helped on every fold that could be asked: a map that
    mends one month and spoils the next has learnt the month.
    """

    margins: list[Array]
    line: Line


def calibrate(folds: list[OutOfTime], margins: list[Array], fit: Fit) -> Calibrated:
    """Return the sequentially calibrated margins; no fold's outcome maps its own margins."""
    mapped = [margins[0]]
    helped: list[bool] = []
    for k in range(1, len(folds)):
        a, b = _fit(folds[:k], margins[:k], fit)
        candidate = a * margins[k] + b
        trusted = bool(helped) and all(helped)
        mapped.append(candidate if trusted else margins[k])
        raw = row_log_loss(folds[k].y, sigmoid(margins[k]))
        new = row_log_loss(folds[k].y, sigmoid(candidate))
        helped.append(float(folds[k].weight @ (raw - new)) > 0.0)
    line = _fit(folds, margins, fit) if helped and all(helped) else IDENTITY
    return Calibrated(margins=mapped, line=line)


def _fit(folds: list[OutOfTime], margins: list[Array], fit: Fit) -> Line:
    rows = joined(folds)
    return fit(np.concatenate(margins), rows.y, rows.weight, rows.deal)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The comparison with the base rate over all folds.

    ``gain`` is the log loss minus the base rate's (below 0: better), ``ranking`` the model's
    AUC within each fold's time. Better means both beyond noise, and better in the last fold.
    """

    model: Calibrated
    base: Calibrated
    gain: Interval
    ranking: Interval | None
    better: bool


def compare(folds: list[OutOfTime], *, seed: int) -> Verdict:
    """Return whether the model beats the base rate, both calibrated as they would be served.

    A model whose only merit is a luckier level ranks nothing: that is the base rate's work.
    """
    model = calibrate(folds, [fold.margin for fold in folds], calibration.fit)
    base = calibrate(folds, [fold.base for fold in folds], calibration.fit_shift)
    rows = joined(folds)
    difference = row_log_loss(rows.y, sigmoid(np.concatenate(model.margins))) - row_log_loss(
        rows.y, sigmoid(np.concatenate(base.margins))
    )
    gain = bootstrap_mean(difference, rows.deal, rows.weight, seed=seed)
    centred = np.concatenate(
        [fold.margin - np.average(fold.margin, weights=fold.weight) for fold in folds]
    )
    ranking = bootstrap_auc(rows.y, centred, rows.deal, rows.weight, seed=seed)
    late = len(folds[-1].y)
    better_later = float(rows.weight[-late:] @ difference[-late:]) < 0.0
    ranks = ranking is not None and ranking.low > 0.5
    return Verdict(
        model=model,
        base=base,
        gain=gain,
        ranking=ranking,
        better=gain.high < 0.0 and better_later and ranks,
    )
