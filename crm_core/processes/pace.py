"""Telling people and their managers, once a week, that bookings run behind the quota."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from sqlalchemy.orm import Session

from crm_core.kpis import queries as kpis
from crm_core.people.queries import Person, Visibility, calendar, staff
from crm_core.processes import alerts

METRICS = ("pacing", "attainment")
TOLD_BELOW = Decimal("0.8")
"""Who has less than this share of what was to be expected by now is told; the alert names it."""
FROM_ELAPSED = Decimal("0.25")
"""Before this share of the quarter's days is over, one deal more or less would decide."""
NAMED = 5


def watch(session: Session, *, now: dt.datetime) -> int:
    """Tell who is off pace for the fiscal quarter, and their managers; once a company week.

    An alert whose cause is gone is resolved. Return how many people were told.
    """
    own = calendar(session)
    day = own.day_of(now)
    period = own.quarter_of(day)
    people = {person.id: person for person in staff(session, as_of=now)}
    late: dict[str, Decimal] = {}
    if (day - period.start).days >= FROM_ELAPSED * period.days:
        found = kpis.by_subject(
            session, METRICS, grouping="user", scope=Visibility(everyone=True), period=period,
            as_of=now,
        )  # fmt: skip
        for user_id, values in found.items():
            pace = values["pacing"].value
            if user_id in people and pace is not None and pace < TOLD_BELOW:
                late[user_id] = pace
    week = "{}-W{:02}".format(*day.isocalendar()[:2])
    return _tell(session, late, people, period=period.name, week=week, now=now)


def _tell(
    session: Session,
    late: dict[str, Decimal],
    people: dict[str, Person],
    *,
    period: str,
    week: str,
    now: dt.datetime,
) -> int:
    teams: dict[str, list[dict[str, str]]] = {}
    wanted: dict[str, tuple[str, dict[str, object]]] = {}
    for user_id, pace in sorted(late.items(), key=lambda pair: (pair[1], pair[0])):
        shown = str(pace.quantize(Decimal("0.001")))
        words = {"period": period, "pace": shown, "below": str(TOLD_BELOW)}
        wanted[f"off_pace:{user_id}:{week}"] = (user_id, dict(words))
        manager = people[user_id].manager_id
        if manager in people:
            line = {"id": user_id, "name": people[user_id].name, "pace": shown}
            teams.setdefault(manager, []).append(line)
    for manager, lines in teams.items():
        words = {"period": period, "below": str(TOLD_BELOW)}
        team = {**words, "count": len(lines), "people": lines[:NAMED]}
        wanted[f"off_pace:team of {manager}:{week}"] = (manager, team)
    alerts.keep_only(session, kind="off_pace", dedupe_keys=wanted.keys(), now=now)
    told = alerts.known_keys(session, wanted.keys())
    for key, (user_id, said) in wanted.items():
        if key not in told:
            alerts.raise_alert(
                session, user_id=user_id, kind="off_pace", severity="warning", dedupe_key=key,
                words=said, now=now,
            )  # fmt: skip
    return len({wanted[key][0] for key in wanted.keys() - told})
