"""Do wins come when they were expected? Asked of later time, before a date is told to anyone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from training.censoring import Teacher, follow_up
from training.datasets import TrainingSet, landmark_weights
from training.parts import Array
from training.selection import Prepared
from training.timing import LOST, WON, Horizon, Timing, chances, spread

HORIZONS = (14.0, 30.0, 91.0, 182.0)
FEWEST_ROWS, FEWEST_WINS = 200, 20
MOST_ROWS = 8_000
PRIOR_EVENTS = 30.0


@dataclass(frozen=True, slots=True)
class Followed:
    """Later rows of a fold: the chances said before, and what happened for as long as seen."""

    edges: Array
    won: Array
    lost: Array
    seen: Array
    ended: NDArray[np.int64]
    possible: Array
    weight: Array
    X: Array


@dataclass(frozen=True, slots=True)
class TimingFound:
    """How the timing did on the last fold, and what all folds teach.

    ``is_served`` says whether every horizon that later time could judge holds.
    """

    horizons: tuple[Horizon, ...]
    folds: tuple[Followed, ...]

    @property
    def is_served(self) -> bool:
        """Whether there is a horizon, and all hold."""
        return bool(self.horizons) and all(each.holds for each in self.horizons)

    def timing(self, teacher: Teacher | None) -> Timing | None:
        """Return what is served of the final teacher, None where nothing is promised."""
        if teacher is None or not self.is_served:
            return None
        won, lost = corrections(self.folds, bins=len(teacher.edges) - 1)
        return Timing.of(
            edges=teacher.edges, won=won, lost=lost, text=teacher.booster.model_to_string()
        )


def look(folds: Sequence[Prepared], p_of: Callable[[Array], Array], *, seed: int) -> TimingFound:
    """Return what the folds say of the timing; ``p_of`` gives the last fold's P(won in the end).

    The last fold is judged with what the folds before it taught.
    """
    followed = tuple(
        follow(fold.teacher, fold.later, seed=seed) for fold in folds if fold.teacher is not None
    )
    if folds[-1].teacher is None:
        return TimingFound((), followed)
    last = followed[-1]
    won, lost = corrections(followed[:-1], bins=len(last.edges) - 1)
    return TimingFound(judge(last, p_of(last.X), won, lost), followed)


def follow(teacher: Teacher, later: TrainingSet, *, seed: int) -> Followed:
    """Return what the teacher says of later rows beside what is known of them by now."""
    rows = np.arange(len(later))
    if len(rows) > MOST_ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MOST_ROWS, replace=False))
    seen, ended = follow_up(later)
    predict = partial(teacher.booster.predict, num_threads=1)
    won, lost = chances(predict, later.X[rows], teacher.edges)
    return Followed(
        edges=teacher.edges,
        won=won,
        lost=lost,
        seen=seen[rows],
        ended=ended[rows],
        possible=(later.cut - later.as_of)[rows],
        weight=landmark_weights(later)[rows],
        X=later.X[rows],
    )


def corrections(folds: Sequence[Followed], *, bins: int) -> tuple[Array, Array]:
    """Return per bin how many wins and losses came for one expected, shrunk towards one.

    Observed over expected events among the rows that were followed through the whole bin. A
    fold of another number of bins teaches nothing about these.
    """
    alike = [fold for fold in folds if len(fold.edges) - 1 == bins]
    return _ratio(alike, bins, WON), _ratio(alike, bins, LOST)


def _ratio(folds: Sequence[Followed], bins: int, side: int) -> Array:
    happened, expected = np.full(bins, PRIOR_EVENTS), np.full(bins, PRIOR_EVENTS)
    for fold in folds:
        said = fold.won if side == WON else fold.lost
        for b in range(bins):
            inside = _whole(fold, b)
            event = inside & (fold.seen <= fold.edges[b + 1]) & (fold.ended == side)
            happened[b] += fold.weight[event].sum()
            expected[b] += fold.weight[inside] @ said[inside, b]
    found: Array = happened / expected
    return found


def _whole(fold: Followed, b: int) -> NDArray[np.bool_]:
    """Return the rows that were open when the bin began and could be followed to its end."""
    entered = fold.seen > fold.edges[b] if b else np.ones(len(fold.seen), np.bool_)
    inside: NDArray[np.bool_] = entered & (fold.possible >= fold.edges[b + 1])
    return inside


def judge(fold: Followed, p: Array, won: Array, lost: Array) -> tuple[Horizon, ...]:
    """Return how well wins by each horizon were told, with p in the end and the corrections."""
    over_time = spread(fold.edges, fold.won * won, fold.lost * lost)
    found = []
    for days in HORIZONS:
        rows = fold.possible >= days
        y = ((fold.seen <= days) & (fold.ended == WON))[rows].astype(np.float64)
        if len(y) < FEWEST_ROWS or y.sum() < FEWEST_WINS:
            continue
        said = (p * over_time.won_within(np.full(len(p), days)))[rows]
        weight = fold.weight[rows]
        observed = float(np.average(y, weights=weight))
        found.append(
            Horizon(
                days=days,
                rows=len(y),
                predicted=float(np.average(said, weights=weight)),
                observed=observed,
                brier=float(np.average((said - y) ** 2, weights=weight)),
                brier_flat=float(np.average((observed - y) ** 2, weights=weight)),
            )
        )
    return tuple(found)
