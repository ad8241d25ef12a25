"""A small team: a leader, two managers and their reps, with a quarter to sell in."""

from __future__ import annotations

import datetime as dt
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from sqlalchemy import event

from crm_core.forecasts.queries import Asker
from crm_core.people.queries import Viewer, Visibility, visible_to
from crm_core.periods import Period
from tests import factories

QUARTER = Period(dt.date(2026, 4, 1), dt.date(2026, 7, 1), "2026-Q2")
NOON = dt.datetime(2026, 5, 20, 10, tzinfo=dt.UTC)
PEOPLE = {
    "lena": ("leader", None),
    "mara": ("manager", "lena"),
    "max": ("manager", "lena"),
    "rosa": ("rep", "mara"),
    "rolf": ("rep", "mara"),
    "rita": ("rep", "max"),
    "olga": ("sales_ops", None),
    "lone": ("rep", None),
}


def viewer(person):
    return Viewer(person.id, person.name, person.email, person.role, None, "token")


@pytest.fixture
def team(session):
    """The people by name, and functions that say what somebody is asked as."""
    factories.a_company(session)
    people = {
        name: factories.a_user(session, key=name, role=role, manager_id=manager)
        for name, (role, manager) in PEOPLE.items()
    }

    def asker(name, as_of=NOON):
        return Asker(name, visible_to(session, people[name], as_of=as_of))

    def by(name, as_of=NOON):
        return {"viewer": viewer(people[name]), "may": asker(name, as_of).may}

    return SimpleNamespace(people=people, asker=asker, by=by, viewer=lambda n: viewer(people[n]))


@pytest.fixture
def everyone():
    return Asker("olga", Visibility(everyone=True))


@pytest.fixture
def statements(session):
    """Return a context that gathers the statements run in it."""

    @contextmanager
    def gathered():
        seen = []

        def note(_connection, _cursor, statement, *_rest):
            seen.append(statement)

        event.listen(session.get_bind(), "before_cursor_execute", note)
        try:
            yield seen
        finally:
            event.remove(session.get_bind(), "before_cursor_execute", note)

    return gathered
