"""Every read about people: the company, who is signed in, and the one door for who may see what."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, any_, literal, select, text, true
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import InstrumentedAttribute, Session
from sqlalchemy.types import Text

from crm_core.errors import NotFound
from crm_core.people.models import Company, LoginSession, OrgUnit, User
from crm_core.periods import FiscalCalendar

SEES_EVERYONE = frozenset({"sales_ops", "finance", "data_scientist", "admin"})
LEADS_PEOPLE = frozenset({"manager", "leader"})


class NoCompany(NotFound):
    """The store holds no company yet; import one."""


class HasRole(Protocol):
    """What the door needs to know of a person."""

    @property
    def id(self) -> str:
        """The user's id."""

    @property
    def role(self) -> str:
        """One of ``people.models.ROLES``."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """The person who asks, as plain values."""

    id: str
    name: str
    email: str
    role: str
    locale: str | None
    csrf_token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Visibility:
    """Whose records may be seen: everybody's, or those of ``user_ids``.

    A record that belongs to nobody is seen only by who sees everybody's.
    """

    everyone: bool
    user_ids: frozenset[str] = frozenset()
    unit_ids: frozenset[str] = field(default=frozenset(), compare=False)
    """The org units that the person leads, whose targets are theirs to see."""

    def leads(self, org_unit_id: str) -> bool:
        """Return whether the targets of this org unit may be seen."""
        return self.everyone or org_unit_id in self.unit_ids

    def allows(self, user_id: str | None) -> bool:
        """Return whether records of this owner may be seen."""
        return self.everyone or (user_id is not None and user_id in self.user_ids)

    def condition(
        self, owner: InstrumentedAttribute[Any] | ColumnElement[Any]
    ) -> ColumnElement[bool]:
        """Return the SQL condition that a row's owner column is visible."""
        if self.everyone:
            return true()
        ids: ColumnElement[list[str]] = literal(sorted(self.user_ids), ARRAY(Text))
        return owner == any_(ids)


def company(session: Session) -> Company:
    """Return the company of this store. Raises NoCompany."""
    found = session.get(Company, 1)
    if found is None:
        raise NoCompany("There is no company in this store yet; load one with winward import.")
    return found


def company_or_none(session: Session) -> Company | None:
    """Return the company of this store, None before the first import."""
    return session.get(Company, 1)


def calendar(session: Session) -> FiscalCalendar:
    """Return the company's fiscal calendar. Raises NoCompany."""
    row = company(session)
    return FiscalCalendar(ZoneInfo(row.time_zone), row.fiscal_year_start_month)


def names(session: Session, user_ids: Collection[str]) -> dict[str, str]:
    """Return the names of users by id."""
    if not user_ids:
        return {}
    found = session.execute(select(User.id, User.name).where(User.id.in_(sorted(user_ids))))
    return {row.id: row.name for row in found}


def units(session: Session) -> dict[str, str]:
    """Return the names of the org units by id, by name."""
    rows = session.execute(select(OrgUnit.id, OrgUnit.name).order_by(OrgUnit.name, OrgUnit.id))
    return {row.id: row.name for row in rows}


@dataclass(frozen=True, slots=True)
class Unit:
    """An org unit with the one above it."""

    id: str
    name: str
    parent_id: str | None


def unit_tree(session: Session) -> tuple[Unit, ...]:
    """Return every org unit with the one above it."""
    rows = session.execute(
        select(OrgUnit.id, OrgUnit.name, OrgUnit.parent_id).order_by(OrgUnit.name, OrgUnit.id)
    )
    return tuple(Unit(row.id, row.name, row.parent_id) for row in rows)


def token_hash(token: str) -> str:
    """Return what is stored of a login's secret."""
    return hashlib.sha256(token.encode()).hexdigest()


def signed_in(session: Session, *, token: str, as_of: dt.datetime) -> Viewer | None:
    """Return who holds this login, None when it is unknown or over, or the person has left.

    Read from the tables at every request, so that a new role, a departure or a log-out counts
    at once.
    """
    statement = (
        select(User, LoginSession.csrf_token)
        .join(LoginSession, LoginSession.user_id == User.id)
        .where(LoginSession.token_hash == token_hash(token), LoginSession.expires_at > as_of)
    )
    row = session.execute(statement).one_or_none()
    if row is None or has_left(session, row.User, as_of=as_of):
        return None
    user = row.User
    return Viewer(user.id, user.name, user.email, user.role, user.locale, row.csrf_token)


def has_left(session: Session, user: User, *, as_of: dt.datetime) -> bool:
    """Return whether the person had left the company by its calendar day of ``as_of``."""
    return user.left_on is not None and user.left_on <= company_day(session, as_of)


def company_day(session: Session, as_of: dt.datetime) -> dt.date:
    """Return the company's calendar day of an instant; UTC's before there is a company."""
    row = company_or_none(session)
    return as_of.astimezone(ZoneInfo(row.time_zone) if row else dt.UTC).date()


_REPORTS = """
reports(id, manager_id) as (
    select u.id, case when former.user_id is null then u.manager_id else former.manager_id end
    from users u
    left join reporting_lines former on former.user_id = u.id and former.valid_to > :day
     and (former.valid_from is null or former.valid_from <= :day)
)"""
"""Whom everybody reports to on a day."""

_PLACES = """
placed as (
    select a.user_id, a.org_unit_id,
           a.valid_to is null or a.valid_to > :day as is_current,
           rank() over (partition by a.user_id order by a.valid_from desc) as age
    from assignments a
    where a.valid_from <= :day and (a.valid_to is null or a.valid_to > a.valid_from)
),
places(user_id, org_unit_id) as (
    select user_id, org_unit_id from placed where is_current
    union
    select p.user_id, p.org_unit_id from placed p join users u on u.id = p.user_id
    where p.age = 1 and u.left_on <= :day
      and not exists (select 1 from placed q where q.user_id = p.user_id and q.is_current)
    union
    select u.id, u.org_unit_id from users u
    where u.org_unit_id is not null
      and not exists (select 1 from assignments a where a.user_id = u.id)
)"""
"""In which org units everybody is on a day; a leaver stays where they were last placed."""

_SUBTREE_SQL = f"""
with recursive {_REPORTS},
chain(id) as (
    select cast(:me as text)
    union
    select r.id from reports r join chain c on r.manager_id = c.id
),
superiors(id) as (
    select manager_id from reports where id = :me and manager_id is not null
    union
    select r.manager_id from reports r join superiors s on r.id = s.id
    where r.manager_id is not null
),{_PLACES},
units(id) as (
    select p.org_unit_id
    from places p join chain c on c.id = p.user_id join users u on u.id = c.id
    where u.role in ('manager', 'leader')
    union
    select o.id from org_units o join units on o.parent_id = units.id
)
select id, false as is_unit from chain
union
(select p.user_id, false from places p join units on units.id = p.org_unit_id
 except
 select id, false from superiors)
union all
select id, true from units
"""  # noqa: S608 - of this module's own texts
_SUBTREE = text(_SUBTREE_SQL)


def visible_to(session: Session, user: HasRole, *, as_of: dt.datetime) -> Visibility:
    """Return whose records the user may see: the one door for who may see what.

    A rep sees their own. A manager or leader sees their own, those of everybody below them by
    ``manager_id``, and those of everybody placed, on the company's day of ``as_of``, in the org
    units (and the units below) where they or a manager below them are placed; never their own
    superiors'. Who has left stays where they were last placed, so that history stays with the
    team. Who has no assignment at all is placed by ``org_unit_id``. Sales ops, finance, data
    scientists and admins see everybody's; any other role only their own. ``unit_ids`` are those
    org units, whoever is placed in them.
    """
    if user.role in SEES_EVERYONE:
        return Visibility(everyone=True)
    if user.role not in LEADS_PEOPLE:
        return Visibility(everyone=False, user_ids=frozenset({user.id}))
    parameters = {"me": user.id, "day": company_day(session, as_of)}
    found = session.execute(_SUBTREE, parameters).all()
    return Visibility(
        everyone=False,
        user_ids=frozenset(row.id for row in found if not row.is_unit),
        unit_ids=frozenset(row.id for row in found if row.is_unit),
    )


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who worked for the company on a day, whom they reported to and their units."""

    id: str
    name: str
    role: str
    manager_id: str | None
    org_unit_ids: tuple[str, ...]

    @property
    def has_place(self) -> bool:
        """Whether a roll-up by the tree counts them: in a unit, or below a manager."""
        return bool(self.org_unit_ids) or self.manager_id is not None


_STAFF_SQL = f"""
with {_REPORTS},{_PLACES}
select u.id, u.name, u.role, r.manager_id,
       array(select p.org_unit_id from places p where p.user_id = u.id order by 1) as units
from users u join reports r on r.id = u.id
where (u.hired_on is null or u.hired_on <= :day) and (u.left_on is null or u.left_on > :day)
order by u.id
"""  # noqa: S608 - likewise
_STAFF = text(_STAFF_SQL)


def staff(session: Session, *, as_of: dt.datetime) -> tuple[Person, ...]:
    """Return who worked for the company on its day of ``as_of``, with their place in the tree."""
    rows = session.execute(_STAFF, {"day": company_day(session, as_of)})
    return tuple(Person(r.id, r.name, r.role, r.manager_id, tuple(r.units)) for r in rows)


def without_place(session: Session, *, as_of: dt.datetime) -> tuple[Person, ...]:
    """Return the sellers whom no roll-up by team would count; every roll-up lists them apart.

    A manager or leader without a unit of their own and without anybody above is the top of the
    tree, not lost, when somebody reports to them.
    """
    people = staff(session, as_of=as_of)
    led = {person.manager_id for person in people}
    return tuple(
        person
        for person in people
        if not person.has_place
        and person.role not in SEES_EVERYONE
        and not (person.role in LEADS_PEOPLE and person.id in led)
    )


_EVERYBODY_SQL = f"""
with {_REPORTS},{_PLACES}
select u.id, u.name, u.role, r.manager_id, coalesce(u.left_on <= :day, false) as has_left,
       array(select p.org_unit_id from places p where p.user_id = u.id order by 1) as units
from users u join reports r on r.id = u.id
where u.hired_on is null or u.hired_on <= :day
order by u.id
"""  # noqa: S608 - likewise
_EVERYBODY = text(_EVERYBODY_SQL)


def everybody(session: Session, *, day: dt.date) -> tuple[tuple[Person, bool], ...]:
    """Return who had been hired by a day, with their place then and whether they had left.

    Who has left stays where they last were: what they sold stays with their team.
    """
    rows = session.execute(_EVERYBODY, {"day": day})
    return tuple(
        (Person(r.id, r.name, r.role, r.manager_id, tuple(r.units)), r.has_left) for r in rows
    )
