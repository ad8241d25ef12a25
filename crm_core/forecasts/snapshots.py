"""Taking the day's snapshot: every open deal and every cell, as what changed since the last one.

A file of its own beside ``operations.py``: done by the nightly job, for everybody. A deal's row
holds until its next one, so a day's picture is exact and costs what changed that day: an open
deal whose amount is in another currency is stored in its own, beside the day's rates, so that a
rate's daily move writes one row per currency and none per deal.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Date,
    MetaData,
    Numeric,
    Select,
    Table,
    and_,
    case,
    func,
    insert,
    literal,
    or_,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from crm_core.errors import Conflict
from crm_core.forecasts import frozen, queries
from crm_core.forecasts.arithmetic import Grid, roll_up
from crm_core.forecasts.catalogue import ROLL_UPS
from crm_core.forecasts.hierarchy import Tree
from crm_core.forecasts.judgement import adjustments
from crm_core.forecasts.models import (
    ForecastSnapshot,
    ForecastSnapshotCell,
    ForecastSnapshotDeal,
    ForecastSnapshotRate,
)
from crm_core.forecasts.positions import Moment, deals
from crm_core.people.queries import Visibility
from crm_core.periods import Period

_EVERYONE = Visibility(everyone=True)
_COMPARED = (
    "kind", "owner_id", "category", "is_picked", "due_on", "amount", "currency", "rate",
    "rate_is_direct",
)  # fmt: skip
_DEAL = ("opportunity_id", "day", *_COMPARED, "created_at")
_AMOUNTS = ("raw_minor", "without_owner_minor", "owner_view_minor", "all_minor", "deals")
_TODAY = "forecast_today"


class OutOfOrder(Conflict):
    """Snapshots are taken forward in time: each says what changed since the one before."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What a snapshot wrote; nothing where the day had one already."""

    snapshot: frozen.Snapshot
    deals: int
    cells: int
    is_new: bool = True


def take_snapshot(session: Session, *, as_of: dt.datetime, recorded_at: dt.datetime) -> Taken:
    """Freeze every deal and cell as known at a time.

    Once per company day: asked again, the first stands. Raises OutOfOrder for a time before the
    newest snapshot.
    """
    session.execute(select(func.pg_advisory_xact_lock(404)))
    now = queries.moment(session, as_of=as_of)
    newest = session.scalar(select(ForecastSnapshot).order_by(ForecastSnapshot.day.desc()).limit(1))
    if newest is not None and newest.day == now.day:
        held = frozen.Snapshot(newest.day, newest.taken_at, newest.currency, newest.open_deals)
        return Taken(held, 0, 0, is_new=False)
    if newest is not None and newest.taken_at > as_of:
        raise OutOfOrder(f"There is a snapshot of {newest.day} already; take a later one.")
    today = _lay_out(session, now)
    is_open = today.c.kind.in_(("open", "on_hold"))
    count = session.scalar(select(func.count()).select_from(today).where(is_open)) or 0
    session.execute(
        insert(ForecastSnapshot).values(
            day=now.day, taken_at=as_of, recorded_at=recorded_at, currency=now.currency,
            open_deals=count,
        )
    )  # fmt: skip
    changed = _freeze_deals(session, today, day=now.day)
    _freeze_rates(session, today, day=now.day)
    cells = list(_changed_cells(session, now))
    if cells:
        session.execute(insert(ForecastSnapshotCell), cells)
    session.execute(text(f"drop table {_TODAY}"))
    return Taken(frozen.Snapshot(now.day, as_of, now.currency, count), changed, len(cells))


def _lay_out(session: Session, now: Moment) -> Table:
    """Write today's deals into a table of this transaction, read by the statements that follow."""
    session.execute(text(f"drop table if exists pg_temp.{_TODAY}"))
    columns = ForecastSnapshotDeal.__table__.columns
    today = Table(
        _TODAY,
        MetaData(),
        *(Column(name, columns[name].type) for name in _DEAL),
        Column("day_rate", Numeric),
        Column("day_rate_is_direct", Boolean),
        prefixes=["TEMPORARY"],
        postgresql_on_commit="DROP",
    )
    today.create(session.connection())
    found = deals(now)
    is_closed = found.c.kind.in_(("won", "lost"))
    session.execute(
        insert(today).from_select(
            [column.name for column in today.columns],
            select(
                found.c.opportunity_id, literal(now.day, Date), found.c.kind, found.c.owner_id,
                found.c.category, found.c.is_picked, found.c.due_on, found.c.major,
                found.c.currency, case((is_closed, found.c.rate)),
                case((is_closed, found.c.rate_is_direct)), found.c.created_at,
                case((~is_closed, found.c.rate)), case((~is_closed, found.c.rate_is_direct)),
            ),
        )
    )  # fmt: skip
    session.execute(text(f"create unique index on {_TODAY} (opportunity_id)"))
    session.execute(text(f"analyze {_TODAY}"))
    return today


def _freeze_deals(session: Session, today: Table, *, day: dt.date) -> int:
    """Append a row for each deal that stands otherwise than in its last row; return how many."""
    held = frozen.latest(day=day)
    differs: ColumnElement[bool] = or_(
        *(today.c[name].is_distinct_from(held.c[name]) for name in _COMPARED)
    )
    changed = (
        select(*(today.c[name] for name in _DEAL))
        .outerjoin(held, held.c.opportunity_id == today.c.opportunity_id)
        .where(
            or_(
                and_(held.c.opportunity_id.is_(None), today.c.kind != "lost"),
                and_(held.c.opportunity_id.is_not(None), differs),
            )
        )
    )
    gone = frozen.latest(day=day)
    columns: list[Any] = [gone.c[name] for name in _DEAL]
    columns[_DEAL.index("day")] = literal(day, Date)
    columns[_DEAL.index("kind")] = literal("gone")
    missing = (
        select(*columns)
        .outerjoin(today, today.c.opportunity_id == gone.c.opportunity_id)
        .where(today.c.opportunity_id.is_(None), gone.c.kind != "gone")
    )
    return sum(_append(session, ForecastSnapshotDeal, rows) for rows in (changed, missing))


def _append(session: Session, table: type[ForecastSnapshotDeal], rows: Select[Any]) -> int:
    statement = insert(table).from_select(list(_DEAL), rows)
    added: Any = session.execute(statement.execution_options(preserve_rowcount=True))
    return int(added.rowcount)


def _freeze_rates(session: Session, today: Table, *, day: dt.date) -> None:
    """Write the day's rate of each currency that an open deal is in."""
    rates = (
        select(literal(day, Date), today.c.currency, today.c.day_rate, today.c.day_rate_is_direct)
        .where(today.c.day_rate.is_not(None))
        .distinct()
    )
    session.execute(
        insert(ForecastSnapshotRate).from_select(["day", "currency", "rate", "is_direct"], rates)
    )


def periods_of(now: Moment) -> tuple[Period, Period]:
    """Return the periods whose cells are frozen: this fiscal quarter and the next."""
    this = now.calendar.quarter_of(now.day)
    return this, now.calendar.quarter_of(this.end)


Amounts = tuple[int, int, int, int | None, int]
Held = dict[tuple[str, str, str], Amounts]
_NOTHING: Amounts = (0, 0, 0, None, 0)


def _changed_cells(session: Session, now: Moment) -> Iterator[dict[str, Any]]:
    """Yield a row for each cell that stands otherwise than in its last row."""
    whole = queries.tree(session, day=now.day)
    for period in periods_of(now):
        mine = queries.owned(session, now, period, None)
        known = {owner: found for owner, found in mine.items() if owner is not None}
        for method in ROLL_UPS:
            set_by_hand = adjustments(
                session, period=period, roll_up=method, seen=_EVERYONE, currency=now.currency,
                as_of=now.as_of,
            )  # fmt: skip
            grid = roll_up(whole.parents, known, set_by_hand, method=method)
            held = _held_cells(session, period, method, day=now.day)
            for key, amounts in _standing(grid, whole, held).items():
                if held.get(key, _NOTHING) != amounts:
                    yield _row(now.day, period, method, key, amounts)


def _standing(grid: Grid, whole: Tree, held: Held) -> Held:
    """Return every cell as the person may know it and, where the superior set it, as that one.

    Of what a superior had set and no longer counts, nothing more is known to that audience.
    """
    found: Held = {}
    for person, cells in grid.cells.items():
        superior = whole.parents[person]
        for column, cell in cells.items():
            own = (cell.raw, cell.without_owner, cell.owner_view, None, cell.deals.deals)
            found[person, column, person] = own
            if superior is not None and cell.by_superior is not None:
                found[person, column, superior] = (*own[:3], cell.all_adjustments, own[4])
    for key, amounts in held.items():
        if key not in found and amounts[3] is not None:
            found[key] = (*amounts[:3], None, amounts[4])
    return found


def _row(
    day: dt.date, period: Period, method: str, key: tuple[str, str, str], amounts: Amounts
) -> dict[str, Any]:
    person, column, audience = key
    return {
        "day": day, "subject_id": person, "audience_id": audience, "roll_up": method,
        "category": column, "period_start": period.start, "period_end": period.end,
        **dict(zip(_AMOUNTS, amounts, strict=True)),
    }  # fmt: skip


def _held_cells(session: Session, period: Period, method: str, *, day: dt.date) -> Held:
    row = ForecastSnapshotCell
    latest = (
        select(row)
        .ext(distinct_on(row.subject_id, row.category, row.audience_id))
        .where(
            row.period_start == period.start,
            row.period_end == period.end,
            row.roll_up == method,
            row.day <= day,
        )
        .order_by(row.subject_id, row.category, row.audience_id, row.day.desc())
    )
    return {
        (each.subject_id, each.category, each.audience_id): (
            each.raw_minor, each.without_owner_minor, each.owner_view_minor, each.all_minor,
            each.deals,
        )
        for each in session.scalars(latest)
    }  # fmt: skip
