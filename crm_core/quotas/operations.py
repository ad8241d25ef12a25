"""Every write about quotas: what was approved, who is on leave, how newcomers ramp."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from crm_core.audit import operations as audit
from crm_core.errors import Conflict, Invalid, NotFound
from crm_core.money import Money
from crm_core.people.models import User
from crm_core.people.queries import Visibility
from crm_core.periods import Period
from crm_core.quotas.models import Leave, Quota, QuotaPolicy

MONTHS = 12
LONGEST_RAMP = 24


class NotALeave(Invalid):
    """The days of a leave are not in order."""


class NoSuchLeave(NotFound):
    """No leave has this number, or the asker may not know that it does."""


class LeaveOverlaps(Conflict):
    """The person is on leave on some of these days already."""


class NotAPolicy(Invalid):
    """The percents of a ramp or the weights of a season are not as they must be."""


def publish(
    session: Session,
    *,
    subject_kind: str,
    subject_id: str,
    metric: str,
    period: Period,
    amount: Money,
    effective_on: dt.date,
    planned_days: Decimal | None,
    now: dt.datetime,
) -> None:
    """Make an approved amount the quota that everything downstream reads.

    A version more, never a change of one: what was known before stays as it was.
    """
    is_later = effective_on > period.start
    session.add(
        Quota(
            subject_kind=subject_kind, subject_id=subject_id, metric=metric,
            period_start=period.start, period_end=period.end, recorded_at=now, approved_at=now,
            amount_minor=amount.minor, currency=amount.currency, planned_days=planned_days,
            effective_on=effective_on if is_later else None,
        )
    )  # fmt: skip
    session.flush()
    audit.record_here(
        session, action="publish", table="quotas",
        record_id=f"{subject_kind}/{subject_id}/{metric}/{period.start}/{period.end}",
        changes={"amount": (None, amount.major), "effective_on": (None, effective_on)},
    )  # fmt: skip


def record_leave(
    session: Session,
    *,
    user_id: str,
    starts_on: dt.date,
    ends_on: dt.date,
    within: Visibility,
    by: str | None,
    now: dt.datetime,
) -> int:
    """Note that a person carries no quota on days ``[starts_on, ends_on)``; return its number.

    ``within`` is whose leave the asker may record. Raises NoSuchLeave for somebody else,
    NotALeave and LeaveOverlaps.
    """
    if ends_on <= starts_on:
        raise NotALeave("A leave ends after the day on which it starts; give a later end.")
    person = select(User.id).where(User.id == user_id).with_for_update()
    if not within.allows(user_id) or session.scalar(person) is None:
        raise NoSuchLeave("There is no such person among those whose leave you record.")
    taken = select(Leave.id).where(
        Leave.user_id == user_id, Leave.cancelled_at.is_(None),
        Leave.starts_on < ends_on, Leave.ends_on > starts_on,
    )  # fmt: skip
    if session.scalar(taken.limit(1)) is not None:
        raise LeaveOverlaps("There is a leave on some of these days already; cancel it first.")
    leave = Leave(
        user_id=user_id, starts_on=starts_on, ends_on=ends_on, recorded_at=now, recorded_by=by
    )
    session.add(leave)
    session.flush()
    audit.record_here(
        session, action="create", table="leaves", record_id=str(leave.id),
        changes={"starts_on": (None, starts_on), "ends_on": (None, ends_on)},
    )  # fmt: skip
    return leave.id


def cancel_leave(
    session: Session, leave_id: int, *, within: Visibility, by: str | None, now: dt.datetime
) -> None:
    """Take a leave back; what was known until now stays known as of then. Raises NoSuchLeave."""
    leave = session.get(Leave, leave_id, with_for_update=True)
    if leave is None or not within.allows(leave.user_id) or leave.cancelled_at is not None:
        raise NoSuchLeave("There is no such leave among those you record.")
    leave.cancelled_at, leave.cancelled_by = now, by
    session.flush()
    audit.record_here(
        session, action="cancel", table="leaves", record_id=str(leave_id),
        changes={"cancelled_at": (None, now)},
    )  # fmt: skip


def set_ramp(
    session: Session,
    *,
    percents: Sequence[int],
    hired_from: dt.date | None,
    reason: str,
    by: str | None,
    now: dt.datetime,
) -> int:
    """Say at which percent of a quota newcomers stand in each month after hiring.

    For whoever was hired on ``hired_from`` or later (None: everybody). No percents: no ramp.
    Returns the version. Raises NotAPolicy.
    """
    if len(percents) > LONGEST_RAMP or not all(0 <= percent <= 100 for percent in percents):
        raise NotAPolicy(f"A ramp is up to {LONGEST_RAMP} percents from 0 to 100, one per month.")
    content = {
        "percents": list(percents),
        "hired_from": None if hired_from is None else hired_from.isoformat(),
    }
    return _add_policy(session, "ramp", content, reason=reason, by=by, now=now)


def set_season(
    session: Session,
    *,
    weights: Sequence[Decimal],
    reason: str,
    by: str | None,
    now: dt.datetime,
) -> int:
    """Say how a year's sales fall into its months, from January on; return the version.

    Only the proportions count. Raises NotAPolicy.
    """
    sound = all(weight.is_finite() and weight >= 0 for weight in weights)
    if len(weights) != MONTHS or not sound or not sum(weights):
        raise NotAPolicy("A season is twelve weights from January on, none negative, not all zero.")
    content = {"weights": [str(weight) for weight in weights]}
    return _add_policy(session, "season", content, reason=reason, by=by, now=now)


def _add_policy(
    session: Session,
    kind: Literal["ramp", "season"],
    content: dict[str, Any],
    *,
    reason: str,
    by: str | None,
    now: dt.datetime,
) -> int:
    if not reason.strip():
        raise NotAPolicy("Say why; the reason stands beside every version.")
    session.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"quota policy {kind}"))))
    newest = select(func.max(QuotaPolicy.version)).where(QuotaPolicy.kind == kind)
    version = (session.scalar(newest) or 0) + 1
    session.add(
        QuotaPolicy(
            kind=kind, version=version, content=content, reason=reason, created_at=now,
            created_by=by,
        )
    )  # fmt: skip
    session.flush()
    audit.record_here(
        session, action="create", table="quota_policies", record_id=f"{kind} {version}",
        changes={"content": (None, content), "reason": (None, reason)},
    )  # fmt: skip
    return version
