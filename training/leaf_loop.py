"""The compiled loop of :mod:`training.leaf_tables`; imported only where many rows are explained.

The decision is LightGBM's own: bit 2 of ``kind`` is the side of missing values, bits 4 and 8 say
whether zero or NaN count as missing; a NaN that does not is taken for 0.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Words = NDArray[np.uint32]
BLOCK = 256
_ZERO = float(np.float32(1e-35))


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _is_left(value: float, threshold: float, kind: int) -> bool:
    default_left, of_zero, of_nan = (kind & 2) > 0, (kind & 12) == 4, (kind & 12) == 8
    if np.isnan(value):
        if of_nan or of_zero:
            return default_left
        return threshold >= 0.0
    if of_zero and abs(value) <= _ZERO:
        return default_left
    return value <= threshold


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _decide(
    words: Words, rows: Array, first: int, last: int, feature: Ints, threshold: Array, kind: Ints
) -> None:
    words[:] = 0
    for node in range(first, last):
        bit = np.uint32(1) << np.uint32(node - first)
        for i in range(len(rows)):
            if _is_left(rows[i, feature[node]], threshold[node], kind[node]):
                words[i] |= bit


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _add(
    out: Array, words: Words, k: int, features: Ints, mask: Words, want: Words, table: Array
) -> None:
    for i in range(len(out)):
        pattern = 0
        for j in range(k):
            if ((words[i] ^ want[j]) & mask[j]) == 0:
                pattern |= 1 << j
        for j in range(k):
            out[i, features[j]] += table[pattern * k + j]


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def add_contributions(
    rows: Array, starts: Ints, feature: Ints, threshold: Array, kind: Ints, first_leaf: Ints,
    slots: Ints, leaf_feature: Ints, mask: Words, want: Words, offset: Ints, table: Array,
    out: Array,
) -> None:  # fmt: skip
    """Add each row's SHAP values to ``out``; the names are those of ``LeafTables``."""
    words = np.zeros(BLOCK, np.uint32)
    for low in range(0, len(rows), BLOCK):
        block, into = rows[low : low + BLOCK], out[low : low + BLOCK]
        for tree in range(len(starts) - 1):
            _decide(words, block, starts[tree], starts[tree + 1], feature, threshold, kind)
            for leaf in range(first_leaf[tree], first_leaf[tree + 1]):
                _add(
                    into, words, slots[leaf], leaf_feature[leaf], mask[leaf], want[leaf],
                    table[offset[leaf] :],
                )  # fmt: skip
