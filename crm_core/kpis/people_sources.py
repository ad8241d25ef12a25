"""The rows behind the metrics of people at work in the system, and of the data's health."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Date,
    DateTime,
    Numeric,
    Select,
    Text,
    and_,
    case,
    cast,
    column,
    false,
    func,
    literal,
    null,
    or_,
    select,
    table,
    union,
)
from sqlalchemy.dialects.postgresql import ARRAY

from crm_core.activities.models import Activity
from crm_core.audit.models import AuditEntry
from crm_core.kpis.question import Question
from crm_core.kpis.source_rows import row_columns
from crm_core.opportunities.models import OpportunityEvent
from crm_core.people.models import User

_WEEK = dt.timedelta(days=7)
_INSTANT = dt.timedelta(microseconds=1)
_RUNS = table("health_runs", column("id", BigInteger), column("ran_at", DateTime(timezone=True)))
_RESULTS = table(
    "health_results",
    column("run_id", BigInteger),
    column("rule", Text),
    column("dimension", Text),
    column("checked", Numeric),
    column("failing", Numeric),
)
"""Named as tables only: ``health`` stands above this room, because its rules name metrics."""


def weeks_at_work(question: Question) -> Select[Any]:
    """Return each person employed in each week that began in the period: 1 with a core action.

    A core action is an activity of theirs, a change of a deal by them, or any other change that
    they made on a page or through the API; signing in is none.
    """
    weeks, acted = _weeks(question), _acted(question)
    employed = and_(
        or_(User.hired_on.is_(None), User.hired_on < weeks.c.monday + 7),
        or_(User.left_on.is_(None), User.left_on > weeks.c.monday),
    )
    return (
        select(
            *row_columns(
                kind="user",
                row_id=User.__table__.c.id,
                user_id=User.__table__.c.id,
                label=User.__table__.c.name,
                day=weeks.c.monday,
                value=case((acted.c.user_id.is_not(None), 1), else_=0),
            )
        )
        .select_from(weeks)
        .join(User, employed)
        .outerjoin(acted, and_(acted.c.user_id == User.id, acted.c.monday == weeks.c.monday))
    )


def _acted(question: Question) -> CTE:
    """Return who did something in which week, once each, from the period's start to a week on."""
    start, end = question.start, min(question.end + _WEEK, question.as_of + _INSTANT)

    def by_week(user_id: Any, instant: Any, *more: ColumnElement[bool]) -> Select[Any]:  # noqa: ANN401 - columns
        local = func.timezone(question.calendar.time_zone.key, instant)
        monday = cast(func.date_trunc("week", local), Date)
        return select(user_id.label("user_id"), monday.label("monday")).where(
            user_id.is_not(None), instant >= start, instant < end, *more
        )

    return union(
        by_week(Activity.user_id, Activity.occurred_at, Activity.recorded_at <= question.as_of),
        by_week(
            OpportunityEvent.user_id,
            OpportunityEvent.occurred_at,
            OpportunityEvent.recorded_at <= question.as_of,
        ),
        by_week(AuditEntry.actor, AuditEntry.occurred_at, AuditEntry.channel.in_(("page", "api"))),
    ).cte("acted")


def _weeks(question: Question) -> Any:  # noqa: ANN401 - a relation
    """Return the Mondays in the period up to the day of the question."""
    last = min(question.period.end - dt.timedelta(days=1), question.calendar.day_of(question.as_of))
    first = question.period.start + dt.timedelta(days=-question.period.start.weekday() % 7)
    count = max(0, (last - first).days // 7 + 1)
    mondays = [first + number * _WEEK for number in range(count)]
    monday = func.unnest(literal(mondays, ARRAY(Date))).column_valued("monday")
    return select(monday.label("monday")).cte("weeks")


def _passing(question: Question, dimension: str) -> Select[Any]:
    """Return, by rule of a dimension, the share of records that passed in the newest check.

    It is credited to nobody: only who sees everything sees it.
    """
    newest = (
        select(_RUNS.c.id)
        .where(_RUNS.c.ran_at <= question.stock_at)
        .order_by(_RUNS.c.ran_at.desc(), _RUNS.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    failed = cast(_RESULTS.c.failing, Numeric(60, 20)) / func.nullif(_RESULTS.c.checked, 0)
    return select(
        *row_columns(
            kind="rule",
            row_id=_RESULTS.c.rule,
            user_id=cast(null(), Text),
            label=_RESULTS.c.rule,
            day=literal(question.calendar.day_of(question.stock_at), Date),
            value=func.greatest(0, 1 - failed),
        )
    ).where(
        _RESULTS.c.run_id == newest,
        _RESULTS.c.dimension == dimension,
        _RESULTS.c.checked > 0,
    )


def complete_records(question: Question) -> Select[Any]:
    """Return the rules of completeness with the share of records that pass."""
    return _passing(question, "completeness")


def valid_records(question: Question) -> Select[Any]:
    """Return the rules of validity with the share of records that pass."""
    return _passing(question, "validity")


def fresh_records(question: Question) -> Select[Any]:
    """Return the rules of freshness with the share of records that pass."""
    return _passing(question, "freshness")


def market(question: Question) -> Select[Any]:
    """Return no row: the store has no table of markets and running costs, and none is guessed."""
    return select(
        *row_columns(
            kind="market",
            row_id=cast(null(), Text),
            user_id=cast(null(), Text),
            label=cast(null(), Text),
            day=literal(question.period.start, Date),
            value=cast(null(), Numeric),
        )
    ).where(false())
