"""People in a tree, and what they are doing."""

from __future__ import annotations

import datetime as dt

import pytest

from crm_core.people.queries import visible_to
from crm_core.processes.acting import Acting
from tests import factories

NOW = dt.datetime(2026, 6, 30, 12, tzinfo=dt.UTC)


def acting_as(session, user, *, at=NOW):
    """What a person does now, seeing what they may."""
    return Acting(
        viewer=user, visibility=visible_to(session, user, as_of=at), now=at, channel="api"
    )


def a_team(session):
    """A leader above a manager above two reps; sales operations and an administrator beside."""
    factories.a_company(session)
    leader = factories.a_user(session, key="leader", role="leader")
    manager = factories.a_user(session, key="manager", role="manager", manager_id="leader")
    reps = [
        factories.a_user(session, key=key, manager_id="manager") for key in ("rep", "colleague")
    ]
    others = [
        factories.a_user(session, key=key, role=role)
        for key, role in (("ops", "sales_ops"), ("admin", "admin"), ("finance", "finance"))
    ]
    return {user.id: user for user in (leader, manager, *reps, *others)}


@pytest.fixture
def team(session):
    return a_team(session)
