"""Watching open deals: which have slipped or stalled, told to each owner once a day."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm_core.people.queries import company_day
from crm_core.processes import alerts

STALLED_DAYS = 30
SILENT_DAYS = 14
NAMED = 5

_SLIPPED = """
select o.id, coalesce(o.name, o.id) as name, o.owner_id from opportunities o
join users u on u.id = o.owner_id and u.left_on is null
where o.outcome is null and o.expected_close_on < :day
order by o.owner_id, o.amount_minor desc nulls last, o.id
"""
_STALLED = """
select o.id, coalesce(o.name, o.id) as name, o.owner_id from opportunities o
join users u on u.id = o.owner_id and u.left_on is null
where o.outcome is null and o.created_at < :long_ago
  and not exists (select 1 from opportunity_events e where e.opportunity_id = o.id
                  and e.field = 'stage' and e.occurred_at >= :long_ago)
  and not exists (select 1 from activities a where a.opportunity_id = o.id
                  and a.occurred_at >= :lately)
order by o.owner_id, o.amount_minor desc nulls last, o.id
"""


def watch(session: Session, *, now: dt.datetime) -> int:
    """Tell each owner which of their open deals have slipped or stalled; once a company day.

    A deal has slipped when its expected close date is past, and stalled when it neither changed
    its stage for 30 days nor saw an activity for 14. Return how many people were told.
    """
    day = company_day(session, now)
    times = {
        "day": day,
        "long_ago": now - dt.timedelta(days=STALLED_DAYS),
        "lately": now - dt.timedelta(days=SILENT_DAYS),
    }
    return sum(
        _tell(session, kind, session.execute(text(sql), times).all(), day=day, now=now)
        for kind, sql in (("slipped", _SLIPPED), ("stalled", _STALLED))
    )


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
