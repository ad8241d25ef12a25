"""The exchange tables of customers: accounts, contacts, service, use of the products."""

from __future__ import annotations

import datetime as dt

import numpy as np
from numpy.typing import NDArray

from crm_core.simulation.activities import contact_starts
from crm_core.simulation.draws import Integers, Stream, choose
from crm_core.simulation.emission import Cell, Sheet, days, instants, named, numbered
from crm_core.simulation.geography import COUNTRIES, CURRENCIES, PER_EURO
from crm_core.simulation.names import person
from crm_core.simulation.record import Run
from crm_core.simulation.weeks import DAY, WEEK, date_of, day_number, day_of, within_week
from crm_core.simulation.world import INDUSTRIES, SEGMENTS

SENIORITIES = ("c_level", "vp", "director", "manager", "staff")
_TITLES = {
    "c_level": ("Chief Executive", "Chief Technology Officer", "Chief Financial Officer"),
    "vp": ("VP Operations", "VP Quality", "VP Procurement"),
    "director": ("Director of Quality", "Laboratory Director", "Director of Engineering"),
    "manager": ("Laboratory Manager", "Purchasing Manager", "Plant Manager"),
    "staff": ("Laboratory Engineer", "Buyer", "Process Engineer"),
}
_SENIORITY_MIX = (0.08, 0.12, 0.22, 0.30, 0.28)
SEVERITIES = ("low", "medium", "high", "critical")


def created(run: Run) -> Integers:
    """Return the instant at which each account was entered: before anything else about it."""
    firms, weeks = run.setting.firms, run.setting.weeks
    u = run.draws.uniform(Stream.ACCOUNT, np.arange(firms.count), 2, 4)
    begins = weeks.start_day * DAY
    span = weeks.end - begins
    fresh = begins - 300 * DAY + (u[0] * (span + 250 * DAY)).astype(np.int64)
    known = begins - ((730 + 1100 * u[0]) * DAY).astype(np.int64)
    # an old customer has had contracts for up to two years
    at = np.where(firms.prior_wins > 0, known, fresh)
    first = np.full(firms.count, np.iinfo(np.int64).max)
    np.minimum.at(first, run.setting.deals.account, run.ends.created)
    at = np.minimum(at, first - ((1 + 20 * u[1]) * DAY).astype(np.int64))
    entered: Integers = at // DAY * DAY + ((8 + 9 * u[2]) * 3600).astype(np.int64)
    return entered


def accounts(run: Run) -> Sheet:
    """Return the accounts as they stand; some fields were never filled in."""
    firms, org = run.setting.firms, run.setting.org
    u = run.draws.uniform(Stream.ACCOUNT, np.arange(firms.count), 3, 4)
    owner = org.holder[firms.seat, -1]
    industry = np.where(u[0] < 0.08, -1, firms.industry)
    rate = np.asarray(PER_EURO)[firms.currency]
    revenue = np.rint(firms.revenue * rate / 10_000).astype(np.int64) * 10_000
    subsidiary = (u[2] < 0.03) & (np.arange(firms.count) % run.setting.world.accounts_per_seat > 0)
    parent = np.where(subsidiary, np.arange(firms.count) - 1, -1)
    return {
        "id": list(run.account_ids),
        "name": list(firms.name),
        "created_at": instants(created(run)),
        "owner_id": [org.members[o].id for o in owner],
        "parent_id": named(run.account_ids, parent),
        "industry": named(INDUSTRIES, industry),
        "region": [COUNTRIES[c].region for c in firms.country],
        "country": [COUNTRIES[c].code for c in firms.country],
        "tier": named(SEGMENTS, firms.segment),
        "employees": _or_nothing(firms.employees, u[1] < 0.12),
        "annual_revenue": _or_nothing(revenue, u[3] < 0.25),
        "currency": named(CURRENCIES, firms.currency),
    }


def _or_nothing(values: Integers, missing: NDArray[np.bool_]) -> list[Cell]:
    return [None if gone else int(v) for v, gone in zip(values, missing, strict=True)]


def contacts(run: Run) -> Sheet:
    """Return the people at the accounts."""
    firms = run.setting.firms
    account = np.repeat(np.arange(firms.count), firms.contacts)
    number = np.arange(len(account))
    u = run.draws.uniform(Stream.CONTACT, number, 0, 8)
    seniority = choose(u[0], _SENIORITY_MIX)
    ids = contact_ids(run)
    names, emails = [], []
    for i, a in enumerate(account.tolist()):
        style = COUNTRIES[firms.country[a]].style
        name, latin = person(style, u[1, i], u[2, i])
        names.append(name)
        emails.append(f"{latin}.{i + 1}@{run.account_ids[a].lower()}.example")
    titles = [_TITLES[SENIORITIES[s]][int(u[3, i] * 3)] for i, s in enumerate(seniority.tolist())]
    unsaid = u[4] < 0.15
    return {
        "id": list(ids),
        "account_id": named(run.account_ids, account),
        "name": list(names),
        "title": [None if gone else t for t, gone in zip(titles, unsaid, strict=True)],
        "seniority": named(SENIORITIES, np.where(unsaid, -1, seniority)),
        "email": list(emails),
        "created_at": instants(created(run)[account] + 60),
    }


def contact_ids(run: Run) -> list[str]:
    """Return the ids of all contacts."""
    starts = contact_starts(run.setting)
    return numbered(run.letter("K"), 5, int(starts[-1] + run.setting.firms.contacts[-1]))


def seniority_of(run: Run, contact: Integers) -> Integers:
    """Return the seniority of contacts, stated on record or not."""
    return choose(run.draws.uniform(Stream.CONTACT, contact, 0, 8)[0], _SENIORITY_MIX)


def tickets(run: Run) -> Sheet:
    """Return service requests; bad ones are severe, slow and rated low."""
    account, week = run.customers.tickets
    bad = run.customers.bad
    weeks = run.setting.weeks
    u = run.draws.uniform(Stream.TICKET, account, week, 8)
    monday = weeks.monday[0] + week * WEEK
    opened = within_week(monday, u[0], run.setting.firms.utc_offset[account])
    taken = np.where(bad, 4 + 20 * u[1], 0.2 + 4 * u[1]) * DAY
    closed = opened + taken.astype(np.int64)
    severity = np.where(bad, 2 + (u[2] < 0.4), (u[2] * 2.2).astype(np.int64))
    rating = np.where(bad, 1 + (u[3] * 2.4).astype(np.int64), 3 + (u[3] * 2.9).astype(np.int64))
    rated = (u[4] < 0.6) & (closed < weeks.end)
    rows = np.flatnonzero(opened < weeks.end)
    rows = rows[np.lexsort((account[rows], opened[rows]))]
    ends = instants(closed)
    return {
        "id": list(numbered(run.letter("T"), 5, len(rows))),
        "account_id": named(run.account_ids, account[rows]),
        "opened_at": instants(opened[rows]),
        "closed_at": [ends[i] if closed[i] < weeks.end else None for i in rows],
        "severity": named(SEVERITIES, severity[rows]),
        "satisfaction": [int(rating[i]) if rated[i] else None for i in rows],
    }


def usage(run: Run) -> Sheet:
    """Return monthly active users of subscribed customers; those who left use little."""
    weeks = run.setting.weeks
    last = int(day_of(np.asarray([weeks.end]))[0])
    rows: list[tuple[int, int, int]] = []
    terms: dict[int, list[tuple[int, int]]] = {}
    for contract in run.books.subscriptions:
        until = last if contract.ended is None else contract.ended
        terms.setdefault(contract.account, []).append((contract.started, until))
    firsts = _month_starts(weeks.start_day, last)
    for account, spans in sorted(terms.items()):
        size = 3 + int(run.setting.firms.employees[account] ** 0.5)
        here = np.full(len(firsts), account)
        wobble = run.draws.uniform(Stream.CUSTOMER, here, np.asarray(firsts), 1)[0]
        for i, day in enumerate(firsts):
            if any(begin <= day < end for begin, end in spans):
                week = min((day - weeks.start_day) // 7, weeks.count - 1)
                lively = 1.0 if run.customers.active[account, week] else 0.3
                rows.append((account, day, int(size * lively * (0.75 + 0.5 * wobble[i]))))
    return {
        "account_id": [run.account_ids[account] for account, *_ in rows],
        "day": days(np.asarray([day for _, day, _ in rows], dtype=np.int64)),
        "measure": ["active_users"] * len(rows),
        "value": [value for *_, value in rows],
    }


def _month_starts(first: int, end: int) -> list[int]:
    """Return the first days of the months of the last two years before ``end``."""
    begin = max(first, end - 730)
    found = []
    day = (date_of(begin) + dt.timedelta(days=31)).replace(day=1)
    while day_number(day) < end:
        found.append(day_number(day))
        day = (day + dt.timedelta(days=32)).replace(day=1)
    return found
