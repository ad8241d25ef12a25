"""Scores against scikit-learn and slow twins; intervals that respect deals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from training import evaluation as ev


@st.composite
def judged(draw, fewest=4):
    n = draw(st.integers(fewest, 60))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    levels = draw(st.sampled_from([3, 10, 1000]))
    p = random.integers(1, levels, n) / levels if levels > 3 else random.choice([0.2, 0.5, 0.8], n)
    y = (random.random(n) < 0.5).astype(float)
    y[:2] = 0.0, 1.0
    return y, np.clip(p.astype(float), 0.001, 0.999), random.integers(1, 5, n).astype(float)


class TestScores:
    @given(judged())
    @settings(max_examples=60, deadline=None)
    def test_equal_those_of_scikit_learn(self, rows):
        y, p, w = rows
        assert ev.log_loss(y, p, w) == pytest.approx(log_loss(y, p, sample_weight=w), abs=1e-9)
        assert ev.brier(y, p, w) == pytest.approx(
            brier_score_loss(y, p, sample_weight=w), abs=1e-12
        )
        assert ev.auc(y, p, w) == pytest.approx(roc_auc_score(y, p, sample_weight=w), abs=1e-9)

    @given(judged())
    @settings(max_examples=40, deadline=None)
    def test_auc_is_the_share_of_pairs_in_order(self, rows):
        y, p, _ = rows
        pairs = [1.0 if a > b else 0.5 if a == b else 0.0 for a in p[y == 1] for b in p[y == 0]]
        assert ev.auc(y, p) == pytest.approx(np.mean(pairs), abs=1e-12)

    @given(judged())
    @settings(max_examples=40, deadline=None)
    def test_a_weight_counts_as_that_many_rows(self, rows):
        y, p, w = rows
        times = w.astype(int)
        copies_y, copies_p = np.repeat(y, times), np.repeat(p, times)
        assert ev.log_loss(y, p, w) == pytest.approx(ev.log_loss(copies_y, copies_p))
        assert ev.auc(y, p, w) == pytest.approx(ev.auc(copies_y, copies_p))
        line, copies = ev.calibration_line(y, p, w), ev.calibration_line(copies_y, copies_p)
        # the prior that keeps separable data finite is relative to a mean row
        assert line == pytest.approx(copies, rel=0.05, abs=0.05) or max(map(abs, line)) > 3

    @given(judged(fewest=16))
    @settings(max_examples=40, deadline=None)
    def test_ece_equals_its_slow_twin(self, rows):
        y, p, _ = rows
        order = np.argsort(p, kind="stable")
        bins = [[] for _ in range(15)]
        for rank, row in enumerate(order):
            bins[int((rank + 0.5) / len(p) * 15)].append(row)
        slow = sum(
            len(rows) / len(p) * abs(np.mean(p[rows]) - np.mean(y[rows])) for rows in bins if rows
        )
        assert ev.ece(y, p) == pytest.approx(slow, abs=1e-12)

    @given(judged())
    @settings(max_examples=40, deadline=None)
    def test_reliability_keeps_every_row(self, rows):
        y, p, w = rows
        table = ev.reliability(y, p, w)
        assert sum(row.n for row in table) == len(y)
        assert sum(row.weight for row in table) == pytest.approx(w.sum())
        assert sum(row.weight * row.won_share for row in table) == pytest.approx(w @ y)

    def test_auc_is_none_when_there_is_nothing_to_rank(self):
        assert ev.auc(np.ones(5), np.linspace(0.1, 0.9, 5)) is None

    def test_auc_within_a_stage_is_a_half_for_a_stage_table(self):
        stage = np.repeat([0.0, 1.0, 2.0], 40)
        y = (np.arange(120) % 4 < stage + 1).astype(float)
        assert ev.auc(y, stage / 4 + 0.2) > 0.6
        assert ev.auc_within(y, stage / 4 + 0.2, stage) == pytest.approx(0.5)


class TestCalibration:
    def test_line_equals_scikit_learn_without_a_penalty(self):
        random = np.random.default_rng(1)
        m = random.normal(size=3000)
        y = (random.random(3000) < ev.sigmoid(0.6 * m - 0.4)).astype(float)
        twin = LogisticRegression(C=1e9, tol=1e-10).fit(m[:, None], y)
        slope, intercept = ev.calibration_line(y, ev.sigmoid(m))
        assert slope == pytest.approx(twin.coef_[0, 0], abs=1e-3)
        assert intercept == pytest.approx(twin.intercept_[0], abs=1e-3)

    def test_map_of_few_rows_stays_near_the_identity(self):
        random = np.random.default_rng(2)
        m = random.normal(size=2000)
        y = (random.random(2000) < ev.sigmoid(2 * m + 1)).astype(float)

        def distance(n: int) -> float:
            a, b = ev.affine_fit(m[:n], y[:n], np.ones(n), prior_rows=200)
            return abs(a - 1) + abs(b)

        assert distance(10) < 0.3
        assert distance(10) < distance(100) < distance(2000)
        assert distance(2000) > 1.5

    def test_map_of_separable_rows_is_finite(self):
        m = np.array([-2.0, -1.0, 1.0, 2.0])
        a, b = ev.affine_fit(m, (m > 0).astype(float), np.ones(4), prior_rows=1.0)
        assert np.isfinite([a, b]).all()
        assert a > 1

    @pytest.mark.parametrize("margin", [-800.0, -40.0, 0.0, 40.0, 800.0])
    def test_sigmoid_never_overflows(self, margin):
        p = ev.sigmoid(np.array([margin]))
        assert 0.0 <= p[0] <= 1.0
        assert np.isfinite(ev.row_log_loss(np.array([0.0]), p)).all()


class TestIntervals:
    def test_ten_copies_of_a_deal_witness_no_more_than_one(self):
        random = np.random.default_rng(3)
        value = random.normal(size=200)
        deal = np.arange(200)
        once = ev.bootstrap_mean(value, deal, seed=1)
        copies = ev.bootstrap_mean(np.repeat(value, 10), np.repeat(deal, 10), seed=1)
        assert copies.high - copies.low == pytest.approx(once.high - once.low)
        naive = ev.bootstrap_mean(np.repeat(value, 10), np.arange(2000), seed=1)
        assert naive.high - naive.low < 0.5 * (once.high - once.low)

    def test_cover_the_truth_about_nineteen_times_in_twenty(self):
        random = np.random.default_rng(4)
        covered = 0
        for trial in range(200):
            level = np.repeat(random.normal(size=60), 5)
            found = ev.bootstrap_mean(
                level + random.normal(size=300), np.repeat(np.arange(60), 5), seed=trial, draws=200
            )
            covered += found.low <= 0.0 <= found.high
        assert 175 <= covered <= 199

    def test_standard_error_agrees_with_the_bootstrap(self):
        random = np.random.default_rng(5)
        value = np.repeat(random.normal(size=300), 4) + random.normal(size=1200)
        deal = np.repeat(np.arange(300), 4)
        found = ev.bootstrap_mean(value, deal, seed=1, draws=1000)
        assert ev.standard_error(value, deal) == pytest.approx(
            (found.high - found.low) / 3.92, rel=0.1
        )


class TestChance:
    """How much of a calibration error is luck."""

    def test_is_exceeded_once_in_twenty_by_a_perfectly_calibrated_model(self):
        random = np.random.default_rng(5)
        p = random.beta(2, 3, 1500)
        deal = np.repeat(np.arange(500), 3)
        allowed = ev.chance_ece(p, deal, seed=1)
        above = 0
        for _ in range(400):
            luck = random.random(500)[deal]
            above += ev.ece((luck < p).astype(float), p) > allowed
        assert 0.02 <= above / 400 <= 0.09

    def test_is_less_the_more_deals_there_are(self):
        p = np.random.default_rng(5).beta(2, 3, 3000)
        few = ev.chance_ece(p[:300], np.arange(300), seed=1)
        assert ev.chance_ece(p, np.arange(3000), seed=1) < few / 2

    def test_counts_rows_of_one_deal_as_one_witness(self):
        p = np.linspace(0.3, 0.5, 3000)
        alone = ev.chance_ece(p, np.arange(3000), seed=1)
        assert ev.chance_ece(p, np.repeat(np.arange(300), 10), seed=1) > 2 * alone
