"""Handing deals over: one owner event each, from a day on; what was before stays as it was."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm_core.database import run
from crm_core.opportunities.projection import project


def later_owners(session: Session, ids: Collection[str], *, since: dt.datetime) -> set[str]:
    """Return the deals that got an owner, or closed, at or after an instant."""
    found = session.execute(
        text(
            "select e.opportunity_id from opportunity_events e where e.opportunity_id = any(:ids) "
            "and e.field = 'owner_id' and e.occurred_at >= :since union "
            "select o.id from opportunities o where o.id = any(:ids) and o.closed_at is not null"
        ),
        {"ids": list(ids), "since": since},
    )
    return set(found.scalars())


def hand_over(
    session: Session,
    ids: Collection[str],
    *,
    to_user: str,
    user_id: str | None,
    occurred_at: dt.datetime,
    recorded_at: dt.datetime,
) -> None:
    """Give deals to another owner from an instant on, and derive their current columns anew."""
    run(
        session,
        "insert into opportunity_events (opportunity_id, occurred_at, recorded_at, field, "
        "old_value, new_value, user_id) select o.id, :occurred, :recorded, 'owner_id', "
        "o.owner_id, :to_user, :who from opportunities o where o.id = any(:ids) "
        "order by o.id on conflict do nothing",
        occurred=occurred_at,
        recorded=recorded_at,
        to_user=to_user,
        who=user_id,
        ids=list(ids),
    )
    run(session, "drop table if exists pg_temp.handed_over")
    run(
        session,
        "create temporary table handed_over on commit drop as "
        "select unnest(cast(:ids as text[])) as id",
        ids=list(ids),
    )
    project(session, "handed_over")
    run(session, "drop table handed_over")
