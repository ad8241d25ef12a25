"""Customers and prospects, and the people who work there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crm_core.simulation.draws import Draws, Floats, Integers, Stream, choose, normal, poisson
from crm_core.simulation.geography import COUNTRIES, CURRENCIES, UTC_OFFSET
from crm_core.simulation.names import distinct, firm
from crm_core.simulation.people import Organisation
from crm_core.simulation.world import INDUSTRIES, World

_EMPLOYEES = (90.0, 900.0, 12_000.0)
_REVENUE_PER_HEAD = 210_000


@dataclass(frozen=True, slots=True)
class Accounts:
    """Columns by account. ``affinity`` and ``retention`` are truth, the rest is on record.

    ``retention``: how a retention contact works: 0 not at all, 1 it persuades, 2 it wakes a
    sleeping dog.
    """

    seat: Integers
    segment: Integers
    industry: Integers
    country: Integers
    currency: Integers
    utc_offset: Integers
    name: list[str]
    employees: Integers
    revenue: Integers
    prior_wins: Integers
    prior_losses: Integers
    contacts: Integers
    affinity: Floats
    industry_effect: Floats
    retention: Integers
    order_rate: Floats
    pays_late: Floats

    @property
    def count(self) -> int:
        """Number of accounts."""
        return len(self.seat)


def accounts(world: World, org: Organisation, draws: Draws) -> Accounts:
    """Return the accounts of every seat."""
    per_seat = world.accounts_per_seat
    seat = np.repeat(np.arange(len(org.seat_region)), per_seat)
    number = np.arange(len(seat))
    u = draws.uniform(Stream.ACCOUNT, number, 0, 18)
    segment = choose(u[0], world.segment_mix)
    industry = (u[1] * len(INDUSTRIES)).astype(np.int64)
    affinity = world.affinity_sd * normal(u[2], u[3])
    country = _countries(org, seat, u[4])
    effects = draws.company.uniform(Stream.ACCOUNT, np.arange(len(INDUSTRIES)), 1, 2)
    spread = np.exp(0.6 * normal(u[5], u[6]))
    employees = (np.asarray(_EMPLOYEES)[segment] * spread).astype(np.int64) + 5
    return Accounts(
        seat=seat,
        segment=segment,
        industry=industry,
        country=country,
        currency=np.asarray([CURRENCIES.index(c.currency) for c in COUNTRIES])[country],
        utc_offset=np.asarray([UTC_OFFSET[c.region] for c in COUNTRIES])[country],
        name=_names(country, industry, u[7:9]),
        employees=employees,
        revenue=employees * _REVENUE_PER_HEAD // 100_000 * 100_000,
        prior_wins=poisson(u[9], np.exp(-0.2 + 0.6 * affinity)),
        prior_losses=poisson(u[10], 2.0),
        contacts=3 + segment + poisson(u[11], 1.2, most=6),
        affinity=affinity,
        industry_effect=(world.industry_sd * normal(effects[0], effects[1]))[industry],
        retention=choose(u[12], (0.65, 0.30, 0.05)),
        order_rate=np.asarray((0.020, 0.035, 0.06))[segment] * np.exp(0.5 * normal(u[13], u[14])),
        pays_late=u[15],
    )


def _countries(org: Organisation, seat: Integers, drawn: Floats) -> Integers:
    """Return each account's country, drawn among those of its region."""
    result = np.zeros(len(seat), dtype=np.int64)
    region_of_seat = np.asarray(org.seat_region)[seat]
    for region in dict.fromkeys(org.seat_region):
        candidates = [i for i, c in enumerate(COUNTRIES) if c.region == region]
        here: NDArray[np.bool_] = region_of_seat == region
        chosen = choose(drawn[here], tuple(COUNTRIES[i].weight for i in candidates))
        result[here] = np.asarray(candidates)[chosen]
    return result


def _names(country: Integers, industry: Integers, drawn: Floats) -> list[str]:
    places = [COUNTRIES[c] for c in country]
    return distinct(
        [
            firm(place.style, place.code, int(industry[i]), drawn[:, i])
            for i, place in enumerate(places)
        ]
    )
