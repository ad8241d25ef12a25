"""Who may do what to which goal: the declared permissions, and nobody one's own.

A file of its own beside ``operations.py``: reads and writes both ask it.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Literal

from sqlalchemy.orm import Session

from crm_core.errors import NotFound
from crm_core.people import permissions
from crm_core.people.permissions import Action
from crm_core.people.queries import SEES_EVERYONE, HasRole, Visibility, company_day
from crm_core.quotas.queries import people

SubjectKind = Literal["user", "org_unit"]


class NoSuchGoal(NotFound):
    """No goal has this number, or the asker may not know that it does."""


@dataclass(frozen=True, slots=True)
class Reach:
    """A person at the goals: whose they see, and which are their own."""

    viewer: HasRole
    visibility: Visibility
    home: frozenset[str]
    """The org units in which they are placed; a leader carries their goals."""

    def sees(self, kind: str, subject_id: str) -> bool:
        """Return whether the goals of a subject may be seen."""
        if not permissions.allowed(self.viewer, "view", "goals"):
            return False
        if kind == "org_unit":
            return self.visibility.leads(subject_id)
        return self.visibility.allows(subject_id)

    def carries(self, kind: str, subject_id: str) -> bool:
        """Return whether the goal is the person's own, or that of the unit they lead."""
        if kind == "user":
            return subject_id == self.viewer.id
        is_leader = self.viewer.role not in SEES_EVERYONE and self.visibility.leads(subject_id)
        return is_leader and subject_id in self.home

    def may(self, action: Action, kind: str, subject_id: str) -> bool:
        """Return whether the person may edit or approve a subject's goals: never their own."""
        return (
            permissions.allowed(self.viewer, action, "goals")
            and self.sees(kind, subject_id)
            and not self.carries(kind, subject_id)
        )

    def reads_drafts(self, kind: str, subject_id: str) -> bool:
        """Return whether drafts may be read: by who may write them, not by who carries them."""
        return self.may("edit", kind, subject_id)

    def require(self, action: Action, kind: str, subject_id: str) -> None:
        """Raise NoSuchGoal where nothing may be seen, MayNot where it may not be done."""
        if not self.sees(kind, subject_id):
            raise NoSuchGoal("There is no such goal among those you may see.")
        if self.carries(kind, subject_id):
            raise permissions.MayNot(f"Nobody may {action} the goal they carry; ask who set it.")
        permissions.require(self.viewer, action, "goals")


def reach_of(
    session: Session, viewer: HasRole, visibility: Visibility, *, as_of: dt.datetime
) -> Reach:
    """Return what a person reaches on the company's day of ``as_of``."""
    alone = Visibility(everyone=False, user_ids=frozenset({viewer.id}))
    found = people(session, alone, as_of=as_of).get(viewer.id)
    day = company_day(session, as_of)
    stays = found.presence.stays if found else ()
    home = {s.org_unit_id for s in stays if s.start <= day and (s.end is None or s.end > day)}
    return Reach(viewer, visibility, frozenset(home))
