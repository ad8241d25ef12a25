"""Exact SHAP values of shallow trees from tables made once, instead of walking each path anew.

For a leaf with k different features on its path, a row matters only through which of the k are
satisfied: a pattern of k bits. The k Shapley values of each of the 2^k patterns are computed
once per model (the game is LightGBM's own: an absent feature follows the training rows' shares);
explaining a row then is reading its decisions and adding table rows. Equal to LightGBM's
``pred_contrib`` up to rounding, which stays the oracle of the tests and the way out for trees
that the tables do not cover (categorical splits, more than 32 decisions, deep paths).

Source: the leaf-wise form of TreeSHAP (Lundberg et al. 2020; Yang 2021), see docs/models.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from math import factorial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
MOST_DECISIONS = 32
MOST_ON_A_PATH = 8
ROWS_WORTH_TABLES = 20_000
"""Making tables and compiling the loop take a few seconds; fewer rows are walked sooner."""
_CATEGORICAL = 1


class NotCovered(ValueError):
    """The model has a tree of a shape that tables are not made for."""


@dataclass(frozen=True, slots=True)
class LeafTables:
    """A model's decisions, and per leaf its features and the table of their values.

    Decision d of tree t is bit ``d - starts[t]`` of the tree's word. Slot j of a leaf is its
    j-th feature; it is satisfied when ``(word ^ want[leaf, j]) & mask[leaf, j] == 0``. The
    values of slot j under a pattern stand at ``table[offset[leaf] + pattern * slots[leaf] + j]``.
    """

    width: int
    base: float
    starts: Ints
    feature: Ints
    threshold: Array
    kind: Ints
    first_leaf: Ints
    slots: Ints
    leaf_feature: Ints
    mask: NDArray[np.uint32]
    want: NDArray[np.uint32]
    offset: Ints
    table: Array

    @classmethod
    def of(cls, text: str, *, width: int) -> Self:
        """Return the tables of a LightGBM model text. Raises NotCovered."""
        trees = [_Tree(content) for content in _trees(text)]
        leaves = [leaf for tree in trees for leaf in tree.leaves()]
        counts = [len(tree.leaf_value) for tree in trees]
        most = max((len(leaf.features) for leaf in leaves), default=0) or 1
        blank = np.zeros((len(leaves), most), np.uint32)
        features, mask, want = blank.astype(np.int64), blank.copy(), blank.copy()
        tables, offset = [], 0
        offsets = np.zeros(len(leaves), np.int64)
        for number, leaf in enumerate(leaves):
            k = len(leaf.features)
            features[number, :k] = leaf.features
            mask[number, :k], want[number, :k] = leaf.mask, leaf.want
            offsets[number] = offset
            tables.append(leaf.table())
            offset += tables[-1].size
        return cls(
            width=width,
            base=float(sum(leaf.value * leaf.share for leaf in leaves)),
            starts=_starts([len(tree.feature) for tree in trees]),
            feature=_joined([tree.feature for tree in trees], np.int64),
            threshold=_joined([tree.threshold for tree in trees], np.float64),
            kind=_joined([tree.kind for tree in trees], np.int64),
            first_leaf=_starts(counts),
            slots=np.array([len(leaf.features) for leaf in leaves], np.int64),
            offset=offsets,
            table=_joined(tables, np.float64),
            leaf_feature=features,
            mask=mask,
            want=want,
        )

    def contributions(self, X: Array) -> Array:
        """Return each feature's SHAP value per row (float64, ``width`` columns)."""
        from training.leaf_loop import add_contributions  # noqa: PLC0415 - slow to import

        rows = np.ascontiguousarray(X, np.float64)
        found = np.zeros((len(rows), self.width))
        add_contributions(
            rows, self.starts, self.feature, self.threshold, self.kind, self.first_leaf,
            self.slots, self.leaf_feature, self.mask, self.want, self.offset, self.table, found,
        )  # fmt: skip
        return found


@lru_cache(maxsize=4)
def tables_of(text: str, *, width: int) -> LeafTables | None:
    """Return the tables of a model text, None where its trees have a shape they do not cover."""
    try:
        return LeafTables.of(text, width=width)
    except NotCovered:
        return None


def _starts(counts: list[int]) -> Ints:
    return np.concatenate(([0], np.cumsum(counts, dtype=np.int64))).astype(np.int64)


def _joined(pieces: list[Any], kind: Any) -> Any:  # noqa: ANN401 - a NumPy type and its array
    flat = [np.asarray(piece, kind).ravel() for piece in pieces]
    return np.concatenate([np.zeros(0, kind), *flat])


def _trees(text: str) -> Iterator[dict[str, str]]:
    """Yield the key=value lines of each tree of LightGBM's text."""
    found: dict[str, str] | None = None
    for line in text.splitlines():
        key, _, value = line.partition("=")
        if key == "Tree":
            found = {}
        elif found is not None and not line.strip():
            yield found
            found = None
        elif found is not None:
            found[key] = value


@dataclass(frozen=True, slots=True)
class _Leaf:
    """One leaf: its features, which bits of the tree's word each rests on, its rows' shares."""

    value: float
    share: float
    features: tuple[int, ...]
    mask: tuple[int, ...]
    want: tuple[int, ...]
    shares: tuple[float, ...]

    def table(self) -> Array:
        """Return the Shapley values by pattern and feature.

        v(S) = value · Π_S satisfied · Π_rest share, so that
        φ_j = value · (satisfied_j − share_j) · Σ_S w(|S|) Π_S satisfied · Π_rest share.
        """
        k = len(self.features)
        found = np.zeros((1 << k, k))
        bits = (np.arange(1 << k)[:, None] >> np.arange(k)[None, :]) & 1
        for j in range(k):
            others = [i for i in range(k) if i != j]
            sums = np.zeros((1 << k, k))  # by size of S: Σ over S of that size
            sums[:, 0] = 1.0
            for i in others:
                grown = sums * self.shares[i]
                grown[:, 1:] += sums[:, :-1] * bits[:, i : i + 1]
                sums = grown
            found[:, j] = self.value * (bits[:, j] - self.shares[j]) * (sums @ _weights(k))
        return found


@lru_cache(maxsize=MOST_ON_A_PATH + 1)
def _weights(k: int) -> Array:
    """Return |S|!·(k − |S| − 1)!/k! for |S| = 0 … k − 1."""
    return np.array([factorial(s) * factorial(k - s - 1) / factorial(k) for s in range(k)])


class _Tree:
    """One tree of the text."""

    def __init__(self, content: dict[str, str]) -> None:
        numbers = {name: value.split() for name, value in content.items()}
        self.leaf_value = [float(each) for each in numbers["leaf_value"]]
        self.feature = [int(each) for each in numbers.get("split_feature", [])]
        self.threshold = [float(each) for each in numbers.get("threshold", [])]
        self.kind = [int(each) for each in numbers.get("decision_type", [])]
        self.left = [int(each) for each in numbers.get("left_child", [])]
        self.right = [int(each) for each in numbers.get("right_child", [])]
        self.inner_rows = [float(each) for each in numbers.get("internal_count", [])]
        self.leaf_rows = [float(each) for each in numbers.get("leaf_count", [])]
        if any(kind & _CATEGORICAL for kind in self.kind) or content.get("is_linear", "0") != "0":
            raise NotCovered("a split by categories, or a linear leaf")
        if len(self.feature) > MOST_DECISIONS:
            raise NotCovered(f"a tree of {len(self.feature)} decisions")

    def leaves(self) -> list[_Leaf]:
        """Return the leaves by number."""
        if not self.feature:
            return [_Leaf(self.leaf_value[0], 1.0, (), (), (), ())]
        found: list[_Leaf | None] = [None] * len(self.leaf_value)
        self._walk(0, {}, 1.0, found)
        return [leaf for leaf in found if leaf is not None]

    def _walk(
        self,
        node: int,
        path: dict[int, tuple[int, int, float]],
        share: float,
        found: list[_Leaf | None],
    ) -> None:
        if node < 0:
            if len(path) > MOST_ON_A_PATH:
                raise NotCovered(f"a path of {len(path)} features")
            masks, wants, shares = zip(*path.values(), strict=True)
            found[~node] = _Leaf(self.leaf_value[~node], share, tuple(path), masks, wants, shares)
            return
        feature = self.feature[node]
        mask, want, kept = path.get(feature, (0, 0, 1.0))
        for child, bit in ((self.left[node], 1), (self.right[node], 0)):
            rows = self.inner_rows[child] if child >= 0 else self.leaf_rows[~child]
            part = rows / self.inner_rows[node]
            step = (mask | 1 << node, want | bit << node, kept * part)
            self._walk(child, {**path, feature: step}, share * part, found)
