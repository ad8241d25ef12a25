"""What reps type into their system about open deals: dates, amounts, categories, criteria.

Reps believe, hope and forget: the entries follow what they perceive, not what is true.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from crm_core.simulation.draws import Draws, Floats, Integers, Stream, normal, sigmoid
from crm_core.simulation.geography import PER_EURO
from crm_core.simulation.process import LOST, WON, DealWeeks, Setting, State
from crm_core.simulation.weeks import DAY


class Field(IntEnum):
    """The fields of a deal that change, in the order in which a new deal shows them."""

    STAGE = 0
    OWNER = 1
    AMOUNT = 2
    CLOSE_DATE = 3
    PRODUCT = 4
    FORECAST = 5
    CUSTOM = 6


FORECASTS = ("pipeline", "best_case", "most_likely", "commit")
_STAGE_FORECAST = np.asarray((0, 0, 1, 2, 2))
COMPETITORS = ("Optaris", "Kestrel Analytics", "Metronova", "Huaxin Instruments")

# what a custom event says: a criterion is met, a competitor is seen, or the fields of a new deal
BUDGET, DECISION_DATE = 1, 2
COMPETITOR = 10
NEW_DEAL = 20
_SLOTS = 16


@dataclass(frozen=True, slots=True)
class Entries:
    """Entries in the reps' system: what ``field`` of a deal became, when in the week.

    ``number`` is the new value: units of currency for an amount, a day number for a date, else
    a code.
    """

    deal: Integers
    week: Integers
    position: Floats
    field: Integers
    number: Integers


class Bookkeeper:
    """Keeps the record of the deals beside the process; ``watch`` is called once a week."""

    def __init__(self, setting: Setting, draws: Draws) -> None:
        count = setting.deals.count
        self._setting = setting
        self._draws = draws
        self._rate = np.asarray(PER_EURO)[setting.firms.currency[setting.deals.account]]
        self._parts: list[tuple[Integers, int, Floats, Field, Integers]] = []
        self.amount = np.zeros(count, dtype=np.int64)
        self._expected = np.zeros(count, dtype=np.int64)
        self._forecast = np.zeros(count, dtype=np.int64)
        self._known = np.zeros((3, count), dtype=np.bool_)

    def watch(self, week: int, state: State, new: Integers, happened: DealWeeks) -> None:
        """Enter this week's new deals and the changes of those that stay open."""
        self._open(week, state, new)
        rows = happened.deal[(happened.outcome != WON) & (happened.outcome != LOST)]
        keys = self._setting.deals.key[rows]
        u = self._draws.uniform(Stream.RECORD, keys, week, _SLOTS)
        diligence = self._diligence(rows, week)
        self._move_dates(week, rows, u, diligence)
        self._change_amounts(week, state, rows, u)
        self._change_forecasts(week, state, rows, u)
        self._meet_criteria(week, state, rows, u, diligence)

    def entries(self) -> Entries:
        """Return all entries so far."""
        parts = self._parts
        sizes = [len(deal) for deal, *_ in parts]
        return Entries(
            np.concatenate([part[0] for part in parts]),
            np.repeat([part[1] for part in parts], sizes),
            np.concatenate([part[2] for part in parts]),
            np.repeat([int(part[3]) for part in parts], sizes),
            np.concatenate([part[4] for part in parts]),
        )

    def _enter(
        self, deal: Integers, week: int, position: Floats, field: Field, number: Integers
    ) -> None:
        self._parts.append((deal, week, position, field, number.astype(np.int64)))

    def _diligence(self, rows: Integers, week: int) -> Floats:
        org = self._setting.org
        found: Floats = org.diligence[org.holder[self._setting.deals.seat[rows], week]]
        return found

    def _today(self, week: int) -> int:
        return int(self._setting.weeks.monday[week]) // DAY

    def _open(self, week: int, state: State, new: Integers) -> None:
        """Enter new deals: what a rep knows, or guesses, on the first day."""
        setting, deals = self._setting, self._setting.deals
        u = self._draws.uniform(Stream.RECORD, deals.key[new], -1, 8)
        seat = deals.seat[new]
        optimism = setting.org.optimism[setting.org.holder[seat, week]]
        segment = setting.firms.segment[deals.account[new]]
        wait = np.maximum(3, 11 - 1.2 * optimism + 2 * segment + 3 * normal(u[0], u[1]))
        day = self._today(week) + np.rint(7 * wait).astype(np.int64)
        self._expected[new] = np.where(u[2] < 0.3, _month_end(day), day)
        self.amount[new] = _rounded(state.amount[new] * self._rate[new], 100)
        self._forecast[new] = _STAGE_FORECAST[0]
        at = deals.position[new]
        holders = setting.org.holder[seat, week]
        self._enter(new, week, at, Field.OWNER, holders)
        self._enter(new, week, at, Field.STAGE, np.zeros(len(new), dtype=np.int64))
        self._enter(new, week, at, Field.AMOUNT, self.amount[new])
        self._enter(new, week, at, Field.CLOSE_DATE, self._expected[new])
        self._enter(new, week, at, Field.PRODUCT, deals.product[new])
        missing = u[3] < np.clip(sigmoid(-1.4 - 0.6 * self._diligence(new, week)), 0.1, 0.4)
        wins = state.wins[deals.account[new]]
        kind = np.where(missing, 0, np.where(wins > 0, 2, 1))
        ordinary = deals.kind[new] == 0
        self._enter(new[ordinary], week, at[ordinary], Field.CUSTOM, (NEW_DEAL + kind)[ordinary])

    def _move_dates(self, week: int, rows: Integers, u: Floats, diligence: Floats) -> None:
        """Push dates that have passed, when the rep gets to it; seldom pull one in."""
        today = self._today(week)
        passed = self._expected[rows] < today
        pushed = passed & (u[0] < self._setting.world.hygiene * sigmoid(0.6 + 0.7 * diligence))
        pulled = ~passed & (self._expected[rows] > today + 28) & (u[0] > 0.99)
        later = today + 7 * (2 + np.floor(u[1] * 8).astype(np.int64)) + np.floor(u[15] * 5)
        sooner = self._expected[rows] - 7 * (1 + np.floor(u[1] * 3).astype(np.int64))
        moved = pushed | pulled
        changed = rows[moved]
        self._expected[changed] = np.where(pushed, later, sooner)[moved].astype(np.int64)
        self._enter(changed, week, u[2][moved], Field.CLOSE_DATE, self._expected[changed])

    def _change_amounts(self, week: int, state: State, rows: Integers, u: Floats) -> None:
        """Enter changed amounts, some of them only weeks later."""
        true = _rounded(state.amount[rows] * self._rate[rows], 10)
        differs = np.abs(true - self.amount[rows]) > 0.02 * self.amount[rows]
        entered = differs & (u[3] < 0.6)
        self.amount[rows[entered]] = true[entered]
        self._enter(rows[entered], week, u[4][entered], Field.AMOUNT, true[entered])

    def _change_forecasts(self, week: int, state: State, rows: Integers, u: Floats) -> None:
        """Enter forecast categories from what the rep perceives and hopes."""
        org = self._setting.org
        rep = org.holder[self._setting.deals.seat[rows], week]
        stage = state.stage[rows]
        belief = state.perceived[rows] + org.optimism[rep] + 0.35 * (stage - 2)
        category = np.select(
            [(belief > 0.9) & (stage >= 2), belief > 0.35, belief > -0.25], [3, 2, 1], 0
        )
        changed = (category != self._forecast[rows]) & (u[5] < 0.25)
        self._forecast[rows[changed]] = category[changed]
        self._enter(rows[changed], week, u[6][changed], Field.FORECAST, category[changed])

    def _meet_criteria(
        self, week: int, state: State, rows: Integers, u: Floats, diligence: Floats
    ) -> None:
        """Enter exit criteria that were met and competitors that were seen."""
        quality, stage = state.quality[rows], state.stage[rows]
        chances = (
            (stage >= 2) * sigmoid(-1.8 + 0.5 * quality + 0.5 * diligence),
            (stage >= 3) * sigmoid(-1.6 + 0.5 * quality + 0.5 * diligence),
            state.competitor[rows] * (stage >= 1) * sigmoid(-2.0 + 0.5 * diligence),
        )
        codes = (BUDGET, DECISION_DATE, COMPETITOR + self._setting.deals.key[rows] % 4)
        for i, (chance, code) in enumerate(zip(chances, codes, strict=True)):
            found = (u[7 + 2 * i] < chance) & ~self._known[i, rows]
            self._known[i, rows[found]] = True
            numbers = np.broadcast_to(np.asarray(code), len(rows))[found]
            self._enter(rows[found], week, u[8 + 2 * i][found], Field.CUSTOM, numbers)


def _rounded(amount: Floats, step: int) -> Integers:
    """Return amounts in whole units of currency, as reps guess them: multiples of ``step``."""
    return np.maximum(1, np.rint(amount / step).astype(np.int64)) * step


def _month_end(day: Integers) -> Integers:
    months = day.astype("datetime64[D]").astype("datetime64[M]") + 1
    last: Integers = months.astype("datetime64[D]").astype(np.int64) - 1
    return last
