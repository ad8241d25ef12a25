"""Campaigns and leads: where inbound deals came from, and the leads that became nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crm_core.simulation.draws import Integers, Stream, pick, poisson
from crm_core.simulation.emission import Cell, Sheet, instants, named, numbered
from crm_core.simulation.geography import COMPANY_CURRENCY, UTC_OFFSET
from crm_core.simulation.record import Run
from crm_core.simulation.weeks import DAY, WEEK, day_number, within_week

_CHANNELS = (
    ("Webinar", "webinar", 6_000),
    ("Trade fair", "event", 38_000),
    ("Search ads", "online_ads", 15_000),
)
_INBOUND = 0
_IN_CAMPAIGN = 0.7
_UNCONVERTED_PER_SEAT_WEEK = 0.5
STATUSES = ("new", "working", "qualified", "disqualified", "converted")


def campaigns(run: Run) -> Sheet:
    """Return three campaigns for each quarter that has begun."""
    last = run.setting.weeks.end // DAY
    quarters = [q for q in run.setting.weeks.quarters if day_number(q.start) < last]
    rows = [(quarter, channel) for quarter in quarters for channel in _CHANNELS]
    return {
        "id": list(campaign_ids(run)[: len(rows)]),
        "name": [f"{name} {quarter.name}" for quarter, (name, *_) in rows],
        "channel": [channel for _, (_, channel, _) in rows],
        "started_on": [quarter.start.isoformat() for quarter, _ in rows],
        "ended_on": [
            quarter.end.isoformat() if day_number(quarter.end) < last else None
            for quarter, _ in rows
        ],
        "cost": [f"{cost}.00" for _, (*_, cost) in rows],
        "currency": [COMPANY_CURRENCY] * len(rows),
    }


def campaign_ids(run: Run) -> list[str]:
    """Return the ids of all campaigns."""
    return numbered("M", 3, len(run.setting.weeks.quarters) * len(_CHANNELS))


def _campaign(run: Run, at: Integers, drawn: Integers) -> Integers:
    """Return the campaign of the drawn channel that runs at an instant; -1 before the first."""
    starts = np.asarray([day_number(q.start) * DAY for q in run.setting.weeks.quarters])
    quarter = np.searchsorted(starts, at, side="right") - 1
    return np.where(quarter < 0, -1, quarter * len(_CHANNELS) + drawn)


def _came(run: Run, deal: Integers) -> tuple[Integers, Integers]:
    """Return when the lead of each deal came, and when it was qualified."""
    u = run.draws.uniform(Stream.LEAD, run.setting.deals.key[deal], 0, 4)
    qualified = run.ends.created[deal] - 900
    return qualified - ((0.2 + 12 * u[0] ** 2) * DAY).astype(np.int64), qualified


def _campaign_code(run: Run, deal: Integers) -> Integers:
    deals = run.setting.deals
    u = run.draws.uniform(Stream.CAMPAIGN, deals.key[deal], 0, 2)
    from_one = (deals.source[deal] == _INBOUND) & (u[0] < _IN_CAMPAIGN)
    came, _ = _came(run, deal)
    return np.where(from_one, _campaign(run, came, pick(u[1], len(_CHANNELS))), -1)


def caused(run: Run, deal: Integers) -> NDArray[np.bool_]:
    """Return which deals exist only because of their campaign (truth); others it only claims."""
    code = _campaign_code(run, deal)
    share = np.asarray(run.setting.world.caused_by_channel)[code % len(_CHANNELS)]
    u = run.draws.uniform(Stream.CAMPAIGN, run.setting.deals.key[deal], 0, 3)
    because: NDArray[np.bool_] = (code >= 0) & (u[2] < share)
    return because


def campaign_of(run: Run, deal: Integers) -> list[Cell]:
    """Return the campaign from which each deal came; empty when from none."""
    return named(campaign_ids(run), _campaign_code(run, deal))


def leads(run: Run) -> Sheet:
    """Return the leads: those that became inbound deals, and those that did not."""
    weeks, deals, org = run.setting.weeks, run.setting.deals, run.setting.org
    deal = run.known[(deals.source[run.known] == _INBOUND) & (deals.original[run.known] < 0)]
    came, qualified = _came(run, deal)
    seat, week = _other_leads(run)
    v = run.draws.uniform(Stream.LEAD, np.arange(len(seat)), week + 1, 6)
    offset = np.asarray([UTC_OFFSET[region] for region in org.seat_region])[seat]
    other = within_week(weeks.monday[week], v[0], offset)
    age = weeks.end - other
    status = np.where(age > (2 + 6 * v[1]) * WEEK, 3, np.where(age > v[1] * WEEK, 1, 0))
    status = np.where((status == 1) & (v[2] < 0.25), 2, status)
    reached = np.where((status == 2), other + ((0.1 + v[3]) * DAY).astype(np.int64), weeks.end)
    status = np.where((status == 2) & (reached >= weeks.end), 1, status)
    from_one = np.where(v[4] < _IN_CAMPAIGN, _campaign(run, other, pick(v[5], len(_CHANNELS))), -1)
    fresh = other < weeks.end
    created = np.concatenate([came, other[fresh]])
    order = np.argsort(created, kind="stable")
    holder = np.concatenate(
        [org.holder[deals.seat[deal], deals.week[deal]], org.holder[seat, week][fresh]]
    )
    nothing = np.full(int(fresh.sum()), -1)
    stated = [*instants(qualified), *instants(reached[fresh])]
    is_qualified = np.concatenate([np.ones(len(deal), dtype=np.bool_), (status == 2)[fresh]])
    return {
        "id": list(numbered(run.letter("L"), 6, len(order))),
        "created_at": instants(created[order]),
        "owner_id": named([m.id for m in org.members], holder[order]),
        "source": ["inbound"] * len(order),
        "campaign_id": named(
            campaign_ids(run), np.concatenate([_campaign_code(run, deal), from_one[fresh]])[order]
        ),
        "status": named(STATUSES, np.concatenate([np.full(len(deal), 4), status[fresh]])[order]),
        "qualified_at": [stated[i] if is_qualified[i] else None for i in order],
        "converted_opportunity_id": named(run.deal_ids, np.concatenate([deal, nothing])[order]),
    }


def _other_leads(run: Run) -> tuple[Integers, Integers]:
    """Return seat and week of the leads that became no deal."""
    seats, count = len(run.setting.org.seat_region), run.setting.weeks.count
    grid_seat = np.repeat(np.arange(seats), count)
    grid_week = np.tile(np.arange(count), seats)
    u = run.draws.uniform(Stream.LEAD, grid_seat, grid_week + 16384, 1)[0]
    number = poisson(u, _UNCONVERTED_PER_SEAT_WEEK)
    return np.repeat(grid_seat, number), np.repeat(grid_week, number)
