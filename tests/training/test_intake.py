"""What a model may learn from: every row of the frame is learnt from or counted with a reason."""

from __future__ import annotations

import numpy as np
from made_frames import pipeline, week

from training.columns import undated
from training.intake import admit
from training.leakage import feature_leaks
from training.reports import card
from training.win_rate import train

CUT = week(90).to_pydatetime()


class TestAnIntake:
    def test_learns_from_every_row_or_says_why_not(self):
        frame, outcomes = pipeline(deals=1500, seed=4)
        taken = admit(frame, outcomes, as_of=CUT)
        assert {each.reason for each in taken.left_out} == {"at_the_cut"}
        assert len(taken.data) + sum(each.count for each in taken.left_out) == len(frame)

    def test_counts_the_rows_of_deals_that_had_ended(self):
        frame, outcomes = pipeline(deals=1500, seed=4)
        early = outcomes.assign(known_at=outcomes["known_at"] - (week(1) - week(0)) * 1.5)
        taken = admit(frame, early, as_of=CUT)
        counts = {each.reason: each.count for each in taken.left_out}
        assert counts["not_open"] > 0
        assert len(taken.data) + sum(counts.values()) == len(frame)

    def test_counts_the_rows_from_before_outcomes_were_recorded(self):
        frame, outcomes = pipeline(deals=2000, seed=4)
        survivors = outcomes[outcomes["known_at"] >= week(30)]
        gone = set(outcomes["entity_id"]) - set(survivors["entity_id"])
        kept = frame[~frame["entity_id"].isin(gone)]
        taken = admit(kept, survivors, as_of=CUT)
        before = next(each for each in taken.left_out if each.reason == "before_recording")
        assert len(taken.data) + sum(each.count for each in taken.left_out) == len(kept)
        first = survivors["known_at"].min().date().isoformat()
        assert f"rows from before {first}" in before.sentence()

    def test_is_told_in_the_report_and_on_the_card(self, quick):
        frame, outcomes = pipeline(deals=1200, seed=3)
        report = train(frame, outcomes, as_of=CUT, settings=quick).report
        sentences = [each.sentence() for each in report.left_out]
        assert sentences
        assert [each["sentence"] for each in report.as_json()["left_out"]] == sentences
        assert all(f"- {sentence}" in card(report) for sentence in sentences)


class TestAFeatureAsOfToday:
    """Its value may have been entered when the deal ended: less is needed to suspect it."""

    def test_is_suspected_earlier_than_one_as_of_its_row(self):
        frame, outcomes = pipeline(deals=1500, seed=4)
        won = outcomes.set_index("entity_id")["outcome"].reindex(frame["entity_id"]) == "won"
        noise = np.random.default_rng(2).normal(size=len(frame))
        weak = admit(
            frame.assign(senior_share=won.to_numpy() + 0.68 * noise), outcomes, as_of=CUT
        ).data  # AUC of about 0.85 alone
        assert undated(weak.features) == ("senior_share",)
        assert feature_leaks(weak) == ()
        (found,) = feature_leaks(weak, undated=undated(weak.features))
        assert found.what == "feature senior_share"
        assert found.limit < 0.9
