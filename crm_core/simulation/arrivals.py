"""Which deals come into being: when, for which account, of what size and source.

Arrivals depend on seats, season and diligence, not on the course of other deals; so they are
planned before the first week and keep their draws whatever is done to a deal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crm_core.simulation.accounts import Accounts
from crm_core.simulation.draws import (
    Draws,
    Floats,
    Integers,
    Stream,
    choose,
    normal,
    pick,
    poisson,
)
from crm_core.simulation.geography import PRODUCTS
from crm_core.simulation.people import Organisation
from crm_core.simulation.weeks import Weeks, within_week
from crm_core.simulation.world import World

ORDINARY, CREATED_CLOSED, DUPLICATE = range(3)
_DEEPEST_DISCOUNT = 1.3
"""List price over the lowest amount at which a product is still offered."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Columns by deal, in the order of creation. ``key`` names the deal in every draw.

    ``original`` is the deal that a duplicate doubles, else -1. ``noise`` is the part of the
    hidden quality that nothing on record explains.
    """

    key: Integers
    week: Integers
    position: Floats
    seat: Integers
    account: Integers
    kind: Integers
    original: Integers
    source: Integers
    product: Integers
    amount: Floats
    contacts: Integers
    noise: Floats

    @property
    def count(self) -> int:
        """Number of deals."""
        return len(self.key)


def season(weeks: Weeks) -> Floats:
    """Return the factor on arrivals by week: a yearly wave and busier quarter starts."""
    t = np.arange(weeks.count)
    wave: Floats = 1 + 0.15 * np.sin(2 * np.pi * t / 52) + 0.10 * (weeks.week_of_quarter < 3)
    return wave


def arrivals(
    world: World, org: Organisation, firms: Accounts, weeks: Weeks, draws: Draws
) -> Arrivals:
    """Return every deal that comes into being."""
    seats = len(org.seat_region)
    grid_seat, grid_week = (
        a.ravel() for a in np.meshgrid(np.arange(seats), np.arange(weeks.count), indexing="ij")
    )
    load = np.where(grid_seat == 0, world.demo_seat_load, 1.0) * world.deals_per_seat_week
    mean = load * season(weeks)[grid_week] * np.exp(0.12 * org.diligence[org.holder].ravel())
    count = poisson(draws.uniform(Stream.ARRIVAL, grid_seat, grid_week, 1)[0], mean, most=15)
    seat, week = np.repeat(grid_seat, count), np.repeat(grid_week, count)
    nth = np.arange(len(seat)) - np.repeat(np.cumsum(count) - count, count)
    key = (week * seats + seat) * 16 + nth
    return _in_order(
        _with_duplicates(_deals(world, firms, key, week, seat, draws), weeks), firms, weeks
    )


def _deals(
    world: World, firms: Accounts, key: Integers, week: Integers, seat: Integers, draws: Draws
) -> Arrivals:
    u = draws.uniform(Stream.BIRTH, key, 0, 14)
    account = seat * world.accounts_per_seat + pick(u[0], world.accounts_per_seat)
    if world.drift_week is not None:
        other = seat * world.accounts_per_seat + pick(u[12], world.accounts_per_seat)
        larger = (week >= world.drift_week) & (firms.segment[other] > firms.segment[account])
        account = np.where(larger, other, account)
    segment = firms.segment[account]
    closed = u[10] < world.created_closed
    # marks a deal that is doubled below
    doubled = u[11] < world.duplicated
    amount = np.exp(
        np.asarray(world.amount_log_mean)[segment] + world.amount_log_sd * normal(u[3], u[4])
    )
    return Arrivals(
        key=key,
        week=week,
        position=u[1],
        seat=seat,
        account=account,
        kind=np.where(closed, CREATED_CLOSED, ORDINARY),
        original=np.where(doubled & ~closed, 0, -1),
        source=choose(u[2], world.source_mix),
        product=_products(segment, amount, u[5]),
        amount=np.where(closed, amount * 0.4, amount),
        contacts=np.minimum(1 + poisson(u[6], 0.4, most=3), firms.contacts[account]),
        noise=world.quality_sd * normal(u[7], u[8]),
    )


def _products(segment: Integers, amount: Floats, drawn: Floats) -> Integers:
    """Return each deal's main product: one that the amount pays for, by taste of the segment."""
    price = np.asarray([product.list_price for product in PRODUCTS])
    taste = np.asarray([product.segment_weight for product in PRODUCTS]).T[segment]
    weight = np.where(price <= _DEEPEST_DISCOUNT * amount[:, None], taste, 0.0)
    # what is too small for any instrument is a part of the smallest one
    weight[weight.sum(axis=1) == 0, 0] = 1.0
    edges = np.cumsum(weight, axis=1)
    chosen: Integers = (drawn[:, None] * edges[:, -1:] > edges).sum(axis=1)
    return chosen


def _with_duplicates(deals: Arrivals, weeks: Weeks) -> Arrivals:
    """Return the deals and, for those marked, the same deal entered again some weeks later."""
    marked = np.flatnonzero(deals.original == 0)
    later = deals.week[marked] + 1 + deals.key[marked] % 3
    marked, later = marked[later < weeks.count], later[later < weeks.count]

    def doubled(name: str) -> NDArray[np.generic]:
        column: NDArray[np.generic] = getattr(deals, name)
        return np.concatenate([column, column[marked]])

    columns = {name: doubled(name) for name in Arrivals.__slots__}
    plain = np.full(deals.count, -1)
    columns["original"] = np.concatenate([plain, marked])
    columns["kind"] = np.concatenate([deals.kind, np.full(len(marked), DUPLICATE)])
    columns["week"] = np.concatenate([deals.week, later])
    columns["key"] = np.concatenate([deals.key, deals.key[marked] + 15 - deals.key[marked] % 16])
    return Arrivals(**columns)  # type: ignore[arg-type]  # the columns' types are kept by name


def _in_order(deals: Arrivals, firms: Accounts, weeks: Weeks) -> Arrivals:
    """Return the deals by week and time of creation; ``original`` follows."""
    offset = firms.utc_offset[deals.account]
    created = within_week(weeks.monday[deals.week], deals.position, offset)
    order = np.lexsort((deals.key, created, deals.week))
    place = np.empty(deals.count, dtype=np.int64)
    place[order] = np.arange(deals.count)
    columns = {name: getattr(deals, name)[order] for name in Arrivals.__slots__}
    original = columns["original"]
    columns["original"] = np.where(original >= 0, place[original], -1)
    return Arrivals(**columns)
