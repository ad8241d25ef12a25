"""Who is below whom in a period: org units, and people at the unit where they are most of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from crm_core.goals.access import Reach
from crm_core.people.models import OrgUnit, User
from crm_core.periods import Period
from crm_core.quotas.presence import Presence, Segment, segments
from crm_core.quotas.queries import people

SELLS = "rep"
Kind = Literal["user", "org_unit"]
Key = tuple[Kind, str]


@dataclass(frozen=True, slots=True)
class Subject:
    """A unit or a person in the tree; ``level`` is the unit's kind or the person's role."""

    kind: Kind
    id: str
    name: str
    level: str | None
    parent_id: str | None

    @property
    def key(self) -> Key:
        """Kind and id."""
        return self.kind, self.id


@dataclass(frozen=True, slots=True)
class Strength:
    """The people of a subject in a period: days there and days at full strength, both summed."""

    heads: int
    days: Decimal
    full_days: Decimal


@dataclass(frozen=True, slots=True)
class Tree:
    """The part of the company whose goals a person sees, in a period."""

    period: Period
    units: Mapping[str, Subject]
    people: Mapping[str, Subject]
    presence: Mapping[str, Presence]
    _above: Mapping[str, str | None]

    def roots(self) -> list[Subject]:
        """Return the units with no unit above them that is seen too, by name."""
        seen = [unit for unit in self.units.values() if unit.parent_id not in self.units]
        return sorted(seen, key=lambda unit: unit.name)

    def below(self, unit_id: str) -> list[Subject]:
        """Return who gets a part of a unit's goal: its units, or else its sellers.

        In a unit without units below and without sellers everybody placed there does.
        """
        units = [unit for unit in self.units.values() if unit.parent_id == unit_id]
        if units:
            return sorted(units, key=lambda unit: (unit.name, unit.id))
        here = [person for person in self.people.values() if person.parent_id == unit_id]
        sellers = [person for person in here if person.level == SELLS]
        return sorted(sellers or here, key=lambda person: (person.name, person.id))

    def path(self, unit_id: str) -> list[Subject]:
        """Return the seen units from the top down to this one."""
        found: list[Subject] = []
        at: str | None = unit_id
        while at is not None and at in self.units and self.units[at] not in found:
            found.append(self.units[at])
            at = self.units[at].parent_id
        return found[::-1]

    def find(self, kind: Kind, subject_id: str) -> Subject | None:
        """Return a seen subject."""
        return (self.units if kind == "org_unit" else self.people).get(subject_id)

    def strength(self, subject: Subject, period: Period) -> Strength:
        """Return how many sellers a subject has in some period, and for how much of it."""
        if subject.kind == "user":
            return _sum([segments(self.presence[subject.id], period)])
        inside = self._inside(subject.id)
        return _sum(
            [s for s in segments(presence, period) if s.org_unit_id in inside]
            for user_id, presence in self.presence.items()
            if self.people[user_id].level == SELLS
        )

    def _inside(self, unit_id: str) -> set[str]:
        found, grew = {unit_id}, True
        while grew:
            more = {u for u, above in self._above.items() if above in found} - found
            found |= more
            grew = bool(more)
        return found


def _sum(given: Iterable[Sequence[Segment]]) -> Strength:
    heads, days, full = 0, Decimal(0), Decimal(0)
    for pieces in given:
        heads += bool(pieces)
        days += sum(piece.days for piece in pieces)
        full += sum((piece.weight for piece in pieces), Decimal(0))
    return Strength(heads, days, full)


def tree_of(session: Session, reach: Reach, *, period: Period, as_of: dt.datetime) -> Tree:
    """Return the tree of whom the person sees in a period, by two queries.

    A unit counts when it existed on some day of the period, a person when they were there.
    """
    rows = session.scalars(select(OrgUnit)).all()
    units = {
        row.id: Subject("org_unit", row.id, row.name, row.kind, row.parent_id)
        for row in rows
        if reach.sees("org_unit", row.id)
        and (row.valid_from is None or row.valid_from < period.end)
        and (row.valid_to is None or row.valid_to > period.start)
    }
    known = people(session, reach.visibility, as_of=as_of)
    named = session.execute(
        select(User.id, User.name, User.role).where(reach.visibility.condition(User.id))
    ).all()
    presence = {row.id: known[row.id].presence for row in named if row.id in known}
    subjects = {
        row.id: Subject("user", row.id, row.name, row.role, _main_unit(presence[row.id], period))
        for row in named
        if row.id in presence and segments(presence[row.id], period)
    }
    there = {user_id: presence[user_id] for user_id in subjects}
    return Tree(period, units, subjects, there, {row.id: row.parent_id for row in rows})


def _main_unit(presence: Presence, period: Period) -> str | None:
    """Return where a person is most of a period, the later place where two are equal."""
    days: dict[str | None, tuple[Decimal, dt.date]] = {}
    for piece in segments(presence, period):
        before = days.get(piece.org_unit_id, (Decimal(0), piece.start))[0]
        days[piece.org_unit_id] = (before + piece.days, piece.start)
    placed = {unit: found for unit, found in days.items() if unit is not None}
    return max(placed, key=lambda unit: placed[unit]) if placed else None
