"""The whole training: better where there is signal, honest where there is none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from made_frames import pipeline, week

from training import evaluation as ev
from training.datasets import days, join
from training.reports import BETTER, NO_BETTER, TOO_FEW, card
from training.win_rate import WinRateModel, train


def later_rows(frame, outcomes, *, start, end):
    """Rows of weeks start to end with their outcomes, from a future the training never saw."""
    full = join(frame, outcomes, as_of=week(150).to_pydatetime())
    first, last = (days(week(each).to_pydatetime()) for each in (start, end))
    return full.take((full.as_of >= first) & (full.as_of < last) & full.is_resolved)


class TestWithSignal:
    def test_beats_the_base_rate_on_a_future_it_never_saw(self, trained):
        frame, outcomes = pipeline(deals=1200, seed=3)
        later = later_rows(frame, outcomes, start=92, end=110)
        p = trained.bundle.score(later.X).p
        rate = np.full(len(p), ev.sigmoid(np.array([trained.bundle.base_margin]))[0])
        assert trained.report.verdict == BETTER
        assert ev.log_loss(later.y, p) < ev.log_loss(later.y, rate) - 0.05
        assert ev.auc(later.y, p) > 0.7

    def test_has_a_report_that_a_person_can_read(self, trained):
        text = card(trained.report)
        assert "better than the base rate" in text
        assert "| base_rate |" in text
        assert trained.report.fingerprint in text
        assert trained.bundle.card["log_loss"] < trained.bundle.card["base_rate_log_loss"]

    def test_shows_the_losing_candidates_beside_the_chosen_one(self, trained):
        text = card(trained.report)
        chosen = trained.report.choice["family"]
        assert set(trained.report.candidates) == {"base_rate", "table", "linear", "trees", "blend"}
        for name, tried in trained.report.candidates.items():
            title = f"**{name}** (chosen)" if name == chosen else name
            assert f"| {title} | {tried.log_loss:.4f} | {tried.ece:.4f} |" in text

    def test_shows_the_calibration_error_beside_what_chance_allows(self, trained):
        served = trained.report.served
        assert f"{served.ece:.4f} ({served.ece_by_chance:.4f})" in card(trained.report)
        assert 0 < served.ece_by_chance < 0.2
        assert trained.report.metrics()["served.ece_by_chance"] == served.ece_by_chance

    def test_is_the_same_for_the_same_seed_and_any_number_of_threads(self, trained, quick):
        from dataclasses import replace

        frame, outcomes = pipeline(deals=1200, seed=3)
        again = train(
            frame, outcomes, as_of=week(90).to_pydatetime(), settings=replace(quick, threads=1)
        )
        assert _same(again.bundle, trained.bundle)

    def test_does_not_depend_on_the_order_of_rows(self, trained, quick):
        frame, outcomes = pipeline(deals=1200, seed=3)
        mixed = frame.sample(frac=1.0, random_state=1)
        again = train(mixed, outcomes, as_of=week(90).to_pydatetime(), settings=quick)
        assert _same(again.bundle, trained.bundle)

    def test_never_uses_what_was_recorded_after_the_cut(self, trained, quick):
        frame, outcomes = pipeline(deals=1200, seed=3)
        cut = week(90)
        past = train(
            frame[frame["as_of"] < cut],
            outcomes[outcomes["known_at"] <= cut],
            as_of=cut.to_pydatetime(),
            settings=quick,
        )
        rows = trained.window.X[:100]
        np.testing.assert_array_equal(past.bundle.score(rows).p, trained.bundle.score(rows).p)

    def test_a_known_direction_is_never_contradicted(self, trained):
        place = trained.bundle.features.index("account_lift")
        rows = trained.window.X[:200].copy()
        margins = []
        for value in (-1.0, 0.0, 1.0):
            rows[:, place] = value
            margins.append(trained.bundle.score(rows).margin)
        assert (np.diff(np.array(margins), axis=0) >= -1e-9).all()


def _same(one, other) -> bool:
    texts = []
    for bundle in (one, other):
        parts = [part.as_json() for _, part in bundle.parts]
        trees = [getattr(part, "text", "") for _, part in bundle.parts]
        texts.append((parts, trees, bundle.slope, bundle.intercept, bundle.fingerprint))
    return texts[0] == texts[1]


class TestWithoutSignal:
    @pytest.mark.parametrize("seed", [1, 2])
    def test_serves_the_base_rate_and_says_so(self, seed, quick):
        frame, outcomes = pipeline(deals=1200, seed=seed, signal=0.0)
        frame = frame[["entity_id", "as_of", "account_id", "owner_id", "belief", "month"]]
        noise = np.random.default_rng(seed).normal(size=(len(frame), 6))
        frame = frame.assign(**{f"noise_{i}": noise[:, i] for i in range(6)}, belief=noise[:, 0])
        found = train(frame, outcomes, as_of=week(90).to_pydatetime(), settings=quick)
        assert found.report.verdict == NO_BETTER
        assert found.bundle.kind == "base_rate"
        later = later_rows(frame, outcomes, start=92, end=110)
        scores = found.bundle.score(later.X)
        assert len(set(scores.p)) == 1
        assert scores.p[0] == pytest.approx(later.y.mean(), abs=0.12)
        assert (scores.low < scores.p).all()
        assert (scores.p < scores.high).all()

    def test_shuffled_outcomes_rank_nothing(self, quick):
        frame, outcomes = pipeline(deals=2500, seed=5)
        mixed = outcomes.assign(
            outcome=np.random.default_rng(1).permutation(outcomes["outcome"].to_numpy())
        )
        X = join(frame, mixed, as_of=week(150).to_pydatetime())
        early = X.take(X.deal % 2 == 0)
        late = X.take(X.deal % 2 == 1)
        learnt, asked = early.take(early.is_resolved), late.take(late.is_resolved)
        first = np.unique(asked.deal, return_index=True)[1]
        model = WinRateModel(family="blend").fit(learnt.X, learnt.y, None, learnt.deal)
        found = ev.auc(asked.y[first], model.predict_proba(asked.X[first])[:, 1])
        # 0.50 ± 0.02 is 0.9 standard errors of 1 250 deals; ± 0.05 is beyond two
        assert found == pytest.approx(0.5, abs=0.05)
        assert train(
            frame, mixed, as_of=week(90).to_pydatetime(), settings=quick
        ).report.verdict == (NO_BETTER)


class TestALeak:
    def test_in_a_feature_is_flagged_by_name(self, quick):
        frame, outcomes = pipeline(deals=800, seed=3)
        won = frame["entity_id"].map(outcomes.set_index("entity_id")["outcome"]) == "won"
        frame = frame.assign(close_value=np.where(won, 100.0, 0.0))
        found = train(frame, outcomes, as_of=week(90).to_pydatetime(), settings=quick)
        said = [leak.sentence() for leak in found.report.leaks]
        assert any("feature close_value" in each and "not promotable" in each for each in said)
        assert any("the model on later time" in each for each in said)

    def test_in_being_filled_in_is_flagged_too(self, quick):
        frame, outcomes = pipeline(deals=800, seed=3)
        won = frame["entity_id"].map(outcomes.set_index("entity_id")["outcome"]) == "won"
        frame = frame.assign(contract=np.where(won, 5.0, np.nan))
        found = train(frame, outcomes, as_of=week(90).to_pydatetime(), settings=quick)
        assert any("feature contract" in leak.what for leak in found.report.leaks)

    def test_is_not_suspected_of_an_honest_frame(self, trained):
        assert trained.report.leaks == ()


class TestColdStart:
    def cut(self, deals, quick, *, seed=3):
        """Train on so many resolved deals only."""
        frame, outcomes = pipeline(deals=400, seed=seed)
        outcomes = outcomes.sort_values("known_at", kind="stable").iloc[:deals]
        when = outcomes["known_at"].max() if deals else week(2)
        when = when + pd.Timedelta(hours=1)
        return train(frame, outcomes, as_of=when.to_pydatetime(), settings=quick)

    def test_abstains_without_a_single_deal(self, quick):
        found = self.cut(0, quick)
        scores = found.bundle.score(np.zeros((2, len(found.bundle.features))))
        assert found.report.verdict == TOO_FEW
        assert found.bundle.kind == "none"
        assert "at least 10 closed deals" in scores.abstained
        assert "0 won and 0 lost" in scores.abstained
        assert np.isnan(scores.p).all()

    def test_serves_a_shrunk_table_with_a_band_from_sixty_deals(self, quick, tmp_path):
        from training.bundle import load

        found = self.cut(60, quick)
        assert found.bundle.kind == "base_rate"
        found.bundle.save(tmp_path)
        frame, _ = pipeline(deals=400, seed=3)
        rows = frame[list(found.bundle.features)].to_numpy(float)[:200]
        scores = load(tmp_path).score(rows)
        assert ((scores.p > 0.02) & (scores.p < 0.95)).all()
        assert (scores.high - scores.low > 0.1).all()

    def test_of_an_empty_frame_abstains(self, quick):
        frame, outcomes = pipeline(deals=20, seed=1)
        found = train(
            frame.iloc[:0], outcomes.iloc[:0], as_of=week(5).to_pydatetime(), settings=quick
        )
        assert found.bundle.kind == "none"


class TestTheEstimator:
    def test_follows_the_scikit_learn_contract(self):
        from sklearn.base import clone

        model = WinRateModel(family="linear", ridge=3.0)
        assert clone(model).get_params() == model.get_params()
        random = np.random.default_rng(1)
        X = random.normal(size=(200, 3))
        y = (X[:, 0] > 0).astype(float)
        assert model.fit(X, y) is model
        assert model.predict_proba(X).sum(axis=1) == pytest.approx(np.ones(200))
        assert not hasattr(clone(model), "parts_")

    def test_linear_part_equals_scikit_learns_ridge(self):
        from sklearn.linear_model import LogisticRegression

        from training.learners import fit_linear

        random = np.random.default_rng(2)
        X = random.normal(size=(1500, 4))
        y = (random.random(1500) < ev.sigmoid(X[:, 0] - 0.5 * X[:, 1])).astype(float)
        part = fit_linear(X, y, np.ones(1500), ridge=30.0, monotone={})
        z, _ = part.standardise(X)
        twin = LogisticRegression(C=1 / 30.0, tol=1e-10, max_iter=1000).fit(z, y)
        np.testing.assert_allclose(part.coefficient, twin.coef_[0], atol=1e-4)
        assert part.intercept == pytest.approx(twin.intercept_[0], abs=1e-3)

    def test_soft_labels_equal_their_two_weighted_halves(self):
        from training.learners import fit_linear

        random = np.random.default_rng(3)
        X = random.normal(size=(600, 3))
        soft = random.random(600)
        one = fit_linear(X, soft, np.ones(600), ridge=5.0, monotone={})
        both = fit_linear(
            np.vstack([X, X]),
            np.repeat([1.0, 0.0], 600),
            np.concatenate([soft, 1 - soft]),
            ridge=5.0,
            monotone={},
        )
        np.testing.assert_allclose(one.coefficient, both.coefficient, atol=1e-4)

    def test_wants_rows(self):
        with pytest.raises(ValueError, match="at least one row"):
            WinRateModel().fit(np.empty((0, 2)), np.empty(0))
