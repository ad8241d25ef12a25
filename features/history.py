"""The facts in the order in which they became known: states of deals, endings, dwell times.

Everything here follows from facts that were known at its own instant, so what is said of an
instant never changes when later facts arrive.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar, cast

import numpy as np
import pandas as pd

from features.account_states import AccountStates, build
from features.fact_tables import MISSING, SECOND, Bools, Facts, Floats, Ints, Pairs
from features.timeline import Ladder, Timeline, superseded

T = TypeVar("T")
OPEN, ON_HOLD, WON, LOST = 0, 1, 2, 3
_KINDS = {"open": OPEN, "on_hold": ON_HOLD, "won": WON, "lost": LOST}


def positions(index: pd.Index, values: pd.Series) -> Ints:
    """Return where each value stands in an index, -1 for missing or unknown ones."""
    return np.asarray(index.get_indexer(pd.Index(values)), dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Stages:
    """The stages of all pipelines, numbered by pipeline and position.

    ``progress`` is the share of the pipeline's open stages that lie before it (NaN when closed).
    """

    index: pd.Index
    kind: Ints
    rank: Floats
    progress: Floats


@dataclass(frozen=True, slots=True)
class Endings:
    """Each time a deal was found to have ended (sign 1) or to live again (sign -1).

    ``known`` is when that was learnt; ``counted`` the instant whose weight it has in decayed
    rates; ``occurred`` when the deal ended; ``won`` whether it was won.
    """

    deal: Ints
    known: Ints
    counted: Ints
    occurred: Ints
    won: Bools
    sign: Floats

    def only(self, mask: Bools | Ints) -> Endings:
        """Return the endings in the mask (or at positions)."""
        return Endings(
            self.deal[mask], self.known[mask], self.counted[mask],
            self.occurred[mask], self.won[mask], self.sign[mask],
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class States:
    """The state of deals at each instant something about their stage became known."""

    deal: Ints
    known: Ints
    stage: Ints
    entered: Ints
    kind: Ints


class History:
    """Facts indexed for questions about deals at instants; built once, asked many times."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        deals = facts.opportunities.sort_values("id", kind="stable").reset_index(drop=True)
        self.deals = deals
        self.deal_index = pd.Index(deals["id"])
        self.created: Ints = deals["created_at"].to_numpy(np.int64)
        self.known: Ints = np.maximum(self.created, deals["recorded_at"].to_numpy(np.int64))
        self.account_index = pd.Index(facts.accounts["id"])
        self.account: Ints = positions(self.account_index, deals["account_id"])
        self.user_index = pd.Index(facts.users["id"])
        self._made: dict[Hashable, object] = {}

    def visible_from(self, deal: Ints, recorded: Ints) -> Ints:
        """Return when each fact about a deal could be seen: not before the deal was known."""
        if not len(self):
            return recorded
        return np.where(deal >= 0, np.maximum(recorded, self.known[deal]), recorded)

    def once(self, name: Hashable, make: Callable[[], T]) -> T:
        """Return what ``make`` gives, made the first time the name is asked for.

        For what depends on the facts alone, so that asking for one deal more costs little.
        """
        if name not in self._made:
            self._made[name] = make()
        return cast("T", self._made[name])

    def __len__(self) -> int:
        return len(self.deals)

    @cached_property
    def account_states(self) -> AccountStates:
        """What the accounts were known to be, over time."""
        return build(self.facts)

    @cached_property
    def stages(self) -> Stages:
        """The stages, numbered."""
        table = self.facts.stages.sort_values(["pipeline", "position", "stage"], kind="stable")
        kind = np.asarray(table["kind"].map(_KINDS), dtype=np.int64)
        rank = np.full(len(table), np.nan)
        progress = np.full(len(table), np.nan)
        pipelines = table["pipeline"].to_numpy(object)
        for pipeline in dict.fromkeys(pipelines):
            rows = np.flatnonzero((pipelines == pipeline) & (kind <= ON_HOLD))
            rank[rows] = np.arange(len(rows))
            progress[rows] = np.arange(len(rows)) / max(1, len(rows) - 1)
        index = pd.Index(table["pipeline"].str.cat(table["stage"], sep="\x1f"))
        return Stages(index, kind, rank, progress)

    @cached_property
    def _events_by_field(self) -> dict[str, pd.DataFrame]:
        events = self.facts.events
        deal = positions(self.deal_index, events["opportunity_id"])
        table = pd.DataFrame(
            {
                "deal": deal,
                "occurred": events["occurred_at"].to_numpy(np.int64),
                "recorded": events["recorded_at"].to_numpy(np.int64),
                "sequence": events["sequence"].to_numpy(np.int64),
                "value": events["new_value"].to_numpy(object),
            }
        )
        fields = events["field"].to_numpy(object)[deal >= 0]
        table = table[deal >= 0]
        return {str(field): table[fields == field] for field in pd.unique(fields)}

    def events(self, field: str) -> tuple[Timeline, pd.Series]:
        """Return the timeline of a field's changes and their new values, in its order."""
        return self.once(("events", field), lambda: self._events(field))

    def _events(self, field: str) -> tuple[Timeline, pd.Series]:
        empty = pd.DataFrame(
            {name: np.array([], np.int64) for name in ("deal", "occurred", "recorded", "sequence")}
        ).assign(value=np.array([], object))
        table = self._events_by_field.get(field, empty)
        deal, occurred = table["deal"].to_numpy(np.int64), table["occurred"].to_numpy(np.int64)
        recorded = table["recorded"].to_numpy(np.int64)
        # custom events each carry other fields, so a later one does not replace an earlier one
        until = None if field == "custom" else superseded((deal, occurred), recorded)
        line = Timeline(
            deal, occurred, self.visible_from(deal, recorded),
            owners=len(self), tie=table["sequence"].to_numpy(np.int64), until=until,
        )  # fmt: skip
        return line, table["value"].iloc[line.order].reset_index(drop=True)

    @cached_property
    def stage_line(self) -> tuple[Timeline, Ints]:
        """The timeline of stage changes and the number of the new stage (-1: not declared)."""
        line, value = self.events("stage")
        pipeline = self.deals["pipeline"].iloc[line.owner].reset_index(drop=True)
        return line, positions(self.stages.index, pipeline.str.cat(value, sep="\x1f"))

    @cached_property
    def owner_line(self) -> tuple[Timeline, Ints]:
        """The timeline of owners and the number of the new owner (-1: nobody)."""
        line, value = self.events("owner_id")
        return line, positions(self.user_index, value)

    @cached_property
    def change_line(self) -> Timeline:
        """The timeline of every change after a deal's creation, whatever the field."""
        tables = [table for table in self._events_by_field.values() if len(table)]
        deal = np.concatenate([t["deal"].to_numpy(np.int64) for t in tables] or [self.known[:0]])
        occurred = np.concatenate(
            [t["occurred"].to_numpy(np.int64) for t in tables] or [self.known[:0]]
        )
        recorded = np.concatenate(
            [t["recorded"].to_numpy(np.int64) for t in tables] or [self.known[:0]]
        )
        later = occurred > self.created[deal]
        recorded = self.visible_from(deal, recorded)
        return Timeline(deal[later], occurred[later], recorded[later], owners=len(self))

    def stage_at(self, pairs: Pairs) -> tuple[Ints, Ints]:
        """Return the number of the stage (-1: unknown) and when it was entered (or MISSING)."""
        line, stage = self.stage_line
        last = line.seen(pairs.deal, pairs.at).last()
        if not len(line):
            return last, np.full(len(pairs), MISSING, np.int64)
        return np.where(last >= 0, stage[last], -1), np.where(
            last >= 0, line.occurred[last], MISSING
        )

    def kind_of(self, stage: Ints) -> Ints:
        """Return the kind of each stage number; an undeclared stage counts as open."""
        if not len(self.stages.kind):
            return np.zeros(len(stage), np.int64)
        return np.where(stage >= 0, self.stages.kind[stage], OPEN)

    def owner_at(self, pairs: Pairs) -> Ints:
        """Return the number of the owner, -1 when nobody or not known."""
        line, owner = self.owner_line
        last = line.seen(pairs.deal, pairs.at).last()
        return np.where(last >= 0, owner[last], -1) if len(line) else last

    def is_open_at(self, pairs: Pairs) -> Bools:
        """Return whether each deal was known and, as then known, neither won nor lost."""
        stage, _ = self.stage_at(pairs)
        open_: Bools = (self.known[pairs.deal] <= pairs.at) & (self.kind_of(stage) <= ON_HOLD)
        return open_

    @cached_property
    def states(self) -> States:
        """What was known of each deal's stage at every instant news of it came in."""
        line, _ = self.stage_line
        news = pd.DataFrame({"deal": line.owner, "known": line.known}).drop_duplicates()
        news = news.sort_values(["deal", "known"])
        pairs = Pairs(news["deal"].to_numpy(np.int64), news["known"].to_numpy(np.int64))
        stage, entered = self.stage_at(pairs)
        return States(pairs.deal, pairs.at, stage, entered, self.kind_of(stage))

    @cached_property
    def born_closed(self) -> Bools:
        """Which deals were closed when they became known: they were never open to score."""
        pairs = Pairs(np.arange(len(self), dtype=np.int64), self.known)
        stage, _ = self.stage_at(pairs)
        return self.kind_of(stage) > ON_HOLD

    @cached_property
    def endings(self) -> Endings:
        """When each deal was learnt to have ended or to live again; born-closed ones left out."""
        states = self.states
        result = np.where(states.kind > ON_HOLD, states.kind, OPEN)
        first = np.ones(len(result), bool)
        first[1:] = states.deal[1:] != states.deal[:-1]
        before = np.concatenate(([OPEN], result[:-1])) if len(result) else result
        before = np.where(first, OPEN, before)
        begun = np.concatenate(([0], states.known[:-1])) if len(result) else states.known
        changed = (result != before) & ~self.born_closed[states.deal]
        undone = changed & (before != OPEN)
        ended = changed & (result != OPEN)
        # a reversal weighs what the ending it takes back weighed
        ending_known = _latest(states, ended)
        return Endings(
            deal=np.concatenate([states.deal[ended], states.deal[undone]]),
            known=np.concatenate([states.known[ended], states.known[undone]]),
            counted=np.concatenate([states.known[ended], ending_known[undone]]),
            occurred=np.concatenate([states.entered[ended], begun[undone]]),
            won=np.concatenate([result[ended] == WON, before[undone] == WON]),
            sign=np.concatenate([np.ones(ended.sum()), -np.ones(undone.sum())]),
        )

    @cached_property
    def births(self) -> tuple[Ints, Ints]:
        """The deals that were ever open, and when each became known."""
        deal = np.flatnonzero(~self.born_closed)
        return deal, self.known[deal]

    @cached_property
    def dwell(self) -> tuple[Ints, Ints, Floats]:
        """Times spent in a stage: the stage, when its end was learnt, days spent."""
        states = self.states
        same = states.deal[1:] == states.deal[:-1]
        moved = same & (states.stage[1:] != states.stage[:-1]) & (states.stage[:-1] >= 0)
        days = (states.entered[1:] - states.entered[:-1]) / (86_400 * SECOND)
        moved &= days >= 0
        return states.stage[:-1][moved], states.known[1:][moved], days[moved]

    @cached_property
    def load_ladder(self) -> Ladder:
        """The number of open deals by owner over time."""
        stage, owner = self.stage_line[0], self.owner_line[0]
        deal, known = self.births
        news = pd.DataFrame(
            {
                "deal": np.concatenate([stage.owner, owner.owner, deal]),
                "known": np.concatenate([stage.known, owner.known, known]),
            }
        ).drop_duplicates()
        news = news.sort_values(["deal", "known"])
        pairs = Pairs(news["deal"].to_numpy(np.int64), news["known"].to_numpy(np.int64))
        held = np.where(self.is_open_at(pairs), self.owner_at(pairs), -1)
        before = np.concatenate(([-1], held[:-1])) if len(held) else held
        before[np.searchsorted(pairs.deal, np.unique(pairs.deal))] = -1
        gained, lost = held != before, (held != before) & (before >= 0)
        return Ladder(
            np.concatenate([held[gained], before[lost]]),
            np.concatenate([pairs.at[gained], pairs.at[lost]]),
            np.concatenate([np.ones(gained.sum()), -np.ones(lost.sum())]),
        )

    @cached_property
    def activity_line(self) -> Timeline:
        """The timeline of the deals' activities, each until a correction replaced it."""
        table = self.facts.activities
        recorded = table["recorded_at"].to_numpy(np.int64)
        number = pd.factorize(table["id"])[0].astype(np.int64)
        corrected = len(number) and number.max() + 1 < len(number)
        deal = positions(self.deal_index, table["opportunity_id"])
        return Timeline(
            deal, table["occurred_at"].to_numpy(np.int64), self.visible_from(deal, recorded),
            owners=len(self), until=superseded((number,), recorded) if corrected else None,
            tie=pd.util.hash_array(table["id"].to_numpy(object)).astype(np.int64),
        )  # fmt: skip


def _latest(states: States, mask: Bools) -> Ints:
    """Return for each state the instant of the latest earlier state of the mask."""
    marked = np.where(mask, np.arange(len(mask)), 0)
    shifted = np.concatenate(([0], marked[:-1])) if len(mask) else marked
    return states.known[np.maximum.accumulate(shifted)] if len(mask) else states.known
