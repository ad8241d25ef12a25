"""What every metric's source is asked, with the relations that several sources share."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypedDict

from sqlalchemy import CTE, ColumnElement, Date, Select, and_, cast, func, literal, or_, select

from crm_core.kpis.crediting import credited, margin_share, signed_orders
from crm_core.opportunities.models import Opportunity
from crm_core.opportunities.states import (
    closings,
    created_between,
    ever_owned_by,
    moved_between,
    states,
)
from crm_core.opportunities.steps import stage_steps
from crm_core.orders.conversion import valued
from crm_core.people.queries import Visibility
from crm_core.periods import FiscalCalendar, Period

Expression = ColumnElement[Any]
_LAST_INSTANT = dt.timedelta(microseconds=1)
YEAR = 365
SOON = dt.timedelta(days=14)
"""How long after a follow-up a deal may move for it to have been effective."""


@dataclass(frozen=True, slots=True)
class Defined:
    """A user-defined metric: its rows, and the facts without which it is not zero but None."""

    rows: Callable[[Question], Select[Any]]
    needs: str
    silence: tuple[str, str]


class Days(TypedDict):
    """Which days are asked about, as known when, in which currency."""

    start: dt.date
    end: dt.date
    known_at: dt.datetime
    currency: str


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
    defined: Mapping[str, Defined] = field(default_factory=dict)
    """The user-defined metrics that are asked for."""
    prefix: str = ""
    """Of the names of relations that stand beside another question's in one statement."""

    @cached_property
    def _made(self) -> dict[str, CTE]:
        return {}

    def shared(self, name: str, make: Callable[[Question], CTE]) -> CTE:
        """Return a relation that several sources of one room share, made once per question."""
        if name not in self._made:
            self._made[name] = make(self)
        return self._made[name]

    @cached_property
    def sums(self) -> dict[tuple[str | None, str], dict[str | None, Any]]:
        """What was added up already, by grouping and metric, so that no part is asked for twice."""
        return {}

    @cached_property
    def _scoped(self) -> dict[Visibility, Question]:
        return {}

    def of(self, scope: Visibility) -> Question:
        """Return the same question about other people, one and the same for the same people."""
        if scope not in self._scoped:
            self._scoped[scope] = replace(self, scope=scope)
        return self._scoped[scope]

    @cached_property
    def _selects(self) -> dict[str, Select[Any]]:
        return {}

    def rows_once(self, source: str, make: Callable[[Question], Select[Any]]) -> Select[Any]:
        """Return a source's select, one and the same for every metric that is asked of it."""
        if source not in self._selects:
            self._selects[source] = make(self)
        return self._selects[source]

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

    @property
    def days(self) -> Days:
        """The period's days that have begun, what is known, and the currency to count in."""
        return Days(
            start=self.period.start,
            end=min(self.period.end, self.calendar.day_of(self.as_of) + dt.timedelta(days=1)),
            known_at=self.as_of,
            currency=self.currency,
        )

    def year_before(self) -> Question:
        """Return the same question about the days up to the stock's that make a year."""
        after = self.calendar.day_of(self.stock_at) + dt.timedelta(days=1)
        period = Period(after - dt.timedelta(days=YEAR), after, "a year")
        return replace(self, period=period, prefix="year_")

    @cached_property
    def year(self) -> Question:
        """The question of :meth:`year_before`, its relations shared within one statement."""
        return self.year_before()

    @cached_property
    def signed(self) -> CTE:
        """The orders signed in the period."""
        return signed_orders(**self.days, name=f"{self.prefix}signed")

    @cached_property
    def margin_share(self) -> CTE:
        """The company's margin ÷ amount over the orders with a cost of the year before."""
        return margin_share(**self.year.days)

    @cached_property
    def credited(self) -> CTE:
        """The signed orders, split among the people credited."""
        return credited(self.signed)

    @cached_property
    def of_same_accounts(self) -> CTE:
        """The states, at the stock's instant, of all deals of the accounts of deals in scope.

        What counts an account once must look at the deals of others too.
        """
        if self.scope.everyone:
            return self.stood
        own = select(Opportunity.account_id).where(
            Opportunity.id.in_(ever_owned_by(self.scope.user_ids))
        )
        nobodys = and_(Opportunity.account_id.is_(None), Opportunity.id.in_(self._among[0]))
        among = [select(Opportunity.id).where(or_(Opportunity.account_id.in_(own), nobodys))]
        return states(
            happened_by=self.stock_at, known_at=self.as_of, among=among, name="of_same_accounts"
        )

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
            name=f"{self.prefix}closings",
        )

    @cached_property
    def cohort(self) -> CTE:
        """The closings of the deals created in the period."""
        return closings(
            happened_by=self.as_of,
            known_at=self.as_of,
            among=[*self._among, created_between(self.start, self.end)],
            name="cohort",
        )

    @cached_property
    def steps(self) -> CTE:
        """The stages of the deals that moved in the period or soon after it."""
        return stage_steps(
            happened_by=self.as_of,
            known_at=self.as_of,
            among=[moved_between(self.start, self.end + SOON)],
        )

    @cached_property
    def closed_amounts(self) -> CTE:
        """The deals closed in the period with their amount's value on the closing day."""
        closed = self.closed
        rows = select(
            closed,
            closed.c.amount.label("major"),
            self.day_of(closed.c.closed_at).label("rate_day"),
        ).where(self.has(closed.c.closed_at))
        name = f"{self.prefix}closed_amounts"
        return valued(rows, to=self.currency, name=name, known_at=self.as_of)

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

    def has(self, instant: Expression) -> Expression:
        """Return whether an instant is in the period, in SQL."""
        return and_(instant >= self.start, instant < self.end)

    def includes(self, day: Expression) -> Expression:
        """Return whether a day is in the period, in SQL."""
        return and_(day >= self.period.start, day < self.period.end)
