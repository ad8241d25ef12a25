"""Signs at an account that often precede leaving: tickets, ratings, subscriptions, usage.

Rows of these tables carry no time of recording; what had happened by the day counts as known.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from sqlalchemy import and_, any_, func, literal, or_, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from crm_core.accounts.models import Ticket, Usage
from crm_core.advice.situations import AccountSigns
from crm_core.orders.models import Subscription

SEVERE = ("critical", "severe", "urgent", "blocker", "p1", "sev1", "s1")
RECENT = dt.timedelta(days=90)
_FOUR_WEEKS = dt.timedelta(days=28)
_LOW = Decimal("0.4")
"""A rating is low at or below this share of the highest rating anybody ever gave."""
_FELL_BELOW = Decimal("0.6")
"""Usage fell when the last four weeks hold less than this share of the four before."""


def account_signs(
    session: Session,
    ids: Any,  # noqa: ANN401 - a bound array
    *,
    day: dt.date,
    as_of: dt.datetime,
    day_of: Callable[[Any], Any],
) -> dict[str, AccountSigns]:
    """Return the signs by account, by four statements; an account without a sign is absent."""
    found: dict[str, dict[str, Any]] = {}
    for parts in (
        _tickets(session, ids, as_of=as_of, day_of=day_of),
        _ratings(session, ids, as_of=as_of, day_of=day_of),
        _subscriptions(session, ids, day=day),
        _usage(session, ids, day=day),
    ):
        for account, part in parts.items():
            found.setdefault(account, {}).update(part)
    return {account: AccountSigns(**parts) for account, parts in found.items()}


Parts = dict[str, dict[str, Any]]


def _tickets(session: Session, ids: Any, *, as_of: dt.datetime, day_of: Any) -> Parts:  # noqa: ANN401
    """Return since when the oldest severe ticket is open."""
    rows = session.execute(
        select(Ticket.account_id, func.min(day_of(Ticket.opened_at)))
        .where(
            Ticket.account_id == any_(ids),
            func.lower(Ticket.severity).in_(SEVERE),
            Ticket.opened_at <= as_of,
            or_(Ticket.closed_at.is_(None), Ticket.closed_at > as_of),
        )
        .group_by(Ticket.account_id)
    )
    return {account: {"severe_ticket_on": since} for account, since in rows}


def _ratings(session: Session, ids: Any, *, as_of: dt.datetime, day_of: Any) -> Parts:  # noqa: ANN401
    """Return the last rating of the last 90 days where it is low."""
    highest = (
        select(func.max(Ticket.satisfaction)).where(Ticket.closed_at <= as_of).scalar_subquery()
    )
    last = (
        select(
            Ticket.account_id,
            Ticket.satisfaction,
            day_of(Ticket.closed_at).label("day"),
        )
        .ext(distinct_on(Ticket.account_id))
        .where(
            Ticket.account_id == any_(ids),
            Ticket.satisfaction.is_not(None),
            Ticket.closed_at <= as_of,
            Ticket.closed_at > as_of - RECENT,
        )
        .order_by(Ticket.account_id, Ticket.closed_at.desc(), Ticket.id)
        .subquery("last")
    )
    rows = session.execute(select(last).where(last.c.satisfaction <= highest * _LOW))
    return {row.account_id: {"low_rating": row[1], "low_rating_on": row.day} for row in rows}


def _subscriptions(session: Session, ids: Any, *, day: dt.date) -> Parts:  # noqa: ANN401
    """Return when the last subscription ended, where it ended lately and none is running."""
    is_running = and_(
        Subscription.started_on <= day,
        or_(Subscription.ended_on.is_(None), Subscription.ended_on > day),
    )
    rows = session.execute(
        select(Subscription.account_id, func.max(Subscription.ended_on))
        .where(Subscription.account_id == any_(ids), Subscription.started_on <= day)
        .group_by(Subscription.account_id)
        .having(
            ~func.bool_or(is_running),
            func.max(Subscription.ended_on) > day - RECENT,
        )
    )
    return {account: {"subscription_ended_on": ended} for account, ended in rows}


def _usage(session: Session, ids: Any, *, day: dt.date) -> Parts:  # noqa: ANN401
    """Return the daily averages of the measure that fell most, where one fell much.

    Only measures that were recorded in both four-week windows.
    """
    is_late = Usage.day >= day - _FOUR_WEEKS
    now = func.avg(Usage.value).filter(is_late)
    before = func.avg(Usage.value).filter(~is_late)
    days = func.count(Usage.day.distinct())
    measured = (
        select(Usage.account_id, now.label("now"), before.label("before"))
        .where(Usage.account_id == any_(ids), Usage.day < day, Usage.day >= day - 2 * _FOUR_WEEKS)
        .group_by(Usage.account_id, Usage.measure)
        .having(
            days.filter(is_late) >= literal(1),
            days.filter(~is_late) >= literal(1),
            now < before * _FELL_BELOW,
        )
        .subquery("measured")
    )
    fell = measured.c.now / measured.c.before
    rows = session.execute(
        select(measured)
        .ext(distinct_on(measured.c.account_id))
        .order_by(measured.c.account_id, fell)
    )
    return {row.account_id: {"usage_before": row.before, "usage_now": row.now} for row in rows}
