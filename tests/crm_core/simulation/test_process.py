"""The process can be told again with one action changed and everything else kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crm_core.simulation import world as w
from crm_core.simulation.accounts import accounts
from crm_core.simulation.arrivals import arrivals
from crm_core.simulation.draws import Draws
from crm_core.simulation.people import organisation
from crm_core.simulation.process import (
    DealWeeks,
    Setting,
    State,
    begin,
    initial_state,
    open_deals,
    run,
    step,
    surroundings,
)
from crm_core.simulation.weeks import weeks_until
from crm_core.simulation.world import World, world_of
from tests.crm_core.simulation.companies import UNTIL

WEEK = 60


def _setting(world: World, draws: Draws) -> Setting:
    weeks = weeks_until(UNTIL, years=world.years)
    org = organisation(world, weeks, draws)
    firms = accounts(world, org, draws)
    return surroundings(world, org, firms, arrivals(world, org, firms, weeks, draws), weeks, draws)


@pytest.fixture(scope="module")
def setting() -> Setting:
    return _setting(world_of("small"), Draws(11))


def _state_at(setting: Setting, week: int) -> State:
    state = initial_state(setting)
    for earlier in range(week):
        step(setting, state, earlier, Draws(11))
        begin(setting, state, earlier, Draws(11))
    return state


def _rest(setting: Setting, state: State, week: int, future: int) -> State:
    """Roll out the rest of a history from a copy of a state."""
    rolled = state.copy()
    for later in range(week, setting.weeks.count):
        step(setting, rolled, later, Draws(11, future))
        begin(setting, rolled, later, Draws(11, future))
    return rolled


class TestStep:
    def test_forced_to_what_was_chosen_changes_nothing(self, setting: Setting) -> None:
        free, forced = (_state_at(setting, WEEK) for _ in range(2))
        chosen = step(setting, free, WEEK, Draws(11))
        actions = np.full(setting.deals.count, -1)
        actions[chosen.deal] = chosen.action
        again = step(setting, forced, WEEK, Draws(11), forced=actions)
        for name in DealWeeks.__slots__:
            assert (getattr(chosen, name) == getattr(again, name)).all(), name

    def test_forcing_one_deal_leaves_the_others_as_they_were(self, setting: Setting) -> None:
        free, forced = (_state_at(setting, WEEK) for _ in range(2))
        one = open_deals(setting, free, WEEK)[3]
        actions = np.full(setting.deals.count, -1)
        actions[one] = w.STAKEHOLDER
        step(setting, free, WEEK, Draws(11))
        step(setting, forced, WEEK, Draws(11), forced=actions)
        differs = np.flatnonzero(free.quality != forced.quality)
        assert set(differs) <= {one}
        assert forced.silent[one] == 0

    def test_a_new_stakeholder_lifts_quality_by_its_known_effect(self, setting: Setting) -> None:
        idle, met = (_state_at(setting, WEEK) for _ in range(2))
        count = setting.deals.count
        step(setting, idle, WEEK, Draws(11), forced=np.full(count, w.NONE))
        happened = step(setting, met, WEEK, Draws(11), forced=np.full(count, w.STAKEHOLDER))
        rows = happened.deal
        large = setting.firms.segment[setting.deals.account[rows]] >= 1
        expected = np.where((happened.contacts < 3) & large, 0.30, 0.04) * setting.world.effect
        gained = met.quality[rows] - idle.quality[rows]
        assert gained == pytest.approx(expected)
        assert (gained > 0.1).any()

    def test_without_effect_actions_change_no_quality(self) -> None:
        world = replace(world_of("small"), effect=0.0)
        setting = _setting(world, Draws(11))
        idle, met = (_state_at(setting, WEEK) for _ in range(2))
        count = setting.deals.count
        step(setting, idle, WEEK, Draws(11), forced=np.full(count, w.NONE))
        step(setting, met, WEEK, Draws(11), forced=np.full(count, w.MEETING))
        assert (idle.quality == met.quality).all()


class TestRollOut:
    def test_of_the_same_future_is_the_same(self, setting: Setting) -> None:
        state = _state_at(setting, WEEK)
        first, second = (_rest(setting, state, WEEK, future=2) for _ in range(2))
        assert (first.closed == second.closed).all()

    def test_of_the_happened_future_is_what_happened(self, setting: Setting) -> None:
        whole, _ = run(setting, Draws(11))
        rolled = _rest(setting, _state_at(setting, WEEK), WEEK, future=0)
        assert (whole.closed == rolled.closed).all()

    def test_of_another_future_differs_only_from_then_on(self, setting: Setting) -> None:
        state = _state_at(setting, WEEK)
        here, there = (_rest(setting, state, WEEK, future=n) for n in (1, 2))
        past = (state.closed >= 0) & (state.closed < WEEK)
        assert (here.closed[past] == there.closed[past]).all()
        assert (here.closed != there.closed).any()


class TestPropensities:
    def test_sum_to_one_and_follow_what_the_rep_perceives(self, setting: Setting) -> None:
        _, happened = run(setting, Draws(11))
        assert happened.propensity.sum(axis=1) == pytest.approx(1)
        acts = 1 - happened.propensity[:, w.NONE]
        early = happened.stage < 2
        # confounded: reps act more on the deals they sense to be good
        assert np.corrcoef(acts[early], happened.perceived[early])[0, 1] > 0.2

    def test_without_confounding_do_not(self) -> None:
        world = replace(world_of("small"), kappa=0.0, rho=0.0)
        setting = _setting(world, Draws(11))
        _, happened = run(setting, Draws(11))
        same = (happened.stage == 2) & (happened.silent == 0)
        rep = setting.org.holder[setting.deals.seat[happened.deal], happened.week]
        busiest = np.bincount(rep[same]).argmax()
        shares = happened.propensity[same & (rep == busiest), w.NONE]
        assert shares.std() < 1e-12
