"""When deals end: shares that follow from chances, told only where later time bore them out."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_frames import pipeline, week

from training import bundle as bundles
from training import timing, timing_judgement
from training.censoring import teach
from training.datasets import days, join, landmark_weights
from training.win_rate import train

HORIZONS = (14.0, 28.0, 91.0)


@st.composite
def hazards(draw):
    """Bins of days with chances of a win and a loss in each, for a few deals."""
    bins, deals = draw(st.integers(1, 6)), draw(st.integers(1, 4))
    widths = draw(st.lists(st.floats(0.5, 200), min_size=bins, max_size=bins))
    chance = st.floats(0.0, 0.48)
    row = st.lists(chance, min_size=bins, max_size=bins)
    table = st.lists(row, min_size=deals, max_size=deals)
    edges = np.concatenate(([0.0], np.cumsum(widths)))
    return edges, np.array(draw(table)), np.array(draw(table))


def ended_slowly(edges, won, lost, p, day):
    """Return the shares of one deal's wins and losses by a day, bin after bin; the slow twin."""
    open_still, sums, by_day = 1.0, {"won": 0.0, "lost": 0.0}, {"won": 0.0, "lost": 0.0}
    for b in range(len(won)):
        low, high = edges[b], edges[b + 1]
        part = min(max((day - low) / (high - low), 0.0), 1.0)
        for side, chance in (("won", won[b]), ("lost", lost[b])):
            sums[side] += open_still * chance
            by_day[side] += open_still * chance * part
        open_still *= 1.0 - won[b] - lost[b]
    return by_day["won"] / sums["won"], by_day["lost"] / sums["lost"]


class TestASpread:
    @given(hazards())
    def test_rises_from_nothing_to_all(self, world):
        edges, won, lost = world
        found = timing.spread(edges, won, lost)
        for side in (found.won, found.lost):
            assert (side[:, 0] == 0.0).all()
            assert (np.diff(side, axis=1) >= -1e-12).all()
            assert (side <= 1.0 + 1e-9).all()

    @given(hazards(), st.floats(0, 1200))
    def test_is_what_counting_bin_by_bin_gives(self, world, day):
        edges, won, lost = world[0], world[1] + 1e-3, world[2] + 1e-3
        found = timing.spread(edges, won, lost)
        within = found.won_within(np.full(len(won), day))
        for deal in range(len(won)):
            share, _ = ended_slowly(edges, won[deal], lost[deal], 0.5, day)
            assert within[deal] == pytest.approx(share, abs=1e-9)

    @given(hazards(), st.floats(0, 1))
    def test_puts_half_of_the_ends_before_the_median(self, world, p):
        edges, won, lost = world[0], world[1] + 1e-3, world[2] + 1e-3
        found = timing.spread(edges, won, lost).median_days(np.full(len(won), p))
        for deal in range(len(won)):
            by_won, by_lost = ended_slowly(edges, won[deal], lost[deal], p, found[deal])
            assert p * by_won + (1 - p) * by_lost == pytest.approx(0.5, abs=1e-6)

    def test_of_a_win_that_cannot_happen_follows_all_ends(self):
        found = timing.spread(np.array([0.0, 10.0, 20.0]), np.zeros((1, 2)), np.full((1, 2), 0.5))
        np.testing.assert_allclose(found.won, [[0.0, 2 / 3, 1.0]])


@pytest.fixture(scope="module")
def told():
    """A model trained in week 90 on 3 000 deals, and all that followed until week 150."""
    frame, outcomes = pipeline(deals=3000, seed=4)
    cut = week(90).to_pydatetime()

    class Quick:
        threads, trials = 2, 0

    model = train(frame, outcomes, as_of=cut, settings=Quick())
    full = join(frame, outcomes, as_of=week(150).to_pydatetime())
    later = full.take((full.as_of >= days(cut)) & (full.as_of < days(cut) + 28))
    places = [full.features.index(name) for name in model.bundle.features]
    return model, later, later.X[:, places]


class TestAToldTime:
    def test_comes_true_on_deals_it_never_saw(self, told):
        """Later weeks are no part of the training, not even of its own judgement."""
        model, later, X = told
        p = model.bundle.score(X).p
        for horizon in HORIZONS:
            won = (later.y == 1.0) & (later.known_at - later.as_of <= horizon)
            said = model.bundle.outlook(X, p, np.full(len(X), horizon)).won_by
            assert abs(said.mean() - won.mean()) < 0.04
            assert ((said - won) ** 2).mean() < ((won.mean() - won) ** 2).mean()
        median = model.bundle.outlook(X, p, np.full(len(X), 1.0)).median_days
        ended = later.known_at - later.as_of <= median
        assert 0.42 < ended.mean() < 0.58

    def test_never_exceeds_the_chance_in_the_end_and_reaches_it(self, told):
        model, _, X = told
        p = model.bundle.score(X).p
        before = np.zeros(len(X))
        for horizon in (0.0, 7.0, 40.0, 120.0, 1e5):
            said = model.bundle.outlook(X, p, np.full(len(X), horizon)).won_by
            assert (said >= before - 1e-12).all()
            assert (said <= p + 1e-12).all()
            before = said
        np.testing.assert_allclose(before, p)

    def test_is_the_same_for_one_row_and_for_many(self, told, monkeypatch):
        model, _, X = told
        p, ahead = model.bundle.score(X[:50]).p, np.linspace(1, 90, 50)
        whole = model.bundle.outlook(X[:50], p, ahead)
        monkeypatch.setattr(timing, "MOST_AT_ONCE", 7)
        pieces = model.bundle.outlook(X[:50], p, ahead)
        np.testing.assert_array_equal(whole.won_by, pieces.won_by)
        np.testing.assert_array_equal(whole.median_days, pieces.median_days)
        assert model.bundle.outlook(X[:0], p[:0], ahead[:0]).won_by.shape == (0,)

    def test_stands_in_the_report_with_what_came(self, told):
        model, _, _ = told
        assert model.report.timing
        assert all(each.holds for each in model.report.timing)
        numbers = model.report.metrics()
        assert "timing.won_in_30_days.brier" in numbers


class TestTheFiles:
    def test_give_the_same_times_after_a_round_trip(self, told, tmp_path):
        model, _, X = told
        model.bundle.save(tmp_path)
        p = model.bundle.score(X).p
        again = bundles.load(tmp_path).outlook(X, p, np.full(len(X), 30.0))
        first = model.bundle.outlook(X, p, np.full(len(X), 30.0))
        np.testing.assert_array_equal(again.won_by, first.won_by)

    def test_are_refused_when_changed_or_gone(self, told, tmp_path):
        told[0].bundle.save(tmp_path)
        path = tmp_path / "timing.txt"
        path.write_text(path.read_text().replace("leaf_value=", "leaf_value=1", 1))
        with pytest.raises(bundles.BundleRefused, match=r"timing\.txt does not match its hash"):
            bundles.load(tmp_path)
        path.unlink()
        with pytest.raises(bundles.BundleRefused, match=r"timing\.txt cannot be read"):
            bundles.load(tmp_path)

    @pytest.mark.parametrize("edges", [[0.0, 10.0], [0.0] * 14])
    def test_are_refused_with_bins_that_do_not_fit(self, told, tmp_path, edges):
        told[0].bundle.save(tmp_path)
        content = json.loads((tmp_path / "bundle.json").read_text())
        content["timing"]["edges"] = edges
        (tmp_path / "bundle.json").write_text(json.dumps(content))
        with pytest.raises(bundles.BundleRefused, match="incomplete"):
            bundles.load(tmp_path)

    def test_of_before_times_were_told_still_serve(self, told, tmp_path):
        bundle = replace(told[0].bundle, timing=None)
        bundle.save(tmp_path)
        old = bundles.load(tmp_path)
        X = told[2][:3]
        assert np.isnan(old.outlook(X, old.score(X).p, np.full(3, 30.0)).won_by).all()


class TestTheJudgement:
    def test_refuses_times_that_did_not_come(self, told):
        """The same chances against a world in which every win came much later."""
        _, later, _ = told
        frame, outcomes = pipeline(deals=3000, seed=4)
        known = join(frame, outcomes, as_of=week(90).to_pydatetime())
        teacher = teach(known, landmark_weights(known), seed=7, threads=1)
        fold = timing_judgement.follow(teacher, later, seed=7)
        flat = np.ones(len(fold.edges) - 1)
        p = np.full(len(fold.seen), 0.4)
        held = timing_judgement.judge(fold, p, flat, flat)
        slow = replace(fold, seen=np.where(fold.ended == timing.WON, fold.seen + 60, fold.seen))
        late = timing_judgement.judge(slow, p, flat, flat)
        assert {each.days for each in late} <= {each.days for each in held}
        assert not all(each.holds for each in late)
        found = timing_judgement.TimingFound(late, ())
        assert found.timing(teacher) is None

    def test_learns_that_twice_as_many_wins_came_as_expected(self):
        rows = 4_000
        fold = timing_judgement.Followed(
            edges=np.array([0.0, 10.0, 20.0]), won=np.full((rows, 2), 0.05),
            lost=np.full((rows, 2), 0.05), seen=np.where(np.arange(rows) < 400, 5.0, 30.0),
            ended=np.where(np.arange(rows) < 400, timing.WON, timing.OPEN),
            possible=np.full(rows, 30.0), weight=np.ones(rows), X=np.zeros((rows, 1)),
        )  # fmt: skip
        won, lost = timing_judgement.corrections([fold], bins=2)
        assert won[0] == pytest.approx((400 + 30) / (200 + 30))
        assert won[1] == pytest.approx(30 / (180 + 30))
        assert lost[0] == pytest.approx(30 / (200 + 30))
        assert (timing_judgement.corrections([fold], bins=3)[0] == 1.0).all()
