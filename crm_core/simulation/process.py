"""What really happens to deals, week by week: hidden quality, actions with known effects, ends.

``step`` moves every open deal by one week. Its chance comes from draws named by (deal, week,
event), so forcing an action on one deal (``forced``) leaves every other draw as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from crm_core.simulation import world as w
from crm_core.simulation.accounts import Accounts
from crm_core.simulation.arrivals import ORDINARY, Arrivals
from crm_core.simulation.decisions import Policy, View, habit, heeded, inclination
from crm_core.simulation.draws import Draws, Floats, Integers, Stream, normal, sigmoid
from crm_core.simulation.effects import passing_effect, quality_effect
from crm_core.simulation.people import Organisation
from crm_core.simulation.weeks import Weeks
from crm_core.simulation.world import World

Flags = NDArray[np.bool_]
_LAST_STAGE = 4
_LONG_AGO = 99
_SLOTS = 16


@dataclass(slots=True)
class State:
    """Columns by deal: how it stands at the start of a week. ``closed`` is a week or -1."""

    quality: Floats
    perceived: Floats
    competitor: Flags
    stage: Integers
    entered: Integers
    silent: Integers
    since_meeting: Integers
    discounted: Integers
    amount: Floats
    contacts: Integers
    closed: Integers
    won: Flags
    wins: Integers
    """By account: wins so far, those before the first week included."""
    trust: Floats
    """By member: how much advice weighs with them now."""

    def copy(self) -> State:
        """Return an independent copy, from which another future can be rolled out."""
        return State(*(getattr(self, f.name).copy() for f in fields(self)))


@dataclass(frozen=True, slots=True)
class Setting:
    """What surrounds the deals: people, customers, calendar, shocks."""

    world: World
    org: Organisation
    firms: Accounts
    deals: Arrivals
    weeks: Weeks
    macro: Floats
    regional: Floats
    """Shape (seats, weeks)."""
    tag: str = ""
    """What the ids of this part of a large company begin with, after their letter."""


@dataclass(frozen=True, slots=True)
class DealWeeks:
    """What happened in deal-weeks, one row each; states as at the start of the week.

    ``propensity`` (rows, 6): chance of each action. ``loss`` and ``advance``: chance of each,
    given what was done. ``advised``: the action recommended, -1 for none. ``outcome``: 0 open,
    1 advanced, 2 won, 3 lost.
    """

    deal: Integers
    week: Integers
    stage: Integers
    quality: Floats
    perceived: Floats
    silent: Integers
    contacts: Integers
    since_meeting: Integers
    discounted: Integers
    action: Integers
    advised: Integers
    touches: Integers
    propensity: Floats
    loss: Floats
    advance: Floats
    outcome: Integers

    @classmethod
    def joined(cls, parts: list[DealWeeks]) -> DealWeeks:
        """Return the rows of all parts."""
        columns = [f.name for f in fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in columns))


ADVANCED, WON, LOST = 1, 2, 3


def surroundings(
    world: World, org: Organisation, firms: Accounts, deals: Arrivals, weeks: Weeks, draws: Draws
) -> Setting:
    """Return the setting with its shocks: an AR(1) for all and one for each region."""
    regions = tuple(dict.fromkeys(region.name for region in world.regions))
    series = np.arange(len(regions) + 1)
    shocks = np.zeros((len(series), weeks.count))
    level = np.zeros(len(series))
    scale = np.asarray([world.macro_sd, *[world.region_sd] * len(regions)])
    fresh = np.sqrt(1 - world.shock_memory**2)
    for week in range(weeks.count):
        u = draws.company.uniform(Stream.SHOCK, series, week, 2)
        level = world.shock_memory * level + fresh * normal(u[0], u[1])
        shocks[:, week] = scale * level
    of_seat = np.asarray([regions.index(region) + 1 for region in org.seat_region])
    tag = f"{draws.part:02d}-" if world.parted else ""
    return Setting(world, org, firms, deals, weeks, shocks[0], shocks[of_seat], tag)


def initial_state(setting: Setting) -> State:
    """Return the state before the first week: no deal has begun."""
    n = setting.deals.count
    return State(
        quality=np.zeros(n),
        perceived=np.zeros(n),
        competitor=np.zeros(n, dtype=np.bool_),
        stage=np.full(n, -1, dtype=np.int64),
        entered=setting.deals.week.copy(),
        silent=np.zeros(n, dtype=np.int64),
        since_meeting=np.full(n, _LONG_AGO, dtype=np.int64),
        discounted=np.zeros(n, dtype=np.int64),
        amount=setting.deals.amount.copy(),
        contacts=setting.deals.contacts.copy(),
        closed=np.full(n, -1, dtype=np.int64),
        won=np.zeros(n, dtype=np.bool_),
        wins=setting.firms.prior_wins.copy(),
        trust=setting.org.trust.copy(),
    )


def begin(setting: Setting, state: State, week: int, draws: Draws) -> Integers:
    """Start the deals that arrive in this week; they first move in the next. Returns them."""
    world, deals, firms = setting.world, setting.deals, setting.firms
    low, high = np.searchsorted(deals.week, [week, week + 1])
    new = np.arange(low, high)
    account = deals.account[new]
    u = draws.uniform(Stream.BIRTH, deals.key[new], 1, 6)
    quality = (
        world.quality_mean
        - 0.25 * firms.segment[account]
        + 0.5 * firms.affinity[account]
        + 0.40 * (state.wins[account] > 0)
        + firms.industry_effect[account]
        + np.asarray(world.source_quality)[deals.source[new]]
        + deals.noise[new]
    )
    state.quality[new] = quality
    state.perceived[new] = quality + 0.7 * normal(u[0], u[1])
    state.competitor[new] = u[2] < sigmoid(-0.6 - 0.5 * quality)
    state.stage[new] = 0
    closed_at_once = new[deals.kind[new] == 1]
    state.closed[closed_at_once] = week
    state.won[closed_at_once] = u[3][deals.kind[new] == 1] < 0.85
    np.add.at(state.wins, deals.account[closed_at_once], state.won[closed_at_once])
    return new


def open_deals(setting: Setting, state: State, week: int) -> Integers:
    """Return the deals that began before this week, are truly open and not doubles."""
    upto = int(np.searchsorted(setting.deals.week, week))
    alive = (state.closed[:upto] < 0) & (setting.deals.kind[:upto] == ORDINARY)
    return np.flatnonzero(alive)


def step(
    setting: Setting,
    state: State,
    week: int,
    draws: Draws,
    *,
    policy: Policy = habit,
    forced: Integers | None = None,
) -> DealWeeks:
    """Move every open deal by one week, in place, and return what happened.

    ``policy`` says how likely each action is. ``forced`` has one entry per deal: the action to
    take this week, or -1 to leave it to the policy.
    """
    rows = open_deals(setting, state, week)
    u = draws.uniform(Stream.DEAL, setting.deals.key[rows], week, _SLOTS)
    state.perceived[rows] = 0.7 * state.perceived[rows] + 0.3 * (
        state.quality[rows] + 0.7 * normal(u[0], u[1])
    )
    view = _view(setting, state, rows, week)
    decision = policy(view)
    propensity = decision.chances
    action = np.minimum((u[2] > np.cumsum(propensity, axis=1).T).sum(axis=0), 5)
    if forced is not None:
        action = np.where(forced[rows] >= 0, forced[rows], action)
    touches = np.where(action == w.FOLLOW_UP, 1 + (u[3] < 0.35) + (u[3] < 0.10), 0)
    before = (state.stage[rows], state.quality[rows], state.perceived[rows])
    silent = state.silent[rows]
    loss, advance = _hazards(setting, state, rows, week, action)
    is_lost = u[4] < loss
    moves = ~is_lost & (u[5] < advance)
    is_won = moves & (state.stage[rows] == _LAST_STAGE)
    _act(setting, state, view, action, touches)
    advised = heeded(view, decision, action, state.trust, setting.org.trust)
    state.quality[rows] += 0.10 * normal(u[6], u[7]) - setting.world.silence_drift * (silent >= 3)
    shifts = u[8] < 0.04
    state.amount[rows[shifts]] *= np.exp(-0.02 + 0.15 * normal(u[9], u[10]))[shifts]
    _settle(setting, state, rows, week, moves, is_won, is_lost)
    outcome = np.where(is_lost, LOST, np.where(is_won, WON, np.where(moves, ADVANCED, 0)))
    weeks = np.full(len(rows), week)
    return DealWeeks(
        rows, weeks, *before, silent, view.contacts, view.since_meeting, view.discounted,
        action, advised, touches, propensity, loss, advance, outcome,
    )  # fmt: skip


def _view(setting: Setting, state: State, rows: Integers, week: int) -> View:
    """Return what a policy sees of the open deals, and the reps' own inclinations."""
    deals, firms, org = setting.deals, setting.firms, setting.org
    account, rep = deals.account[rows], org.holder[deals.seat[rows], week]
    stage, silent = state.stage[rows], state.silent[rows]
    return View(
        world=setting.world,
        week=week,
        monday=int(setting.weeks.monday[week]),
        deal=rows,
        rep=rep,
        account=account,
        segment=firms.segment[account],
        source=deals.source[rows],
        stage=stage,
        age=week - deals.week[rows],
        silent=silent,
        contacts=state.contacts[rows],
        since_meeting=state.since_meeting[rows],
        discounted=state.discounted[rows],
        amount=state.amount[rows],
        trust=state.trust[rep],
        inclination=inclination(
            setting.world, stage, silent, state.perceived[rows], org.diligence[rep]
        ),
        quality=state.quality[rows],
    )


def _hazards(
    setting: Setting, state: State, rows: Integers, week: int, action: Integers
) -> tuple[Floats, Floats]:
    """Return the chance of a loss, and of an advance if not lost, given the action."""
    world, org, seat = setting.world, setting.org, setting.deals.seat[rows]
    segment = setting.firms.segment[setting.deals.account[rows]]
    stage, silent, quality = state.stage[rows], state.silent[rows], state.quality[rows]
    rep = org.holder[seat, week]
    tenure = np.clip(week - org.first_week[rep], 0, world.ramp_weeks)
    skill = org.skill[rep] - world.ramp_loss * (1 - tenure / world.ramp_weeks)
    shock = setting.macro[week] + setting.regional[seat, week]
    rival = state.competitor[rows]
    passing = passing_effect(
        world,
        action,
        stage=stage,
        silent=silent,
        since_meeting=state.since_meeting[rows],
        discounted=state.discounted[rows],
    )
    loss = (
        np.asarray(world.loss)[stage]
        - 0.60 * quality
        - 0.2 * skill
        + world.silence_loss * (silent >= 3)
        + 0.35 * rival
        + 0.02 * np.minimum(week - setting.deals.week[rows], 40)
        + world.effect * passing[0]
    )
    late = bool(setting.weeks.is_quarter_end[week])
    push = world.quarter_end_push if late else -world.quarter_end_drag
    if world.drift_week is not None and week >= world.drift_week:
        push += world.drift_win
    advance = (
        np.asarray(world.advance)[stage]
        + 0.55 * quality
        + 0.5 * skill
        + np.asarray(world.advance_by_segment)[segment]
        - 0.25 * (rival & (stage >= 3))
        + (stage == _LAST_STAGE) * push
        + shock
        + world.effect * passing[1]
    )
    return sigmoid(loss), sigmoid(advance)


def _act(setting: Setting, state: State, view: View, action: Integers, touches: Integers) -> None:
    """Let the actions work on the deals: quality, price, people, silence."""
    rows = view.deal
    account = setting.deals.account[rows]
    state.quality[rows] += setting.world.effect * quality_effect(
        setting.world,
        action,
        stage=view.stage,
        segment=view.segment,
        contacts=view.contacts,
        since_meeting=view.since_meeting,
        touches=touches,
    )
    state.contacts[rows] = np.minimum(
        state.contacts[rows] + (action == w.STAKEHOLDER), setting.firms.contacts[account]
    )
    cut = action == w.DISCOUNT
    state.amount[rows] *= np.where(cut, setting.world.discount_price, 1.0)
    # this week and the two that follow
    state.discounted[rows] = np.where(cut, 2, np.maximum(state.discounted[rows] - 1, 0))
    state.since_meeting[rows] = np.where(
        action == w.MEETING, 1, np.minimum(state.since_meeting[rows] + 1, _LONG_AGO)
    )
    state.silent[rows] = np.where(action == w.NONE, state.silent[rows] + 1, 0)


def _settle(
    setting: Setting,
    state: State,
    rows: Integers,
    week: int,
    moves: Flags,
    is_won: Flags,
    is_lost: Flags,
) -> None:
    """Move deals on and close those that are won or lost."""
    advanced = rows[moves & ~is_won]
    state.stage[advanced] += 1
    state.entered[advanced] = week
    state.closed[rows[is_won | is_lost]] = week
    state.won[rows[is_won]] = True
    np.add.at(state.wins, setting.deals.account[rows[is_won]], 1)


def run(
    setting: Setting,
    draws: Draws,
    *,
    policy: Policy = habit,
    watch: Callable[[int, State, Integers, DealWeeks], None] | None = None,
) -> tuple[State, DealWeeks]:
    """Run all weeks; ``watch`` is told of each week's new deals and of what happened in it."""
    state = initial_state(setting)
    parts = []
    for week in range(setting.weeks.count):
        happened = step(setting, state, week, draws, policy=policy)
        new = begin(setting, state, week, draws)
        parts.append(happened)
        if watch is not None:
            watch(week, state, new, happened)
    return state, DealWeeks.joined(parts)
