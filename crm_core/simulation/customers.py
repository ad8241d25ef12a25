"""Existing customers: repeat orders, service, care, price rises, and how they leave.

The chance to leave is known: log-odds per week of -5.2, less by affinity, more after bad service
and price rises, and changed by a retention contact according to the customer's hidden type.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crm_core.simulation.draws import Draws, Floats, Integers, Stream, sigmoid
from crm_core.simulation.process import Setting, State
from crm_core.simulation.weeks import WEEK, date_of, day_of

WARM_UP = 26
"""Weeks of orders before the first week, so that customers have a past."""
_MEMORY = 8
_SLOTS = 12
RETENTION_EFFECT = (0.0, -0.7, 0.2)


@dataclass(frozen=True, slots=True)
class Customers:
    """What customers did. Pairs of arrays are (account, week); weeks before the first are < 0.

    ``active`` (accounts, weeks) from the first week; ``left`` is the truth.
    """

    orders: tuple[Integers, Integers]
    tickets: tuple[Integers, Integers]
    bad: NDArray[np.bool_]
    care: tuple[Integers, Integers]
    left: tuple[Integers, Integers]
    hazard: Floats
    active: NDArray[np.bool_]


def customers(setting: Setting, state: State, draws: Draws) -> Customers:
    """Run all customers through all weeks."""
    firms, count = setting.firms, setting.weeks.count
    numbers = np.arange(firms.count)
    active = firms.prior_wins > 0
    since_bad = np.full(firms.count, 99)
    since_care = np.full(firms.count, 99)
    history = np.zeros((firms.count, count), dtype=np.bool_)
    found: dict[str, list[tuple[Integers, int]]] = {
        "orders": [], "tickets": [], "care": [], "left": [],
    }  # fmt: skip
    bad_parts, hazards = [], []
    won = (state.closed >= 0) & state.won
    for week in range(-WARM_UP, count):
        active[setting.deals.account[won & (state.closed == week)]] = True
        u = draws.uniform(Stream.CUSTOMER, numbers, week, _SLOTS)
        opens = active & (u[0] < 0.010 + 0.006 * firms.segment)
        bad = opens & (u[1] < 0.30)
        since_bad = np.where(bad, 0, since_bad + 1)
        troubled = since_bad <= _MEMORY
        rep = setting.org.holder[firms.seat, max(week, 0)]
        cares = active & (u[2] < sigmoid(-4.6 + 1.4 * troubled + 0.4 * setting.org.diligence[rep]))
        since_care = np.where(cares, 0, since_care + 1)
        hazard = _hazard(setting, week, troubled, since_care <= _MEMORY)
        buys = active & (u[3] < firms.order_rate)
        leaves = active & (week >= 0) & (u[4] < hazard)
        active = active & ~leaves
        for name, flags in (
            ("orders", buys), ("tickets", opens), ("care", cares), ("left", leaves),
        ):  # fmt: skip
            found[name].append((np.flatnonzero(flags), week))
        bad_parts.append(bad[opens])
        hazards.append(hazard[leaves])
        if week >= 0:
            history[:, week] = active
    pairs = {name: _paired(parts) for name, parts in found.items()}
    return Customers(
        pairs["orders"], pairs["tickets"], np.concatenate(bad_parts), pairs["care"],
        pairs["left"], np.concatenate(hazards), history,
    )  # fmt: skip


def _hazard(
    setting: Setting, week: int, troubled: NDArray[np.bool_], cared: NDArray[np.bool_]
) -> Floats:
    """Return each customer's chance to leave in this week."""
    day = date_of(setting.weeks.start_day + 7 * week)
    effect = np.asarray(RETENTION_EFFECT)[setting.firms.retention]
    return sigmoid(
        -5.2
        - 0.5 * setting.firms.affinity
        + 0.8 * troubled
        + 0.3 * (day.month in (1, 2))
        + effect * cared
    )


def _paired(parts: list[tuple[Integers, int]]) -> tuple[Integers, Integers]:
    accounts = np.concatenate([rows for rows, _ in parts])
    return accounts, np.repeat([week for _, week in parts], [len(rows) for rows, _ in parts])


def leaving_day(setting: Setting, left: tuple[Integers, Integers]) -> dict[int, list[int]]:
    """Return by account the day numbers on which it (truly) left."""
    result: dict[int, list[int]] = {}
    for account, week in zip(*left, strict=True):
        day = int(day_of(np.asarray([setting.weeks.monday[0] + week * WEEK]))[0])
        result.setdefault(int(account), []).append(day)
    return result
