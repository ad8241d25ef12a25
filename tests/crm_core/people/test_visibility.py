"""Who may see what, against an independent twin."""

from __future__ import annotations

import datetime as dt
import importlib.util
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from crm_core.database import set_now
from crm_core.people import queries
from crm_core.people.models import Assignment, Company, OrgUnit, ReportingLine, User

_SPEC = importlib.util.spec_from_file_location(
    "visibility_oracle", Path(__file__).parents[2] / "oracles" / "visibility.py"
)
oracle = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(oracle)

DAY = dt.date(2026, 6, 30)
NOON = dt.datetime(2026, 6, 30, 12, tzinfo=dt.UTC)
ROLES = ("rep", "rep", "rep", "manager", "manager", "leader", "finance")


def a_company(zone="UTC"):
    return Company(id=1, name="Acme", currency="USD", time_zone=zone)


def a_user(user_id, role="rep", **fields):
    return User(id=user_id, name=user_id, email=f"{user_id}@x", role=role, **fields)


@st.composite
def organisations(draw):
    n_units, n_users = draw(st.integers(1, 5)), draw(st.integers(1, 8))
    unit = st.one_of(st.none(), st.integers(0, n_units - 1).map("u{}".format))
    # a unit hangs below an earlier one: a tree; managers may form cycles, as real data do
    units = {
        f"u{i}": f"u{draw(st.integers(0, i - 1))}" if i and draw(st.booleans()) else None
        for i in range(n_units)
    }
    days = st.integers(-3, 3).map(lambda d: DAY + dt.timedelta(days=d))
    users = [
        {
            "id": f"p{i}",
            "role": draw(st.sampled_from(ROLES)),
            "org_unit_id": draw(unit),
            "manager_id": draw(st.one_of(st.none(), st.integers(0, n_users - 1).map("p{}".format))),
            "left_on": draw(st.one_of(st.none(), days)),
        }
        for i in range(n_users)
    ]
    placements = st.tuples(
        st.integers(0, n_users - 1), st.integers(0, n_units - 1), days, st.one_of(st.none(), days)
    )
    drawn = draw(st.lists(placements, max_size=10, unique_by=lambda placement: placement[:3]))
    assignments = [
        {"user_id": f"p{p}", "org_unit_id": f"u{u}", "valid_from": start, "valid_to": end}
        for p, u, start, end in drawn
        if end is None or end >= start
    ]
    return users, units, assignments


class TestVisibleTo:
    @settings(
        max_examples=150,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(organisations())
    def test_agrees_with_the_twin_for_everybody_in_any_organisation(self, session, organisation):
        users, units, assignments = organisation
        savepoint = session.begin_nested()
        session.add(a_company())
        session.add_all(OrgUnit(id=u, name=u, parent_id=parent) for u, parent in units.items())
        session.flush()
        session.add_all(
            a_user(u["id"], u["role"], **{k: v for k, v in u.items() if k not in ("id", "role")})
            for u in users
        )
        session.flush()
        session.add_all(Assignment(**a) for a in assignments)
        session.flush()
        for user in session.scalars(select(User)).all():
            seen = queries.visible_to(session, user, as_of=NOON)
            mine = {u["id"] for u in users if seen.allows(u["id"])}
            assert mine == oracle.visible(user.id, users, units, assignments, DAY), user.id
        savepoint.rollback()
        session.expunge_all()

    @pytest.fixture
    def moved(self, session):
        """A rep who moves from East to West at the company's midnight of 30 June in Shanghai."""
        session.add_all([a_company("Asia/Shanghai"), OrgUnit(id="east", name="East")])
        session.add(OrgUnit(id="west", name="West"))
        east = a_user("east_manager", "manager", org_unit_id="east")
        west = a_user("west_manager", "manager", org_unit_id="west")
        session.add_all([east, west, a_user("mover")])
        session.flush()
        session.add_all(
            [
                Assignment(user_id="mover", org_unit_id="east",
                           valid_from=dt.date(2026, 1, 1), valid_to=DAY),
                Assignment(user_id="mover", org_unit_id="west", valid_from=DAY),
            ]
        )  # fmt: skip
        session.flush()
        return east, west

    @pytest.mark.parametrize(
        ("instant", "seen_by_east"),
        [("2026-06-29T15:59:59+00:00", True), ("2026-06-29T16:00:00+00:00", False)],
    )
    def test_changes_hands_at_the_company_s_midnight(self, session, moved, instant, seen_by_east):
        east, west = moved
        as_of = dt.datetime.fromisoformat(instant)
        assert queries.visible_to(session, east, as_of=as_of).allows("mover") is seen_by_east
        assert queries.visible_to(session, west, as_of=as_of).allows("mover") is not seen_by_east

    def test_keeps_a_leaver_s_history_with_the_last_team(self, session, moved):
        _, west = moved
        session.get(User, "mover").left_on = dt.date(2026, 8, 1)
        session.get(Assignment, ("mover", "west", DAY)).valid_to = dt.date(2026, 8, 1)
        session.flush()
        as_of = dt.datetime(2027, 1, 1, tzinfo=dt.UTC)
        assert queries.visible_to(session, west, as_of=as_of).allows("mover")

    def test_hides_a_superior_who_is_placed_in_the_same_unit(self, session, moved):
        east, _ = moved
        session.add(a_user("boss", "leader", org_unit_id="east"))
        session.flush()
        manager_becomes(session, "east_manager", "boss", on=DAY)
        assert not queries.visible_to(session, east, as_of=NOON).allows("boss")

    def test_shows_unowned_records_only_to_who_sees_everybody(self, session):
        admin, leader = a_user("a", "admin"), a_user("l", "leader")
        assert queries.visible_to(session, admin, as_of=NOON).allows(None)
        assert not queries.visible_to(session, leader, as_of=NOON).allows(None)

    def test_gives_a_role_it_does_not_know_only_their_own(self, session):
        stranger = a_user("s", "auditor")
        assert queries.visible_to(session, stranger, as_of=NOON).user_ids == {"s"}


def manager_becomes(session, user_id, manager_id, *, on):
    """Change whom somebody reports to, on a day of the company."""
    set_now(session, dt.datetime.combine(on, dt.time(3), tzinfo=dt.UTC))
    session.get(User, user_id).manager_id = manager_id
    session.flush()


class TestReportingLines:
    @pytest.fixture
    def people(self, session):
        session.add(a_company())
        session.add_all([a_user(name, "manager") for name in ("old", "new")])
        session.flush()
        session.add(a_user("mover", manager_id="old"))
        session.flush()
        return {name: session.get(User, name) for name in ("old", "new")}

    def sees(self, session, people, *, days_later):
        as_of = NOON + dt.timedelta(days=days_later)
        return [
            name
            for name, user in people.items()
            if queries.visible_to(session, user, as_of=as_of).allows("mover")
        ]

    def test_keep_whom_one_reported_to(self, session, people):
        manager_becomes(session, "mover", "new", on=DAY)
        assert self.sees(session, people, days_later=-1) == ["old"]
        assert self.sees(session, people, days_later=0) == ["new"]
        manager_becomes(session, "mover", None, on=DAY + dt.timedelta(days=10))
        assert self.sees(session, people, days_later=-400) == ["old"]
        assert self.sees(session, people, days_later=9) == ["new"]
        assert self.sees(session, people, days_later=10) == []

    def test_forget_what_was_taken_back_on_the_same_day(self, session, people):
        manager_becomes(session, "mover", "new", on=DAY)
        manager_becomes(session, "mover", "old", on=DAY)
        assert session.scalars(select(ReportingLine)).all() == []
        assert self.sees(session, people, days_later=-1) == ["old"]

    def test_keep_the_first_of_several_changes_of_a_day(self, session, people):
        manager_becomes(session, "mover", None, on=DAY)
        manager_becomes(session, "mover", "new", on=DAY)
        assert self.sees(session, people, days_later=-1) == ["old"]
        assert self.sees(session, people, days_later=0) == ["new"]


class TestWithoutAPlace:
    def test_names_who_no_team_would_count(self, session):
        session.add_all([a_company(), OrgUnit(id="east", name="East")])
        session.flush()
        session.add_all(
            [
                a_user("boss", "leader"),
                a_user("lone manager", "manager"),
                a_user("admin", "admin"),
                a_user("in a team", org_unit_id="east"),
                a_user("lost"),
                a_user("gone", left_on=DAY),
                a_user("to come", hired_on=DAY + dt.timedelta(days=1)),
                a_user("between teams", org_unit_id="east"),
            ]
        )
        session.flush()
        session.add(a_user("below the boss", manager_id="boss"))
        session.add(
            Assignment(user_id="between teams", org_unit_id="east",
                       valid_from=dt.date(2026, 1, 1), valid_to=DAY)
        )  # fmt: skip
        session.flush()
        found = [person.id for person in queries.without_place(session, as_of=NOON)]
        assert found == ["between teams", "lone manager", "lost"]
