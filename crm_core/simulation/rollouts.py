"""Many futures of the same deals: true chances to win, and what each action would change.

A roll-out copies the state, tiles the deals once for each future and runs the ordinary weekly
step. Draws are named by (future, deal, week), so two roll-outs that differ in one action share
all other chance (common random numbers). No new deals arrive; people stay where they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from crm_core.simulation.arrivals import Arrivals
from crm_core.simulation.decisions import Policy, habit
from crm_core.simulation.draws import Draws, Floats, Integers, Stream, normal
from crm_core.simulation.process import Flags, Setting, State, begin, initial_state, step
from crm_core.simulation.weeks import extended

HORIZON = 104
"""Weeks after which a deal that is still open counts as neither won nor lost."""
_BY_DEAL = {f.name for f in fields(State)} - {"wins", "trust"}


@dataclass(frozen=True, slots=True)
class Futures:
    """Shape (deals, futures): whether won, after how many weeks it ended (-1: not), amount."""

    won: Flags
    weeks: Integers
    amount: Floats

    def win_chance(self, within: int | None = None) -> Floats:
        """Return by deal the share of futures in which it is won, within some weeks."""
        counted = self.won if within is None else self.won & (self.weeks < within)
        result: Floats = counted.mean(axis=1)
        return result

    def booked(self) -> Floats:
        """Return by future what all deals together bring, in euros."""
        result: Floats = (self.won * self.amount).sum(axis=0)
        return result


def joined(parts: Sequence[Futures]) -> Futures:
    """Return futures that were rolled out in turns side by side."""
    return Futures(
        *(np.concatenate([getattr(p, name) for p in parts], axis=1) for name in Futures.__slots__)
    )


def state_at(setting: Setting, week: int, draws: Draws, *, policy: Policy = habit) -> State:
    """Return the state before a week, told from the beginning."""
    state = initial_state(setting)
    for earlier in range(week):
        step(setting, state, earlier, draws, policy=policy)
        begin(setting, state, earlier, draws)
    return state


def roll_out(
    setting: Setting,
    state: State,
    week: int,
    draws: Draws,
    *,
    deals: Integers,
    futures: Sequence[int],
    policy: Policy = habit,
    first: int | None = None,
) -> Futures:
    """Return how deals that are open before ``week`` end in each of several futures.

    Future 0 is the one that happens in the world itself. ``first``: the action taken on every
    deal in the first week, else the policy's.
    """
    count = len(futures)
    there = _tiled(setting, draws, week, deals, np.asarray(futures))
    rows = np.repeat(deals, count)
    rolled = State(
        **{name: getattr(state, name)[rows] for name in _BY_DEAL},
        wins=state.wins.copy(),
        trust=np.tile(state.trust, count),
    )
    forced = None if first is None else np.full(len(rows), first)
    for later in range(week, week + HORIZON):
        step(there, rolled, later, draws, policy=policy, forced=forced)
        forced = None
        if (rolled.closed >= 0).all():
            break
    shape = (len(deals), count)
    ended = np.where(rolled.closed >= 0, rolled.closed - week, -1)
    return Futures(rolled.won.reshape(shape), ended.reshape(shape), rolled.amount.reshape(shape))


def _tiled(
    setting: Setting, draws: Draws, week: int, deals: Integers, futures: Integers
) -> Setting:
    """Return a setting in which every deal stands once for each future, under its own shocks."""
    count, seats = len(futures), len(setting.org.seat_region)
    weeks = extended(setting.weeks, max(0, week + HORIZON - setting.weeks.count))
    members = len(setting.org.members)
    more = ((0, 0), (0, weeks.count - setting.weeks.count))
    holder = np.pad(setting.org.holder, more, mode="edge")
    shift = members * np.repeat(np.arange(count), seats)[:, None]
    org = replace(
        setting.org,
        holder=np.tile(holder, (count, 1)) + shift,
        skill=np.tile(setting.org.skill, count),
        diligence=np.tile(setting.org.diligence, count),
        optimism=np.tile(setting.org.optimism, count),
        trust=np.tile(setting.org.trust, count),
        first_week=np.tile(setting.org.first_week, count),
    )
    rows = np.repeat(deals, count)
    future = np.tile(np.arange(count), len(deals))
    columns = {name: getattr(setting.deals, name)[rows] for name in Arrivals.__slots__}
    columns["key"] = columns["key"] + (futures[future] << 32)
    columns["seat"] = columns["seat"] + seats * future
    shocks = _shocks(setting, draws, week, weeks.count, futures)
    return replace(
        setting, org=org, weeks=weeks, deals=Arrivals(**columns),
        macro=np.zeros(weeks.count), regional=shocks,
    )  # fmt: skip


def _shocks(setting: Setting, draws: Draws, week: int, until: int, futures: Integers) -> Floats:
    """Return the sum of both shocks by virtual seat and week, going on from the known level."""
    world = setting.world
    names = tuple(dict.fromkeys(region.name for region in world.regions))
    of_seat = np.asarray([names.index(region) + 1 for region in setting.org.seat_region])
    series = np.arange(len(names) + 1)
    scale = np.asarray([world.macro_sd, *[world.region_sd] * len(names)])
    level = np.zeros((len(futures), len(series)))
    if week > 0:
        known = np.zeros(len(series))
        known[of_seat] = setting.regional[:, week - 1]
        known[0] = setting.macro[week - 1]
        level += np.divide(known, scale, out=np.zeros(len(series)), where=scale > 0)
    named = (series[None, :] + (futures[:, None] << 32)).ravel()
    result = np.zeros((len(futures), len(of_seat), until))
    fresh = np.sqrt(1 - world.shock_memory**2)
    for later in range(week, until):
        u = draws.company.uniform(Stream.SHOCK, named, later, 2)
        level = world.shock_memory * level + fresh * normal(u[0], u[1]).reshape(level.shape)
        shock = scale * level
        result[:, :, later] = shock[:, :1] + shock[:, of_seat]
    return result.reshape(len(futures) * len(of_seat), until)
