"""The sales plan: quarterly quotas of reps that sum exactly to teams, regions and the company."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from crm_core.periods import Period
from crm_core.simulation.arrivals import season
from crm_core.simulation.draws import Draws, Floats, Integers, Stream, normal
from crm_core.simulation.process import Setting
from crm_core.simulation.weeks import day_number

_STEP = 1_000
_FIRST_QUARTER = 2
"""The first two quarters fill the pipeline and have no quotas."""
_DAYS_BEFORE = 12
_CYCLE_WEEKS = 16


@dataclass(frozen=True, slots=True)
class Quota:
    """A quota for bookings in whole units of the company's currency."""

    subject_kind: str
    subject: str
    period: Period
    amount: int
    approved_day: int


def quotas(setting: Setting, draws: Draws) -> list[Quota]:
    """Return the quotas of every quarter that has begun, and of the next."""
    weeks = setting.weeks
    potential = _potential(setting)
    result = []
    for number, period in enumerate(weeks.quarters):
        if number < _FIRST_QUARTER:
            continue
        inside = _weeks_of(setting, period)
        if len(inside) == 0:
            continue
        result += _quarter(setting, period, number, inside, potential, draws)
    return result


def _potential(setting: Setting) -> Floats:
    """Return what each seat is expected to book per ordinary week, before the fact."""
    world, firms = setting.world, setting.firms
    mean = np.exp(np.asarray(world.amount_log_mean) + world.amount_log_sd**2 / 2)
    value = (mean * np.asarray(world.expected_win_rate))[firms.segment]
    by_seat = np.bincount(firms.seat, weights=value) / world.accounts_per_seat
    # plans follow the average more than the territory
    blended = 0.5 * by_seat + 0.5 * by_seat.mean()
    load = np.where(np.arange(len(by_seat)) == 0, world.demo_seat_load, 1.0)
    expected: Floats = blended * load * world.deals_per_seat_week
    return expected


def _weeks_of(setting: Setting, period: Period) -> Integers:
    """Return the simulated weeks whose Friday lies in the quarter."""
    friday = setting.weeks.monday // 86_400 + 4
    first, end = day_number(period.start), day_number(period.end)
    return np.flatnonzero((friday >= first) & (friday < end))


def _quarter(
    setting: Setting,
    period: Period,
    number: int,
    inside: Integers,
    potential: Floats,
    draws: Draws,
) -> list[Quota]:
    """Return a quarter's quotas: each rep's share of the weeks in a seat, summed up the tree."""
    org = setting.org
    # what is won now arrived a cycle ago
    arrived = np.maximum(inside - _CYCLE_WEEKS, 0)
    factor = float(season(setting.weeks)[arrived].mean()) * setting.world.quota_stretch * 13
    totals: dict[tuple[str, str], int] = {}
    parents = {unit.id: unit.parent for unit in org.units}
    for seat in range(len(org.holder)):
        holders = org.holder[seat, inside]
        for member in dict.fromkeys(holders.tolist()):
            if org.members[member].role != "rep":
                continue
            share = float((holders == member).mean())
            tenure = int(inside[0]) - int(org.first_week[member])
            ramp = 0.5 if tenure < 8 else 0.75 if tenure < 21 else 1.0
            u = draws.company.uniform(Stream.QUOTA, np.asarray([member]), number, 2)
            noise = 1 + 0.08 * float(normal(u[0], u[1])[0])
            euros = potential[seat] * factor * share * ramp * noise
            amount = max(1, int(euros / _STEP)) * _STEP
            subject = ("user", org.members[member].id)
            totals[subject] = totals.get(subject, 0) + amount
            unit: str | None = org.team_units[org.team[seat, inside[0]]]
            while unit is not None:
                totals[("org_unit", unit)] = totals.get(("org_unit", unit), 0) + amount
                unit = parents[unit]
    approved = day_number(period.start) - _DAYS_BEFORE
    return [
        Quota(kind, subject, period, amount, approved)
        for (kind, subject), amount in sorted(totals.items())
    ]


def united(parts: list[list[Quota]]) -> list[Quota]:
    """Return the quotas of all parts of a company, with those of the whole summed up."""
    totals: dict[tuple[str, str, str], Quota] = {}
    for quota in (quota for part in parts for quota in part):
        key = (quota.period.name, quota.subject_kind, quota.subject)
        before = totals.get(key)
        amount = quota.amount + (before.amount if before else 0)
        totals[key] = replace(quota, amount=amount)
    return [quota for _, quota in sorted(totals.items())]
