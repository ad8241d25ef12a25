"""The exported files: the same numbers, refused when damaged, nothing unpickled."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace

import lightgbm
import numpy as np
import pytest
from made_frames import pipeline, week

from training import bundle as bundles
from training.bundle import Band, Bundle, BundleRefused, ExplanationDoesNotAddUp
from training.model import WinRateModel
from training.parts import Encoder, TablePart, TreePart


@pytest.fixture
def rows(trained):
    return np.vstack([trained.window.X[:300], np.full((1, trained.window.X.shape[1]), np.nan)])


@pytest.fixture(scope="module")
def blended():
    """A blend with a category, missing values, a calibrator: every kind of part at once."""
    random = np.random.default_rng(1)
    X = random.normal(size=(3000, 6))
    X[:, 4] = random.integers(0, 9, 3000)
    X[random.random(X.shape) < 0.1] = np.nan
    signal = np.nan_to_num(X[:, 0]) + 0.5 * (np.nan_to_num(X[:, 4]) % 3)
    y = (random.random(3000) < 1 / (1 + np.exp(0.5 - signal))).astype(float)
    model = WinRateModel(family="blend", categorical=(4,), tree_share=0.6, seed=3).fit(X, y)
    bundle = Bundle(
        kind="model",
        version="7",
        as_of="2026-01-01T00:00:00+00:00",
        fingerprint="f" * 64,
        features=tuple("abcdef"),
        groups={"a": "one", "b": "one", "c": "two", "d": "two", "e": "three"},
        encoder=model.encoder_,
        parts=tuple(model.parts_),
        slope=1.2,
        intercept=-0.3,
        base_margin=model.base_,
        bands=(Band(0.0, -0.5, 0.1, 80), Band(math.inf, -0.2, 0.4, 60)),
        abstained=None,
        card={"note": "für 中文"},
    )
    bundle = replace(bundle, bands=(bundle.bands[0], replace(bundle.bands[1], upto=1e300)))
    return model, bundle, X


class TestABundle:
    def test_gives_the_estimators_number_after_a_round_trip(self, blended, tmp_path):
        model, bundle, X = blended
        bundle.save(tmp_path)
        loaded = bundles.load(tmp_path)
        expected = 1.2 * model.decision_function(X) - 0.3
        np.testing.assert_allclose(loaded.score(X).margin, expected, atol=1e-9)
        np.testing.assert_allclose(loaded.score(X).p, 1 / (1 + np.exp(-expected)), atol=1e-9)
        assert loaded.card == {"note": "für 中文"}
        assert {path.name for path in tmp_path.iterdir()} == {"model.txt", "bundle.json"}

    def test_agrees_with_a_slow_reading_of_its_files(self, blended, tmp_path):
        _, bundle, X = blended
        bundle.save(tmp_path)
        content = json.loads((tmp_path / "bundle.json").read_text(encoding="utf-8"))
        booster = lightgbm.Booster(model_file=str(tmp_path / "model.txt"))
        for row in X[:40]:
            encoded = row.copy()
            for column, (codes, values) in content["encoder"]["tables"].items():
                table = dict(zip(codes, values, strict=True))
                encoded[int(column)] = table.get(row[int(column)], content["encoder"]["overall"])
            total = 0.0
            for part in content["parts"]:
                if part["kind"] == "trees":
                    value = booster.predict(encoded[None, :], raw_score=True)[0]
                else:
                    value = part["intercept"]
                    for j, x in enumerate(encoded):
                        gap = 1.0 if math.isnan(x) else 0.0
                        value += (gap - part["gap_share"][j]) * part["gap"][j]
                        if not gap:
                            u = (x - part["centre"][j]) / part["spread"][j]
                            u = math.asinh(u) if part["bends"][j] else u
                            z = (u - part["mean"][j]) / part["deviation"][j]
                            value += max(-4.0, min(4.0, z)) * part["coefficient"][j]
                total += part["weight"] * value
            margin = content["slope"] * total + content["intercept"]
            assert bundle.score(row[None, :]).margin[0] == pytest.approx(margin, abs=1e-9)

    def test_explains_every_row_exactly(self, blended):
        _, bundle, X = blended
        scores = bundle.score(X)
        np.testing.assert_allclose(
            scores.base_value + scores.by_feature.sum(axis=1), scores.margin, atol=1e-9
        )
        np.testing.assert_allclose(
            scores.base_value + scores.contributions.sum(axis=1), scores.margin, atol=1e-9
        )
        assert scores.groups == ("one", "two", "three", "other")
        np.testing.assert_allclose(
            scores.contributions[:, 0], scores.by_feature[:, [0, 1]].sum(axis=1)
        )

    def test_bounds_contain_the_probability(self, blended):
        _, bundle, X = blended
        scores = bundle.score(X)
        assert (scores.low <= scores.p).all()
        assert (scores.p <= scores.high).all()
        assert set(scores.similar) == {80, 60}

    def test_refuses_to_score_when_an_explanation_does_not_add_up(self, blended):
        _, bundle, X = blended

        class Wrong(TreePart):
            def contributions(self, X):
                shares, base = TreePart.contributions(self, X)
                return shares, base + 1e-5

        weight, tree = bundle.parts[1]
        broken = replace(bundle, parts=(bundle.parts[0], (weight, Wrong(tree.text, tree.booster))))
        with pytest.raises(ExplanationDoesNotAddUp, match="miss the margin by"):
            broken.score(X[:3])

    def test_scores_no_rows_and_one_row(self, blended):
        _, bundle, X = blended
        assert bundle.score(X[:0]).p.shape == (0,)
        assert bundle.score(X[:1]).p[0] == bundle.score(X).p[0]

    def test_names_the_width_it_needs(self, blended):
        _, bundle, X = blended
        with pytest.raises(BundleRefused, match=r"5 features were given, the model needs 6"):
            bundle.score(X[:, :5])

    def test_of_a_category_never_seen_uses_the_overall_rate(self, blended):
        _, bundle, X = blended
        unseen, missing = X[:5].copy(), X[:5].copy()
        unseen[:, 4], missing[:, 4] = 999.0, np.nan
        np.testing.assert_array_equal(bundle.score(unseen).p, bundle.score(missing).p)


class TestARefusal:
    @pytest.fixture
    def folder(self, blended, tmp_path):
        blended[1].save(tmp_path)
        return tmp_path

    def test_of_a_changed_tree(self, folder):
        path = folder / "model.txt"
        path.write_text(path.read_text().replace("leaf_value=", "leaf_value=0", 1))
        with pytest.raises(BundleRefused, match="does not match its hash"):
            bundles.load(folder)

    def test_of_a_missing_file(self, folder):
        (folder / "model.txt").unlink()
        with pytest.raises(BundleRefused, match="No readable model"):
            bundles.load(folder)

    def test_of_a_truncated_file(self, folder):
        path = folder / "bundle.json"
        path.write_text(path.read_text()[:200])
        with pytest.raises(BundleRefused, match="No readable model"):
            bundles.load(folder)

    @pytest.mark.parametrize("key", ["parts", "features", "slope", "encoder"])
    def test_of_an_incomplete_file(self, folder, key):
        path = folder / "bundle.json"
        content = json.loads(path.read_text())
        del content[key]
        path.write_text(json.dumps(content))
        with pytest.raises(BundleRefused, match="incomplete"):
            bundles.load(folder)

    @pytest.mark.parametrize("content", ['{"format": "winward.win_rate/99"}', "[]", '"text"'])
    def test_of_an_unknown_format(self, folder, content):
        (folder / "bundle.json").write_text(content)
        with pytest.raises(BundleRefused, match="of format"):
            bundles.load(folder)


class TestOtherKinds:
    def bundle(self, **changes):
        whole = Bundle(
            kind="base_rate",
            version="1",
            as_of="2026-01-01T00:00:00+00:00",
            fingerprint="f",
            features=("a", "b"),
            groups={},
            encoder=Encoder({}, 0.0),
            parts=(),
            slope=1.0,
            intercept=0.0,
            base_margin=0.5,
            bands=(Band(1e300, -0.1, 0.1, 400),),
            abstained=None,
            card={},
        )
        return replace(whole, **changes)

    def test_a_base_rate_is_the_same_for_everyone_and_has_no_reasons(self, tmp_path):
        self.bundle().save(tmp_path)
        scores = bundles.load(tmp_path).score(np.array([[1.0, np.nan], [5.0, 2.0]]))
        assert scores.kind == "base_rate"
        np.testing.assert_allclose(scores.p, 1 / (1 + math.exp(-0.5)))
        assert not scores.contributions.any()
        assert (scores.low < scores.p).all()
        assert scores.similar.tolist() == [400, 400]

    def test_an_abstention_has_no_number_at_all(self, tmp_path):
        self.bundle(kind="none", abstained="3 deals are missing", bands=()).save(tmp_path)
        scores = bundles.load(tmp_path).score(np.zeros((2, 2)))
        assert scores.abstained == "3 deals are missing"
        for numbers in (scores.p, scores.margin, scores.low, scores.contributions):
            assert np.isnan(numbers).all()

    def test_a_table_explains_itself_by_stage_and_age(self, tmp_path):
        table = TablePart(
            stage=0,
            age=1,
            stages=np.array([1.0, 2.0]),
            age_edges=np.array([10.0]),
            overall=-1.0,
            stage_margin=np.array([-1.5, 0.5]),
            cell_margin=np.array([[-1.4, -1.8], [0.7, 0.2]]),
        )
        self.bundle(parts=((1.0, table),)).save(tmp_path)
        rows = np.array([[1, 5], [1, 10], [2, 50], [2, np.nan], [9, 5], [np.nan, 5]], dtype=float)
        scores = bundles.load(tmp_path).score(rows)
        np.testing.assert_allclose(scores.margin, [-1.4, -1.8, 0.2, 0.5, -1.0, -1.0])
        np.testing.assert_allclose(scores.by_feature[0], [-0.5, 0.1])
        np.testing.assert_allclose(scores.by_feature[4], [0.0, 0.0])


class TestLightness:
    def test_loading_imports_neither_mlflow_nor_sklearn_of_ours_nor_pickle_users(self, tmp_path):
        code = (
            "import sys, training.bundle;"
            "heavy = {'mlflow', 'optuna', 'feast', 'shap', 'training.model', 'training.win_rate'};"
            "print(sorted(heavy & set(sys.modules)))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.stdout.strip() == "[]", done.stderr

    def test_never_unpickles(self, blended, tmp_path, monkeypatch):
        import pickle

        def refuse(*_args, **_kwargs):
            raise AssertionError("pickle was used")

        monkeypatch.setattr(pickle, "loads", refuse)
        monkeypatch.setattr(pickle, "load", refuse)
        blended[1].save(tmp_path)
        assert bundles.load(tmp_path).score(blended[2][:3]).p.shape == (3,)


def test_the_trained_bundle_predicts_as_the_training_side_did(trained, rows):
    """The exported parts on a later row equal a fresh fit of the chosen model."""
    from training import columns
    from training.censoring import soft_labels, teach
    from training.datasets import join, landmark_weights
    from training.selection import Choice, TreeSettings

    frame, outcomes = pipeline(deals=1200, seed=3)
    data = join(frame, outcomes, as_of=week(90).to_pydatetime())
    weight = landmark_weights(data)
    chosen = dict(trained.report.choice)
    choice = Choice(**{**chosen, "tree": TreeSettings(**chosen["tree"])})
    y = soft_labels(data, weight, teacher=teach(data, weight, seed=7, threads=1))
    decayed = landmark_weights(data, half_life_days=choice.half_life)
    model = choice.model(columns.layout(data.features), seed=7, threads=1)
    model.fit(data.X, y, decayed, data.deal)
    expected = trained.bundle.slope * model.decision_function(rows) + trained.bundle.intercept
    np.testing.assert_allclose(trained.bundle.score(rows).margin, expected, atol=1e-9)
