"""The guard against what is too good to be true."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from training.datasets import TrainingSet
from training.evaluation import auc
from training.parts import Array
from training.reports import Leak

FEATURE_LIMIT = 0.90
UNDATED_LIMIT = 0.80
"""For a feature whose value is as of today: what was entered at the end may stand in it."""
MODEL_LIMIT = 0.98
FEWEST_ROWS = 50


def feature_leaks(
    data: TrainingSet, *, limit: float = FEATURE_LIMIT, undated: Collection[str] = ()
) -> tuple[Leak, ...]:
    """Return the features that alone rank won above lost (or the reverse) beyond the limit.

    For those named in ``undated`` the limit is UNDATED_LIMIT.

    Being known or not counts as a value: a field that is filled in only when a deal is won
    leaks although its values do not. All rows are looked at, and each deal's first one alone:
    what is known on day one and tells the end was not known on day one. (Not the last: a late
    stage honestly tells it.)
    """
    closed = np.flatnonzero(data.is_resolved)
    first = np.full(int(data.deal.max()) + 1 if len(data) else 0, -1)
    first[data.deal[closed[::-1]]] = closed[::-1]  # rows are ordered by time
    found = []
    for column, name in enumerate(data.features):
        best = 0.0
        for rows in (closed, first[first >= 0]):
            best = max(best, _ranks(data.X[rows, column], data.y[rows]))
        allowed = UNDATED_LIMIT if name in undated else limit
        if best > allowed:
            found.append(Leak(what=f"feature {name}", auc=best, limit=allowed))
    return tuple(found)


def _ranks(x: Array, y: Array) -> float:
    """Return the larger of the AUCs of a feature's values and of its being missing."""
    best = 0.0
    missing = np.isnan(x)
    lowest = np.where(missing, -np.inf, x)
    for rows, values in ((~missing, x), (np.ones(len(x), dtype=np.bool_), lowest)):
        if rows.sum() >= FEWEST_ROWS:
            found = auc(y[rows], values[rows])
            if found is not None:
                best = max(best, found, 1.0 - found)
    return best


def model_leak(found: float | None, *, limit: float = MODEL_LIMIT) -> tuple[Leak, ...]:
    """Return a finding when the model itself ranks later deals too well."""
    if found is None or found < limit:
        return ()
    return (Leak(what="the model on later time", auc=found, limit=limit),)
