"""Everything the forecast's page shows of one subject, gathered by a fixed number of statements."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy.orm import Session

from crm_core.forecasts import accuracy, cadence, judgement, queries
from crm_core.forecasts.arithmetic import Cell, bottom_up
from crm_core.forecasts.bridges import Bridge
from crm_core.forecasts.cadence import Standing
from crm_core.forecasts.catalogue import Layer, RollUp
from crm_core.forecasts.judgement import Set, Submission
from crm_core.forecasts.queries import Board
from crm_core.money import Money
from crm_core.people import queries as people
from crm_core.people.queries import Viewer, Visibility
from crm_core.periods import Period
from crm_core.quotas.queries import targets
from serving.forecasting import Judged, board, bridge, judged, week_ago


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """How somebody stands with their forecast: the last call, its deadline, whether it is stale."""

    last: Submission | None
    standing: Standing
    is_stale: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastPage:
    """A subject's forecast of a period, as one viewer may see it.

    ``quotas`` by person, and None for the subject; a subject without one of their own has the
    sum of those below. ``bridge`` leads from about a week ago. ``adjustable`` are the people
    whose cells the viewer may set.
    """

    board: Board
    before: Period
    after: Period
    quotas: Mapping[str | None, Money]
    people: Mapping[str, Person]
    history: tuple[Set, ...]
    submissions: tuple[Submission, ...]
    names: Mapping[str, str]
    bridge: Bridge
    adjustable: tuple[tuple[str, str], ...]
    may_submit: bool
    is_over: bool
    baselines: Mapping[Layer, tuple[dt.date, int | None, str | None]]
    judged: Judged | None

    def quota(self, subject: str | None) -> Money | None:
        """Return a person's quota, None for who has none."""
        return self.quotas.get(subject)


def forecast_page(
    session: Session,
    *,
    viewer: Viewer,
    may: Visibility,
    subject: str | None,
    period: Period,
    method: RollUp,
    category: str,
    now: dt.datetime,
) -> ForecastPage:
    """Return everything a forecast's page shows, by a fixed number of statements."""
    found = board(
        session, viewer=viewer, may=may, subject=subject, period=period, method=method, as_of=now
    )
    why = bridge(
        session, viewer=viewer, may=may, subject=subject, period=period, method=method,
        category=category, earlier=week_ago(session, now=now), later=now, adjusted=True,
    )  # fmt: skip
    moment = queries.moment(session, as_of=now)
    ids = frozenset(
        {line.subject_id for line in (*found.lines, *found.unplaced)}
        | ({subject} if subject is not None else set())
    )
    calls = judgement.submissions(session, authors=ids, period=period, seen=may, as_of=now)
    history = judgement.history(session, subjects=ids, period=period, seen=may, as_of=now)
    due = cadence.deadlines(
        judgement.cadence_at(session, as_of=now), calendar=moment.calendar, period=period
    )
    is_over = moment.day >= period.end
    return ForecastPage(
        board=found,
        before=moment.calendar.quarter_of(period.start - dt.timedelta(days=1)),
        after=moment.calendar.quarter_of(period.end),
        quotas=_quotas(session, found, may=may, as_of=now),
        people=_people(found, calls, due, now=now),
        history=history,
        submissions=calls,
        names=people.names(session, ids | {line.author_id for line in history} | {viewer.id}),
        bridge=why,
        adjustable=() if is_over else _adjustable(found, viewer),
        may_submit=subject == viewer.id and not is_over and bool(found.superior_id or found.lines),
        is_over=is_over,
        baselines=accuracy.baselines_of(
            session, subject=subject, period=period, until=min(moment.day, period.end)
        ),
        judged=judged(
            session, subject=subject, as_of=now,
            period=period if is_over
            else moment.calendar.quarter_of(period.start - dt.timedelta(days=1)),
        ),
    )  # fmt: skip


def _people(
    found: Board, calls: tuple[Submission, ...], due: list[dt.datetime], *, now: dt.datetime
) -> dict[str, Person]:
    """Return how the subject and everybody with a line stand with their calls."""
    cells = {line.subject_id: line.cells for line in (*found.lines, *found.unplaced)}
    if found.subject_id is not None:
        cells[found.subject_id] = found.cells
    return {
        each: _person(each, calls, due, cells[each], found.roll_up, now) for each in sorted(cells)
    }


def _person(
    subject: str,
    calls: tuple[Submission, ...],
    due: list[dt.datetime],
    cells: Mapping[str, Cell],
    method: RollUp,
    now: dt.datetime,
) -> Person:
    mine = [call for call in calls if call.author_id == subject]
    last = mine[0] if mine else None
    changed = last is not None and any(
        last.items[method, column].amount != cell.owner_view
        for column, cell in cells.items()
        if (method, column) in last.items
    )
    standing = cadence.standing(
        due, submitted=[(call.recorded_at, call.due_at) for call in mine], now=now
    )
    return Person(last=last, standing=standing, is_stale=changed)


def _adjustable(found: Board, viewer: Viewer) -> tuple[tuple[str, str], ...]:
    """Return whose cells the viewer may set here: their own and their direct reports'."""
    if found.subject_id == viewer.id:
        lines = tuple((line.subject_id, line.name) for line in found.lines)
        return ((viewer.id, found.name), *lines)
    if found.subject_id is not None and found.superior_id == viewer.id:
        return ((found.subject_id, found.name),)
    return ()


def _quotas(
    session: Session, found: Board, *, may: Visibility, as_of: dt.datetime
) -> dict[str | None, Money]:
    """Return the quotas of the subject and of everybody below, by person.

    Who has none has the sum of those who report to them; the company's stands under None.
    """
    own = targets(
        session, subject_kind="user", metric="bookings", scope=may, period=found.period,
        currency=found.currency, as_of=as_of,
    )  # fmt: skip
    minor: dict[str | None, int] = {}
    below: dict[str | None, int] = {}
    for person in bottom_up(found.parents):
        superior = found.parents[person]
        if person in own:
            minor[person] = own[person].target.amount.minor
        elif person in below:
            minor[person] = below[person]
        if person in minor:
            below[superior] = below.get(superior, 0) + minor[person]
    if None in below:
        minor[None] = below[None]
    return {person: Money(each, found.currency) for person, each in minor.items()}
