"""Reads of forecasts: the tree of a day, cells as somebody may see them, the deals behind them.

A fixed number of statements whatever the number of people and deals. Whose amounts count is
decided before anything is added up: those of the subject's part of the tree on the day of the
question that the asker may see now, or whose superior the asker was then.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from crm_core.errors import NotFound
from crm_core.forecasts import hierarchy
from crm_core.forecasts.arithmetic import NOTHING, Cell, Grid, Sum, roll_up, together
from crm_core.forecasts.catalogue import Category, RollUp, summed
from crm_core.forecasts.hierarchy import Tree
from crm_core.forecasts.judgement import adjustments
from crm_core.forecasts.positions import Moment, deals, due_in, of_people, owned_by
from crm_core.money import Money
from crm_core.people.models import OrgUnit
from crm_core.people.queries import Visibility, company, everybody
from crm_core.periods import FiscalCalendar, Period

SELLS = frozenset({"rep", "manager", "leader"})
Owned = dict[str | None, dict[str, Sum]]


class NoSuchForecast(NotFound):
    """Nobody of that id, or nobody the asker may see, has a forecast then."""


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, and whose records they may see now."""

    id: str
    may: Visibility


@dataclass(frozen=True, slots=True)
class Line:
    """One person's cells: the whole of who is below them, and their own deals apart."""

    subject_id: str
    name: str
    role: str
    has_left: bool
    reports: int
    cells: Mapping[str, Cell]


@dataclass(frozen=True, slots=True)
class Board:
    """A subject's roll-up: its cells, and a line for each person directly below.

    ``subject_id`` None is the company. ``parents`` are the superiors of everybody in the part.
    ``unplaced`` are owners of deals whom no superior's roll-up counts (the company's does), and
    ``unowned`` the deals of nobody; both only there.
    """

    subject_id: str | None
    name: str
    superior_id: str | None
    path: tuple[tuple[str, str], ...]
    period: Period
    roll_up: RollUp
    as_of: dt.datetime
    currency: str
    cells: Mapping[str, Cell]
    lines: tuple[Line, ...]
    unplaced: tuple[Line, ...]
    unowned: Mapping[str, Sum]
    parents: Mapping[str, str | None]

    def money(self, minor: int) -> Money:
        """Return an amount in minor units as money of the company's currency."""
        return Money(minor, self.currency)


@dataclass(frozen=True, slots=True)
class Deal:
    """A deal behind a cell. ``minor`` is its value in the company's currency, None without one."""

    opportunity_id: str
    name: str
    account_id: str | None
    owner_id: str | None
    owner_name: str | None
    kind: str
    stage: str | None
    category: Category
    is_picked: bool
    due_on: dt.date
    amount: Decimal | None
    currency: str
    minor: int | None


def moment(session: Session, *, as_of: dt.datetime) -> Moment:
    """Return the time of this company."""
    own = company(session)
    calendar = FiscalCalendar(ZoneInfo(own.time_zone), own.fiscal_year_start_month)
    return Moment(as_of, calendar, own.currency)


def place_day(now: Moment, period: Period) -> dt.date:
    """Return the day whose tree a period is rolled up by: the question's, at most its last."""
    return max(period.start, min(now.day, period.end - dt.timedelta(days=1)))


def tree(session: Session, *, day: dt.date) -> Tree:
    """Return who was below whom on a day, those who had left by then where they last were."""
    units = {
        row.id: row.parent_id for row in session.execute(select(OrgUnit.id, OrgUnit.parent_id))
    }
    people = [
        hierarchy.Member(
            person.id, person.name, person.role, person.manager_id, person.org_unit_ids, has_left
        )
        for person, has_left in everybody(session, day=day)
    ]
    return hierarchy.build(people, units)


def entitled(whole: Tree, subject: str | None, asker: Asker) -> frozenset[str] | None:
    """Return whose deals count for this asker in a subject's roll-up; None is everybody's.

    Raises NoSuchForecast.
    """
    if subject is None:
        if not asker.may.everyone:
            raise NoSuchForecast("The company's forecast is for who may see all of it.")
        return None
    if subject not in whole.members or not asker.may.allows(subject):
        raise NoSuchForecast("There is no forecast of such a person among those you may see.")
    part = whole.below(subject)
    if asker.may.everyone:
        return part
    return part & (asker.may.user_ids | whole.below(asker.id))


def owned(session: Session, now: Moment, period: Period, owners: frozenset[str] | None) -> Owned:
    """Return, by owner and category, the deals that count in a period."""
    found = deals(now, among=owned_by(owners), closed_in=period)
    rows = session.execute(
        select(
            found.c.owner_id,
            found.c.category,
            func.coalesce(func.sum(found.c.value), 0).label("minor"),
            func.count().label("deals"),
            func.count()
            .filter(found.c.major.is_not(None), found.c.value.is_(None))
            .label("unpriced"),
            func.count().filter(found.c.major.is_(None)).label("without_amount"),
        )
        .where(due_in(found, period), of_people(found.c.owner_id, owners))
        .group_by(found.c.owner_id, found.c.category)
    )
    result: Owned = {}
    for row in rows:
        result.setdefault(row.owner_id, {})[row.category] = Sum(
            int(row.minor), row.deals, row.unpriced, row.without_amount
        )
    return result


@dataclass(frozen=True, slots=True)
class _Worked:
    whole: Tree
    grid: Grid
    owners: frozenset[str] | None
    mine: Owned
    now: Moment


def _work(
    session: Session,
    *,
    subject: str | None,
    period: Period,
    method: RollUp,
    asker: Asker,
    as_of: dt.datetime,
) -> _Worked:
    now = moment(session, as_of=as_of)
    whole = tree(session, day=place_day(now, period))
    owners = entitled(whole, subject, asker)
    mine = owned(session, now, period, owners)
    parents = whole.parents if subject is None else whole.part(subject)
    set_by_hand = adjustments(
        session, period=period, roll_up=method, seen=asker.may, currency=now.currency, as_of=as_of
    )
    # the subject's superior stands outside the part, but what they set counts for who may see it
    parents = dict(parents)
    if subject is not None:
        superior = whole.parents[subject]
        if superior is not None:
            parents[superior] = None
            parents[subject] = superior
    known = {owner: found for owner, found in mine.items() if owner is not None}
    return _Worked(whole, roll_up(parents, known, set_by_hand, method=method), owners, mine, now)


def cell(
    session: Session,
    *,
    subject: str | None,
    period: Period,
    category: str,
    viewer: Asker,
    as_of: dt.datetime,
    method: RollUp = "cumulative",
) -> Cell:
    """Return one cell as the viewer may see it. Raises UnknownColumn and NoSuchForecast."""
    summed(method, category)
    board = board_of(
        session, subject=subject, period=period, method=method, asker=viewer, as_of=as_of
    )
    return board.cells[category]


def board_of(
    session: Session,
    *,
    subject: str | None,
    period: Period,
    method: RollUp,
    asker: Asker,
    as_of: dt.datetime,
) -> Board:
    """Return a subject's roll-up as the asker may see it. Raises NoSuchForecast."""
    worked = _work(session, subject=subject, period=period, method=method, asker=asker, as_of=as_of)
    whole, cells = worked.whole, worked.grid.cells
    if subject is None:
        below, lost = whole.tops, _unplaced(worked)
        own = together(
            {each: cells[each] for each in (*below, *lost)}, method=method,
            own=worked.mine.get(None, {}),
        )  # fmt: skip
    else:
        below, lost, own = whole.children[subject], (), dict(cells[subject])
    above = () if subject is None else whole.above(subject)
    return Board(
        subject_id=subject,
        name="" if subject is None else whole.members[subject].name,
        superior_id=above[0] if above else None,
        path=tuple(
            (each, whole.members[each].name) for each in reversed(above) if asker.may.allows(each)
        ),
        period=period,
        roll_up=method,
        as_of=as_of,
        currency=worked.now.currency,
        cells=own,
        lines=tuple(_line(worked, each) for each in below if _is_shown(worked, each)),
        unplaced=tuple(_line(worked, each) for each in lost),
        unowned=worked.mine.get(None, {}) if subject is None else {},
        parents=whole.parents if subject is None else whole.part(subject),
    )


def _unplaced(worked: _Worked) -> tuple[str, ...]:
    """Return who owns deals, or sells, and stands in nobody's roll-up."""
    whole = worked.whole
    return tuple(
        person
        for person, member in whole.members.items()
        if not whole.is_placed(person)
        and (person in worked.mine or (not member.has_left and member.role in SELLS))
    )


def _is_shown(worked: _Worked, person: str) -> bool:
    """Return whether a report gets a line: who sells or leads, and whose cells hold anything.

    The lines sum to the whole, so nobody is left out whose amounts are in it.
    """
    member = worked.whole.members[person]
    if worked.whole.children[person] or (not member.has_left and member.role in SELLS):
        return True
    return any(
        cell.deals != NOTHING or cell.by_owner is not None or cell.by_superior is not None
        for cell in worked.grid.cells[person].values()
    )


def _line(worked: _Worked, person: str) -> Line:
    member = worked.whole.members[person]
    return Line(
        subject_id=person,
        name=member.name,
        role=member.role,
        has_left=member.has_left,
        reports=len(worked.whole.children[person]),
        cells=worked.grid.cells[person],
    )


def deals_behind(
    session: Session,
    *,
    subject: str | None,
    period: Period,
    category: str,
    method: RollUp,
    asker: Asker,
    as_of: dt.datetime,
    only_own: bool = False,
    limit: int = 200,
    offset: int = 0,
) -> tuple[Deal, ...]:
    """Return the deals behind a cell, the largest first; their values sum to its raw amount.

    ``only_own``: those that the subject owns. Raises UnknownColumn and NoSuchForecast.
    """
    categories = summed(method, category)
    now = moment(session, as_of=as_of)
    whole = tree(session, day=place_day(now, period))
    owners = entitled(whole, subject, asker)
    if only_own and subject is not None:
        owners = frozenset({subject})
    found = deals(now, among=owned_by(owners), closed_in=period)
    rows = session.execute(
        select(found)
        .where(
            due_in(found, period),
            of_people(found.c.owner_id, owners),
            found.c.category.in_(sorted(categories)),
        )
        .order_by(found.c.value.desc().nulls_last(), found.c.opportunity_id)
        .limit(limit)
        .offset(offset)
    )
    return tuple(
        Deal(
            opportunity_id=row.opportunity_id, name=row.name, account_id=row.account_id,
            owner_id=row.owner_id,
            owner_name=whole.members[row.owner_id].name if row.owner_id in whole.members else None,
            kind=row.kind, stage=row.stage, category=row.category, is_picked=row.is_picked,
            due_on=row.due_on, amount=row.major, currency=row.currency,
            minor=None if row.value is None else int(row.value),
        )
        for row in rows
    )  # fmt: skip


def members_of_units(session: Session, whole: Tree) -> dict[str, frozenset[str]]:
    """Return, by org unit, who is placed in it or in a unit below on the tree's day."""
    above = {
        row.id: row.parent_id for row in session.execute(select(OrgUnit.id, OrgUnit.parent_id))
    }
    found: dict[str, set[str]] = {unit: set() for unit in above}
    for person, member in whole.members.items():
        for placed_in in member.unit_ids:
            unit: str | None = placed_in
            while unit is not None and person not in found.get(unit, {person}):
                found[unit].add(person)
                unit = above[unit]
    return {unit: frozenset(people) for unit, people in found.items()}
