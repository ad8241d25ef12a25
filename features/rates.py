"""Win rates as of an instant: decayed, shrunk to their parent, the asked deal left out.

    theta_g = (s_g + m theta_parent) / (n_g + m)

s_g and n_g count the wins and the endings of group g known by then, each halved every
``HALF_LIFE``. The strength m = theta (1 - theta) / tau2 - 1 comes from the spread between groups
by the method of moments, taken on a fixed grid of instants so that it too uses nothing later.
What a model sees is the lift, logit(theta_g) - logit(theta_company): it keeps its meaning when
the whole company's rate moves.

Source: empirical Bayes shrinkage of proportions, Efron & Morris (1975); MODELS.md 1.6.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from features.fact_tables import DAY, Bools, Floats, Ints, Pairs
from features.history import Endings, History
from features.timeline import Ladder

HALF_LIFE = 180 * DAY
GRID = 28 * DAY
"""How often the strength of shrinkage is estimated anew."""
DEFAULT_STRENGTH = 20.0
STRENGTHS = (2.0, 200.0)
_MOST_GROUPS = 5_000
"""The strength is estimated on the groups that came first; more add time, not precision."""


class Record:
    """The endings of groups of deals over time: answers how many and how many won.

    ``key`` is the group of each ending, -1 for none; one deal may appear in several groups.
    """

    def __init__(self, endings: Endings, key: Ints, origin: int) -> None:
        self._origin = origin
        weight = endings.sign * np.exp2((endings.counted - origin) / HALF_LIFE)
        won = weight * endings.won
        self._groups = _earliest(key, endings.known)
        self._all = Ladder(key, endings.known, weight, won)
        self._deals = int(endings.deal.max()) + 1 if len(endings.deal) else 0
        self._ended = Ladder(endings.deal, endings.known, np.ones(len(weight)))
        pair_key = np.where(key >= 0, key * max(1, self._deals) + endings.deal, -1)
        self._own = Ladder(pair_key, endings.known, weight, won)
        self._strengths: dict[int, float] = {}

    def at(self, key: Ints, at: Ints, *, without: Ints) -> tuple[Floats, Floats]:
        """Return decayed counts of endings and wins known by then, one deal each left out."""
        n, won = self._all.upto(key, at)
        inside = (without >= 0) & (without < self._deals)
        ended = inside & (self._ended.upto(np.where(inside, without, -1), at)[0] != 0)
        if ended.any():
            own = np.where(ended & (key >= 0), key * max(1, self._deals) + without, -1)
            own_n, own_won = self._own.upto(own, at)
            n, won = n - own_n, won - own_won
        fade = np.exp2(-(at - self._origin) / HALF_LIFE)
        return np.maximum(n, 0) * fade, np.maximum(won, 0) * fade

    def strength(self, at: Ints) -> Floats:
        """Return the shrinkage m at each instant, estimated at the last point of the grid."""
        points, where = np.unique(at // GRID * GRID, return_inverse=True)
        for point in points.tolist():
            if point not in self._strengths:
                self._strengths[point] = self._strength_at(point)
        return np.array([self._strengths[point] for point in points.tolist()])[where]

    def _strength_at(self, point: int) -> float:
        nobody = np.full(len(self._groups), -1, np.int64)
        n, won = self.at(self._groups, np.full(len(nobody), point, np.int64), without=nobody)
        return _strength(n, won)


def _earliest(key: Ints, known: Ints) -> Ints:
    """Return the groups in the order in which they first ended a deal."""
    order = np.lexsort((key, known))
    order = order[key[order] >= 0]
    groups, first = np.unique(key[order], return_index=True)
    return groups[np.argsort(first)][:_MOST_GROUPS]


def _strength(n: Floats, won: Floats) -> float:
    """Return m by the method of moments over groups with at least one recent ending."""
    use = n >= 1
    n, won = n[use], won[use]
    if len(n) < 3:
        return DEFAULT_STRENGTH
    theta = won.sum() / n.sum()
    chance = theta * (1 - theta)
    tau2 = max(1e-4, float(np.var(won / n)) - float(np.mean(chance / n)))
    return float(np.clip(chance / tau2 - 1, *STRENGTHS))


def _logit(theta: Floats) -> Floats:
    return np.log(theta) - np.log1p(-theta)


class Rates:
    """The company's win rate and the lifts of groups over it, at the asked instants."""

    def __init__(self, history: History, pairs: Pairs) -> None:
        self._history = history
        self._pairs = pairs
        ends = history.endings
        whole = self._record("company", lambda: (ends, np.zeros(len(ends.deal), np.int64)))
        same = np.zeros(len(pairs), np.int64)
        n, won = whole.at(same, pairs.at, without=pairs.deal)
        self.endings_known: Bools = n > 0
        self.company: Floats = (won + 1) / (n + 2)

    def _record(self, name: str, make: Callable[[], tuple[Endings, Ints]]) -> Record:
        def build() -> Record:
            origin = int(self._history.known.min()) if len(self._history) else 0
            return Record(*make(), origin)

        return self._history.once(("record", name), build)

    def theta(
        self,
        name: str,
        make: Callable[[], tuple[Endings, Ints]],
        asked: Ints,
        *,
        parent: Floats,
    ) -> tuple[Floats, Floats]:
        """Return each asked group's shrunk rate and its decayed count of endings.

        ``make`` gives the endings and the group of each (once per ``name``); ``asked`` is the
        group of each pair (-1: none, NaN).
        """
        record = self._record(name, make)
        n, won = record.at(asked, self._pairs.at, without=self._pairs.deal)
        strength = record.strength(self._pairs.at)
        theta = (won + strength * parent) / (n + strength)
        none = (asked < 0) | ~self.endings_known
        return np.where(none, np.nan, theta), np.where(asked < 0, np.nan, n)

    def lift(self, theta: Floats) -> Floats:
        """Return log-odds over the company's, NaN where the rate is."""
        return _logit(np.clip(theta, 1e-4, 1 - 1e-4)) - _logit(self.company)

    def recent(self, days: int, *, prior: float = 5.0) -> Floats:
        """Return the share won of what ended in the last days, shrunk to the company's rate.

        NaN where nothing ended in that time.
        """
        ends = self._history.endings
        ladder = self._history.once(
            "recent endings",
            lambda: Ladder(
                np.zeros(len(ends.deal), np.int64), ends.known, ends.sign, ends.sign * ends.won
            ),
        )
        key = np.zeros(len(self._pairs), np.int64)
        now = ladder.upto(key, self._pairs.at)
        before = ladder.upto(key, self._pairs.at - days * DAY)
        n, won = now[0] - before[0], now[1] - before[1]
        rate = (np.maximum(won, 0) + prior * self.company) / (np.maximum(n, 0) + prior)
        return np.where(n > 0, rate, np.nan)


def reached(endings: Endings, deal: Ints, key: Ints, known: Ints) -> tuple[Endings, Ints]:
    """Return the endings once per thing their deal had met before (a stage, a kind of call).

    ``deal``, ``key`` and ``known`` say which deal met what and when that was first known. Also
    returns the key of each returned ending.
    """
    ending, meeting = _met(endings, deal, known)
    return endings.only(ending), key[meeting]


def _met(endings: Endings, deal: Ints, known: Ints) -> tuple[Ints, Ints]:
    """Return (ending, meeting) positions of meetings known before their deal's ending."""
    order = np.argsort(deal, kind="stable")
    ordered = deal[order]
    low = np.searchsorted(ordered, endings.deal, side="left")
    high = np.searchsorted(ordered, endings.deal, side="right")
    counts = high - low
    ending = np.repeat(np.arange(len(endings.deal)), counts)
    within = np.arange(len(ending)) - np.repeat(np.cumsum(counts) - counts, counts)
    meeting = order[np.repeat(low, counts) + within]
    before = known[meeting] < endings.counted[ending]
    return ending[before], meeting[before]
