"""What the age of open deals says, and what must not be believed of the fast ones alone."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from made_frames import pipeline, week

from training import columns, second_look
from training.censoring import pooled_labels
from training.datasets import forward_folds, join
from training.evaluation import sigmoid
from training.intake import admit
from training.learners import TreeSettings
from training.selection import Choice, prepare
from training.win_rate import SHARES

START = pd.Timestamp("2026-01-01", tz="UTC")
FAST, SLOW = 5.0, 40.0


def at(day: float) -> dt.datetime:
    return (START + pd.Timedelta(days=day)).to_pydatetime()


def world(*, deals: int = 2000, days: float = 100.0, seed: int = 1):
    """Half of the deals are lost at 5 days, half won at 40; nothing but the age tells which."""
    random = np.random.default_rng(seed)
    born = random.uniform(0, days, deals)
    is_won = random.random(deals) < 0.5
    ends = born + np.where(is_won, SLOW, FAST)
    steps = np.arange(0, SLOW, 3.0)
    deal = np.repeat(np.arange(deals), len(steps))
    age = np.tile(steps, deals)
    open_ = (born[deal] + age < ends[deal]) & (born[deal] + age < days)
    deal, age = deal[open_], age[open_]
    frame = pd.DataFrame(
        {
            "entity_id": [f"d{each:05}" for each in deal],
            "as_of": START + pd.to_timedelta(born[deal] + age, unit="D"),
            "account_id": None, "owner_id": "r",
            "stage_progress": 0.0, "deal_age_days": age,
            **{f"noise_{i}": random.normal(size=len(deal)) for i in range(4)},
        }
    )  # fmt: skip
    known = START + pd.to_timedelta(ends, unit="D")
    outcomes = pd.DataFrame(
        {
            "entity_id": [f"d{each:05}" for each in range(deals)],
            "outcome": np.where(is_won, "won", "lost"),
            "closed_at": known, "known_at": known,
            "created_at": START + pd.to_timedelta(born, unit="D"),
        }
    )  # fmt: skip
    return frame, outcomes


@pytest.fixture(scope="module")
def labelled():
    """The rows as known on day 100, their pooled labels and the age of each deal on that day."""
    data = join(*world(), as_of=at(100))
    age = data.X[:, data.features.index("deal_age_days")]
    return data, pooled_labels(data, age), age + data.cut - data.as_of


class TestPooledLabels:
    """What the age alone says of a deal that is still open."""

    def test_keep_every_outcome_that_is_known(self, labelled):
        data, labels, _ = labelled
        assert (labels[data.is_resolved] == data.y[data.is_resolved]).all()
        assert not np.isnan(labels).any()

    def test_say_of_a_new_deal_what_becomes_of_all(self, labelled):
        data, labels, now = labelled
        new = ~data.is_resolved & (now < FAST)
        closed = data.y[data.is_resolved].mean()
        assert closed > 0.6  # rows of slow winners outnumber those of fast losers
        assert labels[new] == pytest.approx(np.full(new.sum(), 0.5), abs=0.03)

    def test_say_of_one_that_outlived_the_losses_that_it_will_be_won(self, labelled):
        data, labels, now = labelled
        old = ~data.is_resolved & (now > FAST)
        assert old.any()
        assert (labels[old] > 0.99).all()

    def test_are_not_misled_by_a_store_that_began_with_the_survivors(self):
        data = join(*world(deals=4000), as_of=at(100))
        late = data.take(data.as_of >= data.cut - 50.0)  # who was lost before is not there
        age = late.X[:, late.features.index("deal_age_days")]
        labels = pooled_labels(late, age)
        new = ~late.is_resolved & (age + late.cut - late.as_of < FAST)
        assert labels[new] == pytest.approx(np.full(new.sum(), 0.5), abs=0.05)

    def test_need_neither_age_nor_ending(self):
        frame, outcomes = world(deals=60)
        data = join(frame, outcomes.iloc[:0], as_of=at(100))
        assert set(pooled_labels(data, None)) == {0.5}


class TestTheGainCountingOpenDeals:
    def gain(self, frame, outcomes, *, as_of):
        data = admit(frame, outcomes, as_of=as_of).data
        layout = columns.layout(data.features)
        choice = Choice(
            family="blend", tree=TreeSettings(), ridge=30.0, tree_share=0.5, half_life=None
        )
        folds = [
            prepare(fold, layout, seed=1, threads=1) for fold in forward_folds(data, shares=SHARES)
        ]
        return second_look.gain_counting_open(choice, folds, data, layout, seed=1, threads=2)

    def test_stays_where_there_is_signal(self):
        frame, outcomes = pipeline(deals=1200, seed=3)
        assert self.gain(frame, outcomes, as_of=week(90).to_pydatetime()).high < 0.0

    def test_vanishes_where_outcomes_are_shuffled(self):
        frame, outcomes = pipeline(deals=1200, seed=3)
        mixed = outcomes.assign(
            outcome=np.random.default_rng(1).permutation(outcomes["outcome"].to_numpy())
        )
        assert self.gain(frame, mixed, as_of=week(90).to_pydatetime()).value > -0.002

    def test_stands_in_the_report(self, trained):
        gain = trained.report.gain_counting_open
        assert gain.value < 0.0
        assert trained.report.metrics()["gain_counting_open"] == gain.value


class TestTheRecordOfAStage:
    """Beside the stage itself it only tells the date."""

    def test_is_left_out_and_said_so(self):
        frame, outcomes = world(deals=300)
        stage = (np.arange(len(frame)) % 3).astype(float)
        both = frame.assign(stage_code=stage, stage_lift=stage / 10, source_lift=0.1)
        taken = admit(both, outcomes, as_of=at(100))
        assert "stage_lift" not in taken.data.features
        assert {"stage_code", "source_lift"} <= set(taken.data.features)
        (told,) = [each for each in taken.left_out if each.reason == "repeated"]
        assert told.names == ("stage_lift",)
        assert "stage_lift" in told.sentence()

    def test_stays_where_nothing_else_tells_the_stage(self):
        frame, outcomes = world(deals=300)
        taken = admit(frame.assign(stage_lift=0.1), outcomes, as_of=at(100))
        assert "stage_lift" in taken.data.features


def test_a_rate_table_of_pooled_labels_is_right_for_new_deals():
    from training.learners import fit_table

    data = join(*world(deals=3000), as_of=at(100))
    place = data.features.index("deal_age_days")
    age = data.X[:, place]
    table = fit_table(
        data.X, pooled_labels(data, age), np.ones(len(data)),
        stage=data.features.index("stage_progress"), age=place,
    )  # fmt: skip
    new = np.zeros((1, len(data.features)))
    assert sigmoid(table.margin(new))[0] == pytest.approx(0.5, abs=0.2)
