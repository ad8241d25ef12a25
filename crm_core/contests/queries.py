"""Reads of leaderboards: the rule, and what it ranks now or ranked when it was frozen."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from crm_core.contests.arithmetic import Place, Ties, ranked
from crm_core.contests.models import Leaderboard, LeaderboardResult
from crm_core.errors import NotFound
from crm_core.kpis import queries as kpis
from crm_core.kpis.definitions import all_metrics
from crm_core.kpis.metric import Metric, UnknownMetric
from crm_core.people.models import OrgUnit, User
from crm_core.people.queries import Visibility
from crm_core.periods import Period
from crm_core.quotas.presence import segments
from crm_core.quotas.queries import people

EVERYBODY = Visibility(everyone=True)


class NoSuchLeaderboard(NotFound):
    """No leaderboard has this number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A leaderboard's rule, which everybody may read."""

    id: int
    title: str
    metric: str
    metric_version: int
    grouping: str
    starts_on: dt.date
    ends_on: dt.date
    roles: tuple[str, ...]
    org_unit_id: str | None
    least_days: int
    ties: Ties
    names: str
    frozen_at: dt.datetime | None

    @property
    def last_day(self) -> dt.date:
        """The last day that counts."""
        return self.ends_on - dt.timedelta(days=1)

    @property
    def window(self) -> Period:
        """The days that count."""
        return Period(self.starts_on, self.ends_on, f"{self.starts_on}..{self.ends_on}")


def rules(session: Session) -> list[Rule]:
    """Return every leaderboard's rule, the latest window first."""
    rows = session.scalars(
        select(Leaderboard).order_by(Leaderboard.starts_on.desc(), Leaderboard.id.desc())
    )
    return [_rule(row) for row in rows]


def rule(session: Session, leaderboard_id: int) -> Rule:
    """Return one leaderboard's rule. Raises NoSuchLeaderboard."""
    row = session.get(Leaderboard, leaderboard_id)
    if row is None:
        raise NoSuchLeaderboard("There is no such leaderboard.")
    return _rule(row)


def places(session: Session, asked: Rule, *, as_of: dt.datetime) -> tuple[Place, ...]:
    """Return everybody's place: the frozen one, or what the metric says as of now.

    Of the whole company; what leaves the caller is what the viewer is told. The session's scope
    must be lifted for it.
    """
    if asked.frozen_at is not None:
        return _frozen(session, asked)
    item = metric_named(session, asked.metric, as_of=as_of)
    found = kpis.by_subject(
        session, [asked.metric], period=asked.window, scope=EVERYBODY, as_of=as_of,
        grouping="user" if asked.grouping == "user" else "org_unit",
    )  # fmt: skip
    known = {subject: values[asked.metric].value for subject, values in found.items()}
    nothing = _of_nothing(item, known.values())
    values = {
        subject: known.get(subject, nothing) for subject in eligible(session, asked, as_of=as_of)
    }
    return ranked(values, direction=item.direction, ties=asked.ties)


def _of_nothing(item: Metric, known: Iterable[Decimal | None]) -> Decimal | None:
    """Return the value of a subject without a row: zero of a sum that others have, else none."""
    adds_up = item.aggregation in ("sum", "count")
    return Decimal(0) if adds_up and any(value is not None for value in known) else None


def metric_named(session: Session, name: str, *, as_of: dt.datetime) -> Metric:
    """Return a shipped or user-defined metric. Raises UnknownMetric."""
    for item in all_metrics(session, as_of=as_of):
        if item.id == name:
            return item
    raise UnknownMetric(f"There is no metric {name!r} to rank by.")


def eligible(session: Session, asked: Rule, *, as_of: dt.datetime) -> list[str]:
    """Return who takes part: by role and unit, and there for the least number of days."""
    units = _units(session, asked.org_unit_id)
    if asked.grouping == "org_unit":
        return sorted(
            unit.id
            for unit in session.scalars(select(OrgUnit))
            if unit.id != asked.org_unit_id and (units is None or unit.id in units)
        )
    roles = {row.id: row.role for row in session.execute(select(User.id, User.role))}
    chosen = []
    for user_id, person in people(session, EVERYBODY, as_of=as_of).items():
        there = [
            piece
            for piece in segments(person.presence, asked.window)
            if units is None or piece.org_unit_id in units
        ]
        days = sum(piece.days for piece in there)
        in_role = not asked.roles or roles[user_id] in asked.roles
        if in_role and days and days >= asked.least_days:
            chosen.append(user_id)
    return sorted(chosen)


def _units(session: Session, top: str | None) -> set[str] | None:
    """Return a unit with all below it, None where no unit is asked for."""
    if top is None:
        return None
    above = {
        row.id: row.parent_id for row in session.execute(select(OrgUnit.id, OrgUnit.parent_id))
    }
    found = {top}
    while more := {unit for unit, parent in above.items() if parent in found} - found:
        found |= more
    return found


def _frozen(session: Session, asked: Rule) -> tuple[Place, ...]:
    rows = session.scalars(
        select(LeaderboardResult)
        .where(LeaderboardResult.leaderboard_id == asked.id)
        .order_by(LeaderboardResult.rank.nulls_last(), LeaderboardResult.subject_id)
    ).all()
    counts: dict[Decimal | None, int] = {}
    for row in rows:
        counts[row.value] = counts.get(row.value, 0) + 1
    return tuple(
        Place(row.subject_id, row.rank, row.value, row.rank is not None and counts[row.value] > 1)
        for row in rows
    )


def names_of(session: Session, asked: Rule) -> dict[str, str]:
    """Return the names of people or of units by id."""
    table = User if asked.grouping == "user" else OrgUnit
    return {row.id: row.name for row in session.execute(select(table.id, table.name))}


def _rule(row: Leaderboard) -> Rule:
    return Rule(
        id=row.id, title=row.title, metric=row.metric, metric_version=row.metric_version,
        grouping=row.grouping, starts_on=row.starts_on, ends_on=row.ends_on,
        roles=tuple(row.roles), org_unit_id=row.org_unit_id, least_days=row.least_days,
        ties="dense" if row.ties == "dense" else "shared", names=row.names,
        frozen_at=row.frozen_at,
    )  # fmt: skip
