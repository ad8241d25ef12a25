"""Reads of quotas as they were known, of who was there, and the targets that follow from both."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Literal

from sqlalchemy import Select, and_, func, or_, select
from sqlalchemy.orm import Session

from crm_core.money import Money, from_major
from crm_core.orders.conversion import Rates, rates
from crm_core.people.models import Assignment, User
from crm_core.people.queries import Visibility
from crm_core.periods import Period
from crm_core.quotas.arithmetic import Change, Target, target
from crm_core.quotas.arithmetic import Quota as Version
from crm_core.quotas.models import Leave, Quota, QuotaPolicy
from crm_core.quotas.presence import Absence, Presence, Stay

SubjectKind = Literal["user", "org_unit"]
COUNTED = frozenset({"new_customers"})
"""Metrics whose quota is a number of things: its major units, in whatever currency they stand."""


@dataclass(frozen=True, slots=True)
class SubjectTarget:
    """A subject's target; ``manager_id`` of a user."""

    subject_id: str
    manager_id: str | None
    target: Target


@dataclass(frozen=True, slots=True)
class Targets:
    """The targets of a question; ``unpriced`` has the currency of each that no rate converts.

    Such a subject has a quota, only nobody can say what it is worth: leaving it out in silence
    would leave its sales out of the team's too.
    """

    by_subject: Mapping[str, SubjectTarget]
    unpriced: Mapping[str, str]
    managers: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Person:
    """Whom somebody reports to, and when, where and at which strength they were there."""

    manager_id: str | None
    presence: Presence


@dataclass(frozen=True, slots=True)
class LeaveView:
    """Days ``[starts_on, ends_on)`` on which a person carries no quota."""

    id: int
    user_id: str
    starts_on: dt.date
    ends_on: dt.date
    recorded_at: dt.datetime

    @property
    def last_day(self) -> dt.date:
        """The last day of it."""
        return self.ends_on - dt.timedelta(days=1)


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
    """Return, by subject, the target of a period as known; see :func:`all_targets`.

    A quota that no rate converts gives no target here.
    """
    found = all_targets(
        session, subject_kind=subject_kind, metric=metric, scope=scope, period=period,
        currency=currency, as_of=as_of,
    )  # fmt: skip
    return dict(found.by_subject)


def all_targets(
    session: Session,
    *,
    subject_kind: SubjectKind,
    metric: str,
    scope: Visibility,
    period: Period,
    currency: str,
    as_of: dt.datetime,
) -> Targets:
    """Return the targets of a period as known, in one currency, and those that cannot be told.

    The version recorded last by ``as_of`` counts from the day it is effective on, if it was
    approved by then (or comes from a source that records no approval). A quota in another
    currency counts at the rate of its first day, the plan's rate. A user's target is prorated by
    the days there, less leave, each at the strength of their ramp; its shares say in which unit.
    ``scope`` limits users, and units to those led. Two queries, and one more for each first day
    of quotas in another currency.
    """
    quotas = _versions(
        session, subject_kind=subject_kind, metric=metric, period=period, as_of=as_of
    )
    if subject_kind == "org_unit":
        quotas = [quota for quota in quotas if scope.leads(quota.subject_id)]
        present: Mapping[str, Person] = {}
    else:
        present = people(session, scope, as_of=as_of)
    convert = _Converter(session, metric, to=currency, as_of=as_of)
    told, unpriced, managers = {}, {}, {}
    for subject_id, versions in convert.plans(quotas).items():
        person = present.get(subject_id)
        if subject_kind == "user" and person is None:
            continue
        found = target(
            versions, period=period, active_from=None, active_to=None,
            presence=person.presence if person else None,
        )  # fmt: skip
        if found is None:
            continue
        managers[subject_id] = person.manager_id if person else None
        missing = convert.unpriced_part(subject_id, found)
        if missing is None:
            told[subject_id] = SubjectTarget(subject_id, managers[subject_id], found)
        else:
            unpriced[subject_id] = missing
    return Targets(told, unpriced, managers)


def people(session: Session, scope: Visibility, *, as_of: dt.datetime) -> dict[str, Person]:
    """Return everybody in scope with their time at the company as known, by one query."""
    found = {}
    for row in session.execute(_people(scope, as_of=as_of)):
        stays = tuple(Stay(unit, _day(start), _day_or_none(end)) for unit, start, end in row.stays)
        leaves = tuple(Absence(_day(start), _day(end)) for start, end in row.leaves)
        presence = Presence(
            hired_on=row.hired_on, left_on=row.left_on, leaves=leaves,
            stays=stays or _home(row.org_unit_id), ramp=_ramp(row.ramp, row.hired_on),
        )  # fmt: skip
        found[row.id] = Person(row.manager_id, presence)
    return found


def season(session: Session, *, as_of: dt.datetime) -> tuple[Decimal, ...]:
    """Return the share of a year's sales of each month from January on; empty without a policy."""
    content = session.scalar(_policy("season", as_of=as_of))
    return () if content is None else tuple(Decimal(str(each)) for each in content["weights"])


def policy(session: Session, kind: str, *, as_of: dt.datetime) -> QuotaPolicy | None:
    """Return the newest version of a policy as known."""
    found: QuotaPolicy | None = session.scalar(_newest(select(QuotaPolicy), kind, as_of=as_of))
    return found


def leaves(session: Session, scope: Visibility, *, as_of: dt.datetime) -> list[LeaveView]:
    """Return the leaves of the people in scope that were known and not taken back, latest first."""
    rows = session.scalars(
        select(Leave)
        .where(scope.condition(Leave.user_id), _is_known(as_of))
        .order_by(Leave.starts_on.desc(), Leave.id)
    )
    return [
        LeaveView(row.id, row.user_id, row.starts_on, row.ends_on, row.recorded_at) for row in rows
    ]


def _day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


def _day_or_none(text: str | None) -> dt.date | None:
    return None if text is None else dt.date.fromisoformat(text)


def _home(org_unit_id: str | None) -> tuple[Stay, ...]:
    return () if org_unit_id is None else (Stay(org_unit_id, dt.date.min),)


def _ramp(content: Mapping[str, Any] | None, hired_on: dt.date | None) -> tuple[Decimal, ...]:
    """Return the strengths of a person's first months; the policy may start with later hires."""
    if content is None or hired_on is None:
        return ()
    since = content.get("hired_from")
    if since is not None and hired_on < _day(since):
        return ()
    return tuple(Decimal(percent) / 100 for percent in content["percents"])


def _is_known(as_of: dt.datetime) -> Any:  # noqa: ANN401 - a condition
    return and_(
        Leave.recorded_at <= as_of, or_(Leave.cancelled_at.is_(None), Leave.cancelled_at > as_of)
    )


def _newest(statement: Select[Any], kind: str, *, as_of: dt.datetime) -> Select[Any]:
    return (
        statement.where(QuotaPolicy.kind == kind, QuotaPolicy.created_at <= as_of)
        .order_by(QuotaPolicy.created_at.desc(), QuotaPolicy.version.desc())
        .limit(1)
    )


def _policy(kind: str, *, as_of: dt.datetime) -> Select[Any]:
    return _newest(select(QuotaPolicy.content), kind, as_of=as_of)


def _people(scope: Visibility, *, as_of: dt.datetime) -> Select[Any]:
    """Return the select of people with their places and leaves as lists."""
    place = func.jsonb_build_array(
        Assignment.org_unit_id, Assignment.valid_from, Assignment.valid_to
    )
    empty = func.jsonb_build_array()
    stays = select(func.coalesce(func.jsonb_agg(place), empty)).where(Assignment.user_id == User.id)
    away = func.jsonb_build_array(Leave.starts_on, Leave.ends_on)
    off = select(func.coalesce(func.jsonb_agg(away), empty)).where(
        Leave.user_id == User.id, _is_known(as_of)
    )
    return select(
        User.id, User.hired_on, User.left_on, User.manager_id, User.org_unit_id,
        stays.correlate(User).scalar_subquery().label("stays"),
        off.correlate(User).scalar_subquery().label("leaves"),
        _policy("ramp", as_of=as_of).scalar_subquery().label("ramp"),
    ).where(scope.condition(User.id))  # fmt: skip


def _versions(
    session: Session,
    *,
    subject_kind: SubjectKind,
    metric: str,
    period: Period,
    as_of: dt.datetime,
) -> list[Quota]:
    """Return every version known by then, the later after the earlier."""
    statement = (
        select(Quota)
        .where(
            Quota.subject_kind == subject_kind,
            Quota.metric == metric,
            Quota.period_start < period.end,
            Quota.period_end > period.start,
            Quota.recorded_at <= as_of,
            or_(Quota.approved_at.is_(None), Quota.approved_at <= as_of),
        )
        .order_by(Quota.subject_id, Quota.period_start, Quota.period_end, Quota.recorded_at)
    )
    return list(session.scalars(statement))


@dataclass
class _Converter:
    """Quotas in one currency, each at the rate of its first day; the rates of a day asked once."""

    session: Session
    metric: str
    to: str
    as_of: dt.datetime
    unpriced: dict[tuple[str, dt.date, dt.date], str] = field(default_factory=dict)

    def plans(self, quotas: Collection[Quota]) -> dict[str, list[Version]]:
        """Return each subject's quotas, what changed inside a period behind what it was before.

        One without a rate stands there with nothing as its amount; ``unpriced`` names it.
        """
        foreign = {quota.period_start for quota in quotas if quota.currency != self.to}
        by_day = (
            {} if self.metric in COUNTED else {day: self._rates(day) for day in sorted(foreign)}
        )
        found: dict[tuple[str, dt.date, dt.date], Version] = {}
        for quota in quotas:
            key = (quota.subject_id, quota.period_start, quota.period_end)
            amount = self._amount(quota, by_day)
            found[key] = _after(found.get(key), quota, amount or Money(0, self.to))
            if amount is None:
                self.unpriced[key] = quota.currency
            elif not found[key].changes:  # nothing of an earlier version is left
                self.unpriced.pop(key, None)
        result: dict[str, list[Version]] = {}
        for (subject_id, _, _), version in found.items():
            result.setdefault(subject_id, []).append(version)
        return result

    def unpriced_part(self, subject_id: str, found: Target) -> str | None:
        """Return the currency of a part of a target that no rate converts, None if all do."""
        keys = ((subject_id, part.quota.start, part.quota.end) for part in found.parts)
        return next((self.unpriced[key] for key in keys if key in self.unpriced), None)

    def _rates(self, day: dt.date) -> Rates:
        return rates(self.session, to=self.to, day=day, known_at=self.as_of)

    def _amount(self, quota: Quota, by_day: Mapping[dt.date, Rates]) -> Money | None:
        amount = Money(quota.amount_minor, quota.currency)
        if quota.currency == self.to:
            return amount
        if self.metric in COUNTED:
            return from_major(amount.major, self.to)
        return by_day[quota.period_start].convert(amount)


def _after(before: Version | None, quota: Quota, amount: Money) -> Version:
    """Return a subject's quota of a period after one more version became known."""
    planned, day = quota.planned_days, quota.effective_on
    if before is None or day is None or day <= quota.period_start:
        return Version(quota.period_start, quota.period_end, amount, planned)
    kept: Iterable[Change] = (change for change in before.changes if change.day < day)
    return replace(before, changes=(*kept, Change(day, amount, planned)))
