"""The one door: generate a simulated company as a folder of exchange tables."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from crm_core import exchange
from crm_core.errors import Conflict, Invalid
from crm_core.simulation import (
    company_tables,
    customer_tables,
    deal_tables,
    leads,
    ledger_tables,
)
from crm_core.simulation.decisions import Policy, habit
from crm_core.simulation.draws import FUTURES, Draws
from crm_core.simulation.emission import CsvTables, ParquetTables, Sheet
from crm_core.simulation.people import DEMO_LOGINS
from crm_core.simulation.plan import united
from crm_core.simulation.record import Run, run_world
from crm_core.simulation.truth import HABIT, Seal
from crm_core.simulation.weeks import date_of, weeks_until
from crm_core.simulation.world import Size, World, world_of

_EARLIEST, _LATEST = dt.date(1990, 1, 1), dt.date(2200, 1, 1)


class FolderNotEmpty(Conflict):
    """The folder to be written to has something in it; choose another or empty it."""


class ImpossibleDay(Invalid):
    """The simulation cannot end on that day."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What was generated: rows by table, and the demo users' e-mail by role."""

    company: str
    seed: int
    size: Size
    first_day: dt.date
    until: dt.date
    rows: dict[str, int]
    logins: dict[str, str]


Format = Literal["csv", "parquet"]
_ONCE: dict[str, Callable[[Run], Sheet]] = {
    "company": company_tables.company,
    "org_units": company_tables.org_units,
    "users": company_tables.users,
    "assignments": company_tables.assignments,
    "reporting_lines": company_tables.reporting_lines,
    "campaigns": leads.campaigns,
    "products": company_tables.products,
    "stages": company_tables.stages,
    "fx_rates": company_tables.fx_rates,
}
_BY_PART: dict[str, Callable[[Run], Sheet]] = {
    "accounts": customer_tables.accounts,
    "contacts": customer_tables.contacts,
    "leads": leads.leads,
    "opportunities": deal_tables.opportunities,
    "opportunity_events": deal_tables.opportunity_events,
    "opportunity_contacts": deal_tables.opportunity_contacts,
    "activities": deal_tables.activities,
    "orders": ledger_tables.orders,
    "invoices": ledger_tables.invoices,
    "payments": ledger_tables.payments,
    "subscriptions": ledger_tables.subscriptions,
    "usage": customer_tables.usage,
    "tickets": customer_tables.tickets,
    "credits": ledger_tables.credits,
}


def generate(
    folder: Path,
    *,
    seed: int,
    size: Size,
    until: dt.date,
    truth: Path,
    world: World | None = None,
    policy: Policy = habit,
    described: Mapping[str, object] = HABIT,
    file_format: Format | None = None,
    futures: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Summary:
    """Write a simulated company's exchange tables to ``folder`` and its truth to ``truth``.

    The company knows nothing that is recorded on ``until`` or later (its midnight); deals that
    are open then stay open. The same arguments give the same bytes. ``world``: instead of the
    base world of the size; ``policy``: who decides what is done, ``described`` in the truth;
    ``file_format``: CSV, and Parquet for a large company, unless said; ``futures``: how many are
    told of the deals open at the end, for their true chances. ``folder`` must be absent or
    empty; files of an earlier truth are replaced. Raises FolderNotEmpty, ImpossibleDay,
    UnknownSize.
    """
    world = world or world_of(size)
    _check(folder, seed, until, truth, futures)
    folder.mkdir(parents=True, exist_ok=True)
    weeks = weeks_until(until, years=world.years)
    wanted = file_format or ("parquet" if world.parted else "csv")
    tables = ParquetTables(folder) if wanted == "parquet" else CsvTables(folder)
    sealed = Seal(truth, world, seed, described, futures=futures)
    parts = len(world.regions) if world.parted else 1
    plans = []
    for number, run in enumerate(run_world(world, weeks, Draws(seed), policy=policy), 1):
        for name, sheet in (_ONCE | _BY_PART if number == 1 else _BY_PART).items():
            tables.add(name, sheet(run))
        plans.append(run.quotas)
        sealed.add(run)
        if progress is not None:
            progress(number, parts)
    tables.add("quotas", company_tables.quotas(united(plans), weeks.end))
    tables.close()
    sealed.close()
    return Summary(
        company=company_tables.COMPANY_NAME,
        seed=seed,
        size=size,
        first_day=date_of(weeks.start_day),
        until=until,
        rows={table.name: tables.rows[table.name] for table in exchange.TABLES},
        logins=dict(DEMO_LOGINS),
    )


def _check(folder: Path, seed: int, until: dt.date, truth: Path, futures: int) -> None:
    """Raise if the company cannot be written there, or not until then."""
    if not _EARLIEST <= until < _LATEST:
        raise ImpossibleDay(f"--until {until} is not between {_EARLIEST} and {_LATEST}.")
    if seed < 0 or seed >= 1 << 64:
        raise Invalid(f"The seed {seed} is not a whole number from 0 up to 2^64 - 1.")
    if not 0 <= futures < FUTURES:
        raise Invalid(f"{futures} futures cannot be told; ask for 0 to {FUTURES - 1}.")
    for place in (folder, truth):
        if place.exists() and not place.is_dir():
            raise FolderNotEmpty(f"{place} is a file; name a folder.")
    if folder.is_dir() and any(folder.iterdir()):
        raise FolderNotEmpty(f"{folder} is not empty; name a new folder or empty this one.")
    if truth.resolve().is_relative_to(folder.resolve()):
        raise Invalid(
            f"The truth {truth} lies inside {folder}, which is imported; name a folder outside it."
        )
