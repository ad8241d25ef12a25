"""The rows behind each metric, one select per source: the same select feeds value and list.

Every source has the same columns, so that one function aggregates them all: ``kind`` and
``row_id`` (what to link to), ``user_id`` (to whom it is credited), ``label``, ``day``,
``placed_on`` (the day on which that person's place in the company counts), ``value`` (minor
units of the company's currency for money), ``weight`` (the denominator of a ratio) and
``unpriced``: the currency of an amount that has no exchange rate and therefore no value.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Date,
    Numeric,
    Select,
    Text,
    and_,
    case,
    cast,
    exists,
    func,
    literal,
    null,
    select,
)
from sqlalchemy.dialects.postgresql import distinct_on

from crm_core.activities.models import Activity
from crm_core.advice.models import Prediction
from crm_core.kpis.catalogue import UnknownMetric
from crm_core.kpis.crediting import credited, signed_orders
from crm_core.opportunities.models import Opportunity, OpportunityEvent
from crm_core.opportunities.states import closings, ever_owned_by, moved_between, states
from crm_core.orders.conversion import half_even, valued
from crm_core.orders.models import Order
from crm_core.people.queries import Visibility
from crm_core.periods import FiscalCalendar, Period

Expression = ColumnElement[Any]
CUSTOMER_KINDS = ("call", "email", "meeting", "visit", "demo", "proposal")
_ONE = literal(Decimal(1), Numeric)
_LAST_INSTANT = dt.timedelta(microseconds=1)


@dataclass(frozen=True)
class Question:
    """What every source is asked: a period, the two clocks' reading, and the company's money.

    It holds the relations that several sources share, so that many metrics are one statement
    in which each relation is computed once.
    """

    period: Period
    as_of: dt.datetime
    calendar: FiscalCalendar
    currency: str
    scope: Visibility

    @property
    def start(self) -> dt.datetime:
        """The instant at which the period begins."""
        return self.calendar.bounds(self.period)[0]

    @property
    def end(self) -> dt.datetime:
        """The instant at which the period has ended."""
        return self.calendar.bounds(self.period)[1]

    @property
    def stock_at(self) -> dt.datetime:
        """The instant at which a stock is taken: the question's, or the period's last."""
        return min(self.as_of, self.end - _LAST_INSTANT)

    @cached_property
    def signed(self) -> CTE:
        """The orders signed in the period."""
        return signed_orders(
            start=self.period.start,
            end=min(self.period.end, self.calendar.day_of(self.as_of) + dt.timedelta(days=1)),
            known_at=self.as_of,
            currency=self.currency,
        )

    @cached_property
    def credited(self) -> CTE:
        """The signed orders, split among the people credited."""
        return credited(self.signed)

    @property
    def _among(self) -> list[Select[Any]]:
        """The deals that anybody in scope ever owned: nobody else's need to be looked at."""
        return [] if self.scope.everyone else [ever_owned_by(self.scope.user_ids)]

    @cached_property
    def closed(self) -> CTE:
        """The deals that stood closed, of those that changed their stage in the period."""
        return closings(
            happened_by=self.as_of,
            known_at=self.as_of,
            among=[*self._among, moved_between(self.start, self.end)],
        )

    @cached_property
    def stood(self) -> CTE:
        """The deals' states at the stock's instant."""
        return states(
            happened_by=self.stock_at, known_at=self.as_of, among=self._among, name="stood"
        )

    @cached_property
    def at_start(self) -> CTE:
        """The deals' states at the period's start, as known then."""
        known_at = min(self.start, self.as_of)
        return states(happened_by=self.start, known_at=known_at, among=self._among, name="at_start")

    @cached_property
    def open(self) -> CTE:
        """The open deals of :attr:`stood` with their amount's value."""
        stock_day = literal(self.calendar.day_of(self.stock_at), Date)
        rows = select(
            self.stood,
            self.stood.c.amount.label("major"),
            stock_day.label("rate_day"),
        ).where(self.stood.c.kind == "open")
        return valued(rows, to=self.currency, name="open_deals", known_at=self.as_of)

    def day_of(self, instant: Expression) -> Expression:
        """Return the company's calendar day of an instant, in SQL."""
        return cast(func.timezone(self.calendar.time_zone.key, instant), Date)


def _columns(
    *,
    kind: str,
    row_id: Expression,
    user_id: Expression,
    label: Expression,
    day: Expression,
    value: Expression,
    placed_on: Expression | None = None,
    weight: Expression = _ONE,
    unpriced: Expression | None = None,
) -> list[Any]:
    return [
        literal(kind, Text).label("kind"),
        row_id.label("row_id"),
        user_id.label("user_id"),
        label.label("label"),
        day.label("day"),
        (day if placed_on is None else placed_on).label("placed_on"),
        cast(value, Numeric).label("value"),
        cast(weight, Numeric).label("weight"),
        (cast(null(), Text) if unpriced is None else unpriced).label("unpriced"),
    ]


def _unpriced(amount: Expression, value: Expression, currency: Expression) -> Expression:
    """Return the currency of an amount that no rate converts, null where all is well."""
    return case((and_(amount.is_not(None), value.is_(None)), currency), else_=None)


def orders(question: Question) -> Select[Any]:
    """Return one row per order and credited person; the parts of an order sum exactly to it.

    Revenue shares that sum to less than one leave the rest credited to nobody; shares that sum
    to more are scaled down. The split is by largest remainder, as :func:`money.allocate`.
    """
    parts = question.credited
    part = parts.c.part + case((parts.c.turn <= parts.c.left, 1), else_=0)
    return select(
        *_columns(
            kind="order",
            row_id=parts.c.id,
            user_id=parts.c.user_id,
            label=parts.c.id,
            day=parts.c.ordered_on,
            value=func.sign(parts.c.value) * part,
            weight=parts.c.weight,
            unpriced=_unpriced(parts.c.major, parts.c.value, parts.c.currency),
        )
    )


def orders_not_zero(question: Question) -> Select[Any]:
    """Return the rows of :func:`orders` without orders of amount zero."""
    rows = orders(question).subquery("all_orders")
    return select(rows).where(func.coalesce(rows.c.value, 1) != 0)


def _in_period(question: Question, instant: Expression) -> Expression:
    return and_(instant >= question.start, instant < question.end)


def closed_deals(question: Question) -> Select[Any]:
    """Return the deals that stood closed as of the question and closed in the period: 1 or 0."""
    closed = question.closed
    return select(
        *_columns(
            kind="opportunity",
            row_id=closed.c.opportunity_id,
            user_id=closed.c.owner_id,
            label=closed.c.name,
            day=question.day_of(closed.c.closed_at),
            value=case((closed.c.outcome == "won", 1), else_=0),
        )
    ).where(_in_period(question, closed.c.closed_at))


def won_cycles(question: Question) -> Select[Any]:
    """Return the days from creation to closing of the deals won in the period."""
    closed = question.closed
    days = question.day_of(closed.c.closed_at) - question.day_of(closed.c.created_at)
    return select(
        *_columns(
            kind="opportunity",
            row_id=closed.c.opportunity_id,
            user_id=closed.c.owner_id,
            label=closed.c.name,
            day=question.day_of(closed.c.closed_at),
            value=days,
        )
    ).where(_in_period(question, closed.c.closed_at), closed.c.outcome == "won")


def won_deals(question: Question) -> Select[Any]:
    """Return the amounts of the deals won in the period, at the rate of the closing day."""
    closed = question.closed
    rows = select(
        closed,
        closed.c.amount.label("major"),
        question.day_of(closed.c.closed_at).label("rate_day"),
    ).where(_in_period(question, closed.c.closed_at), closed.c.outcome == "won")
    won = valued(rows, to=question.currency, name="won", known_at=question.as_of)
    return select(
        *_columns(
            kind="opportunity",
            row_id=won.c.opportunity_id,
            user_id=won.c.owner_id,
            label=won.c.name,
            day=won.c.rate_day,
            value=won.c.value,
            unpriced=_unpriced(won.c.major, won.c.value, won.c.currency),
        )
    )


def _open_rows(question: Question, value: Expression) -> Select[Any]:
    """Return the open deals with a value derived from their amount in the company's currency."""
    deals = question.open
    return select(
        *_columns(
            kind="opportunity",
            row_id=deals.c.opportunity_id,
            user_id=deals.c.owner_id,
            label=deals.c.name,
            day=deals.c.expected_close_on,
            placed_on=deals.c.rate_day,
            value=value,
            unpriced=_unpriced(deals.c.major, deals.c.value, deals.c.currency),
        )
    )


def open_deals(question: Question) -> Select[Any]:
    """Return the amounts of all open deals, at the rate of the day of the question."""
    return _open_rows(question, question.open.c.value)


def _due(question: Question, day: Expression) -> Expression:
    return and_(day >= question.period.start, day < question.period.end)


def open_deals_due(question: Question) -> Select[Any]:
    """Return the open deals whose expected close date is in the period."""
    return open_deals(question).where(_due(question, question.open.c.expected_close_on))


def open_deals_weighted(question: Question) -> Select[Any]:
    """Return amount × probability of the open deals due in the period, each rounded once.

    The probability is the newest given by then; a deal without one, or without an amount, has
    no value and is counted apart.
    """
    given = (
        select(Prediction.opportunity_id, Prediction.p_win)
        .ext(distinct_on(Prediction.opportunity_id))
        .where(Prediction.model == "win_rate", Prediction.as_of <= question.stock_at)
        .order_by(Prediction.opportunity_id, Prediction.as_of.desc(), Prediction.id.desc())
        .cte("given")
    )
    weighted = half_even(question.open.c.value * cast(given.c.p_win, Numeric))
    return (
        _open_rows(question, weighted)
        .outerjoin(given, given.c.opportunity_id == question.open.c.opportunity_id)
        .where(_due(question, question.open.c.expected_close_on))
    )


def deals_due_at_start(question: Question) -> Select[Any]:
    """Return the deals due in the period as known at its start: 1 where the deal slipped out."""
    first = question.at_start
    later = question.stood
    has_slipped = and_(
        later.c.kind.in_(("open", "on_hold")), later.c.expected_close_on >= question.period.end
    )
    return (
        select(
            *_columns(
                kind="opportunity",
                row_id=first.c.opportunity_id,
                user_id=first.c.owner_id,
                label=first.c.name,
                day=first.c.expected_close_on,
                placed_on=literal(question.period.start, Date),
                value=case((has_slipped, 1), else_=0),
            )
        )
        .join(later, later.c.opportunity_id == first.c.opportunity_id)
        .where(
            first.c.kind == "open",
            _due(question, first.c.expected_close_on),
            literal(question.as_of >= question.start),
        )
    )


def activities(question: Question) -> Select[Any]:
    """Return the customer activities of the period, each in the version known last."""
    last = (
        select(Activity)
        .ext(distinct_on(Activity.id))
        .where(Activity.recorded_at <= question.as_of)
        .order_by(Activity.id, Activity.recorded_at.desc())
        .subquery("last")
    )
    return select(
        *_columns(
            kind="activity",
            row_id=last.c.id,
            user_id=last.c.user_id,
            label=last.c.kind,
            day=question.day_of(last.c.occurred_at),
            value=_ONE,
        )
    ).where(
        last.c.kind.in_(CUSTOMER_KINDS),
        _in_period(question, last.c.occurred_at),
        last.c.occurred_at <= question.as_of,
    )


SOURCES: dict[str, Callable[[Question], Select[Any]]] = {
    source.__name__: source
    for source in (
        orders,
        orders_not_zero,
        won_deals,
        closed_deals,
        won_cycles,
        open_deals,
        open_deals_due,
        open_deals_weighted,
        deals_due_at_start,
        activities,
    )
}


def is_recorded(fact: str, question: Question) -> Expression:
    """Return whether any fact of that kind was recorded by then, whoever it belongs to."""
    known: dict[str, Expression] = {
        "orders": Order.recorded_at <= question.as_of,
        "activities": Activity.recorded_at <= question.as_of,
        "opportunities": and_(
            Opportunity.created_at <= question.as_of, Opportunity.recorded_at <= question.as_of
        ),
        "expected_close_dates": and_(
            OpportunityEvent.field == "expected_close_on",
            OpportunityEvent.new_value.is_not(None),
            OpportunityEvent.occurred_at <= question.as_of,
            OpportunityEvent.recorded_at <= question.as_of,
        ),
    }
    return exists().where(known[fact])


def rows_of(source: str, question: Question) -> Select[Any]:
    """Return the select of a source's rows. Raises UnknownMetric for a source without one."""
    try:
        return SOURCES[source](question)
    except KeyError:
        raise UnknownMetric(f"No rows are defined for the source {source!r}.") from None
