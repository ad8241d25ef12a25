"""Choosing a model on forward-chaining folds: each candidate is judged on later time only.

The ladder goes from the base rate to a blend of linear model and trees. Of candidates whose
loss cannot be told apart (one standard error of the paired difference over deals) the simpler
one is taken, and a tuned shape replaces the default one under the same rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from training import learners, tuning
from training.baselines import base_rate
from training.censoring import Teacher, soft_labels, teach
from training.datasets import Fold, TrainingSet, landmark_weights, observation_weights
from training.evaluation import (
    Tried,
    auc,
    ece,
    logit,
    row_log_loss,
    sigmoid,
    standard_error,
)
from training.learners import TreeSettings
from training.model import LADDER, Family, WinRateModel
from training.parts import Array, Encoder

MOST_ROWS_OF_A_TRIAL = 8_000
MOST_ROWS_OF_A_FOLD = 25_000
RIDGES = (3000.0, 300.0, 30.0, 3.0)  # the more shrunk is the simpler
TREE_SHARES = (0.7, 0.5, 0.3)
STANDARD_ERRORS = 1.0


T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen and can be fitted again on more data. ``half_life`` is in days."""

    family: Family
    tree: TreeSettings
    ridge: float
    tree_share: float
    half_life: float | None

    def model(self, layout: Layout, *, seed: int, threads: int) -> WinRateModel:
        """Return the unfitted estimator of this choice."""
        return WinRateModel(
            family=self.family,
            tree=self.tree,
            ridge=self.ridge,
            tree_share=self.tree_share,
            categorical=layout.categorical,
            monotone=layout.monotone,
            stage=layout.stage,
            age=layout.age,
            seed=seed,
            threads=threads,
        )


@dataclass(frozen=True, slots=True)
class Layout:
    """What is known about the columns: categories, directions, where stage and age stand."""

    categorical: tuple[int, ...]
    monotone: Mapping[int, int]
    stage: int | None
    age: int | None

    def ages(self, X: Array) -> Array | None:
        """Return the age of each row's deal in days, None where the frame does not say it."""
        return None if self.age is None else X[:, self.age]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A fold made ready once for many candidates.

    ``later`` are all later rows with their weights, also those of deals that are still open.
    """

    X: Array
    y: Array
    weight: Array
    deal: NDArray[np.int64]
    age_days: Array
    cut: float
    encoded: Array
    encoder: Encoder
    base: float
    test_rows: Array
    test_encoded: Array
    test_y: Array
    test_weight: Array
    test_deal: NDArray[np.int64]
    test_as_of: Array
    later: TrainingSet
    later_weight: Array
    inside: NDArray[np.bool_]
    teacher: Teacher | None


def prepare(fold: Fold, layout: Layout, *, seed: int, threads: int) -> Prepared:
    """Return the fold with soft labels, encoded categories and weights for judging."""
    train = fold.train
    weight = landmark_weights(train)
    teacher = teach(train, weight, seed=seed, threads=threads)
    y = soft_labels(train, weight, teacher=teacher)
    base = base_rate(train)
    if len(train) > MOST_ROWS_OF_A_FOLD:  # enough to compare candidates; the final fit sees all
        random = np.random.default_rng(seed)
        rows = np.sort(random.choice(len(train), MOST_ROWS_OF_A_FOLD, replace=False))
        train, weight, y = train.take(rows), weight[rows], y[rows]
    encoder, encoded = learners.fit_encoder(train.X, y, weight, train.deal, layout.categorical)
    judged = landmark_weights(fold.test) * observation_weights(fold.test)
    seen = judged > 0
    test_rows = fold.test.X[seen]
    return Prepared(
        X=train.X,
        y=y,
        weight=weight,
        deal=train.deal,
        age_days=train.cut - train.as_of,
        cut=train.cut,
        encoded=encoded,
        encoder=encoder,
        base=base,
        test_rows=test_rows,
        test_encoded=encoder.transform(test_rows),
        test_y=fold.test.y[seen],
        test_weight=judged[seen],
        test_deal=fold.test.deal[seen],
        test_as_of=fold.test.as_of[seen],
        later=fold.test,
        later_weight=landmark_weights(fold.test),
        inside=fold.inside,
        teacher=teacher,
    )


def decayed(fold: Prepared, half_life: float | None) -> Array:
    """Return the training weights of a fold, halved every ``half_life`` days."""
    if half_life is None:
        return fold.weight
    weight: Array = fold.weight * 0.5 ** (fold.age_days / half_life)
    return weight


def side_by_side(work: Callable[[T], U], pieces: Iterable[T], *, threads: int) -> list[U]:
    """Return ``work`` of each piece, in order, several at a time.

    A fold per thread never waits for another, as the threads within one small fit would.
    """
    with ThreadPoolExecutor(max_workers=threads) as pool:
        return list(pool.map(work, pieces))


@dataclass(frozen=True, slots=True)
class Judged:
    """Margins of a candidate on the later rows of all folds, in the folds' order."""

    choice: Choice
    margins: tuple[Array, ...]

    def loss(self, folds: Iterable[Prepared]) -> Array:
        """Return each later row's log loss."""
        pairs = zip(folds, self.margins, strict=True)
        return np.concatenate([row_log_loss(f.test_y, sigmoid(m)) for f, m in pairs])


class Selection:
    """The candidates judged on the given folds."""

    def __init__(self, folds: list[Prepared], layout: Layout, *, seed: int, threads: int) -> None:
        self.folds = folds
        self.layout = layout
        self.seed = seed
        self.threads = threads
        self.weight = np.concatenate([fold.test_weight for fold in folds])
        self.deal = np.concatenate([fold.test_deal for fold in folds])
        self.start = Choice(
            family="base_rate", tree=TreeSettings(), ridge=30.0, tree_share=0.5, half_life=None
        )

    def best(
        self, *, families: tuple[Family, ...], trials: int, journal: Path | None
    ) -> tuple[Judged, dict[str, Tried]]:
        """Return the chosen candidate and how the best of each family did."""
        found: dict[Family, Judged] = {"base_rate": self._base_rate()}
        if "table" in families and self.layout.stage is not None and self.layout.age is not None:
            found["table"] = self._judge(replace(self.start, family="table"))
        if "linear" in families:
            found["linear"] = self._linear()
        if "trees" in families:
            found["trees"] = self._trees(trials=trials, journal=journal)
        if "blend" in families:
            found["blend"] = self._blend(found["linear"], found["trees"])
        tried = {str(family): self._tried(judged) for family, judged in found.items()}
        chosen = self._simplest([found[family] for family in LADDER if family in found])
        return self._recency(chosen), tried

    def _tried(self, judged: Judged) -> Tried:
        y = np.concatenate([fold.test_y for fold in self.folds])
        p = sigmoid(np.concatenate(judged.margins))
        return Tried(
            log_loss=self._mean(judged), ece=ece(y, p, self.weight), auc=auc(y, p, self.weight)
        )

    def _mean(self, judged: Judged) -> float:
        return float(np.average(judged.loss(self.folds), weights=self.weight))

    def _simplest(self, ordered: list[Judged]) -> Judged:
        """Return the first whose loss cannot be told from the least."""
        least = min(ordered, key=self._mean)
        best = least.loss(self.folds)
        for judged in ordered:
            worse = judged.loss(self.folds) - best
            margin = STANDARD_ERRORS * standard_error(worse, self.deal, self.weight)
            if judged is least or np.average(worse, weights=self.weight) <= margin:
                return judged
        return least

    def _base_rate(self) -> Judged:
        margins = [
            np.full(len(fold.test_y), float(logit(np.array([fold.base]))[0])) for fold in self.folds
        ]
        return Judged(self.start, tuple(margins))

    def _judge(self, choice: Choice) -> Judged:
        def margin(fold: Prepared) -> Array:
            model = choice.model(self.layout, seed=self.seed, threads=1)
            weight = decayed(fold, choice.half_life)
            if choice.family == "table":
                model.fit(fold.X, fold.y, weight)
                return model.decision_function(fold.test_rows)
            model.set_params(categorical=())  # encoded once for all candidates
            model.fit(fold.encoded, fold.y, weight)
            return model.decision_function(fold.test_encoded)

        return Judged(choice, tuple(side_by_side(margin, self.folds, threads=self.threads)))

    def _linear(self) -> Judged:
        start = replace(self.start, family="linear")
        return self._simplest([self._judge(replace(start, ridge=ridge)) for ridge in RIDGES])

    def _trees(self, *, trials: int, journal: Path | None) -> Judged:
        default = self._judge(replace(self.start, family="trees"))
        if trials == 0:
            return default
        rows = min(len(fold.y) for fold in self.folds)
        shape = tuning.search(
            self._objective(),
            rows=min(rows, MOST_ROWS_OF_A_TRIAL),
            trials=trials,
            seed=self.seed,
            start=default.choice.tree,
            journal=journal,
        )
        if shape == default.choice.tree:
            return default
        tuned = self._judge(replace(default.choice, tree=shape))
        return self._simplest([default, tuned])

    def _objective(self) -> Callable[[TreeSettings, Callable[[int, float], bool]], float]:
        samples = [self._sample(fold) for fold in self.folds]

        def objective(shape: TreeSettings, give_up: Callable[[int, float], bool]) -> float:
            losses, masses = [], []
            for step, (fold, data) in enumerate(zip(self.folds, samples, strict=True)):
                part = learners.fit_trees(
                    data,
                    shape,
                    monotone=self.layout.monotone,
                    seed=self.seed,
                    threads=self.threads,
                )
                loss = row_log_loss(fold.test_y, sigmoid(part.margin(fold.test_encoded)))
                losses.append(float(fold.test_weight @ loss))
                masses.append(float(fold.test_weight.sum()))
                if give_up(step, sum(losses) / sum(masses)) and step + 1 < len(samples):
                    return float("nan")
            return sum(losses) / sum(masses)

        return objective

    def _sample(self, fold: Prepared) -> lgb.Dataset:
        rows = np.arange(len(fold.y))
        if len(rows) > MOST_ROWS_OF_A_TRIAL:
            random = np.random.default_rng(self.seed)
            rows = np.sort(random.choice(rows, MOST_ROWS_OF_A_TRIAL, replace=False))
        return learners.tree_data(
            fold.encoded[rows], fold.y[rows], fold.weight[rows], threads=self.threads
        )

    def _blend(self, linear: Judged, trees: Judged) -> Judged:
        """Return the best weighted sum; a sum of fitted margins needs no further fit."""
        blends = []
        for share in TREE_SHARES:
            pairs = zip(linear.margins, trees.margins, strict=True)
            margins = tuple(share * tree + (1.0 - share) * line for line, tree in pairs)
            choice = replace(
                trees.choice, family="blend", ridge=linear.choice.ridge, tree_share=share
            )
            blends.append(Judged(choice, margins))
        return self._simplest(blends)

    def _recency(self, chosen: Judged) -> Judged:
        """Return the choice with a half-life if forgetting the past helps beyond noise."""
        if chosen.choice.family == "base_rate":
            return chosen
        span = max(float(fold.age_days.max()) for fold in self.folds)
        recent = self._judge(replace(chosen.choice, half_life=span / 3.0))
        return self._simplest([chosen, recent])
