"""The win-rate estimator: fits the parts of a margin, following the scikit-learn contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from training import learners
from training.evaluation import logit, sigmoid
from training.learners import TreeSettings
from training.parts import Array, Encoder, Part

Family = Literal["base_rate", "table", "linear", "trees", "blend"]
LADDER: tuple[Family, ...] = ("base_rate", "table", "linear", "blend", "trees")
"""The families from steady to daring; of equals the steadier one is chosen. A blend leans on
its linear half and so varies less than the trees alone."""


class WinRateModel(BaseEstimator):  # type: ignore[misc]
    """Probability that an open deal is won in the end.

    Parameters
    ----------
    family : what the margin is made of; ``blend`` is the weighted sum of linear and trees.
    tree : shape of the boosted trees.
    ridge : prior of the linear part, in rows per feature.
    tree_share : weight of the trees in a blend; the linear part has the rest.
    categorical : positions of features that are codes of categories.
    monotone : position → +1 or −1 where a direction is known.
    stage, age : positions of the features of the stage × age table.
    seed, threads : the same seed gives the same model for any number of threads.

    Attributes
    ----------
    encoder_ : categories' shrunk log-odds.
    parts_ : (weight, part) whose weighted sum is the margin.
    base_ : mean label, as log-odds.

    Notes
    -----
    Labels may lie between 0 and 1 (soft labels of open deals, see ``training.censoring``), so
    this is not a scikit-learn classifier in the strict sense; calibration is outside.
    """

    def __init__(
        self,
        *,
        family: Family = "blend",
        tree: TreeSettings | None = None,
        ridge: float = 30.0,
        tree_share: float = 0.5,
        categorical: Sequence[int] = (),
        monotone: Mapping[int, int] | None = None,
        stage: int | None = None,
        age: int | None = None,
        seed: int = 0,
        threads: int = 1,
    ) -> None:
        self.family = family
        self.tree = tree
        self.ridge = ridge
        self.tree_share = tree_share
        self.categorical = categorical
        self.monotone = monotone
        self.stage = stage
        self.age = age
        self.seed = seed
        self.threads = threads

    def fit(
        self,
        X: Array,
        y: Array,
        sample_weight: Array | None = None,
        deal: NDArray[np.int64] | None = None,
    ) -> Self:
        """Learn from rows ``X`` (n_rows, n_features), labels in [0, 1] and each row's deal."""
        if len(X) == 0:
            raise ValueError("at least one row is needed")
        weight = np.ones(len(y)) if sample_weight is None else sample_weight
        deals = np.arange(len(y)) if deal is None else deal
        mean = (weight @ y + 0.5) / (weight.sum() + 1.0)
        self.base_ = float(logit(np.array([mean]))[0])
        self.encoder_ = Encoder(tables={}, overall=self.base_)
        self.parts_: list[tuple[float, Part]] = []
        if self.family == "base_rate":
            return self
        if self.family == "table":
            if self.stage is None or self.age is None:
                raise ValueError("the table needs the positions of stage and age")
            table = learners.fit_table(X, y, weight, stage=self.stage, age=self.age)
            self.parts_ = [(1.0, table)]
            return self
        self.encoder_, encoded = learners.fit_encoder(X, y, weight, deals, self.categorical)
        self._fit_learners(encoded, y, weight)
        return self

    def _fit_learners(self, encoded: Array, y: Array, weight: Array) -> None:
        monotone = {
            column: sign
            for column, sign in (self.monotone or {}).items()
            if column not in self.categorical
        }
        share = {"linear": 0.0, "trees": 1.0}.get(self.family, self.tree_share)
        if share < 1.0:
            linear = learners.fit_linear(encoded, y, weight, ridge=self.ridge, monotone=monotone)
            self.parts_.append((1.0 - share, linear))
        if share > 0.0:
            trees = learners.fit_trees(
                learners.tree_data(encoded, y, weight, threads=self.threads),
                self.tree or TreeSettings(),
                monotone=monotone,
                seed=self.seed,
                threads=self.threads,
            )
            self.parts_.append((share, trees))

    def decision_function(self, X: Array) -> Array:
        """Return the log-odds of each row, before calibration."""
        if not self.parts_:
            return np.full(len(X), self.base_)
        encoded = self.encoder_.transform(X)
        total = np.zeros(len(X))
        for weight, part in self.parts_:
            total += weight * part.margin(encoded)
        return total

    def predict_proba(self, X: Array) -> Array:
        """Return P(lost) and P(won) of each row."""
        won = sigmoid(self.decision_function(X))
        return np.column_stack([1.0 - won, won])
