"""What people set and called by hand, as somebody may see it: adjustments and submissions.

A file of its own beside ``queries.py``, which rolls these up with the deals.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Select, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from crm_core.forecasts.arithmetic import Adjustment
from crm_core.forecasts.cadence import Cadence
from crm_core.forecasts.catalogue import RollUp
from crm_core.forecasts.models import (
    ForecastAdjustment,
    ForecastCadence,
    ForecastSubmission,
    ForecastSubmissionItem,
)
from crm_core.people.queries import Visibility
from crm_core.periods import Period


@dataclass(frozen=True, slots=True)
class Set:
    """One line of a cell's history; ``minor`` None took back what was set before."""

    id: int
    subject_id: str
    author_id: str
    roll_up: str
    category: str
    minor: int | None
    base_minor: int
    currency: str
    note: str
    recorded_at: dt.datetime


@dataclass(frozen=True, slots=True)
class Item:
    """A frozen column: the deals' amount, what was below the author's own, and the call."""

    raw: int
    without_owner: int
    amount: int
    deals: int


@dataclass(frozen=True, slots=True)
class Submission:
    """A call with its author and time; ``due_at`` is the deadline it answered, if any."""

    id: int
    author_id: str
    recorded_at: dt.datetime
    due_at: dt.datetime | None
    leads: bool
    currency: str
    note: str | None
    items: Mapping[tuple[str, str], Item]

    @property
    def is_late(self) -> bool:
        """Whether it came after its deadline."""
        return self.due_at is not None and self.recorded_at > self.due_at


def adjustments(
    session: Session,
    *,
    period: Period,
    roll_up: RollUp,
    seen: Visibility,
    currency: str,
    as_of: dt.datetime,
) -> dict[tuple[str, str, str], Adjustment]:
    """Return what is set in a period's cells, by (subject, column, author).

    Only what people set whose records may be seen: a superior's is not. An amount in another
    currency than the company's is kept and not counted.
    """
    row = ForecastAdjustment
    latest = (
        select(row)
        .ext(distinct_on(row.subject_id, row.category, row.author_id))
        .where(
            row.period_start == period.start,
            row.period_end == period.end,
            row.roll_up == roll_up,
            row.recorded_at <= as_of,
            seen.condition(row.author_id),
        )
        .order_by(
            row.subject_id, row.category, row.author_id, row.recorded_at.desc(), row.id.desc()
        )
    )
    return {
        (each.subject_id, each.category, each.author_id): Adjustment(
            each.subject_id, each.category, each.author_id, each.amount_minor, each.base_minor,
            each.note, each.recorded_at,
        )
        for each in session.scalars(latest)
        if each.amount_minor is not None and each.currency == currency
    }  # fmt: skip


def history(
    session: Session,
    *,
    subjects: frozenset[str],
    period: Period,
    seen: Visibility,
    as_of: dt.datetime,
    limit: int = 100,
) -> tuple[Set, ...]:
    """Return everything that was set for these people in a period, newest first."""
    row = ForecastAdjustment
    found = session.scalars(
        select(row)
        .where(
            row.period_start == period.start,
            row.period_end == period.end,
            row.subject_id.in_(sorted(subjects)),
            row.recorded_at <= as_of,
            seen.condition(row.author_id),
        )
        .order_by(row.recorded_at.desc(), row.id.desc())
        .limit(limit)
    )
    return tuple(
        Set(
            each.id, each.subject_id, each.author_id, each.roll_up, each.category,
            each.amount_minor, each.base_minor, each.currency, each.note, each.recorded_at,
        )
        for each in found
    )  # fmt: skip


def submissions(
    session: Session,
    *,
    authors: frozenset[str],
    period: Period,
    seen: Visibility,
    as_of: dt.datetime,
    limit: int | None = None,
) -> tuple[Submission, ...]:
    """Return what these people submitted for a period, newest first, by two statements."""
    row = ForecastSubmission
    heads = session.scalars(
        select(row)
        .where(
            row.period_start == period.start,
            row.period_end == period.end,
            row.author_id.in_(sorted(authors)),
            row.recorded_at <= as_of,
            seen.condition(row.author_id),
        )
        .order_by(row.recorded_at.desc(), row.id.desc())
        .limit(limit)
    ).all()
    items: dict[int, dict[tuple[str, str], Item]] = {head.id: {} for head in heads}
    for each in session.scalars(_items(list(items))):
        items[each.submission_id][each.roll_up, each.category] = Item(
            each.raw_minor, each.without_owner_minor, each.amount_minor, each.deals
        )
    return tuple(
        Submission(
            head.id, head.author_id, head.recorded_at, head.due_at, head.leads, head.currency,
            head.note, items[head.id],
        )
        for head in heads
    )  # fmt: skip


def _items(ids: list[int]) -> Select[ForecastSubmissionItem]:
    return select(ForecastSubmissionItem).where(ForecastSubmissionItem.submission_id.in_(ids))


def cadence_at(session: Session, *, as_of: dt.datetime) -> Cadence:
    """Return when forecasts were due as of a time; Mondays at noon unless somebody said else."""
    found = session.scalar(
        select(ForecastCadence)
        .where(ForecastCadence.recorded_at <= as_of)
        .order_by(ForecastCadence.recorded_at.desc())
        .limit(1)
    )
    return Cadence() if found is None else Cadence(found.weekday, found.hour)
