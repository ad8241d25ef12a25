"""Facts in time: what of an owner's facts was visible at an instant, and sums up to it.

A fact is visible at t when it had happened and was recorded by t, and no correction of it was.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from features.fact_tables import FOREVER, Floats, Ints


@dataclass(frozen=True, slots=True)
class Seen:
    """The visible facts of some questions: question number and fact row, in time order."""

    pair: Ints
    row: Ints
    size: int

    def count(self, mask: np.ndarray | None = None) -> Floats:
        """Return how many facts (of those in the mask) each question sees."""
        pair = self.pair if mask is None else self.pair[mask]
        return np.bincount(pair, minlength=self.size).astype(np.float64)

    def total(self, values: Floats) -> Floats:
        """Return the sum of a value per visible fact for each question; NaN counts as absent."""
        weights = np.nan_to_num(values)
        sums = np.bincount(self.pair, weights=weights, minlength=self.size)
        return sums.astype(np.float64)

    def last(self, mask: np.ndarray | None = None) -> Ints:
        """Return the row of the latest visible fact (in the mask), -1 where there is none."""
        return self._edge(mask, first=False)

    def first(self, mask: np.ndarray | None = None) -> Ints:
        """Return the row of the earliest visible fact (in the mask), -1 where there is none."""
        return self._edge(mask, first=True)

    def _edge(self, mask: np.ndarray | None, *, first: bool) -> Ints:
        pair, row = (self.pair, self.row) if mask is None else (self.pair[mask], self.row[mask])
        result = np.full(self.size, -1, dtype=np.int64)
        if first:
            pair, row = pair[::-1], row[::-1]
        result[pair] = row  # of repeated positions numpy keeps the last
        return result

    def follows(self) -> np.ndarray:
        """Return which facts have an earlier visible fact of the same question before them."""
        result = np.zeros(len(self.pair), dtype=bool)
        result[1:] = self.pair[1:] == self.pair[:-1]
        return result


class Timeline:
    """Facts sorted by owner, then time of happening, then time of recording.

    ``owner`` is a number from 0 (facts of unknown owners, -1, are left out). ``until`` is when
    a correction replaced the fact. ``order`` maps sorted rows to the rows given.
    """

    def __init__(
        self,
        owner: Ints,
        occurred: Ints,
        recorded: Ints,
        *,
        owners: int,
        tie: Ints | None = None,
        until: Ints | None = None,
    ) -> None:
        tie = np.arange(len(owner)) if tie is None else tie
        order = np.lexsort((tie, recorded, occurred, owner))
        order = order[np.searchsorted(owner[order], 0) :]
        self.order: Ints = order
        self.owner = owner[order]
        self.occurred = occurred[order]
        self.recorded = recorded[order]
        self.known = np.maximum(self.occurred, self.recorded)
        self.until = None if until is None else until[order]
        self._start = np.searchsorted(self.owner, np.arange(max(1, owners) + 1))

    def __len__(self) -> int:
        return len(self.owner)

    def seen(self, owner: Ints, at: Ints) -> Seen:
        """Return the facts of each owner that are visible at its instant, in time order."""
        known_owner = owner >= 0
        safe = np.where(known_owner, owner, 0)
        first = self._start[safe]
        counts = np.where(known_owner, self._start[safe + 1] - first, 0)
        pair = np.repeat(np.arange(len(owner)), counts)
        offsets = np.cumsum(counts) - counts
        row = np.arange(len(pair)) - np.repeat(offsets - first, counts)
        moment = at[pair]
        visible = self.known[row] <= moment
        if self.until is not None:
            visible &= self.until[row] > moment
        return Seen(pair[visible], row[visible], len(owner))


class Ladder:
    """Running sums per key: the total of every value up to an instant, in one look-up.

    Sums run within a key only, so that a total is the same to the last bit whatever else is
    known of other keys or later.
    """

    def __init__(self, key: Ints, at: Ints, *values: Floats) -> None:
        use = key >= 0
        key, at = key[use], at[use]
        self._instants = np.unique(at)
        step = self._step(key, np.searchsorted(self._instants, at, side="right"))
        order = np.argsort(step, kind="stable")
        self._key, self._steps = key[order], step[order]
        frame = pd.DataFrame({str(i): each[use][order] for i, each in enumerate(values)})
        sums = frame.groupby(self._key).cumsum()
        self._sums = [sums[name].to_numpy(np.float64) for name in frame.columns]

    def _step(self, key: Ints, rank: Ints) -> Ints:
        """Return the position of (key, instant) on one line."""
        return key.astype(np.int64) * (len(self._instants) + 1) + rank

    def upto(self, key: Ints, at: Ints) -> list[Floats]:
        """Return for each value its sum over the key's entries at or before the instant."""
        if not len(self._steps):
            return [np.zeros(len(key)) for _ in self._sums]
        rank = np.searchsorted(self._instants, at, side="right")
        last = np.searchsorted(self._steps, self._step(key, rank), side="right") - 1
        found = (last >= 0) & (self._key[last] == key)
        return [np.where(found, sums[last], 0.0) for sums in self._sums]


def superseded(keys: tuple[np.ndarray, ...], recorded: Ints) -> Ints:
    """Return when each row was replaced by a later recording of the same keys, else FOREVER."""
    until = np.full(len(recorded), FOREVER, dtype=np.int64)
    if len(recorded) < 2:
        return until
    order = np.lexsort((recorded, *reversed(keys)))
    same = np.ones(len(order) - 1, dtype=bool)
    for key in keys:
        ordered = key[order]
        same &= ordered[1:] == ordered[:-1]
    moments = recorded[order]
    later = same & (moments[1:] > moments[:-1])
    # rows recorded together share the next later recording: carry it back over equal rows
    ends = np.where(later, moments[1:], FOREVER)
    tied = same & ~later
    for index in np.flatnonzero(tied)[::-1]:
        ends[index] = ends[index + 1] if index + 1 < len(ends) else FOREVER
    until[order[:-1]] = ends
    return until
