"""Fitting the parts of a win-rate margin: encoder, ridge logistic, shallow trees, shrunk table.

Labels may be soft (between 0 and 1): a deal still open at the cut carries the probability its
teacher gave it (see ``censoring``). Everything is deterministic for a seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from training.evaluation import logit, sigmoid
from training.parts import Array, Encoder, LinearPart, TablePart, TreePart

CLIP = 4.0
ENCODER_PRIOR_DEALS = 30.0
ENCODER_FOLDS = 5


@dataclass(frozen=True, slots=True)
class TreeSettings:
    """The shape of the boosted trees; the defaults are the small model that rarely embarrasses."""

    trees: int = 150
    leaves: int = 7
    depth: int = 4
    rate: float = 0.05
    smallest_leaf: float = 50.0
    l2: float = 5.0
    columns: float = 0.6


def fit_encoder(
    X: Array, y: Array, weight: Array, deal: NDArray[np.int64], categorical: Sequence[int]
) -> tuple[Encoder, Array]:
    """Return the encoder and ``X`` encoded for training.

    A training row's own deal never speaks for it: rows are encoded by tables fitted without
    their fifth of the deals; otherwise the model would trust a rare category far too much.
    """
    whole = _encoder(X, y, weight, deal, categorical)
    if not categorical:
        return whole, X
    encoded = X.copy()
    # the golden ratio's fraction spreads consecutive deal numbers over the folds
    fold = ((deal * 0.6180339887498949) % 1.0 * ENCODER_FOLDS).astype(np.int64)
    for number in range(ENCODER_FOLDS):
        inside = fold == number
        rest = ~inside
        if inside.any() and rest.any():
            other = _encoder(X[rest], y[rest], weight[rest], deal[rest], categorical)
            encoded[inside] = other.transform(X[inside])
    return whole, encoded


def _encoder(
    X: Array, y: Array, weight: Array, deal: NDArray[np.int64], categorical: Sequence[int]
) -> Encoder:
    mean = float(np.average(y, weights=weight)) if weight.sum() > 0 else 0.5
    rows_per_deal = weight.sum() / max(len(np.unique(deal)), 1)
    prior = ENCODER_PRIOR_DEALS * max(rows_per_deal, 1e-9)
    tables = {}
    for column in categorical:
        known = ~np.isnan(X[:, column])
        codes, place = np.unique(X[known, column], return_inverse=True)
        mass = np.bincount(place, weights=weight[known], minlength=len(codes))
        won = np.bincount(place, weights=(weight * y)[known], minlength=len(codes))
        tables[column] = (codes, logit((won + prior * mean) / (mass + prior)))
    return Encoder(tables=tables, overall=float(logit(np.array([mean]))[0]))


def scaling(X: Array) -> LinearPart:
    """Return a linear part with its scaling learnt from ``X`` and all coefficients zero."""
    filled = ~np.isnan(X)
    some = filled.any(axis=0)
    safe = np.where(some, X, 0.0)
    low, centre, high = np.nanquantile(safe, [0.1, 0.5, 0.9], axis=0)
    extent = np.nanmax(safe, axis=0) - np.nanmin(safe, axis=0)
    spread = np.where(high > low, (high - low) / 2.0, np.where(extent > 0, extent, 1.0))
    u = (safe - centre) / spread
    bends = np.nanmax(np.abs(u), axis=0) > 5.0
    bent = np.where(bends, np.arcsinh(u), u)
    mean = np.nanmean(bent, axis=0)
    deviation = np.nanstd(bent, axis=0)
    width = X.shape[1]
    return LinearPart(
        centre=centre,
        spread=spread,
        bends=bends,
        mean=mean,
        deviation=np.where(deviation > 1e-9, deviation, 1.0),
        coefficient=np.zeros(width),
        gap=np.zeros(width),
        gap_share=1.0 - filled.mean(axis=0),
        intercept=0.0,
        clip=CLIP,
    )


def fit_linear(
    X: Array, y: Array, weight: Array, *, ridge: float, monotone: Mapping[int, int]
) -> LinearPart:
    """Return the ridge logistic regression; ``ridge`` is the prior's worth in rows per feature.

    A coefficient whose sign contradicts the declared direction of its feature is set to zero
    and the rest refitted: no reason shown to a person may say the opposite of what is known.
    """
    part = scaling(X)
    z, missing = part.standardise(X)
    gaps = np.flatnonzero((part.gap_share > 0.005) & (part.gap_share < 0.995))
    constant = np.flatnonzero(np.ptp(z, axis=0) == 0.0)
    design = np.column_stack([z, missing[:, gaps] - part.gap_share[gaps], np.ones(len(z))])
    width = X.shape[1]
    free = np.ones(design.shape[1], dtype=np.bool_)
    free[constant] = False
    theta = np.zeros(design.shape[1])
    for _ in range(5):
        theta = _newton(design, y, weight, ridge, free, theta)
        wrong = [c for c, sign in monotone.items() if free[c] and theta[c] * sign < 0]
        if not wrong:
            break
        free[wrong], theta[wrong] = False, 0.0
    gap = np.zeros(width)
    gap[gaps] = theta[width:-1]
    return LinearPart(
        centre=part.centre,
        spread=part.spread,
        bends=part.bends,
        mean=part.mean,
        deviation=part.deviation,
        coefficient=theta[:width],
        gap=gap,
        gap_share=part.gap_share,
        intercept=float(theta[-1]),
        clip=part.clip,
    )


def _newton(
    design: Array, y: Array, weight: Array, ridge: float, free: NDArray[np.bool_], start: Array
) -> Array:
    """Return the penalised maximum of the likelihood over the free columns."""
    active = design[:, free]
    theta = start[free].copy()
    penalty = np.full(len(theta), ridge)
    penalty[-1] = 1e-6  # the intercept is not shrunk

    def objective(t: Array) -> float:
        eta = active @ t
        fit = weight @ (np.logaddexp(0.0, eta) - y * eta)
        return float(fit + 0.5 * (penalty * t) @ t)

    value = objective(theta)
    for _ in range(30):
        p = sigmoid(active @ theta)
        gradient = active.T @ (weight * (p - y)) + penalty * theta
        hessian = (active * (weight * p * (1 - p))[:, None]).T @ active + np.diag(penalty)
        step, scale = np.linalg.solve(hessian, gradient), 1.0
        while (trial := objective(theta - scale * step)) > value and scale > 1e-6:
            scale *= 0.5
        gained = value - trial
        theta, value = theta - scale * step, trial
        if gained < 1e-7 * max(1.0, abs(value)):
            break
    full = np.zeros(design.shape[1])
    full[free] = theta
    return full


def tree_data(X: Array, y: Array, weight: Array, *, threads: int = 1) -> lgb.Dataset:
    """Return the binned rows, to be used by several fits."""
    return lgb.Dataset(
        X,
        label=y,
        weight=weight,
        params={
            "feature_pre_filter": False,
            "verbosity": -1,
            "max_bin": 127,
            "num_threads": useful_threads(len(X), threads),
        },
        free_raw_data=False,
    )


ROWS_PER_THREAD = 100_000


def useful_threads(rows: int, threads: int) -> int:
    """Return how many threads pay for a fit of so many rows.

    LightGBM's threads wait for each other by spinning at every split: on a machine that is
    busy with other work, two threads on a small table were two hundred times slower than one.
    """
    return max(1, min(threads, rows // ROWS_PER_THREAD))


def fit_trees(
    data: lgb.Dataset,
    settings: TreeSettings,
    *,
    monotone: Mapping[int, int],
    seed: int,
    threads: int,
) -> TreePart:
    """Return shallow boosted trees with cross entropy on soft labels, reproducible by seed."""
    width = data.construct().num_feature()
    params = {
        "objective": "cross_entropy",
        "learning_rate": settings.rate,
        "num_leaves": settings.leaves,
        "max_depth": settings.depth,
        "min_data_in_leaf": int(settings.smallest_leaf),
        "lambda_l2": settings.l2,
        "feature_fraction": settings.columns,
        "max_bin": 127,
        "feature_pre_filter": False,
        "seed": seed,
        "num_threads": useful_threads(data.num_data(), threads),
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    if any(monotone.values()):
        params["monotone_constraints"] = [monotone.get(column, 0) for column in range(width)]
        params["monotone_constraints_method"] = "intermediate"
    booster = lgb.train(params, data, num_boost_round=settings.trees)
    return TreePart.from_text(booster.model_to_string())


def fit_table(
    X: Array, y: Array, weight: Array, *, stage: int, age: int, prior_rows: float = 20.0
) -> TablePart:
    """Return win rates by stage and age third, each shrunk to the rate one level above it.

    A cell is (wins + prior · parent's rate) / (rows + prior): the posterior mean of a Beta
    prior worth ``prior_rows`` rows.
    """
    mean = (weight @ y + 1.0) / (weight.sum() + 2.0)
    known_age = X[~np.isnan(X[:, age]), age]
    thirds = np.quantile(known_age, [1 / 3, 2 / 3]) if len(known_age) else np.empty(0)
    edges = np.unique(thirds)
    stages = np.unique(X[~np.isnan(X[:, stage]), stage])
    stages = stages if len(stages) else np.zeros(1)
    by_stage = np.empty(len(stages))
    cells = np.empty((len(stages), len(edges) + 1))
    classes = np.searchsorted(edges, np.nan_to_num(X[:, age]), side="right")
    for s, value in enumerate(stages):
        here = X[:, stage] == value
        won, mass = weight[here] @ y[here], weight[here].sum()
        by_stage[s] = (won + prior_rows * mean) / (mass + prior_rows)
        for a in range(len(edges) + 1):
            cell = here & (classes == a) & ~np.isnan(X[:, age])
            won, mass = weight[cell] @ y[cell], weight[cell].sum()
            cells[s, a] = (won + prior_rows * by_stage[s]) / (mass + prior_rows)
    return TablePart(
        stage=stage,
        age=age,
        stages=stages,
        age_edges=edges,
        overall=float(logit(np.array([mean]))[0]),
        stage_margin=logit(by_stage),
        cell_margin=logit(cells),
    )
