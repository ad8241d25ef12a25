"""What a forecast must beat: naive, stage × week conversion, weighted pipeline; none is a model.

A file of its own beside ``queries.py``. Each is made of what was known at its time only, by
owner, so that a person's is the sum of those below, and abstains with the reason when the past
is too short. ``backtest`` stands at past times one after another and judges each by what came.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from crm_core.forecasts.catalogue import BASELINES, Layer
from crm_core.forecasts.positions import Moment, deals, due_in
from crm_core.money import round_half_even
from crm_core.opportunities.models import Opportunity
from crm_core.opportunities.states import closings, known_events
from crm_core.periods import Period

FEWEST_PERIODS = 4
MOST_PERIODS = 8
FEWEST_CLOSED = 30
_INSTANT = dt.timedelta(microseconds=1)
_TWO_YEARS = dt.timedelta(days=730)

Reason = Literal["too_short_a_history", "too_few_periods", "too_few_closed", "period_is_over"]
Owners = Mapping[str | None, int]
"""Owner → minor units; their sum is the company's."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """A baseline's forecast of what a period will close, by owner, or why there is none."""

    layer: Layer
    by_owner: Owners | None
    reason: Reason | None = None

    def of(self, people: frozenset[str] | None) -> int | None:
        """Return the forecast of some people together; None is everybody's and nobody's deals."""
        if self.by_owner is None:
            return None
        return sum(
            minor for owner, minor in self.by_owner.items() if people is None or owner in people
        )


def forecasts(session: Session, now: Moment, period: Period) -> dict[Layer, Forecast]:
    """Return every baseline's forecast of a period as known at a time."""
    made = {"naive": naive, "stage_week": stage_week, "weighted": weighted}
    if now.day >= period.end:
        return {layer: Forecast(layer, None, "period_is_over") for layer in BASELINES}
    return {layer: made[layer](session, now, period) for layer in BASELINES}


def closed(session: Session, now: Moment, period: Period) -> dict[str | None, int]:
    """Return by owner what was won in a period, as known at a time: what a forecast forecasts."""
    found = deals(now, closed_in=period)
    rows = session.execute(
        select(found.c.owner_id, func.coalesce(func.sum(found.c.value), 0))
        .where(due_in(found, period), found.c.kind == "won")
        .group_by(found.c.owner_id)
    )
    return {owner: int(minor) for owner, minor in rows}


def naive(session: Session, now: Moment, period: Period) -> Forecast:
    """Return what the same period of last year closed; without that year, the last period."""
    first = _first_day(session, now)
    for before in (_year_before(period), _period_before(now, period)):
        if first is not None and first <= before.start:
            return Forecast("naive", closed(session, now, before))
    return Forecast("naive", None, "too_short_a_history")


def weighted(session: Session, now: Moment, period: Period) -> Forecast:
    """Return what is closed plus, deal by deal, amount × the share won of those in its stage.

    The share is of the deals that ever were in the stage and closed in the last two years.
    """
    shares = _stage_shares(session, now)
    if shares is None:
        return Forecast("weighted", None, "too_few_closed")
    found = deals(now, closed_in=period)
    rows = session.execute(
        select(found.c.owner_id, found.c.kind, found.c.stage, func.sum(found.c.value))
        .where(due_in(found, period), found.c.kind.in_(("won", "open")), found.c.value.is_not(None))
        .group_by(found.c.owner_id, found.c.kind, found.c.stage)
    )
    total: dict[str | None, Decimal] = {}
    for owner, kind, stage, minor in rows:
        share = Decimal(1) if kind == "won" else shares.get(stage, Decimal(0))
        total[owner] = total.get(owner, Decimal(0)) + Decimal(minor) * share
    return Forecast("weighted", _whole(total))


def _stage_shares(session: Session, now: Moment) -> dict[str, Decimal] | None:
    """Return by stage the share won of closed deals that were in it, None with too few closed."""
    over = closings(happened_by=now.as_of, known_at=now.as_of)
    events = known_events(happened_by=now.as_of, known_at=now.as_of, fields=("stage",)).subquery()
    entered = select(events.c.opportunity_id, events.c.new_value).distinct().subquery()
    recent = over.c.closed_at >= now.as_of - _TWO_YEARS
    count = session.scalar(select(func.count()).select_from(over).where(recent)) or 0
    if count < FEWEST_CLOSED:
        return None
    is_won = case((over.c.outcome == "won", 1), else_=0)
    rows = session.execute(
        select(entered.c.new_value, func.avg(is_won))
        .join(over, over.c.opportunity_id == entered.c.opportunity_id)
        .where(recent)
        .group_by(entered.c.new_value)
    )
    return {stage: Decimal(share) for stage, share in rows}


@dataclass(frozen=True, slots=True)
class _Past:
    """What became of one past period from the same point on: open and won, and won from new."""

    open: Mapping[str, int]
    won: Mapping[str, int]
    new: Owners


def stage_week(session: Session, now: Moment, period: Period) -> Forecast:
    """Return what is closed, what open deals convert to from here, and what new ones bring.

    Learnt from the last four to eight periods: of the amount open in each stage at the same point
    of the period, the share won by its end; and the mean won by each owner from deals that were
    not open then.
    """
    first = _first_day(session, now)
    elapsed = max(0, (now.day - period.start).days)
    pasts: list[_Past] = []
    for before in _periods_before(now, period):
        if first is None or before.start < first or len(pasts) == MOST_PERIODS:
            break
        pasts.append(_past(session, now, before, elapsed))
    if len(pasts) < FEWEST_PERIODS:
        return Forecast("stage_week", None, "too_few_periods")
    share = {}
    for stage in {stage for past in pasts for stage in past.open}:
        was_open = sum(past.open.get(stage, 0) for past in pasts)
        won = sum(past.won.get(stage, 0) for past in pasts)
        share[stage] = Decimal(won) / Decimal(was_open) if was_open > 0 else Decimal(0)
    total: dict[str | None, Decimal] = {
        owner: Decimal(minor) for owner, minor in closed(session, now, period).items()
    }
    for owner, stage, minor in _open(session, now):
        expected = Decimal(minor) * share.get(stage, Decimal(0))
        total[owner] = total.get(owner, Decimal(0)) + expected
    for past in pasts:
        for owner, minor in past.new.items():
            total[owner] = total.get(owner, Decimal(0)) + Decimal(minor) / len(pasts)
    return Forecast("stage_week", _whole(total))


def _open(session: Session, now: Moment) -> list[tuple[str | None, str, int]]:
    found = deals(now, closed_in=Period(now.day, now.day, "none"))
    rows = session.execute(
        select(found.c.owner_id, found.c.stage, func.sum(found.c.value))
        .where(found.c.kind == "open", found.c.value.is_not(None))
        .group_by(found.c.owner_id, found.c.stage)
    )
    return [(owner, stage, int(minor)) for owner, stage, minor in rows]


def _past(session: Session, now: Moment, period: Period, elapsed: int) -> _Past:
    """Return what became of a past period from that many days on, as known now."""
    start, end = now.calendar.bounds(period)
    at = min(now.calendar.midnight(period.start + dt.timedelta(days=elapsed)), end - _INSTANT)
    then = replace(now, as_of=max(at, start))
    was = deals(then, known_at=now.as_of, closed_in=Period(period.start, period.start, "none"))
    opened = (
        select(was.c.opportunity_id, was.c.stage, was.c.value)
        .where(was.c.kind == "open", was.c.value.is_not(None))
        .cte("was_open")
    )
    was_open = session.execute(select(opened)).all()
    stage_of = {row.opportunity_id: row.stage for row in was_open}
    still: dict[str, int] = {}
    for row in was_open:
        still[row.stage] = still.get(row.stage, 0) + int(row.value)
    over = deals(replace(now, as_of=end - _INSTANT), known_at=now.as_of, closed_in=period)
    ids = session.execute(
        select(over.c.opportunity_id, over.c.owner_id, over.c.value).where(
            over.c.kind == "won",
            due_in(over, period),
            over.c.due_on >= then.day,
            over.c.value.is_not(None),
        )
    ).all()
    won: dict[str, int] = {}
    new: dict[str | None, int] = {}
    for row in ids:
        stage = stage_of.get(row.opportunity_id)
        if stage is None:
            new[row.owner_id] = new.get(row.owner_id, 0) + int(row.value)
        else:
            won[stage] = won.get(stage, 0) + int(row.value)
    return _Past(still, won, new)


def _whole(total: Mapping[str | None, Decimal]) -> dict[str | None, int]:
    return {owner: round_half_even(minor) for owner, minor in total.items()}


def _first_day(session: Session, now: Moment) -> dt.date | None:
    """Return the company's day of the first deal known, None without any."""
    first = session.scalar(
        select(func.min(Opportunity.created_at)).where(
            Opportunity.created_at <= now.as_of, Opportunity.recorded_at <= now.as_of
        )
    )
    return None if first is None else now.calendar.day_of(first)


def _period_before(now: Moment, period: Period) -> Period:
    """Return the quarter, month or year before, else as many days."""
    calendar = now.calendar
    last = period.start - dt.timedelta(days=1)
    quarter = calendar.quarter_of(last)
    if (period.start, period.end) == _days(calendar.quarter_of(period.start)):
        return quarter
    if (period.start, period.end) == _days(calendar.parse(f"{period.start:%Y-%m}")):
        return calendar.parse(f"{last:%Y-%m}")
    if _days(_year_before(period))[1] == period.start:
        return _year_before(period)
    return Period(period.start - dt.timedelta(days=period.days), period.start, "before")


def _days(period: Period) -> tuple[dt.date, dt.date]:
    return period.start, period.end


def _periods_before(now: Moment, period: Period) -> Iterator[Period]:
    while True:
        period = _period_before(now, period)
        yield period


def _year_before(period: Period) -> Period:
    """Return the same days of the year before; 29 February is then the first of March."""

    def back(day: dt.date) -> dt.date:
        try:
            return day.replace(year=day.year - 1)
        except ValueError:
            return dt.date(day.year - 1, 3, 1)

    return Period(back(period.start), back(period.end), "a year before")


@dataclass(frozen=True, slots=True)
class Trial:
    """One forecast judged: made at a week of a past period, and what that period closed."""

    period: Period
    week: int
    layer: Layer
    forecast: int | None
    actual: int
    reason: Reason | None

    @property
    def error(self) -> Decimal | None:
        """How far it was off, as a share of what came; None without either."""
        if self.forecast is None or self.actual <= 0:
            return None
        return abs(Decimal(self.forecast - self.actual)) / Decimal(self.actual)


def backtest(
    session: Session,
    now: Moment,
    *,
    periods: Sequence[Period],
    weeks: Sequence[int],
    people: frozenset[str] | None = None,
    made: Callable[[Session, Moment, Period], dict[Layer, Forecast]] = forecasts,
) -> list[Trial]:
    """Return each baseline's forecasts at weeks of past periods, against what those closed.

    Every forecast is made at its own time with what was known then (rolling origin); what came is
    as known now.
    """
    trials = []
    for period in periods:
        came = closed(session, now, period)
        actual = sum(minor for owner, minor in came.items() if people is None or owner in people)
        for week in weeks:
            day = period.start + dt.timedelta(days=7 * (week - 1))
            origin = replace(now, as_of=now.calendar.midnight(day))
            for layer, forecast in made(session, origin, period).items():
                minor = forecast.of(people)
                trials.append(Trial(period, week, layer, minor, actual, forecast.reason))
    return trials


def wape(trials: Sequence[Trial], layer: Layer) -> Decimal | None:
    """Return Σ |forecast − actual| ÷ Σ actual of a layer's trials, None where it never forecast."""
    judged = [t for t in trials if t.layer == layer and t.forecast is not None]
    whole = sum(trial.actual for trial in judged)
    if whole <= 0:
        return None
    off = sum(abs((trial.forecast or 0) - trial.actual) for trial in judged)
    return Decimal(off) / Decimal(whole)
