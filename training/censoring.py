"""Deals that are still open: what they teach without pretending to know how they end.

Losses are decided fast and wins slowly, so "closed so far" holds too many losses and a model of
closed deals only is too pessimistic. A *teacher* therefore learns, for each time bin after a
landmark, the chance of being won, lost or staying open (a landmark competing-risk model), which
uses every deal for as long as it was seen. For a deal that is open at the cut it gives the
chance of a win in the end, and that number is the soft label of all the deal's rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from training.datasets import TrainingSet
from training.learners import useful_threads
from training.parts import Array
from training.timing import LOST, OPEN, WON, stacked

BINS = 13
MOST_STACKED_ROWS = 60_000
FEWEST_DEALS = 150


def follow_up(data: TrainingSet) -> tuple[Array, NDArray[np.int64]]:
    """Return how long each row was seen (days) and what ended it: 0 the cut, 1 won, 2 lost."""
    seen = np.where(data.is_resolved, data.known_at, data.cut) - data.as_of
    ended = np.where(data.is_resolved, np.where(data.y == 1.0, WON, LOST), OPEN)
    return seen, ended.astype(np.int64)


def share_won_in_the_end(data: TrainingSet, weight: Array) -> float:
    """Return the Aalen-Johansen estimate of the share of rows won in the end.

    Σ S(t−)·dΛ_won(t) ÷ (1 − S(end)): every row counts while it was seen, so open deals neither
    vanish nor count as lost. 0.5 when nothing was resolved.
    """
    seen, ended = follow_up(data)
    order = np.argsort(seen, kind="stable")
    times, w, how = seen[order], weight[order], ended[order]
    starts = np.flatnonzero(np.concatenate(([True], times[1:] != times[:-1])))
    at_risk = (w.sum() - np.cumsum(w) + w)[starts]
    won = np.add.reduceat(w * (how == WON), starts)
    lost = np.add.reduceat(w * (how == LOST), starts)
    alive = np.maximum(at_risk, 1e-12)
    staying = np.cumprod(np.maximum(1.0 - (won + lost) / alive, 0.0))
    before = np.concatenate(([1.0], staying[:-1]))
    won_in_all, lost_in_all = (before * won / alive).sum(), (before * lost / alive).sum()
    resolved = won_in_all + lost_in_all
    return float(won_in_all / resolved) if resolved > 0 else 0.5


@dataclass(frozen=True, slots=True)
class Teacher:
    """Chances per time bin after a landmark; bin b spans ``edges[b]`` to ``edges[b + 1]`` days."""

    edges: Array
    booster: lgb.Booster

    def share_won(self, X: Array, seen_open: Array) -> Array:
        """Return P(won in the end) of rows known to have stayed open for ``seen_open`` days."""
        bins = len(self.edges) - 1
        staying = np.ones(len(X))
        won = np.zeros(len(X))
        lost = np.zeros(len(X))
        for b in range(bins):
            chances = self.booster.predict(stacked(X, self.edges, b), num_threads=1)
            # a bin that has passed says nothing; the last always counts: something must end it
            ahead = (self.edges[b + 1] > seen_open) | (b == bins - 1)
            won += ahead * staying * chances[:, WON]
            lost += ahead * staying * chances[:, LOST]
            staying = np.where(ahead, staying * chances[:, OPEN], staying)
        share: Array = won / np.maximum(won + lost, 1e-12)
        return share


def fit_teacher(data: TrainingSet, weight: Array, *, seed: int, threads: int) -> Teacher:
    """Return the teacher fitted on the rows' bins that ended before the cut.

    At most ``MOST_STACKED_ROWS`` are used, by drawing whole landmarks.
    """
    seen, ended = follow_up(data)
    took = seen[data.is_resolved]
    inner = np.unique(np.quantile(took, np.linspace(0, 1, BINS + 1)[1:-1]))
    edges = np.concatenate(([0.0], inner[inner > 0], [max(float(took.max()), 1e-6)]))
    bins = len(edges) - 1
    possible = data.cut - data.as_of
    chosen = np.arange(len(data))
    # a row reaches about half of the bins
    if len(data) * bins / 2 > MOST_STACKED_ROWS:
        size = int(MOST_STACKED_ROWS * 2 / bins)
        chosen = np.sort(np.random.default_rng(seed).choice(len(data), size, replace=False))
    designs, labels, weights = [], [], []
    for b in range(bins):
        entered = (seen[chosen] > edges[b]) if b else np.ones(len(chosen), dtype=np.bool_)
        # an event inside a bin that the cut divides counts as little as a non-event there
        rows = chosen[entered & (possible[chosen] >= edges[b + 1])]
        designs.append(stacked(data.X[rows], edges, b))
        labels.append(np.where(seen[rows] <= edges[b + 1], ended[rows], OPEN))
        weights.append(weight[rows])
    return Teacher(edges=edges, booster=_fit_hazards(designs, labels, weights, seed, threads))


def _fit_hazards(
    designs: list[Array], labels: list[Array], weights: list[Array], seed: int, threads: int
) -> lgb.Booster:
    """Return the classifier of what happens to a deal in a bin: nothing, won or lost."""
    params = {
        "objective": "multiclass",
        "num_class": 3,
        "num_leaves": 15,
        "max_depth": 6,
        "learning_rate": 0.1,
        "min_data_in_leaf": 100,
        "lambda_l2": 5.0,
        "feature_fraction": 0.8,
        "max_bin": 63,
        "seed": seed,
        "num_threads": useful_threads(sum(map(len, labels)), threads),
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    stacked = lgb.Dataset(
        np.concatenate(designs),
        label=np.concatenate(labels),
        weight=np.concatenate(weights),
        params={"max_bin": 63, "verbosity": -1, "num_threads": params["num_threads"]},
    )
    return lgb.train(params, stacked, num_boost_round=50)


def teach(data: TrainingSet, weight: Array, *, seed: int, threads: int) -> Teacher | None:
    """Return the teacher, None where no deal is open or fewer than ``FEWEST_DEALS`` ended."""
    if data.is_resolved.all() or data.deals_won + data.deals_lost < FEWEST_DEALS:
        return None
    return fit_teacher(data, weight, seed=seed, threads=threads)


def soft_labels(data: TrainingSet, weight: Array, *, teacher: Teacher | None) -> Array:
    """Return labels without gaps: outcomes where known, the teacher's chance where open.

    All rows of an open deal get the chance at its latest landmark, where most is known. Without
    a teacher (:func:`teach`) the pooled share stands in for it.
    """
    if data.is_resolved.all():
        return data.y.copy()
    if teacher is None:
        return np.where(data.is_resolved, data.y, share_won_in_the_end(data, weight))
    opened = np.flatnonzero(~data.is_resolved)
    last = np.full(int(data.deal.max()) + 1, -1)
    last[data.deal[opened]] = opened  # rows are ordered by time: the latest stays
    latest = last[last >= 0]
    chance = np.full(len(last), np.nan)
    chance[data.deal[latest]] = teacher.share_won(data.X[latest], data.cut - data.as_of[latest])
    return np.where(data.is_resolved, data.y, chance[data.deal])


def pooled_labels(data: TrainingSet, age: Array | None) -> Array:
    """Return labels without gaps from the age of deals alone: what a rate table learns from.

    An open deal of age A gets the share of wins among the deals that end after A: the
    Aalen-Johansen estimate over deals, followed from their creation and entering when their
    first row was made (deals that had ended before are not in the store, so nobody is at risk
    before). No feature is used, so nothing is learnt from noise, and no seed matters.
    ``age`` is each row's age of the deal in days; without it ages count from the first row.
    """
    if data.is_resolved.all() or not data.is_resolved.any():
        return np.nan_to_num(data.y, nan=0.5)
    first = _first_rows(data)
    since = data.as_of - data.as_of[first][data.deal] if age is None else np.nan_to_num(age)
    born = (data.as_of - since)[first]
    left = np.where(data.is_resolved, data.known_at, data.cut)[first] - born
    won, lost = data.y[first] == 1.0, data.y[first] == 0.0
    present = np.bincount(data.deal, minlength=len(first)) > 0
    times, ahead_won, ahead_lost = _ahead(since[first], left, won, lost, present)
    place = np.searchsorted(times, data.cut - born, side="right")
    chance = ahead_won[place] / np.maximum(ahead_won[place] + ahead_lost[place], 1e-12)
    none = ahead_won[place] + ahead_lost[place] <= 1e-9  # older than any deal that ended
    start = ahead_won[0] / (ahead_won[0] + ahead_lost[0])
    return np.where(data.is_resolved, data.y, np.where(none, start, chance)[data.deal])


def _first_rows(data: TrainingSet) -> NDArray[np.int64]:
    """Return the earliest row of each deal's number, any row for a number that has none."""
    first = np.zeros(int(data.deal.max()) + 1, np.int64)
    first[data.deal[::-1]] = np.arange(len(data))[::-1]  # rows are ordered by time
    return first


def _ahead(
    entered: Array,
    left: Array,
    won: NDArray[np.bool_],
    lost: NDArray[np.bool_],
    present: NDArray[np.bool_],
) -> tuple[Array, Array, Array]:
    """Return the ages at which deals ended, and the chances of a win and a loss still ahead.

    Entry k of the chances is before the k-th age, the last one after all: zero.
    """
    won, lost = won & present, lost & present
    times = np.unique(left[won | lost])
    at_risk = np.searchsorted(np.sort(entered[present]), times, side="left") - np.searchsorted(
        np.sort(left[present]), times, side="left"
    )
    at_risk = np.maximum(at_risk, 1)
    wins = np.bincount(np.searchsorted(times, left[won]), minlength=len(times)) / at_risk
    losses = np.bincount(np.searchsorted(times, left[lost]), minlength=len(times)) / at_risk
    staying = np.cumprod(np.maximum(1.0 - wins - losses, 0.0))
    before = np.concatenate(([1.0], staying[:-1]))

    def still(happened: Array) -> Array:
        total: Array = np.concatenate((np.cumsum((before * happened)[::-1])[::-1], [0.0]))
        return total

    return times, still(wins), still(losses)
