"""Tables of leaves give LightGBM's own SHAP values, to rounding, whatever the trees look like."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys

import lightgbm
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from training import leaf_tables, parts
from training.leaf_tables import LeafTables, NotCovered


def rows_of(seed, *, rows=400, width=6):
    """Rows with gaps, exact zeros, near-zeros, infinities and few different values."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(rows, width))
    X[:, 1] = random.integers(-1, 3, rows)
    X[random.random(X.shape) < 0.15] = np.nan
    X[random.random(X.shape) < 0.05] = 0.0
    X[random.random(X.shape) < 0.01] = 1e-36
    X[random.random(X.shape) < 0.01] = np.inf
    return X


def booster_of(seed, *, trees=6, leaves=7, depth=4, **parameters):
    X = rows_of(seed)
    random = np.random.default_rng(seed)
    seen = np.clip(np.nan_to_num(X, posinf=3.0), -3, 3)
    y = seen[:, 0] * seen[:, 1] + random.normal(size=400) > 0.3
    return lightgbm.train(
        {
            "objective": "binary", "num_leaves": leaves, "max_depth": depth, "verbose": -1,
            "num_threads": 1, "min_data_in_leaf": 3, "seed": seed, **parameters,
        },
        lightgbm.Dataset(X, y * 1.0),
        trees,
    )  # fmt: skip


class TestTables:
    @settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        seed=st.integers(0, 10_000),
        leaves=st.integers(2, 20),
        depth=st.integers(1, 6),
        zero_as_missing=st.booleans(),
        use_missing=st.booleans(),
    )
    def test_say_what_lightgbm_says(self, seed, leaves, depth, zero_as_missing, use_missing):
        booster = booster_of(
            seed, leaves=leaves, depth=depth, zero_as_missing=zero_as_missing,
            use_missing=use_missing,
        )  # fmt: skip
        X = rows_of(seed + 1, rows=300)
        expected = booster.predict(X, pred_contrib=True)
        tables = LeafTables.of(booster.model_to_string(), width=6)
        np.testing.assert_allclose(tables.contributions(X), expected[:, :-1], atol=1e-12)
        assert tables.base == pytest.approx(expected[0, -1], abs=1e-12)

    def test_say_what_the_definition_says(self):
        """One tree against Shapley's sum over all orders, with the shares of the training rows."""
        booster = booster_of(5, trees=1, leaves=6)
        X = rows_of(6, rows=20)
        tables = LeafTables.of(booster.model_to_string(), width=6)
        root = booster.dump_model()["tree_info"][0]["tree_structure"]
        for row, found in zip(X, tables.contributions(X), strict=True):
            np.testing.assert_allclose(found, by_all_orders(root, row), atol=1e-12)

    def test_of_a_tree_without_a_split_give_nothing(self):
        booster = booster_of(1, min_data_in_leaf=390)
        tables = LeafTables.of(booster.model_to_string(), width=6)
        X = rows_of(2, rows=5)
        assert (tables.contributions(X) == 0).all()
        np.testing.assert_allclose(tables.base, booster.predict(X, raw_score=True))

    def test_are_not_made_for_categories_deep_paths_or_wide_trees(self):
        X = np.abs(np.nan_to_num(rows_of(3), posinf=1)).round()
        y = (X[:, 1] == 1) * 1.0
        by_category = lightgbm.train(
            {"objective": "binary", "verbose": -1, "num_threads": 1, "min_data_in_leaf": 3},
            lightgbm.Dataset(X, y, categorical_feature=[1]),
            2,
        )
        wide = booster_of(3, leaves=40, depth=8)
        for booster in (by_category, wide):
            with pytest.raises(NotCovered):
                LeafTables.of(booster.model_to_string(), width=6)
            assert leaf_tables.tables_of(booster.model_to_string(), width=6) is None


def value_of(node, row, known):
    """Return the tree's expectation when only the features in ``known`` are."""
    if "leaf_value" in node:
        return node["leaf_value"]
    sides = node["left_child"], node["right_child"]
    if node["split_feature"] in known:
        value = row[node["split_feature"]]
        if np.isnan(value):
            if node["missing_type"] == "NaN":
                return value_of(sides[0 if node["default_left"] else 1], row, known)
            value = 0.0
        return value_of(sides[0 if value <= node["threshold"] else 1], row, known)
    count = [side.get("internal_count", side.get("leaf_count")) for side in sides]
    both = [value_of(side, row, known) for side in sides]
    return (both[0] * count[0] + both[1] * count[1]) / sum(count)


def by_all_orders(root, row):
    """Return the mean marginal contribution of each feature over all orders; slow and plain."""
    found = np.zeros(len(row))
    for order in itertools.permutations(range(len(row))):
        known, before = set(), value_of(root, row, set())
        for feature in order:
            known.add(feature)
            after = value_of(root, row, known)
            found[feature] += after - before
            before = after
    return found / math.factorial(len(row))


class TestAPart:
    def test_gives_the_same_with_tables_and_without(self, monkeypatch):
        part = parts.TreePart.from_text(booster_of(8).model_to_string())
        X = rows_of(9)
        walked, base = part.contributions(X)
        monkeypatch.setattr(parts, "ROWS_WORTH_TABLES", len(X))
        read, same_base = part.contributions(X)
        np.testing.assert_allclose(read, walked, atol=1e-12)
        assert same_base == pytest.approx(base, abs=1e-12)

    def test_falls_back_where_tables_are_not_made(self, monkeypatch):
        part = parts.TreePart.from_text(booster_of(3, leaves=40, depth=8).model_to_string())
        monkeypatch.setattr(parts, "ROWS_WORTH_TABLES", 1)
        X = rows_of(4)
        np.testing.assert_array_equal(
            part.contributions(X)[0], part.booster.contributions(X)[:, :-1]
        )


def test_a_server_that_scores_single_deals_never_imports_the_compiler():
    code = "import sys, training.bundle; print(sorted({'numba', 'llvmlite'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
