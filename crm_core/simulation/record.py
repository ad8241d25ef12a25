"""All that one run of the world gave, before it is written down."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from crm_core.simulation.accounts import accounts
from crm_core.simulation.activities import Activities, activities
from crm_core.simulation.arrivals import arrivals
from crm_core.simulation.bookkeeping import Bookkeeper
from crm_core.simulation.closing import Closings, closings
from crm_core.simulation.commerce import Books, books
from crm_core.simulation.customers import Customers, customers
from crm_core.simulation.decisions import Policy, habit
from crm_core.simulation.draws import Draws, Integers
from crm_core.simulation.emission import numbered
from crm_core.simulation.observation import Events, events
from crm_core.simulation.people import Organisation, organisation
from crm_core.simulation.plan import Quota, quotas
from crm_core.simulation.process import DealWeeks, Setting, State, run, surroundings
from crm_core.simulation.weeks import Weeks
from crm_core.simulation.world import World


@dataclass(frozen=True, slots=True)
class Run:
    """One world's history, truth and record side by side. ``known`` deals are on record."""

    setting: Setting
    draws: Draws
    state: State
    happened: DealWeeks
    ends: Closings
    events: Events
    customers: Customers
    activities: Activities
    books: Books
    quotas: list[Quota]
    known: Integers
    deal_ids: list[str]
    account_ids: list[str]

    def letter(self, letter: str) -> str:
        """Return what ids of a kind begin with in this part."""
        return letter + self.setting.tag


def run_world(world: World, weeks: Weeks, draws: Draws, *, policy: Policy = habit) -> Iterator[Run]:
    """Run a world from its first week to its last, under the reps' own habit or a policy.

    Yields one run, or for a large company one after the other the runs of its parts.
    """
    org = organisation(world, weeks, draws)
    if not world.parted:
        yield _run_part(world, org, weeks, draws, policy)
        return
    seat = 0
    for number, region in enumerate(world.regions):
        part = replace(draws, part=number)
        ordinary = world if number == 0 else replace(world, demo_seat_load=1.0)
        yield _run_part(ordinary, org.part(slice(seat, seat + region.seats)), weeks, part, policy)
        seat += region.seats


def _run_part(world: World, org: Organisation, weeks: Weeks, draws: Draws, policy: Policy) -> Run:
    firms = accounts(world, org, draws)
    deals = arrivals(world, org, firms, weeks, draws)
    setting = surroundings(world, org, firms, deals, weeks, draws)
    bookkeeper = Bookkeeper(setting, draws)
    state, happened = run(setting, draws, policy=policy, watch=bookkeeper.watch)
    ends = closings(setting, state, draws)
    base = customers(setting, state, draws)
    return Run(
        setting=setting,
        draws=draws,
        state=state,
        happened=happened,
        ends=ends,
        events=events(setting, bookkeeper.entries(), happened, ends, draws),
        customers=base,
        activities=activities(setting, happened, ends, base.care, draws),
        books=books(setting, ends, base, draws),
        quotas=quotas(setting, draws),
        known=np.flatnonzero(ends.created < weeks.end),
        deal_ids=numbered(f"D{setting.tag}", 6, deals.count),
        account_ids=numbered(f"A{setting.tag}", 5, firms.count),
    )
