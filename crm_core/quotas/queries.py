"""Reads of quotas as they were known, and the targets that follow from them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import or_, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from crm_core.money import Money
from crm_core.orders.conversion import rates
from crm_core.people.models import User
from crm_core.people.queries import Visibility
from crm_core.periods import Period
from crm_core.quotas.arithmetic import Quota as Version
from crm_core.quotas.arithmetic import Target, target
from crm_core.quotas.models import Quota

SubjectKind = Literal["user", "org_unit"]


@dataclass(frozen=True, slots=True)
class SubjectTarget:
    """A subject's target; ``manager_id`` of a user."""

    subject_id: str
    manager_id: str | None
    target: Target


def targets(
    session: Session,
    *,
    subject_kind: SubjectKind,
    metric: str,
    scope: Visibility,
    period: Period,
    currency: str,
    as_of: dt.datetime,
) -> dict[str, SubjectTarget]:
    """Return, by subject, the target of a period as known, in one currency.

    The version recorded last by ``as_of`` counts, approved by then (or by a source that records
    no approval). A quota in another currency counts at the rate of its first day, the plan's
    rate; without a rate the subject has no target. A user's target is prorated by the days
    employed. ``scope`` limits users; an org unit's target is nobody's private number. Two queries,
    and one more for each first day of quotas in another currency.
    """
    versions = _versions(
        session, subject_kind=subject_kind, metric=metric, period=period, as_of=as_of
    )
    people = _people(session, scope) if subject_kind == "user" else None
    converted = _in_currency(session, versions, to=currency, as_of=as_of)
    result = {}
    for subject_id, quotas in converted.items():
        if people is not None and subject_id not in people:
            continue
        person = people[subject_id] if people is not None else None
        found = target(
            quotas,
            period=period,
            active_from=person.hired_on if person else None,
            active_to=person.left_on if person else None,
        )
        if found is not None:
            manager_id = person.manager_id if person else None
            result[subject_id] = SubjectTarget(subject_id, manager_id, found)
    return result


@dataclass(frozen=True, slots=True)
class _Person:
    hired_on: dt.date | None
    left_on: dt.date | None
    manager_id: str | None


def _people(session: Session, scope: Visibility) -> dict[str, _Person]:
    rows = session.execute(
        select(User.id, User.hired_on, User.left_on, User.manager_id).where(
            scope.condition(User.id)
        )
    )
    return {row.id: _Person(row.hired_on, row.left_on, row.manager_id) for row in rows}


def _versions(
    session: Session,
    *,
    subject_kind: SubjectKind,
    metric: str,
    period: Period,
    as_of: dt.datetime,
) -> list[Quota]:
    statement = (
        select(Quota)
        .ext(distinct_on(Quota.subject_id, Quota.period_start, Quota.period_end))
        .where(
            Quota.subject_kind == subject_kind,
            Quota.metric == metric,
            Quota.period_start < period.end,
            Quota.period_end > period.start,
            Quota.recorded_at <= as_of,
            or_(Quota.approved_at.is_(None), Quota.approved_at <= as_of),
        )
        .order_by(Quota.subject_id, Quota.period_start, Quota.period_end, Quota.recorded_at.desc())
    )
    return list(session.scalars(statement))


def _in_currency(
    session: Session, quotas: list[Quota], *, to: str, as_of: dt.datetime
) -> Mapping[str, list[Version]]:
    """Return each subject's quotas in one currency, each at the rate of its first day."""
    foreign_days = {quota.period_start for quota in quotas if quota.currency != to}
    by_day = {day: rates(session, to=to, day=day, known_at=as_of) for day in sorted(foreign_days)}
    result: dict[str, list[Version]] = {}
    for quota in quotas:
        amount: Money | None = Money(quota.amount_minor, quota.currency)
        if quota.currency != to:
            amount = by_day[quota.period_start].convert(Money(quota.amount_minor, quota.currency))
        if amount is not None:
            version = Version(quota.period_start, quota.period_end, amount)
            result.setdefault(quota.subject_id, []).append(version)
    return result
