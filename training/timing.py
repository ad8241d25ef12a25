"""When an open deal will end: the chance of a win by a day, and the median days to its close.

The served probability says whether a deal is won in the end. A landmark competing-risk model
(the teacher of :mod:`training.censoring`) says how wins and losses spread over the days after a
moment; its chances per time bin, corrected by what happened later than it saw, spread the
served probability and its complement over time. So a chance by a day never exceeds the chance
in the end, and reaches it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from training.parts import Array
from training.trees import Trees

OPEN, WON, LOST = 0, 1, 2
MOST_AT_ONCE = 2_000
MOST_OFF = 0.05
_MOST_IN_A_BIN = 0.98
"""A corrected chance stays below one, so that some deals outlive every bin but the last."""


@dataclass(frozen=True, slots=True)
class Horizon:
    """Wins within ``days``: the mean predicted and observed share, and Brier scores.

    ``brier_flat`` is that of the observed share for every row, which no forecast could know.
    """

    days: float
    rows: int
    predicted: float
    observed: float
    brier: float
    brier_flat: float

    @property
    def holds(self) -> bool:
        """Whether the forecast told rows apart and its level was right."""
        return self.brier < self.brier_flat and abs(self.predicted - self.observed) <= MOST_OFF


@dataclass(frozen=True, slots=True)
class Outlook:
    """For each row ``won_by``, P(won by the asked day), and ``median_days`` to won or lost."""

    won_by: Array
    median_days: Array


@dataclass(frozen=True, slots=True)
class Spread:
    """Shares of the wins and of the losses that have happened by each edge; rows of 0 … 1."""

    edges: Array
    won: Array
    lost: Array

    def won_within(self, days: Array) -> Array:
        """Return the share of each row's wins within its number of days (linear in a bin)."""
        return _between(self.edges, self.won, days)

    def median_days(self, p: Array) -> Array:
        """Return the days by which half of deals like each row have ended, won or lost."""
        ended = p[:, None] * self.won + (1.0 - p[:, None]) * self.lost
        place = np.maximum((ended >= 0.5).argmax(axis=1), 1)
        row = np.arange(len(p))
        below, above = ended[row, place - 1], ended[row, place]
        part = (0.5 - below) / np.maximum(above - below, 1e-12)
        low, high = self.edges[place - 1], self.edges[place]
        found: Array = low + np.clip(part, 0.0, 1.0) * (high - low)
        return found


def spread(edges: Array, won: Array, lost: Array) -> Spread:
    """Return how outcomes spread over time, from each bin's chances of a win and a loss.

    ``won`` and ``lost`` have a row per deal and a column per bin: chances given that the deal
    was open at the bin's start. What is open after the last bin counts to no side.
    """
    together = won + lost
    scale = np.minimum(1.0, _MOST_IN_A_BIN / np.maximum(together, 1e-12))
    won, lost = won * scale, lost * scale
    staying = np.cumprod(1.0 - won - lost, axis=1)
    before = np.concatenate((np.ones((len(won), 1)), staying[:, :-1]), axis=1)
    by_side = [_shares(before * side, before * (won + lost)) for side in (won, lost)]
    return Spread(edges=edges, won=by_side[0], lost=by_side[1])


def _shares(side: Array, both: Array) -> Array:
    """Return the cumulated shares of a side, of both where the side never happens."""
    rare = side.sum(axis=1, keepdims=True) <= 1e-9
    ahead = np.where(rare, both, side)
    total = np.maximum(ahead.sum(axis=1, keepdims=True), 1e-12)
    found: Array = np.concatenate(
        (np.zeros((len(side), 1)), np.cumsum(ahead, axis=1) / total), axis=1
    )
    return found


def _between(edges: Array, rows: Array, at: Array) -> Array:
    place = np.clip(np.searchsorted(edges, at, side="right"), 1, len(edges) - 1)
    row = np.arange(len(rows))
    low, high = edges[place - 1], edges[place]
    part = np.clip((at - low) / (high - low), 0.0, 1.0)
    found: Array = rows[row, place - 1] + part * (rows[row, place] - rows[row, place - 1])
    return found


@dataclass(frozen=True, slots=True)
class Timing:
    """The served form: bins of days, corrections per bin, and LightGBM's text of the chances."""

    edges: Array
    won: Array
    lost: Array
    text: str
    trees: Trees

    @classmethod
    def of(cls, *, edges: Array, won: Array, lost: Array, text: str) -> Self:
        """Return the timing of a model text. Raises TreesRefused."""
        return cls(edges, won, lost, text, Trees(text, outputs=3))

    def outlook(self, X: Array, p: Array, days: Array) -> Outlook:
        """Return the outlook of rows with the model's features, served p and days ahead."""
        won_by, median = np.full(len(X), np.nan), np.full(len(X), np.nan)
        for start in range(0, len(X), MOST_AT_ONCE):
            rows = slice(start, start + MOST_AT_ONCE)
            found = self.spread(X[rows])
            won_by[rows] = p[rows] * found.won_within(days[rows])
            median[rows] = found.median_days(p[rows])
        return Outlook(won_by, median)

    def spread(self, X: Array) -> Spread:
        """Return how the outcomes of rows spread over time."""
        won, lost = chances(self.trees.chances, X, self.edges)
        return spread(self.edges, won * self.won, lost * self.lost)

    def as_json(self) -> dict[str, Any]:
        """Return every number by name; the text lies in a file of its own, with its hash."""
        return {
            "edges": self.edges.tolist(),
            "won": self.won.tolist(),
            "lost": self.lost.tolist(),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any], text: str) -> Self:
        """Return the timing that :meth:`as_json` described. Raises TreesRefused, ValueError."""
        edges, won, lost = (np.array(data[name], np.float64) for name in ("edges", "won", "lost"))
        if not len(edges) - 1 == len(won) == len(lost) > 0 or (np.diff(edges) <= 0).any():
            raise ValueError("the time bins do not fit together")
        return cls.of(edges=edges, won=won, lost=lost, text=text)


def stacked(X: Array, edges: Array, b: int) -> Array:
    """Return rows as the model of chances takes them: features, the bin, its start in days."""
    rows = len(X)
    found: Array = np.column_stack([X, np.full(rows, float(b)), np.full(rows, edges[b])])
    return found


def chances(predict: Any, X: Array, edges: Array) -> tuple[Array, Array]:  # noqa: ANN401 - either LightGBM
    """Return each row's chances of a win and of a loss per bin, given open at its start."""
    bins = len(edges) - 1
    if len(X) == 0:  # LightGBM divides by the number of rows
        return np.zeros((0, bins)), np.zeros((0, bins))
    found = predict(np.concatenate([stacked(X, edges, b) for b in range(bins)]))
    by_bin = np.asarray(found, np.float64).reshape(bins, len(X), 3)
    return by_bin[:, :, WON].T.copy(), by_bin[:, :, LOST].T.copy()
