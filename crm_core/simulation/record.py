"""All that one run of the world gave, before it is written down."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crm_core.simulation.accounts import accounts
from crm_core.simulation.activities import Activities, activities
from crm_core.simulation.arrivals import arrivals
from crm_core.simulation.bookkeeping import Bookkeeper
from crm_core.simulation.closing import Closings, closings
from crm_core.simulation.commerce import Books, books
from crm_core.simulation.customers import Customers, customers
from crm_core.simulation.draws import Draws, Integers
from crm_core.simulation.emission import numbered
from crm_core.simulation.observation import Events, events
from crm_core.simulation.people import organisation
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


def run_world(world: World, weeks: Weeks, draws: Draws) -> Run:
    """Run a world from its first week to its last."""
    org = organisation(world, weeks, draws)
    firms = accounts(world, org, draws)
    deals = arrivals(world, org, firms, weeks, draws)
    setting = surroundings(world, org, firms, deals, weeks, draws)
    bookkeeper = Bookkeeper(setting, draws)
    state, happened = run(setting, draws, watch=bookkeeper.watch)
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
        deal_ids=numbered("D", 6, deals.count),
        account_ids=numbered("A", 5, firms.count),
    )
