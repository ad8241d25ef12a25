"""How and when the end of a deal reaches the record: on time, late, back-dated, in a clean-up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crm_core.simulation.arrivals import CREATED_CLOSED, DUPLICATE
from crm_core.simulation.draws import Draws, Floats, Integers, Stream, choose, normal, sigmoid
from crm_core.simulation.geography import PER_EURO
from crm_core.simulation.process import Flags, Setting, State
from crm_core.simulation.weeks import DAY, WEEK, within_week

REASONS = ("price", "competitor", "no budget", "no decision", "timing", "duplicate", "")
_DUPLICATE, _UNSAID = 5, 6
_SILENT = 3
_SLOTS = 12


@dataclass(frozen=True, slots=True)
class Closings:
    """Columns by deal. Times are instants; ``NEVER`` where a deal is not closed.

    ``true_at``: when it ended in the world (truth). ``occurred``: when the record says it
    ended. ``recorded``: when the record learned of it. ``amount``: final, in minor units per
    hundred of the currency's unit.
    """

    created: Integers
    true_at: Integers
    occurred: Integers
    recorded: Integers
    won: Flags
    reason: Integers
    user: Integers
    amount: Floats


NEVER = np.iinfo(np.int64).max // 2


def closings(setting: Setting, state: State, draws: Draws) -> Closings:
    """Return how every deal's end was recorded."""
    deals, firms, weeks = setting.deals, setting.firms, setting.weeks
    u = draws.uniform(Stream.CLOSING, deals.key, 0, _SLOTS)
    offset = firms.utc_offset[deals.account]
    created = within_week(weeks.monday[deals.week], deals.position, offset)
    ended = state.closed >= 0
    true_at = np.where(
        ended, within_week(weeks.monday[state.closed], 0.3 + 0.7 * u[0], offset), NEVER
    )
    doubles = deals.kind == DUPLICATE
    discovered = created + (2 + np.floor(4 * u[1])).astype(np.int64) * WEEK + 3600
    true_at = np.where(doubles, discovered, true_at)
    true_at = np.where(deals.kind == CREATED_CLOSED, created, true_at)
    occurred, recorded, user = _recording(setting, state, true_at, u)
    return Closings(
        created=created,
        true_at=true_at,
        occurred=occurred,
        recorded=recorded,
        won=state.won,
        reason=_reasons(setting, state, u),
        user=user,
        amount=state.amount
        * np.asarray(PER_EURO)[firms.currency[deals.account]]
        * np.exp(-0.01 + 0.05 * normal(u[9], u[10])),
    )


def _recording(
    setting: Setting, state: State, true_at: Integers, u: Floats
) -> tuple[Integers, Integers, Integers]:
    """Return when the record says each deal ended, when it learned so, and who entered it."""
    world, deals = setting.world, setting.deals
    lost = (true_at < NEVER) & ~state.won & (deals.kind == 0)
    won = (true_at < NEVER) & state.won & (deals.kind == 0)
    late = lost & (u[2] < world.late_loss)
    weeks_late = world.late_loss_weeks * np.exp(-0.245 + 0.7 * normal(u[3], u[4]))
    delay = np.where(late, weeks_late * WEEK, 0.0)
    delay = np.where(won & (u[2] < 0.1), (1 + 4 * u[3]) * DAY, delay).astype(np.int64)
    recorded = np.where(true_at < NEVER, true_at + delay, NEVER)
    # a zombie ends, for the record, on the day somebody notices; other late ends are back-dated
    zombie = late & (u[5] < 0.6)
    cleaned, at = _clean_up(setting, true_at, recorded, zombie & (u[6] < 0.7))
    recorded = np.where(cleaned, at, recorded)
    occurred = np.where(zombie, recorded, true_at)
    week = np.clip((occurred - int(setting.weeks.monday[0])) // WEEK, 0, setting.weeks.count - 1)
    user = np.where(cleaned, setting.org.operations_member, setting.org.holder[deals.seat, week])
    return occurred, recorded, user


def _clean_up(
    setting: Setting, true_at: Integers, recorded: Integers, candidate: Flags
) -> tuple[Flags, Integers]:
    """Return which zombies are swept up on the first Monday of a quarter, and when."""
    mondays = setting.weeks.monday[setting.weeks.has_first_monday]
    after = np.searchsorted(mondays, true_at + WEEK)
    at = np.append(mondays, NEVER)[after] + 8 * 3600
    # one after the other, a few seconds each
    at = at + 7 * (np.arange(len(at)) % 600)
    return candidate & (at < recorded), at


def _reasons(setting: Setting, state: State, u: Floats) -> Integers:
    """Return reasons of loss as reps give them, or leave them out."""
    deals = setting.deals
    rep = setting.org.holder[deals.seat, np.maximum(state.closed, 0)]
    stated = choose(u[7], (0.3, 0.1, 0.25, 0.15, 0.2))
    stated = np.where(state.competitor & (u[8] < 0.6), 1, stated)
    stated = np.where(state.silent >= _SILENT, 3, stated)
    unsaid = u[11] < np.clip(sigmoid(-1.2 - 0.6 * setting.org.diligence[rep]), 0.1, 0.4)
    stated = np.where(unsaid, _UNSAID, stated)
    return np.where(deals.kind == DUPLICATE, _DUPLICATE, stated)
