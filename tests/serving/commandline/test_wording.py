"""What the model commands say: on the company's clock, one standing per version, losers too."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

from serving.commandline import wording
from training.evaluation import Interval, Scores, Tried
from training.intake import LeftOut
from training.reports import TrainingReport
from training.timing import Horizon

SHANGHAI = ZoneInfo("Asia/Shanghai")


def version(**changes):
    row = {
        "version": "2", "as_of": "2026-06-29T16:00:00+00:00", "kind": "model", "log_loss": 0.5,
        "base_rate_log_loss": 0.6, "ece": 0.02, "auc": 0.7, "decision": "promoted", "aliases": [],
    }  # fmt: skip
    return {**row, **changes}


def scores():
    spread = Interval(0.52, 0.5, 0.54)
    return Scores(
        rows=900, deals=300, won_share=0.4, log_loss=spread, brier=0.2, ece=0.031,
        ece_by_chance=0.044, slope=1.0, intercept=0.0, auc=spread, auc_within_stage=None,
        reliability=(),
    )  # fmt: skip


def report():
    return TrainingReport(
        as_of="2026-06-29T16:00:00+00:00", verdict="better than the base rate", kind="model",
        family="blend", choice={"family": "blend"}, features=("a",), rows=900, rows_open=20,
        deals_won=120, deals_lost=180, window_start="2026-03-01T02:30:00+00:00", served=scores(),
        baselines={"base_rate": scores()}, gain=None, ranking=None,
        candidates={"linear": Tried(0.55, 0.04, 0.66), "blend": Tried(0.53, 0.03, None)},
        calibrator=(1.0, 0.0), leaks=(),
        left_out=(LeftOut("before_recording", 12, since="2025-01-01T00:00:00+00:00"),),
        fingerprint="f", seed=7, seconds={}, gain_counting_open=None,
        timing=(Horizon(30.0, 900, 0.11, 0.1, 0.05, 0.09), Horizon(91.0, 400, 0.4, 0.3, 0.2, 0.2)),
    )  # fmt: skip


class TestAMoment:
    def test_is_the_day_that_was_typed_where_it_is_the_company_midnight(self):
        assert wording.moment("2026-06-29T16:00:00+00:00", SHANGHAI) == "2026-06-30"

    def test_has_its_time_on_the_company_clock_otherwise(self):
        instant = dt.datetime(2026, 6, 29, 22, 5, tzinfo=dt.UTC)
        assert wording.moment(instant, SHANGHAI) == "2026-06-30 06:05"

    def test_that_is_not_known_is_a_dash(self):
        assert wording.moment(None, SHANGHAI) == "–"


class TestTheListOfVersions:
    def test_gives_each_version_one_standing(self):
        both = version(aliases=["challenger", "champion"])
        waiting = version(version="3", aliases=["challenger"])
        former = version(version="1", aliases=["previous"])
        lines = wording.versions([waiting, both, former], SHANGHAI)
        assert lines[1].endswith("challenger: does not serve yet")
        assert lines[2].endswith("champion: serves")
        assert "challenger" not in lines[2]
        assert lines[3].endswith("served before")

    def test_shows_times_on_the_company_clock(self):
        assert "2026-06-30 " in wording.versions([version()], SHANGHAI)[1]


class TestATraining:
    def test_names_losers_chance_and_what_was_left_out(self):
        said = "\n".join(wording.training("4", report(), SHANGHAI))
        assert "Version 4 as of 2026-06-30:" in said
        assert "Judged on deals since 2026-03-01 10:30 (Asia/Shanghai)" in said
        assert "ECE 0.031 [0.044]" in said
        assert "linear           log loss 0.5500, ECE 0.040, AUC 0.660\n" in said
        assert "blend            log loss 0.5300, ECE 0.030  ← chosen" in said
        assert "12 rows from before 2025-01-01" in said


class TestWhenWinsCome:
    def test_is_told_with_what_was_observed_and_whether_it_held(self):
        said = wording.training("3", report(), SHANGHAI)
        assert any("did not hold: no times are served" in line for line in said)
        (line,) = [line for line in said if line.startswith("  30 days")]
        assert "predicted 0.110, observed 0.100, Brier 0.0500 (flat 0.0900)" in line


class TestTheBuildLearntFrom:
    """Whether the features a training used were older than asked for."""

    def test_an_older_build_is_named_with_the_remedy(self):
        built = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
        (line,) = wording.older_build(built, built + dt.timedelta(days=30), SHANGHAI)
        assert "as of 2026-06-01 08:00" in line
        assert "winward features build --as-of 2026-07-01T00:00:00+00:00" in line

    def test_a_build_of_the_same_day_is_not_remarked_on(self):
        built = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
        assert wording.older_build(built, built + dt.timedelta(hours=23), SHANGHAI) == []
