"""The exchange tables of the company itself: units, people, placements, products, plan, rates."""

from __future__ import annotations

import datetime as dt

import numpy as np

from crm_core.simulation.bookkeeping import FORECASTS
from crm_core.simulation.draws import Stream, normal
from crm_core.simulation.emission import Cell, Sheet, instant, major
from crm_core.simulation.geography import (
    COMPANY_CURRENCY,
    CURRENCIES,
    PER_EURO,
    PRODUCTS,
    TIME_ZONES,
)
from crm_core.simulation.people import Member
from crm_core.simulation.plan import Quota
from crm_core.simulation.record import Run
from crm_core.simulation.weeks import DAY, TIME_ZONE, date_of, day_number

PIPELINE = "sales"
STAGES = ("Qualify", "Discover", "Evaluate", "Propose", "Negotiate", "Won", "Lost")
_KINDS = ("open",) * 5 + ("won", "lost")
_CATEGORIES = (*(FORECASTS[i] for i in (0, 0, 1, 2, 2)), "closed", "omitted")
COMPANY_NAME = "Halden Instruments (simulated)"


def company(_: Run) -> Sheet:
    """Return the company's row; the name says that it is simulated."""
    return {
        "name": [COMPANY_NAME],
        "currency": [COMPANY_CURRENCY],
        "time_zone": [TIME_ZONE],
        "locale": ["en"],
        "fiscal_year_start_month": [1],
    }


def org_units(run: Run) -> Sheet:
    """Return the units, parents first."""
    units = run.setting.org.units
    return {
        "id": [unit.id for unit in units],
        "name": [unit.name for unit in units],
        "kind": [unit.kind for unit in units],
        "parent_id": [unit.parent for unit in units],
        "valid_from": [_monday(run, unit.begins) for unit in units],
        "valid_to": [_monday(run, unit.ends) for unit in units],
    }


def _monday(run: Run, week: int | None) -> Cell:
    if week is None:
        return None
    return date_of(run.setting.weeks.start_day + 7 * week).isoformat()


def users(run: Run) -> Sheet:
    """Return everybody who works or worked here."""
    members = run.setting.org.members
    return {
        "id": [member.id for member in members],
        "name": [member.name for member in members],
        "email": [member.email for member in members],
        "role": [member.role for member in members],
        "org_unit_id": [member.unit for member in members],
        "manager_id": [
            None if member.manager is None else members[member.manager].id for member in members
        ],
        "hired_on": [member.hired_on.isoformat() for member in members],
        "left_on": [m.left_on.isoformat() if m.left_on else None for m in members],
        "time_zone": [TIME_ZONES[member.region] for member in members],
    }


def assignments(run: Run) -> Sheet:
    """Return who belonged to which unit from when to when."""
    rows = [
        (member, unit, begins, ends)
        for member in run.setting.org.members
        for unit, begins, ends in member.placements
    ]
    return {
        "user_id": [member.id for member, *_ in rows],
        "org_unit_id": [unit for _, unit, *_ in rows],
        "valid_from": [_placed_from(run, member, begins) for member, _, begins, _ in rows],
        "valid_to": [_monday(run, ends) for *_, ends in rows],
    }


def reporting_lines(run: Run) -> Sheet:
    """Return whom people reported to before whom they report to now."""
    members = run.setting.org.members
    rows = []
    for member in members:
        since: Cell = None
        for manager, week in member.former_managers:
            until = _monday(run, week)
            rows.append((member.id, members[manager].id, since, until))
            since = until
    names = ("user_id", "manager_id", "valid_from", "valid_to")
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}


def _placed_from(run: Run, member: Member, week: int) -> Cell:
    return member.hired_on.isoformat() if week == 0 else _monday(run, week)


def products(_: Run) -> Sheet:
    """Return the price list."""
    return {
        "id": [product.id for product in PRODUCTS],
        "name": [product.name for product in PRODUCTS],
        "family": [product.family for product in PRODUCTS],
        "list_price": [f"{product.list_price}.00" for product in PRODUCTS],
        "cost": [
            major(product.list_price * int(100 * product.cost_share), 2) for product in PRODUCTS
        ],
        "currency": [COMPANY_CURRENCY] * len(PRODUCTS),
    }


def stages(_: Run) -> Sheet:
    """Return the stages of the one pipeline."""
    return {
        "pipeline": [PIPELINE] * len(STAGES),
        "stage": list(STAGES),
        "position": list(range(1, len(STAGES) + 1)),
        "kind": list(_KINDS),
        "forecast_category": list(_CATEGORIES),
    }


def quotas(quotas: list[Quota], end: int) -> Sheet:
    """Return the quotas that are approved by the end."""
    plan = [quota for quota in quotas if quota.approved_day * DAY < end]
    return {
        "subject_kind": [quota.subject_kind for quota in plan],
        "subject_id": [quota.subject for quota in plan],
        "metric": ["bookings"] * len(plan),
        "period_start": [quota.period.start.isoformat() for quota in plan],
        "period_end": [quota.period.end.isoformat() for quota in plan],
        "amount": [f"{quota.amount}.00" for quota in plan],
        "currency": [COMPANY_CURRENCY] * len(plan),
        "approved_at": [instant(quota.approved_day * DAY + 9 * 3600) for quota in plan],
    }


def fx_rates(run: Run) -> Sheet:
    """Return monthly rates to the company's currency, each a slow walk."""
    foreign = [c for c in range(len(CURRENCIES)) if CURRENCIES[c] != COMPANY_CURRENCY]
    first = date_of(run.setting.weeks.start_day - 800).replace(day=1)
    months: list[dt.date] = []
    day = first
    while day_number(day) * DAY < run.setting.weeks.end:
        months.append(day)
        day = (day + dt.timedelta(days=32)).replace(day=1)
    drift = np.zeros(len(foreign))
    rows: list[tuple[str, str, str]] = []
    for number, month in enumerate(months):
        u = run.draws.company.uniform(Stream.RATE, np.asarray(foreign), number, 2)
        drift = 0.96 * drift + 0.012 * normal(u[0], u[1])
        for place, currency in enumerate(foreign):
            rate = np.exp(drift[place]) / PER_EURO[currency]
            rows.append((CURRENCIES[currency], month.isoformat(), f"{rate:.7f}"))
    return {
        "base": [base for base, _, _ in rows],
        "quote": [COMPANY_CURRENCY] * len(rows),
        "valid_from": [valid_from for _, valid_from, _ in rows],
        "rate": [rate for *_, rate in rows],
    }
