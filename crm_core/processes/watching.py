"""Watching open deals: which have slipped or stalled, told to each owner once a day."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm_core.money import Money
from crm_core.orders.conversion import Rates, rates
from crm_core.people.queries import company_day, company_or_none
from crm_core.processes import alerts

STALLED_DAYS = 30
SILENT_DAYS = 14
NAMED = 5

_SLIPPED = """
select o.id, coalesce(o.name, o.id) as name, o.owner_id, o.amount_minor, o.currency
from opportunities o join users u on u.id = o.owner_id and u.left_on is null
where o.outcome is null and o.expected_close_on < :day
"""
_STALLED = """
select o.id, coalesce(o.name, o.id) as name, o.owner_id, o.amount_minor, o.currency
from opportunities o join users u on u.id = o.owner_id and u.left_on is null
where o.outcome is null and o.created_at < :long_ago
  and not exists (select 1 from opportunity_events e where e.opportunity_id = o.id
                  and e.field = 'stage' and e.occurred_at >= :long_ago)
  and not exists (select 1 from activities a where a.opportunity_id = o.id
                  and a.occurred_at >= :lately)
"""


def watch(session: Session, *, now: dt.datetime) -> int:
    """Tell each owner which of their open deals have slipped or stalled; once a company day.

    A deal has slipped when its expected close date is past, and stalled when it neither changed
    its stage for 30 days nor saw an activity for 14. The largest are named, by their value in
    the company's currency. Return how many people were told.
    """
    own = company_or_none(session)
    if own is None:
        return 0
    day = company_day(session, now)
    worth = rates(session, to=own.currency, day=day, known_at=now)
    times = {
        "day": day,
        "long_ago": now - dt.timedelta(days=STALLED_DAYS),
        "lately": now - dt.timedelta(days=SILENT_DAYS),
    }
    told = 0
    for kind, sql in (("slipped", _SLIPPED), ("stalled", _STALLED)):
        rows = session.execute(text(sql), times).all()
        largest_first = sorted(rows, key=lambda row: (-_value(row, worth), row.id))
        told += _tell(session, kind, largest_first, day=day, now=now)
    return told


def _value(row: Any, worth: Rates) -> int:  # noqa: ANN401 - a row
    """Return a deal's minor units in the company's currency, -1 without an amount or a rate."""
    if row.amount_minor is None:
        return -1
    amount = worth.convert(Money(row.amount_minor, row.currency))
    return -1 if amount is None else amount.minor


def _tell(session: Session, kind: str, rows: Any, *, day: dt.date, now: dt.datetime) -> int:  # noqa: ANN401 - rows
    owned: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        owned.setdefault(row.owner_id, []).append({"id": row.id, "name": row.name})
    keys = {owner: f"{kind}:{owner}:{day.isoformat()}" for owner in owned}
    alerts.keep_only(session, kind=kind, dedupe_keys=keys.values(), now=now)
    told = alerts.known_keys(session, keys.values())
    for owner, deals in owned.items():
        if keys[owner] not in told:
            alerts.raise_alert(
                session, user_id=owner, kind=kind, severity="warning", now=now,
                dedupe_key=keys[owner],
                words={"count": len(deals), "deals": deals[:NAMED], "day": day.isoformat()},
            )  # fmt: skip
    return len(owned) - len(told)
