"""Every write about leaderboards: opening one, and freezing its result for good."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Literal

from sqlalchemy.orm import Session

from crm_core.audit import operations as audit
from crm_core.contests import queries
from crm_core.contests.arithmetic import Names, NotRanked, Ties
from crm_core.contests.models import Leaderboard, LeaderboardResult
from crm_core.errors import Conflict, Invalid
from crm_core.people.models import ROLES, OrgUnit


class NotALeaderboard(Invalid):
    """The rule of a leaderboard is not as it must be."""


class NotOver(Conflict):
    """A leaderboard is frozen once, after its last day."""


def open_leaderboard(
    session: Session,
    *,
    title: str,
    metric: str,
    grouping: Literal["user", "org_unit"],
    starts_on: dt.date,
    ends_on: dt.date,
    roles: Sequence[str] = (),
    org_unit_id: str | None = None,
    least_days: int = 0,
    ties: Ties = "shared",
    names: Names = "own",
    by: str | None,
    now: dt.datetime,
) -> int:
    """Open a leaderboard over days ``[starts_on, ends_on)``; its rule never changes.

    Ranked in the metric's own direction, read from its definition. Raises UnknownMetric,
    NotRanked and NotALeaderboard.
    """
    item = queries.metric_named(session, metric, as_of=now)
    if item.direction == "neither":
        raise NotRanked(f"Neither direction of {metric} is better; it cannot be ranked.")
    if ends_on <= starts_on or least_days < 0 or not title.strip():
        raise NotALeaderboard("A leaderboard has a title and ends after the day it starts.")
    if unknown := set(roles) - set(ROLES):
        raise NotALeaderboard(f"There is no role {', '.join(sorted(unknown))}.")
    if org_unit_id is not None and session.get(OrgUnit, org_unit_id) is None:
        raise NotALeaderboard("There is no such org unit.")
    row = Leaderboard(
        title=title.strip(), metric=metric, metric_version=item.version, grouping=grouping,
        starts_on=starts_on, ends_on=ends_on, roles=list(roles), org_unit_id=org_unit_id,
        least_days=least_days, ties=ties, names=names, created_at=now, created_by=by,
    )  # fmt: skip
    session.add(row)
    session.flush()
    audit.record_here(
        session, action="create", table="leaderboards", record_id=str(row.id),
        changes={"metric": (None, metric), "starts_on": (None, starts_on),
                 "ends_on": (None, ends_on)},
    )  # fmt: skip
    return row.id


def freeze(session: Session, leaderboard_id: int, *, today: dt.date, now: dt.datetime) -> int:
    """Write the result down for good, every participant finished; return how many there are.

    What is corrected in the facts afterwards changes it no more. Raises NoSuchLeaderboard and
    NotOver.
    """
    row = session.get(Leaderboard, leaderboard_id, with_for_update=True)
    asked = queries.rule(session, leaderboard_id)
    if row is None or asked.frozen_at is not None or today < asked.ends_on:
        raise NotOver("A leaderboard is frozen once, after its last day.")
    found = queries.places(session, asked, as_of=now)
    session.add_all(
        LeaderboardResult(
            leaderboard_id=asked.id, subject_id=place.subject_id, rank=place.rank,
            value=place.value,
        )
        for place in found
    )  # fmt: skip
    row.frozen_at = now
    session.flush()
    audit.record_here(
        session, action="freeze", table="leaderboards", record_id=str(asked.id),
        changes={"frozen_at": (None, now), "participants": (None, len(found))},
    )  # fmt: skip
    return len(found)
