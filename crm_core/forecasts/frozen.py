"""Reads of the daily snapshots: a deal's row holds from its day until the deal's next row.

A file of its own beside ``queries.py``, which reads the facts themselves.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from sqlalchemy import CTE, Select, Text, any_, literal, select
from sqlalchemy.dialects.postgresql import ARRAY, distinct_on
from sqlalchemy.orm import Session

from crm_core.forecasts.attribution import Position
from crm_core.forecasts.models import (
    ForecastSnapshot,
    ForecastSnapshotCell,
    ForecastSnapshotDeal,
    ForecastSnapshotRate,
)
from crm_core.forecasts.positions import these
from crm_core.people.queries import Visibility
from crm_core.periods import Period


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A day's snapshot."""

    day: dt.date
    taken_at: dt.datetime
    currency: str
    open_deals: int


@dataclass(frozen=True, slots=True)
class FrozenCell:
    """A cell as it was frozen; ``all_minor`` None where the reader may not know more."""

    raw: int
    without_owner: int
    owner_view: int
    all_adjustments: int
    deals: int


def _snapshot(row: ForecastSnapshot) -> Snapshot:
    return Snapshot(row.day, row.taken_at, row.currency, row.open_deals)


def snapshot_at(session: Session, *, taken_at: dt.datetime) -> Snapshot | None:
    """Return the snapshot taken at this very time, if there is one."""
    found = session.scalar(select(ForecastSnapshot).where(ForecastSnapshot.taken_at == taken_at))
    return None if found is None else _snapshot(found)


def snapshots(session: Session, *, until: dt.datetime, limit: int = 400) -> tuple[Snapshot, ...]:
    """Return the snapshots taken by a time, newest first."""
    found = session.scalars(
        select(ForecastSnapshot)
        .where(ForecastSnapshot.taken_at <= until, ForecastSnapshot.recorded_at <= until)
        .order_by(ForecastSnapshot.day.desc())
        .limit(limit)
    )
    return tuple(_snapshot(row) for row in found)


def rate_of(rate: Decimal | None, is_direct: bool | None, *, of: str, to: str) -> Fraction | None:
    """Return units of currency ``to`` per unit of ``of``, exact; None when no rate is known."""
    if of == to:
        return Fraction(1)
    if rate is None:
        return None
    return Fraction(rate) if is_direct else 1 / Fraction(rate)


def latest(*, day: dt.date, among: Select[Any] | None = None) -> CTE:
    """Return each deal's row that holds on a day, of some deals where it is said of which."""
    row = ForecastSnapshotDeal
    found = select(row).ext(distinct_on(row.opportunity_id)).where(row.day <= day)
    if among is not None:
        found = found.where(row.opportunity_id.in_(among))
    return found.order_by(row.opportunity_id, row.day.desc()).cte("frozen_deals")


def due(
    session: Session, *, day: dt.date, period: Period, owners: Collection[str] | None
) -> list[str]:
    """Return the deals of these people (None: of anybody or nobody) that counted in a period."""
    row = ForecastSnapshotDeal
    people = None if owners is None else literal(sorted(owners), ARRAY(Text))
    among = (
        None
        if people is None
        else select(row.opportunity_id).where(row.owner_id == any_(people), row.day <= day)
    )
    held = latest(day=day, among=among)
    found = select(held.c.opportunity_id).where(
        held.c.kind.not_in(("lost", "gone")),
        held.c.due_on >= period.start,
        held.c.due_on < period.end,
    )
    if people is not None:
        found = found.where(held.c.owner_id == any_(people))
    return list(session.scalars(found))


def positions(
    session: Session, *, day: dt.date, ids: Collection[str], currency: str
) -> dict[str, Position]:
    """Return the deals as a day's snapshot froze them; one it did not hold is absent."""
    rates = {
        row.currency: rate_of(row.rate, row.is_direct, of=row.currency, to=currency)
        for row in session.scalars(
            select(ForecastSnapshotRate).where(ForecastSnapshotRate.day == day)
        )
    }
    found = {}
    for row in session.execute(select(latest(day=day, among=these(ids)[0]))):
        if row.kind == "gone":
            continue
        if row.kind in ("won", "lost"):
            rate = rate_of(row.rate, row.rate_is_direct, of=row.currency, to=currency)
        else:
            rate = Fraction(1) if row.currency == currency else rates.get(row.currency)
        found[row.opportunity_id] = Position(
            row.opportunity_id, row.owner_id, row.kind, row.category, row.due_on,
            None if row.amount is None else Fraction(row.amount), row.currency, rate,
        )  # fmt: skip
    return found


def cells(
    session: Session,
    *,
    day: dt.date,
    subjects: Collection[str],
    period: Period,
    roll_up: str,
    seen: Visibility,
) -> dict[tuple[str, str], FrozenCell]:
    """Return the frozen cells of people by (person, column), as the reader may know them."""
    row = ForecastSnapshotCell
    found = session.scalars(
        select(row)
        .ext(distinct_on(row.subject_id, row.category, row.audience_id))
        .where(
            row.day <= day,
            row.subject_id.in_(sorted(subjects)),
            row.period_start == period.start,
            row.period_end == period.end,
            row.roll_up == roll_up,
            seen.condition(row.audience_id),
        )
        .order_by(row.subject_id, row.category, row.audience_id, row.day.desc())
    )
    result: dict[tuple[str, str], FrozenCell] = {}
    for each in found:
        key = each.subject_id, each.category
        if each.audience_id != each.subject_id and each.all_minor is None:
            continue  # the superior's amount was taken back
        if key in result and each.audience_id == each.subject_id:
            continue
        result[key] = FrozenCell(
            each.raw_minor, each.without_owner_minor, each.owner_view_minor,
            each.owner_view_minor if each.all_minor is None else each.all_minor, each.deals,
        )  # fmt: skip
    return result
