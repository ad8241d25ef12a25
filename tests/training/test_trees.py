"""The library asked directly says what LightGBM's own package says, and no server imports that."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import lightgbm
import numpy as np
import pytest

from training.trees import Trees, TreesRefused


@pytest.fixture(scope="module")
def trained():
    """A small booster and rows with missing values."""
    random = np.random.default_rng(5)
    rows = random.normal(size=(400, 5))
    rows[random.random(rows.shape) < 0.1] = np.nan
    won = (np.nan_to_num(rows).sum(axis=1) + random.normal(size=400) > 0) * 1.0
    booster = lightgbm.train(
        {"objective": "binary", "verbose": -1, "num_threads": 1}, lightgbm.Dataset(rows, won), 20
    )
    return booster, rows


class TestTrees:
    def test_say_what_the_package_says_to_the_last_bit(self, trained):
        booster, rows = trained
        trees = Trees(booster.model_to_string())
        for layout in (rows, np.asfortranarray(rows), rows[::3], rows[:1]):
            ours, theirs = trees.margin(layout), booster.predict(layout, raw_score=True)
            assert ours.tobytes() == theirs.tobytes()
            ours, theirs = trees.contributions(layout), booster.predict(layout, pred_contrib=True)
            assert ours.tobytes() == theirs.tobytes()

    def test_may_be_asked_from_many_threads(self, trained):
        booster, rows = trained
        trees = Trees(booster.model_to_string())
        expected = trees.contributions(rows).tobytes()
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda _: trees.contributions(rows).tobytes(), range(24)))
        assert set(found) == {expected}

    @pytest.mark.parametrize("shape", [(3, 4), (3, 6), (5,), (0, 4)])
    def test_refuse_rows_of_another_width(self, trained, shape):
        with pytest.raises(TreesRefused, match="rows of 5 features"):
            Trees(trained[0].model_to_string()).margin(np.zeros(shape))

    @pytest.mark.parametrize("text", ["", "tree\nversion=v4\n", "not a model"])
    def test_refuse_a_text_that_is_no_model(self, text):
        with pytest.raises(TreesRefused, match="LightGBM refused"):
            Trees(text)

    def test_print_nothing(self, trained, capfd):
        trees = Trees(trained[0].model_to_string())
        trees.contributions(trained[1])
        assert capfd.readouterr() == ("", "")


def test_the_server_s_start_imports_no_learning_library():
    script = (
        "import sys, serving.app\n"
        "heavy = {'sklearn', 'scipy', 'lightgbm', 'mlflow', 'feast', 'shap', 'optuna'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
