"""Old builds go; what was made last, and what a model was trained on, stays."""

from __future__ import annotations

import datetime as dt
import json
import shutil

import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from crm_core.settings import Settings
from features import builds, pruning

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


@pytest.fixture
def home(tmp_path):
    return Settings(home=tmp_path, threads=1, trials=0)


def build(home: Settings, cut: int, *, made: int | None = None) -> None:
    """Put a build on the disk as one that was written: whole, with its build.json."""
    as_of = START + cut * DAY
    folder = home.features_folder / "win_rate" / as_of.strftime("%Y%m%dT%H%M%S.%fZ")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "record.parquet").write_bytes(b"rows")
    recorded = START + (cut if made is None else made) * DAY
    document = {
        "as_of": as_of.isoformat(), "recorded_at": recorded.isoformat(), "columns": [],
        "category_names": {}, "rows": 0, "fingerprint": "f",
    }  # fmt: skip
    (folder / "build.json").write_text(json.dumps(document))


def cuts(home: Settings) -> list[int]:
    return [(each.as_of - START) // DAY for each in builds.builds(home)]


class TestPruning:
    def test_keeps_the_builds_made_last(self, home):
        for day in range(12):
            build(home, day)
        gone = pruning.prune(home, trained_at=(), keep=3)
        assert cuts(home) == [9, 10, 11]
        assert len(gone) == 9
        assert len(list((home.features_folder / "win_rate").iterdir())) == 3

    def test_keeps_a_past_cut_that_was_built_a_moment_ago(self, home):
        for day in range(10, 20):
            build(home, day)
        build(home, 2, made=30)
        pruning.prune(home, trained_at=(), keep=2)
        assert cuts(home) == [2, 19]

    def test_keeps_what_a_registered_model_read(self, home):
        for day in range(12):
            build(home, 2 * day)
        trained = (START + 5 * DAY, START + 8 * DAY, START - DAY)
        pruning.prune(home, trained_at=trained, keep=2)
        assert cuts(home) == [4, 8, 20, 22]

    def test_removes_what_a_crash_left_and_spares_a_build_being_written(self, home):
        build(home, 1)
        folder = home.features_folder / "win_rate"
        shutil.copytree(next(folder.iterdir()), folder / "20250101T000000.000000Z.pruned")
        (folder / "20260201T000000.000000Z.partial").mkdir()
        pruning.prune(home, trained_at=())
        assert sorted(each.suffix for each in folder.iterdir()) == [".000000Z", ".partial"]

    def test_does_nothing_before_the_first_build(self, home):
        assert pruning.prune(home, trained_at=(START,)) == ()

    @given(
        days=st.sets(st.integers(0, 40), min_size=1, max_size=15),
        trained=st.lists(st.integers(-3, 45), max_size=5),
        keep=st.integers(1, 5),
    )
    @budget(max_examples=25, deadline=None)
    def test_never_changes_what_a_registered_model_would_read(
        self, tmp_path_factory, days, trained, keep
    ):
        home = Settings(home=tmp_path_factory.mktemp("home"), threads=1, trials=0)
        for day in days:
            build(home, day)
        moments = [START + day * DAY for day in trained if day >= min(days)]
        before = [builds.latest_build(home, as_of=moment).as_of for moment in moments]
        pruning.prune(home, trained_at=moments, keep=keep)
        assert [builds.latest_build(home, as_of=moment).as_of for moment in moments] == before
        assert max(cuts(home)) == max(days)
