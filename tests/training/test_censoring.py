"""Open deals are neither ignored nor called lost."""

from __future__ import annotations

import numpy as np
import pytest
from made_frames import pipeline, week

from training import censoring, learners
from training.datasets import days, join, landmark_weights
from training.evaluation import calibration_line, ece, sigmoid


@pytest.fixture(scope="module")
def world():
    """What was known in week 70, the truth about those rows, and the weeks that followed."""
    frame, outcomes = pipeline(deals=4000, seed=2)
    full = join(frame, outcomes, as_of=week(150).to_pydatetime())
    cut = days(week(70).to_pydatetime())
    known = full.known_by(cut)
    truth = full.take(full.as_of < cut).y
    return known, truth


def labels(data, weight):
    teacher = censoring.teach(data, weight, seed=1, threads=1)
    return censoring.soft_labels(data, weight, teacher=teacher)


class TestSoftLabels:
    def test_keep_what_is_known_and_fill_what_is_open(self, world):
        known, _ = world
        soft = labels(known, landmark_weights(known))
        closed = known.is_resolved
        np.testing.assert_array_equal(soft[closed], known.y[closed])
        assert ((soft[~closed] > 0) & (soft[~closed] < 1)).all()
        for deal in np.unique(known.deal[~closed])[:20]:
            assert len(set(soft[known.deal == deal])) == 1

    def test_remove_most_of_the_bias_of_closed_deals(self, world):
        """Measured as MODELS.md asks: the level of the open pipeline against its real outcome."""
        known, truth = world
        closed = known.is_resolved
        sure = ~np.isnan(truth)
        weight = landmark_weights(known)
        soft = labels(known, weight)

        def level(rows, y):
            data = learners.tree_data(known.X[rows], y[rows], weight[rows])
            part = learners.fit_trees(data, learners.TreeSettings(), monotone={}, seed=1, threads=1)
            return sigmoid(part.margin(known.X[sure]))

        biased = level(closed, known.y)
        mended = level(np.ones(len(closed), dtype=bool), soft)
        actual = truth[sure].mean()
        assert actual - biased.mean() > 0.015  # losses come fast: too pessimistic
        assert abs(mended.mean() - actual) < 0.6 * abs(biased.mean() - actual)
        assert ece(truth[sure], mended) < ece(truth[sure], biased)
        assert abs(calibration_line(truth[sure], mended)[1]) < abs(
            calibration_line(truth[sure], biased)[1]
        )

    def test_of_few_deals_are_the_pooled_share(self):
        frame, outcomes = pipeline(deals=150, seed=2)
        data = join(frame, outcomes, as_of=week(60).to_pydatetime())
        weight = landmark_weights(data)
        soft = labels(data, weight)
        share = censoring.share_won_in_the_end(data, weight)
        assert set(soft[~data.is_resolved]) == {share}


class TestTheShareWonInTheEnd:
    def test_equals_the_plain_share_without_open_deals(self):
        frame, outcomes = pipeline(deals=300, seed=1)
        data = join(frame, outcomes, as_of=week(150).to_pydatetime())
        data = data.take(data.is_resolved)
        weight = landmark_weights(data)
        assert censoring.share_won_in_the_end(data, weight) == pytest.approx(
            np.average(data.y, weights=weight)
        )

    def test_is_a_half_when_nothing_is_known(self):
        frame, outcomes = pipeline(deals=50, seed=1)
        data = join(frame, outcomes.iloc[:0], as_of=week(50).to_pydatetime())
        assert censoring.share_won_in_the_end(data, landmark_weights(data)) == 0.5


class TestTheTeacher:
    def test_agrees_with_what_came_of_the_open_deals(self, world):
        known, truth = world
        teacher = censoring.fit_teacher(known, landmark_weights(known), seed=1, threads=1)
        rows = np.flatnonzero(~known.is_resolved & ~np.isnan(truth))
        chance = teacher.share_won(known.X[rows], known.cut - known.as_of[rows])
        assert chance.mean() == pytest.approx(truth[rows].mean(), abs=0.06)
        won, lost = chance[truth[rows] == 1], chance[truth[rows] == 0]
        assert won.mean() > lost.mean() + 0.1

    def test_gives_chances_that_stay_between_nought_and_one(self, world):
        known, _ = world
        teacher = censoring.fit_teacher(known, landmark_weights(known), seed=1, threads=1)
        for waited in (0.0, 30.0, 10_000.0):
            chance = teacher.share_won(known.X[:200], np.full(200, waited))
            assert ((chance >= 0) & (chance <= 1)).all()
