"""Which (deal, time) pairs a model learns from: the instants an open deal could be scored. Pure.

A deal gives a landmark when it becomes known and at each stage it enters, when that became
known, as long as it was open as then known. In between:

- Where deals take long (half of them at least ``LONG_CYCLE``), every Monday 00:00 on the
  company's clock: the list a manager sees on Monday.
- Where they are short, at ages of 1, 3, 7, 14, 21, 35, 56, … days since the last stage entry:
  a geometric grid has as many landmarks per deal for a cycle of a week as for one of a year,
  and says how long is "too long" in a stage.

At most ``MOST`` landmarks of a deal are kept, spread evenly over its stages and over time; each
stands for (landmarks ÷ kept). A deal that was closed when it became known gives none.
"""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from crm_core.periods import FiscalCalendar
from features.fact_tables import DAY, Floats, Ints, Pairs, local, microseconds
from features.history import History

LONG_CYCLE = 56 * DAY
MOST = 12
AGES = (1, 3, 7, 14, 21, 35, 56, 91, 147, 238, 385, 623, 1008)
_FEWEST_ENDINGS = 20


def landmarks(history: History, *, as_of: int) -> tuple[Pairs, Floats]:
    """Return the landmarks up to ``as_of``, by deal and time, and the weight of each."""
    deal, at, stage = _candidates(history, as_of)
    keep, weight = _thin(history, deal, stage)
    return Pairs(deal[keep], at[keep]), weight


def is_long(history: History) -> bool:
    """Return whether the company's deals take long enough for weekly landmarks."""
    ends = history.endings
    finished = ends.sign > 0
    if int(finished.sum()) < _FEWEST_ENDINGS:
        return True
    cycle = ends.occurred[finished] - history.created[ends.deal[finished]]
    return bool(np.median(cycle) >= LONG_CYCLE)


def open_pairs(history: History, *, as_of: int) -> Pairs:
    """Return every deal that is open as known at ``as_of``, at that instant."""
    everyone = np.arange(len(history), dtype=np.int64)
    pairs = Pairs(everyone, np.full(len(history), as_of, np.int64))
    is_open = history.is_open_at(pairs) & ~history.born_closed
    return Pairs(everyone[is_open], pairs.at[is_open])


def _candidates(history: History, as_of: int) -> tuple[Ints, Ints, Ints]:
    """Return all landmarks: deal, instant, stage; sorted, each once."""
    parts = [_births(history), _entries(history)]
    parts.append(_mondays(history, as_of) if is_long(history) else _ages(parts[1]))
    deal = np.concatenate([part.deal for part in parts])
    at = np.concatenate([part.at for part in parts])
    known = (at <= as_of) & (history.known[deal] <= at) & ~history.born_closed[deal]
    unique = pd.DataFrame({"deal": deal[known], "at": at[known]}).drop_duplicates()
    unique = unique.sort_values(["deal", "at"])
    pairs = Pairs(unique["deal"].to_numpy(np.int64), unique["at"].to_numpy(np.int64))
    is_open = history.is_open_at(pairs)
    pairs = Pairs(pairs.deal[is_open], pairs.at[is_open])
    return pairs.deal, pairs.at, history.stage_at(pairs)[0]


def _births(history: History) -> Pairs:
    deal, known = history.births
    return Pairs(deal, known)


def _entries(history: History) -> Pairs:
    """Return when each new stage became known."""
    states = history.states
    changed = np.ones(len(states.deal), bool)
    changed[1:] = (states.deal[1:] != states.deal[:-1]) | (states.stage[1:] != states.stage[:-1])
    return Pairs(states.deal[changed], states.known[changed])


def _ages(entries: Pairs) -> Pairs:
    """Return the grid of ages after each entry, until the next one."""
    order = np.lexsort((entries.at, entries.deal))
    deal, at = entries.deal[order], entries.at[order]
    until = np.full(len(deal), np.iinfo(np.int64).max)
    same = deal[1:] == deal[:-1]
    until[:-1][same] = at[1:][same]
    grid = at[:, None] + np.array(AGES, np.int64) * DAY
    inside = grid < until[:, None]
    return Pairs(np.repeat(deal, len(AGES))[inside.ravel()], grid.ravel()[inside.ravel()])


def _mondays(history: History, as_of: int) -> Pairs:
    """Return every Monday 00:00 at the company from a deal's creation to its last ending."""
    deal, known = history.births
    if not len(deal):
        return Pairs(deal, known)
    ends = history.endings
    last = np.full(len(history), as_of, np.int64)
    open_now = np.ones(len(history), bool)
    open_now[open_pairs(history, as_of=as_of).deal] = False
    latest = np.zeros(len(history), np.int64)
    np.maximum.at(latest, ends.deal, ends.known)
    last[open_now] = latest[open_now]
    weeks = mondays(int(known.min()), as_of, history.facts.calendar.time_zone)
    first = np.searchsorted(weeks, known, side="left")
    after = np.searchsorted(weeks, last[deal], side="right")
    counts = np.maximum(after - first, 0)
    owner = np.repeat(deal, counts)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    return Pairs(owner, weeks[np.repeat(first, counts) + within])


def mondays(start: int, end: int, time_zone: str) -> Ints:
    """Return each Monday 00:00 on the company's clock within [start, end]."""
    calendar = FiscalCalendar(ZoneInfo(time_zone))
    day = local(np.array([start], np.int64), time_zone)[0].date()
    monday = day - dt.timedelta(days=day.weekday())
    instants = []
    while (instant := microseconds(calendar.midnight(monday))) <= end:
        instants.append(instant)
        monday += dt.timedelta(days=7)
    weeks: Ints = np.array(instants, np.int64)
    return weeks[weeks >= start]


def _thin(history: History, deal: Ints, stage: Ints) -> tuple[Ints, Floats]:
    """Return the positions of the landmarks to keep and what each stands for."""
    order = np.lexsort((np.arange(len(deal)), stage, deal))
    ordered = deal[order]
    total = np.bincount(deal, minlength=len(history))
    starts = np.searchsorted(ordered, ordered, side="left")
    number = np.arange(len(ordered)) - starts
    kept = np.minimum(total, MOST)
    share = kept[ordered] / np.maximum(total[ordered], 1)
    # a fixed start per deal, from its id, so that no age is favoured over all deals
    ids = pd.util.hash_array(history.deals["id"].to_numpy(object))
    offset = (ids % np.uint64(2**20)).astype(np.float64)[ordered] / 2**20
    use = np.floor((number + 1) * share + offset) > np.floor(number * share + offset)
    position = np.sort(order[use | (total[ordered] <= MOST)])
    actual = np.bincount(deal[position], minlength=len(history))
    return position, total[deal[position]] / np.maximum(actual[deal[position]], 1)
