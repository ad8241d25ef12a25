"""Pure scores of probabilities: log loss, calibration, ranking, and intervals over deals.

Every function takes plain arrays: ``y`` of 0 and 1, ``p`` strictly probabilities, ``weight`` the
worth of each row (1 when absent). ``cluster`` is the deal (or account) a row belongs to: rows
of one deal are not independent, so intervals resample whole clusters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
TINY = 1e-12
ECE_BINS = 15


def sigmoid(margin: Array) -> Array:
    """Return the probability of a log-odds margin, without overflow at either end."""
    half: Array = 0.5 * (1.0 + np.tanh(0.5 * np.asarray(margin, dtype=np.float64)))
    return half


def logit(p: Array) -> Array:
    """Return the log-odds of a probability, finite also at 0 and 1."""
    clipped = np.clip(np.asarray(p, dtype=np.float64), TINY, 1.0 - TINY)
    odds: Array = np.log(clipped) - np.log1p(-clipped)
    return odds


def row_log_loss(y: Array, p: Array) -> Array:
    """Return each row's −log likelihood; ``y`` may be a soft label between 0 and 1."""
    q = np.clip(p, TINY, 1.0 - TINY)
    loss: Array = -(y * np.log(q) + (1.0 - y) * np.log1p(-q))
    return loss


def _weights(y: Array, weight: Array | None) -> Array:
    return np.ones(len(y)) if weight is None else np.asarray(weight, dtype=np.float64)


def log_loss(y: Array, p: Array, weight: Array | None = None) -> float:
    """Return the weighted mean log loss in nats."""
    return float(np.average(row_log_loss(y, p), weights=_weights(y, weight)))


def brier(y: Array, p: Array, weight: Array | None = None) -> float:
    """Return the weighted mean squared error of the probability."""
    return float(np.average((p - y) ** 2, weights=_weights(y, weight)))


def auc(y: Array, p: Array, weight: Array | None = None) -> float | None:
    """Return the chance that a won row outranks a lost one (ties count half).

    None when all rows have the same outcome: there is nothing to rank.
    """
    w = _weights(y, weight)
    order = np.argsort(p, kind="stable")
    won, lost, score = (w * y)[order], (w * (1.0 - y))[order], p[order]
    total_won, total_lost = won.sum(), lost.sum()
    if total_won <= 0.0 or total_lost <= 0.0:
        return None
    starts = np.flatnonzero(np.concatenate(([True], score[1:] != score[:-1])))
    won_tied = np.add.reduceat(won, starts)
    lost_tied = np.add.reduceat(lost, starts)
    lost_below = np.cumsum(lost_tied) - lost_tied
    return float((won_tied * (lost_below + 0.5 * lost_tied)).sum() / (total_won * total_lost))


def auc_within(y: Array, p: Array, stage: Array, weight: Array | None = None) -> float | None:
    """Return the AUC among rows of the same stage, averaged by the number of pairs.

    A model that only knows the stage gets 0.5 here. None when no stage holds both outcomes.
    """
    w = _weights(y, weight)
    total = pairs = 0.0
    for value in np.unique(stage[~np.isnan(stage)]):
        rows = stage == value
        inside = auc(y[rows], p[rows], w[rows])
        if inside is not None:
            n = (w[rows] * y[rows]).sum() * (w[rows] * (1.0 - y[rows])).sum()
            total, pairs = total + n * inside, pairs + n
    return total / pairs if pairs else None


@dataclass(frozen=True, slots=True)
class Bin:
    """One row of a reliability table: promised against happened among similar scores."""

    n: int
    weight: float
    mean_p: float
    won_share: float


def _bins(p: Array, weight: Array, bins: int) -> NDArray[np.int64]:
    """Return each row's bin of equal weight, in order of ``p``."""
    order = np.argsort(p, kind="stable")
    middle = (np.cumsum(weight[order]) - 0.5 * weight[order]) / weight.sum()
    place = np.empty(len(p), np.int64)
    place[order] = np.minimum((middle * bins).astype(np.int64), bins - 1)
    return place


def reliability(
    y: Array, p: Array, weight: Array | None = None, *, bins: int = ECE_BINS
) -> tuple[Bin, ...]:
    """Return the reliability table over bins of equal weight, in order of ``p``.

    Rows with equal scores stay together in the earlier bin's order of the stable sort.
    """
    if len(y) == 0:
        return ()
    w = _weights(y, weight)
    place = _bins(p, w, bins)
    table = []
    for number in np.unique(place):
        rows = np.flatnonzero(place == number)
        mass = float(w[rows].sum())
        if mass > 0.0:
            table.append(
                Bin(
                    n=len(rows),
                    weight=mass,
                    mean_p=float(np.average(p[rows], weights=w[rows])),
                    won_share=float(np.average(y[rows], weights=w[rows])),
                )
            )
    return tuple(table)


def ece(y: Array, p: Array, weight: Array | None = None, *, bins: int = ECE_BINS) -> float:
    """Return the expected calibration error over bins of equal mass."""
    table = reliability(y, p, weight, bins=bins)
    mass = sum(row.weight for row in table)
    return sum(row.weight * abs(row.mean_p - row.won_share) for row in table) / mass


def chance_ece(
    p: Array, cluster: NDArray[Any], weight: Array | None = None, *, seed: int, draws: int = 200
) -> float:
    """Return the ECE that a perfectly calibrated model exceeds once in twenty on such rows.

    Outcomes are drawn from the model's own probabilities, one draw per cluster for all its
    rows: the fewer the deals, the more of a measured ECE is luck.
    """
    w = _weights(p, weight)
    codes = cluster_codes(cluster)
    place = _bins(p, w, ECE_BINS)
    promised = np.bincount(place, weights=w * p, minlength=ECE_BINS)
    random = np.random.default_rng(seed)
    errors = np.empty(draws)
    for draw in range(draws):
        luck = random.random(int(codes.max()) + 1)[codes]
        won = np.bincount(place, weights=w * (luck < p), minlength=ECE_BINS)
        errors[draw] = np.abs(promised - won).sum() / w.sum()
    return float(np.quantile(errors, 0.95))


def calibration_line(y: Array, p: Array, weight: Array | None = None) -> tuple[float, float]:
    """Return slope and intercept of the logistic regression of the outcome on logit(p).

    (1, 0) is perfect. A constant score has no slope: (1, shift of the mean) is returned. Newton
    with a prior worth a thousandth of a row keeps separable data finite.
    """
    w = _weights(y, weight)
    m = logit(p)
    if np.ptp(m) < 1e-9:
        mean = float(np.average(y, weights=w))
        return 1.0, float(logit(np.array([mean]))[0] - m[0])
    return affine_fit(m, y, w, prior_rows=1e-3)


def affine_fit(margin: Array, y: Array, weight: Array, *, prior_rows: float) -> tuple[float, float]:
    """Return (a, b) of ``a·margin + b``, the most likely given a prior at the identity.

    The prior weighs as much as ``prior_rows`` average rows would: its precision is their Fisher
    information. Few rows leave the margin alone, many overrule it (Platt's map, shrunk).
    """
    design = np.column_stack([margin, np.ones(len(margin))])
    start = np.array([1.0, 0.0])
    p = sigmoid(margin)
    information = (design * (weight * np.maximum(p * (1 - p), 1e-6))[:, None]).T @ design
    prior = information * (prior_rows / max(weight.sum(), TINY)) + 1e-9 * np.eye(2)
    theta = start.copy()

    def objective(t: Array) -> float:
        eta = design @ t
        fit = weight @ (np.logaddexp(0.0, eta) - y * eta)
        return float(fit + 0.5 * (t - start) @ prior @ (t - start))

    value = objective(theta)
    for _ in range(50):
        p = sigmoid(design @ theta)
        gradient = design.T @ (weight * (p - y)) + prior @ (theta - start)
        hessian = (design * (weight * p * (1 - p))[:, None]).T @ design + prior
        step, scale = np.linalg.solve(hessian, gradient), 1.0
        while (trial := objective(theta - scale * step)) > value and scale > 1e-6:
            scale *= 0.5
        moved = abs(value - trial)
        theta, value = theta - scale * step, trial
        if moved < 1e-12 * max(1.0, abs(value)):
            break
    return float(theta[0]), float(theta[1])


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its 95 % interval from resampling clusters."""

    value: float
    low: float
    high: float


def cluster_codes(cluster: NDArray[Any]) -> NDArray[np.int64]:
    """Return the clusters numbered 0, 1, … in sorted order."""
    codes: NDArray[np.int64] = np.unique(cluster, return_inverse=True)[1].astype(np.int64)
    return codes


def bootstrap_mean(
    value: Array, cluster: NDArray[Any], weight: Array | None = None, *, seed: int, draws: int = 500
) -> Interval:
    """Return the weighted mean of ``value`` with a percentile interval over resampled clusters.

    Whole clusters are drawn with replacement, so that ten rows of one deal count as one
    witness. With a paired difference as ``value`` this is the paired comparison of two models.
    """
    w = _weights(value, weight)
    codes = cluster_codes(cluster)
    n = int(codes.max()) + 1
    sums = np.bincount(codes, weights=w * value, minlength=n)
    masses = np.bincount(codes, weights=w, minlength=n)
    random = np.random.default_rng(seed)
    means = np.empty(draws)
    for draw in range(draws):
        picks = random.integers(0, n, size=n)
        means[draw] = sums[picks].sum() / max(masses[picks].sum(), TINY)
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(float(sums.sum() / masses.sum()), float(low), float(high))


def bootstrap_auc(
    y: Array, p: Array, cluster: NDArray[Any], weight: Array | None = None, *, seed: int,
    draws: int = 200,
) -> Interval | None:  # fmt: skip
    """Return the AUC with a percentile interval over resampled clusters, None without both."""
    value = auc(y, p, weight)
    if value is None:
        return None
    w = _weights(y, weight)
    codes = cluster_codes(cluster)
    n = int(codes.max()) + 1
    random = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        times = np.bincount(random.integers(0, n, size=n), minlength=n)[codes]
        drawn = auc(y, p, w * times)
        if drawn is not None:
            found.append(drawn)
    low, high = np.quantile(found, [0.025, 0.975])
    return Interval(value, float(low), float(high))


def standard_error(value: Array, cluster: NDArray[Any], weight: Array | None = None) -> float:
    """Return the standard error of a weighted mean whose rows come in clusters."""
    w = _weights(value, weight)
    codes = cluster_codes(cluster)
    mean = np.average(value, weights=w)
    sums = np.bincount(codes, weights=w * (value - mean))
    n = len(sums)
    if n < 2:
        return math.inf
    return float(math.sqrt(n / (n - 1) * (sums**2).sum()) / w.sum())


@dataclass(frozen=True, slots=True)
class Tried:
    """How the best candidate of a family did on the selection folds, before calibration."""

    log_loss: float
    ece: float
    auc: float | None


@dataclass(frozen=True, slots=True)
class Scores:
    """What a set of probabilities achieved on later time.

    ``ece_by_chance`` is what a perfectly calibrated model would exceed once in twenty here.
    """

    rows: int
    deals: int
    won_share: float
    log_loss: Interval
    brier: float
    ece: float
    ece_by_chance: float
    slope: float
    intercept: float
    auc: Interval | None
    auc_within_stage: float | None
    reliability: tuple[Bin, ...]


def judge(
    y: Array,
    p: Array,
    *,
    deal: NDArray[Any],
    weight: Array | None = None,
    stage: Array | None = None,
    seed: int = 0,
) -> Scores:
    """Return every score of ``p`` against ``y``, with intervals over deals."""
    slope, intercept = calibration_line(y, p, weight)
    return Scores(
        rows=len(y),
        deals=len(np.unique(deal)),
        won_share=float(np.average(y, weights=_weights(y, weight))),
        log_loss=bootstrap_mean(row_log_loss(y, p), deal, weight, seed=seed),
        brier=brier(y, p, weight),
        ece=ece(y, p, weight),
        ece_by_chance=chance_ece(p, deal, weight, seed=seed),
        slope=slope,
        intercept=intercept,
        auc=bootstrap_auc(y, p, deal, weight, seed=seed),
        auc_within_stage=None if stage is None else auc_within(y, p, stage, weight),
        reliability=reliability(y, p, weight),
    )
