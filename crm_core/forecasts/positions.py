"""Deals as a forecast counts them at a time: whose, in which category, due when, worth what.

A file of its own beside ``queries.py``: one relation from which cells, lists, snapshots and the
bridge are made, so that they agree to the minor unit. An open deal counts on its expected close
date, for whoever owns it then, at the rate of the day of the question; a won one on the day it
closed, for whoever owned it when it closed, at that day's rate.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    CTE,
    Boolean,
    ColumnElement,
    Date,
    Select,
    Text,
    any_,
    case,
    cast,
    func,
    literal,
    null,
    or_,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY

from crm_core.forecasts.catalogue import PICKABLE
from crm_core.opportunities.models import Opportunity, OpportunityEvent
from crm_core.opportunities.states import closings, ever_owned_by, moved_between, states
from crm_core.orders.conversion import valued
from crm_core.periods import FiscalCalendar, Period

Expression = ColumnElement[Any]
_MANY = 60


@dataclass(frozen=True, slots=True)
class Moment:
    """A time of one company: its calendar and the currency it counts in."""

    as_of: dt.datetime
    calendar: FiscalCalendar
    currency: str

    @property
    def day(self) -> dt.date:
        """The company's day."""
        return self.calendar.day_of(self.as_of)


def owned_by(owners: Collection[str] | None) -> list[Select[Any]]:
    """Return what limits a relation to deals that these people ever owned; None: to nothing.

    For many people looking their deals up costs more than it spares; :func:`of_people` keeps
    the others' out in any case.
    """
    return [] if owners is None or len(owners) > _MANY else [ever_owned_by(owners)]


def these(ids: Collection[str]) -> list[Select[Any]]:
    """Return what limits a relation to these deals."""
    return [select(func.unnest(literal(sorted(ids), ARRAY(Text))))]


def of_people(column: Expression, owners: Collection[str] | None) -> Expression:
    """Return whether a row's owner is one of these people; None: whoever it is, or nobody."""
    if owners is None:
        return literal(value=True)
    return column == any_(literal(sorted(owners), ARRAY(Text)))


def deals(
    moment: Moment,
    *,
    among: Sequence[Select[Any]] = (),
    closed_in: Period | None = None,
    known_at: dt.datetime | None = None,
    name: str = "forecast_deals",
) -> CTE:
    """Return one row per deal as known at a time, closed ones only of a period if one is given.

    ``known_at``: how the moment is known later, where a baseline learns from the past.

    Columns: opportunity_id, name, account_id, owner_id, kind (open, on_hold, won, lost),
    category, is_picked, stage (null when closed), due_on, created_at, major, currency, rate_day,
    rate, rate_is_direct and ``value`` in minor units of the company's currency, null without an
    amount or a rate.
    """
    known = moment.as_of if known_at is None else known_at
    given = union_all(
        _still_open(moment, among, known), _closed(moment, among, closed_in, known)
    ).subquery()
    return valued(select(given), to=moment.currency, name=name, known_at=known)


def _still_open(moment: Moment, among: Sequence[Select[Any]], known_at: dt.datetime) -> Select[Any]:
    found = states(
        happened_by=moment.as_of,
        known_at=known_at,
        among=[*among, _maybe_open(moment, known_at)],
        name="forecast_states",
        with_category=True,
    )
    is_picked = func.coalesce(found.c.picked_category.in_(PICKABLE), False)
    return select(
        found.c.opportunity_id,
        found.c.name,
        found.c.account_id,
        found.c.owner_id,
        found.c.kind,
        case((is_picked, found.c.picked_category), else_=_of_stage(found)).label("category"),
        is_picked.label("is_picked"),
        found.c.stage,
        found.c.expected_close_on.label("due_on"),
        found.c.created_at,
        found.c.amount.label("major"),
        found.c.currency,
        literal(moment.day, Date).label("rate_day"),
    ).where(found.c.kind.in_(("open", "on_hold")))


def _maybe_open(moment: Moment, known_at: dt.datetime) -> Select[Any]:
    """Return the deals that can have been open: those open now, and those that moved since.

    A deal that is closed now and entered no stage since stood closed at that time too, so the
    many deals closed long ago need not be looked at.
    """
    moved = select(OpportunityEvent.opportunity_id).where(
        OpportunityEvent.field == "stage",
        or_(OpportunityEvent.occurred_at > moment.as_of, OpportunityEvent.recorded_at > known_at),
    )
    still = select(Opportunity.id).where(Opportunity.outcome.is_(None))
    return select(still.union(moved).subquery())


def _of_stage(found: CTE) -> Expression:
    """Return the category that a stage gives, as :func:`catalogue.category_of` says."""
    return case(
        (found.c.stage_category == "closed", "commit"),
        (found.c.stage_category.in_(PICKABLE), found.c.stage_category),
        (found.c.kind == "on_hold", "omitted"),
        else_="pipeline",
    )


def _closed(
    moment: Moment,
    among: Sequence[Select[Any]],
    closed_in: Period | None,
    known_at: dt.datetime,
) -> Select[Any]:
    window = []
    if closed_in is not None:
        window = [moved_between(*moment.calendar.bounds(closed_in))]
    found = closings(happened_by=moment.as_of, known_at=known_at, among=[*among, *window])
    closed_on = cast(func.timezone(moment.calendar.time_zone.key, found.c.closed_at), Date)
    return select(
        found.c.opportunity_id,
        found.c.name,
        found.c.account_id,
        found.c.owner_id,
        found.c.outcome,
        case((found.c.outcome == "won", "closed"), else_="omitted"),
        literal(value=False, type_=Boolean),
        cast(null(), Text),
        closed_on,
        found.c.created_at,
        found.c.amount,
        found.c.currency,
        closed_on,
    )


def due_in(found: CTE, period: Period) -> Expression:
    """Return whether a row counts in a period."""
    return (found.c.due_on >= period.start) & (found.c.due_on < period.end)
