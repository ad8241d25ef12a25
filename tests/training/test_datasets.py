"""Labels as known at a cut, folds in order of time, weights, the identity of a data set."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_frames import pipeline, week

from training import datasets as ds
from training.censoring import share_won_in_the_end

T = pd.Timestamp("2026-01-01", tz="UTC")


def frame_of(*rows):
    """Rows of (deal, day of the landmark, value)."""
    return pd.DataFrame(
        {
            "entity_id": [row[0] for row in rows],
            "as_of": [T + pd.Timedelta(days=row[1]) for row in rows],
            "account_id": [None] * len(rows),
            "owner_id": ["r"] * len(rows),
            "value": [float(row[2]) for row in rows],
        }
    )


def outcomes_of(*rows):
    """Rows of (deal, outcome, day it was known)."""
    known = [T + pd.Timedelta(days=row[2]) for row in rows]
    return pd.DataFrame(
        {
            "entity_id": [row[0] for row in rows],
            "outcome": [row[1] for row in rows],
            "closed_at": known,
            "known_at": known,
            "created_at": [T] * len(rows),
        }
    )


def at(day: float) -> dt.datetime:
    return (T + pd.Timedelta(days=day)).to_pydatetime()


class TestJoin:
    def test_knows_only_the_outcomes_recorded_by_the_cut(self):
        frame = frame_of(("won late", 0, 1), ("lost", 0, 2), ("won", 1, 3))
        outcomes = outcomes_of(("won late", "won", 30), ("lost", "lost", 5), ("won", "won", 9))
        data = ds.join(frame, outcomes, as_of=at(10))
        assert data.X[:, 0].tolist() == [2.0, 1.0, 3.0]  # ordered by time, then deal
        np.testing.assert_array_equal(data.y, [0.0, np.nan, 1.0])
        assert (data.deals_won, data.deals_lost) == (1, 1)

    def test_drops_landmarks_after_the_end_and_after_the_cut(self):
        frame = frame_of(("a", 0, 1), ("a", 5, 2), ("a", 6, 3), ("b", 10, 4), ("b", 9, 5))
        data = ds.join(frame, outcomes_of(("a", "won", 5)), as_of=at(10))
        assert data.X[:, 0].tolist() == [1.0, 5.0]

    def test_refuses_a_deal_twice_at_one_time(self):
        with pytest.raises(ds.FrameRejected, match="twice at one time"):
            ds.join(frame_of(("a", 0, 1), ("a", 0, 2)), outcomes_of(), as_of=at(1))

    def test_names_the_column_that_is_missing(self):
        with pytest.raises(ds.FrameRejected, match="no column known_at"):
            ds.join(
                frame_of(("a", 0, 1)),
                pd.DataFrame({"entity_id": [], "outcome": []}),
                as_of=at(1),
            )

    def test_names_the_feature_that_is_text(self):
        frame = frame_of(("a", 0, 1)).assign(colour="red")
        with pytest.raises(ds.FrameRejected, match="colour is not a number"):
            ds.join(frame, outcomes_of(), as_of=at(1))

    def test_refuses_a_time_without_a_zone(self):
        with pytest.raises(ds.FrameRejected, match="time zone"):
            ds.join(frame_of(("a", 0, 1)), outcomes_of(), as_of=dt.datetime(2026, 1, 2))

    @given(st.integers(1, 120), st.integers(0, 30))
    @settings(max_examples=30, deadline=None)
    def test_never_sees_past_an_earlier_cut(self, later, earlier):
        frame, outcomes = pipeline(deals=60, seed=5)
        cut = week(earlier + 5)
        full = ds.join(frame, outcomes, as_of=week(earlier + 5 + later).to_pydatetime())
        direct = ds.join(frame, outcomes, as_of=cut.to_pydatetime())
        replayed = full.known_by(ds.days(cut.to_pydatetime()))
        np.testing.assert_array_equal(replayed.y, direct.y)
        np.testing.assert_array_equal(replayed.X, direct.X)
        np.testing.assert_array_equal(replayed.known_at, direct.known_at)


class TestFolds:
    def test_train_on_what_was_known_and_test_on_what_came_later(self):
        frame, outcomes = pipeline(deals=400, seed=2)
        data = ds.join(frame, outcomes, as_of=week(100).to_pydatetime())
        folds = list(ds.forward_folds(data, shares=(0.4, 0.6, 0.8, 1.0)))
        assert len(folds) == 3
        for fold in folds:
            assert fold.train.as_of.max() < fold.cut <= fold.test.as_of.min()
            known = fold.train.is_resolved
            assert fold.train.known_at[known].max() <= fold.cut
            labelled = set(fold.train.deal[known])
            assert labelled.isdisjoint(fold.test.deal)

    def test_leave_a_gap_when_one_is_asked_for(self):
        frame, outcomes = pipeline(deals=200, seed=2)
        data = ds.join(frame, outcomes, as_of=week(100).to_pydatetime())
        cut = ds.days(week(50).to_pydatetime())
        fold = ds.split(data, start=cut, end=cut + 100, embargo_days=14)
        assert fold.test.as_of.min() >= cut + 14
        assert fold.train.as_of.max() < cut

    def test_of_nothing_resolved_are_none(self):
        data = ds.join(frame_of(("a", 0, 1)), outcomes_of(), as_of=at(3))
        assert list(ds.forward_folds(data, shares=(0.5, 1.0))) == []


class TestWeights:
    def test_a_deal_of_forty_landmarks_weighs_twelve(self):
        rows = [("long", day, 0) for day in range(40)] + [("short", day, 0) for day in range(3)]
        data = ds.join(frame_of(*rows), outcomes_of(), as_of=at(50))
        weight = ds.landmark_weights(data)
        named = data.deal == data.deal[-1]
        assert weight[named].sum() == pytest.approx(12)
        assert weight[~named].sum() == pytest.approx(3)

    def test_halve_with_every_half_life(self):
        data = ds.join(frame_of(("a", 0, 0), ("b", 10, 0)), outcomes_of(), as_of=at(20))
        old, new = ds.landmark_weights(data, half_life_days=10)
        assert new == pytest.approx(2 * old)

    def test_undo_the_censoring_of_slow_deals(self):
        # half of the landmarks come late enough that a slow win cannot have been seen
        random = np.random.default_rng(1)
        n = 4000
        start = random.uniform(0, 100, n)
        is_won = random.random(n) < 0.5
        ends = start + np.where(is_won, 40.0, 5.0)
        frame = frame_of(*[(f"d{i:05}", start[i], 0) for i in range(n)])
        known = [(f"d{i:05}", "won" if is_won[i] else "lost", ends[i]) for i in range(n)]
        data = ds.join(frame, outcomes_of(*known), as_of=at(100))
        seen = data.is_resolved
        naive = data.y[seen].mean()
        undone = np.average(data.y[seen], weights=ds.observation_weights(data)[seen])
        assert naive < 0.43
        assert undone == pytest.approx(0.5, abs=0.03)
        assert share_won_in_the_end(data, np.ones(len(data))) == pytest.approx(0.5, abs=0.03)


class TestRecordingStart:
    def test_is_found_where_a_crm_was_filled_with_its_open_deals(self):
        frame, outcomes = pipeline(deals=2000, seed=4)
        began = week(30)
        survivors = outcomes[outcomes["known_at"] >= began]
        gone = set(outcomes["entity_id"]) - set(survivors["entity_id"])
        kept = frame[~frame["entity_id"].isin(gone)]
        data = ds.join(kept, survivors, as_of=week(90).to_pydatetime())
        start = ds.recording_start(data)
        assert start == pytest.approx(ds.days(began.to_pydatetime()), abs=7)
        assert ds.since_recording(data).as_of.min() >= start

    def test_is_none_where_everything_was_recorded(self):
        frame, outcomes = pipeline(deals=2000, seed=4)
        data = ds.join(frame, outcomes, as_of=week(90).to_pydatetime())
        assert ds.recording_start(data) is None
        assert len(ds.since_recording(data)) == len(data)


class TestFingerprint:
    def test_does_not_depend_on_the_order_of_rows(self):
        frame, outcomes = pipeline(deals=80, seed=1)
        mixed = frame.sample(frac=1.0, random_state=3)
        cut = week(60).to_pydatetime()
        assert ds.fingerprint(ds.join(frame, outcomes, as_of=cut)) == ds.fingerprint(
            ds.join(mixed, outcomes.iloc[::-1], as_of=cut)
        )

    def test_changes_with_a_value_a_label_and_the_cut(self):
        frame, outcomes = pipeline(deals=80, seed=1)
        cut = week(60).to_pydatetime()
        first = ds.fingerprint(ds.join(frame, outcomes, as_of=cut))
        value = frame.copy()
        value.loc[0, "log_amount"] += 1e-9
        label = outcomes.copy()
        early = label["known_at"].idxmin()
        label.loc[early, "outcome"] = {"won": "lost", "lost": "won"}[label.loc[early, "outcome"]]
        others = {
            ds.fingerprint(ds.join(value, outcomes, as_of=cut)),
            ds.fingerprint(ds.join(frame, label, as_of=cut)),
            ds.fingerprint(ds.join(frame, outcomes, as_of=cut + dt.timedelta(days=1))),
        }
        assert first not in others
        assert len(others) == 3
