"""The parts of which a win-rate margin is the weighted sum; each explains itself exactly.

A part maps rows of features (float64, NaN = not known) to log-odds and splits that number over
the features. Training and serving run this same code. Only NumPy and LightGBM's compiled
library are needed here: the web server imports this file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from training.leaf_tables import ROWS_WORTH_TABLES, tables_of
from training.trees import Trees

Array = NDArray[np.float64]


class Part(Protocol):
    """One summand of the margin."""

    def margin(self, X: Array) -> Array:
        """Return the log-odds of each row."""
        ...

    def contributions(self, X: Array) -> tuple[Array, float]:
        """Return each feature's share per row, and the base value they are added to."""
        ...

    def as_json(self) -> dict[str, Any]:
        """Return what :meth:`from_json` needs, in plain JSON."""
        ...


@dataclass(frozen=True, slots=True)
class Encoder:
    """Replaces a category's code by the shrunk log-odds of winning among its rows.

    ``tables`` maps a feature's position to (codes in ascending order, values); a code that was
    never seen, or is missing, gets ``overall``. Other features pass unchanged.
    """

    tables: dict[int, tuple[Array, Array]]
    overall: float

    def transform(self, X: Array) -> Array:
        """Return a copy of ``X`` with every category encoded."""
        if not self.tables:
            return X
        encoded = X.copy()
        for column, (codes, values) in self.tables.items():
            if len(codes) == 0:
                encoded[:, column] = self.overall
                continue
            place = np.minimum(np.searchsorted(codes, X[:, column]), len(codes) - 1)
            seen = codes[place] == X[:, column]
            encoded[:, column] = np.where(seen, values[place], self.overall)
        return encoded

    def as_json(self) -> dict[str, Any]:
        """Return the tables as lists."""
        tables = {
            str(column): [codes.tolist(), values.tolist()]
            for column, (codes, values) in self.tables.items()
        }
        return {"overall": self.overall, "tables": tables}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Return the encoder that :meth:`as_json` described."""
        tables = {
            int(column): (np.array(codes, dtype=np.float64), np.array(values, dtype=np.float64))
            for column, (codes, values) in data["tables"].items()
        }
        return cls(tables=tables, overall=float(data["overall"]))


@dataclass(frozen=True, slots=True)
class LinearPart:
    """A logistic regression on standardised features, a missing one standing at the mean.

    z = (f((x − centre) / spread) − mean) / deviation, clipped to ± ``clip``; f is asinh where
    ``bends`` (heavy tails), else the identity. A feature's contribution is coefficient · z, or
    gap · (1 − gap share) where it is missing and − gap · gap share where not.
    """

    centre: Array
    spread: Array
    bends: NDArray[np.bool_]
    mean: Array
    deviation: Array
    coefficient: Array
    gap: Array
    gap_share: Array
    intercept: float
    clip: float

    def standardise(self, X: Array) -> tuple[Array, Array]:
        """Return z (0 where missing) and the missing flags as 0 and 1."""
        missing = np.isnan(X)
        u = (np.where(missing, self.centre, X) - self.centre) / self.spread
        bent = np.where(self.bends, np.arcsinh(u), u)
        z = np.clip((bent - self.mean) / self.deviation, -self.clip, self.clip)
        return np.where(missing, 0.0, z), missing.astype(np.float64)

    def contributions(self, X: Array) -> tuple[Array, float]:
        """Return each feature's share per row, and the intercept."""
        z, missing = self.standardise(X)
        return z * self.coefficient + (missing - self.gap_share) * self.gap, self.intercept

    def margin(self, X: Array) -> Array:
        """Return the log-odds of each row."""
        z, missing = self.standardise(X)
        total: Array = self.intercept + z @ self.coefficient + (missing - self.gap_share) @ self.gap
        return total

    def as_json(self) -> dict[str, Any]:
        """Return every number by name."""
        return {
            "kind": "linear",
            "centre": self.centre.tolist(),
            "spread": self.spread.tolist(),
            "bends": self.bends.tolist(),
            "mean": self.mean.tolist(),
            "deviation": self.deviation.tolist(),
            "coefficient": self.coefficient.tolist(),
            "gap": self.gap.tolist(),
            "gap_share": self.gap_share.tolist(),
            "intercept": self.intercept,
            "clip": self.clip,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Return the part that :meth:`as_json` described."""
        arrays = {
            name: np.array(data[name], dtype=np.float64)
            for name in (
                "centre", "spread", "mean", "deviation", "coefficient", "gap", "gap_share",
            )
        }  # fmt: skip
        return cls(
            **arrays,
            bends=np.array(data["bends"], dtype=np.bool_),
            intercept=float(data["intercept"]),
            clip=float(data["clip"]),
        )


@dataclass(frozen=True, slots=True)
class TreePart:
    """A LightGBM model read from its own text; its shares are its exact SHAP values."""

    text: str
    booster: Trees

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Return the part of a LightGBM model text."""
        return cls(text=text, booster=Trees(text))

    def margin(self, X: Array) -> Array:
        """Return the log-odds of each row."""
        if len(X) == 0:  # LightGBM divides by the number of rows
            return np.zeros(0)
        return self.booster.margin(X)

    def contributions(self, X: Array) -> tuple[Array, float]:
        """Return each feature's SHAP value per row, and the expected margin."""
        if len(X) == 0:
            return np.zeros(X.shape), 0.0
        if len(X) >= ROWS_WORTH_TABLES:
            tables = tables_of(self.text, width=self.booster.width)
            if tables is not None:
                return tables.contributions(X), tables.base
        found = self.booster.contributions(X)
        return found[:, :-1], float(found[0, -1])

    def as_json(self) -> dict[str, Any]:
        """Return the kind; the text lies in a file of its own, with its hash."""
        return {"kind": "trees"}


@dataclass(frozen=True, slots=True)
class TablePart:
    """Shrunk win rates by stage and age of the deal, for when there is little to learn from.

    ``stage`` and ``age`` are positions of features. ``stage_margin[s]`` is the log-odds of the
    s-th stage in ``stages``; ``cell_margin[s, a]`` of that stage at the a-th age class (bounded
    by ``age_edges``). An unknown stage has the overall log-odds, an unknown age its stage's.
    """

    stage: int
    age: int
    stages: Array
    age_edges: Array
    overall: float
    stage_margin: Array
    cell_margin: Array

    def _places(self, X: Array) -> tuple[NDArray[np.int64], NDArray[np.int64], Array, Array]:
        values, age = X[:, self.stage], X[:, self.age]
        place = np.minimum(np.searchsorted(self.stages, values), len(self.stages) - 1)
        known_stage = (self.stages[place] == values).astype(np.float64)
        cell = np.searchsorted(self.age_edges, np.nan_to_num(age), side="right")
        return place, cell, known_stage, known_stage * ~np.isnan(age)

    def contributions(self, X: Array) -> tuple[Array, float]:
        """Return stage's and age's share per row, and the overall log-odds."""
        place, cell, known_stage, known_age = self._places(X)
        shares = np.zeros_like(X)
        by_stage = self.stage_margin[place]
        shares[:, self.stage] += known_stage * (by_stage - self.overall)
        shares[:, self.age] += known_age * (self.cell_margin[place, cell] - by_stage)
        return shares, self.overall

    def margin(self, X: Array) -> Array:
        """Return the log-odds of each row."""
        shares, base = self.contributions(X)
        total: Array = shares.sum(axis=1) + base
        return total

    def as_json(self) -> dict[str, Any]:
        """Return every number by name."""
        return {
            "kind": "table",
            "stage": self.stage,
            "age": self.age,
            "stages": self.stages.tolist(),
            "age_edges": self.age_edges.tolist(),
            "overall": self.overall,
            "stage_margin": self.stage_margin.tolist(),
            "cell_margin": self.cell_margin.tolist(),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Return the part that :meth:`as_json` described."""
        return cls(
            stage=int(data["stage"]),
            age=int(data["age"]),
            stages=np.array(data["stages"], dtype=np.float64),
            age_edges=np.array(data["age_edges"], dtype=np.float64),
            overall=float(data["overall"]),
            stage_margin=np.array(data["stage_margin"], dtype=np.float64),
            cell_margin=np.array(data["cell_margin"], dtype=np.float64).reshape(
                len(data["stages"]), -1
            ),
        )
