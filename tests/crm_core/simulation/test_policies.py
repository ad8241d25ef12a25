"""The same world under other policies: what agrees stays the same to the byte."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crm_core.simulation import Request, UnknownPolicy, UnknownWorld, generate, simulate
from crm_core.simulation import world as w
from crm_core.simulation.decisions import Policy, View, habit
from crm_core.simulation.draws import Draws, Floats, Integers
from crm_core.simulation.policies import (
    advised,
    mixture,
    oracle,
    ordered,
    playbook,
    replayed,
    uniform,
)
from crm_core.simulation.policy_files import read
from crm_core.simulation.process import DealWeeks, Setting, State, run
from crm_core.simulation.world import world_of
from crm_core.simulation.worlds import WORLDS, confounded, world_named
from tests.crm_core.simulation.companies import UNTIL, Generated
from tests.crm_core.simulation.settings import setting_of

DRAWS = Draws(7)


def _digests(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


def _file(folder: Path, content: object) -> Path:
    path = folder / "policy.yaml"
    path.write_text(json.dumps(content))
    return path


def _told(policy: Policy, world: w.World | None = None) -> tuple[State, DealWeeks]:
    return run(setting_of(world or world_of("small"), DRAWS), DRAWS, policy=policy)


@pytest.fixture(scope="module")
def setting() -> Setting:
    return setting_of(world_of("small"), DRAWS)


class TestSamePolicy:
    def test_of_habit_written_down_gives_the_same_bytes(
        self, small: Generated, tmp_path: Path
    ) -> None:
        request = Request("small", policy=_file(tmp_path, {"kind": "habit"}))
        truth = tmp_path / "t"
        simulate(tmp_path / "c", request, seed=7, until=UNTIL, truth=truth)
        assert _digests(tmp_path / "c") == _digests(small.folder)
        assert _digests(truth) == _digests(small.truth)

    def test_of_the_logged_actions_gives_the_same_company(
        self, small: Generated, setting: Setting, tmp_path: Path
    ) -> None:
        log = pd.read_parquet(small.truth / "deal_weeks.parquet")
        deal = log.opportunity_id.str[1:].astype(int).to_numpy() - 1
        monday = log.monday.astype("int64").to_numpy() // 10**9
        if monday.max() < 10**7:
            monday = log.monday.astype("datetime64[s]").astype("int64").to_numpy()
        week = np.searchsorted(setting.weeks.monday, monday)
        action = log.action.map(w.ACTIONS.index).to_numpy()
        policy = replayed(deal, week, action)
        generate(
            tmp_path / "c", seed=7, size="small", until=UNTIL, truth=tmp_path / "t", policy=policy
        )
        assert _digests(tmp_path / "c") == _digests(small.folder)

    @pytest.mark.parametrize("hash_seed", ["1", "4242"])
    def test_gives_the_same_bytes_in_another_process(
        self, small: Generated, tmp_path: Path, hash_seed: str
    ) -> None:
        program = (
            "import datetime as dt, sys; from pathlib import Path; "
            "from crm_core.simulation import generate; home = Path(sys.argv[1]); "
            "generate(home / 'c', seed=7, size='small', until=dt.date(2026, 7, 1), "
            "truth=home / 't')"
        )
        subprocess.run(
            [sys.executable, "-c", program, str(tmp_path)],
            check=True,
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
        )
        assert _digests(tmp_path / "c") == _digests(small.folder)
        assert _digests(tmp_path / "t") == _digests(small.truth)


class TestOtherPolicy:
    def test_leaves_arrivals_and_people_as_they_were(
        self, small: Generated, tmp_path: Path
    ) -> None:
        policy = {"kind": "ordered", "rules": [{"when": {"silent_days_over": 14}, "do": "meeting"}]}
        request = Request("small", policy=_file(tmp_path, policy))
        simulate(tmp_path / "c", request, seed=7, until=UNTIL, truth=tmp_path / "t")
        for table in ("users", "assignments", "quotas", "contacts", "fx_rates", "campaigns"):
            name = f"{table}.csv"
            assert (tmp_path / "c" / name).read_bytes() == (small.folder / name).read_bytes()
        ours = pd.read_csv(tmp_path / "c" / "opportunities.csv").set_index("id")
        theirs = pd.read_csv(small.folder / "opportunities.csv").set_index("id")
        assert (ours.created_at == theirs.created_at).all()
        assert 0 < (ours.stage != theirs.stage).mean() < 0.2
        value = json.loads((tmp_path / "t" / "value.json").read_text())
        usual = json.loads((small.truth / "value.json").read_text())
        assert value["deals"] == usual["deals"]
        assert value["booked_eur"] != usual["booked_eur"]
        assert json.loads((tmp_path / "t" / "world.json").read_text())["policy"]["rules"]

    def test_changes_no_end_where_nothing_has_an_effect(self) -> None:
        world = world_named("no_effect", world_of("small"))
        usual, _ = _told(habit, world)
        for policy in (uniform(), advised(playbook), ordered(oracle), uniform([w.DISCOUNT])):
            other, happened = _told(policy, world)
            assert (happened.action > 0).any()
            assert (usual.closed == other.closed).all()
            assert (usual.won == other.won).all()
            assert (usual.amount == other.amount).all()

    def test_of_a_rule_is_kept_on_every_deal(self, tmp_path: Path) -> None:
        policy, _ = read(
            _file(
                tmp_path,
                {
                    "kind": "ordered",
                    "rules": [
                        {"when": {"silent_days_over": 14}, "do": "follow_up"},
                        {"when": {"stages": [3], "segments": ["Enterprise"]}, "do": "demo"},
                    ],
                    "otherwise": "none",
                },
            )
        )
        setting = setting_of(world_of("small"), DRAWS)
        _, happened = run(setting, DRAWS, policy=policy)
        long = happened.silent * 7 > 14
        segment = setting.firms.segment[setting.deals.account[happened.deal]]
        demos = ~long & (happened.stage == 2) & (segment == 2)
        assert long.any()
        assert demos.any()
        expected = np.where(long, w.FOLLOW_UP, np.where(demos, w.DEMO, w.NONE))
        assert (happened.action == expected).all()
        assert happened.silent.max() == 3

    def test_of_chance_draws_every_action_as_often(self) -> None:
        _, happened = _told(uniform([w.NONE, w.MEETING]))
        share = np.bincount(happened.action, minlength=6) / len(happened.action)
        assert set(np.flatnonzero(share)) == {w.NONE, w.MEETING}
        assert share[w.MEETING] == pytest.approx(0.5, abs=0.03)

    def test_of_a_mixture_has_the_mixed_chances(self) -> None:
        _, happened = _told(mixture([(0.8, habit), (0.2, uniform())]))
        assert happened.propensity.sum(axis=1) == pytest.approx(1)
        assert happened.propensity.min() >= 0.2 / 6 - 1e-12

    def test_may_be_any_function_of_what_is_seen(self) -> None:
        seen: list[int] = []

        def ranking(view: View) -> tuple[Integers, Floats]:
            seen.append(len(view.deal))
            return np.where(view.age > 4, w.MEETING, -1), view.amount

        _, happened = _told(advised(ranking, cap=2))
        assert len(seen) > 100
        shown = happened.advised >= 0
        assert set(happened.advised[shown]) == {w.MEETING}
        with_it = (happened.action == w.MEETING)[shown].mean()
        assert with_it > 1.5 * (happened.action == w.MEETING)[~shown].mean()


class TestAdvice:
    def test_reaches_a_rep_three_times_a_week_at_most(self, setting: Setting) -> None:
        _, happened = run(setting, DRAWS, policy=advised(playbook))
        rows = np.flatnonzero(happened.advised >= 0)
        rep = setting.org.holder[setting.deals.seat[happened.deal[rows]], happened.week[rows]]
        assert np.bincount(happened.week[rows] * 1000 + rep).max() == 3

    def test_loses_trust_when_it_is_useless_and_keeps_it_when_it_is_not(self) -> None:
        start = setting_of(world_of("small"), DRAWS).org.trust
        useless, _ = _told(advised(lambda view: (np.full(len(view.deal), w.DEMO), view.amount)))
        useful, _ = _told(advised(oracle))
        reps = useless.trust != start
        assert reps.any()
        assert useless.trust[reps].mean() < 0.6 * start[reps].mean()
        assert (useful.trust == start).all()

    def test_of_the_oracle_pays_as_the_specification_measured(self) -> None:
        world = replace(world_of("demo"), years=1.5)
        usual, _ = _told(habit, world)
        better, _ = _told(advised(oracle), world)
        lift = (better.amount * better.won).sum() / (usual.amount * usual.won).sum() - 1
        assert 0.03 < lift < 0.25


class TestLog:
    def test_weighs_to_the_truth_of_another_policy(self, tmp_path: Path) -> None:
        """Inverse weighting by the sealed propensities finds the sealed potential outcomes."""
        content = {
            "kind": "mixture",
            "parts": [
                {"share": 0.7, "policy": {"kind": "habit"}},
                {"share": 0.3, "policy": {"kind": "uniform"}},
            ],
        }
        request = Request("small", policy=_file(tmp_path, content))
        simulate(tmp_path / "c", request, seed=7, until=UNTIL, truth=tmp_path / "t")
        log = pd.read_parquet(tmp_path / "t" / "deal_weeks.parquet")
        taken = log[[f"propensity_{name}" for name in w.ACTIONS]].to_numpy()
        code = log.action.map(w.ACTIONS.index).to_numpy()
        for action, name in enumerate(w.ACTIONS):
            weight = (code == action) / taken[:, action]
            weighed = weight * (log.outcome == "lost")
            error = weighed.std() / np.sqrt(len(log))
            assert abs(weighed.mean() - log[f"loss_if_{name}"].mean()) < 3.5 * error
        assert log.loss_if_follow_up.mean() < log.loss_if_none.mean() - 0.001
        here = log.loss_if_demo[code == w.DEMO] - log.loss[code == w.DEMO]
        assert np.abs(here).max() < 1e-6


class TestFiles:
    def test_of_the_documentation_is_understood(self, tmp_path: Path) -> None:
        text = (Path(__file__).parents[3] / "docs" / "simulator.md").read_text(encoding="utf-8")
        example = text.split("YAML or JSON:\n")[1].split("\nConditions:")[0]
        path = tmp_path / "policy.yaml"
        path.write_text(textwrap.dedent(example), encoding="utf-8")
        _, said = read(path)
        assert said["kind"] == "ordered"
        assert str(said["rules"]).count("when") == 2

    @pytest.mark.parametrize(
        ("content", "sentence"),
        [
            ({"kind": "magic"}, "is not understood"),
            ({"kind": "ordered", "rules": [{"do": "sing"}]}, "rules.*do"),
            ({"kind": "uniform", "among": []}, "among"),
            ({"kind": "habit", "colour": "red"}, "colour"),
            ({"kind": "mixture", "parts": [{"share": 0, "policy": {"kind": "habit"}}]}, "sum to"),
            ([1], "the file"),
        ],
    )
    def test_are_refused_in_a_sentence(
        self, tmp_path: Path, content: object, sentence: str
    ) -> None:
        with pytest.raises(UnknownPolicy, match=sentence):
            read(_file(tmp_path, content))

    def test_that_are_missing_are_named(self, tmp_path: Path) -> None:
        with pytest.raises(UnknownPolicy, match="cannot be read"):
            read(tmp_path / "nowhere.yaml")


class TestWorlds:
    @pytest.mark.parametrize("name", WORLDS)
    def test_all_run_at_the_small_size(self, name: str) -> None:
        world = world_named(name, world_of("small"))
        state, happened = _told(habit, world)
        assert 0.15 < state.won[state.closed >= 0].mean() < 0.5
        assert len(happened.deal) > 3000

    def test_of_a_cold_start_has_about_five_hundred_deals(self) -> None:
        setting = setting_of(world_named("cold_start", world_of("small")), DRAWS)
        assert 400 < setting.deals.count < 700

    def test_with_drift_is_the_base_until_it_drifts(self) -> None:
        world = world_named("drift", world_of("small"))
        base, _ = _told(habit)
        drifted, _ = _told(habit, world)
        assert world.drift_week is not None
        before = (base.closed >= 0) & (base.closed < world.drift_week)
        setting = setting_of(world_of("small"), DRAWS)
        ours = before & (setting.deals.week < world.drift_week)
        assert (drifted.closed[ours] == base.closed[ours]).all()
        assert drifted.won.sum() < 0.95 * base.won.sum()

    def test_without_confounding_tie_nothing_to_what_is_hidden(self) -> None:
        world = confounded(world_of("small"), 0)
        assert (world.kappa, world.rho) == (0, 0)
        assert confounded(world_of("small"), 1) == world_of("small")
        _, plain = _told(habit, world)
        _, base = _told(habit)

        def tie(told: DealWeeks) -> float:
            alike = (told.stage == 1) & (told.silent == 0)
            return float(np.corrcoef(told.action[alike] > 0, told.quality[alike])[0, 1])

        assert abs(tie(plain)) < 0.06 < 0.10 < tie(base)

    def test_that_do_not_exist_are_refused(self) -> None:
        with pytest.raises(UnknownWorld, match="choose one of base, no_effect"):
            world_named("flat", world_of("small"))
        with pytest.raises(UnknownWorld, match="is not between"):
            confounded(world_of("small"), -1)
