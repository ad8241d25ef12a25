"""Goals move by rule, keep every version, and only what is approved becomes a quota."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from sqlalchemy import func, select, text

from crm_core.goals import operations, queries
from crm_core.goals.access import NoSuchGoal, reach_of
from crm_core.goals.arithmetic import Child, NoSuchMove, SelfApproval, split
from crm_core.goals.models import Goal, GoalVersion
from crm_core.goals.operations import (
    ChangePending,
    FlagsNeedAReason,
    GoalChanged,
    NotAGoal,
    Wanted,
)
from crm_core.goals.tree import tree_of
from crm_core.money import Money
from crm_core.people.models import Assignment, Company, OrgUnit, User
from crm_core.people.permissions import MayNot
from crm_core.people.queries import visible_to
from crm_core.periods import Period
from crm_core.quotas import operations as quota_operations
from crm_core.quotas.models import Quota
from crm_core.quotas.queries import targets

NOW = dt.datetime(2026, 3, 20, 9, tzinfo=dt.UTC)
D = dt.date.fromisoformat
Q2 = Period(D("2026-04-01"), D("2026-07-01"), "2026-Q2")
LATER = dt.datetime(2026, 6, 30, tzinfo=dt.UTC)
PEOPLE = {
    "ops": ("sales_ops", None, None), "fin": ("finance", None, None),
    "chief": ("leader", None, "company"), "head": ("leader", "chief", "north"),
    "boss": ("manager", "head", "east"), "ann": ("rep", "boss", "east"),
    "bea": ("rep", "boss", "east"), "cy": ("rep", None, "west"),
}  # fmt: skip
UNITS = {"company": None, "north": "company", "east": "north", "west": "north"}
HIRED = {"bea": D("2026-05-01")}


@pytest.fixture
def firm(session):
    """A company of three levels with a region of two teams."""
    session.add(Company(id=1, name="Firm", currency="USD", time_zone="Asia/Shanghai"))
    for unit, parent in UNITS.items():
        session.add(OrgUnit(id=unit, name=unit.title(), parent_id=parent))
        session.flush()
    for name, (role, manager, unit) in PEOPLE.items():
        session.add(User(id=name, name=name.title(), email=f"{name}@firm.example", role=role,
                         manager_id=manager, org_unit_id=unit,
                         hired_on=HIRED.get(name, D("2020-01-01"))))  # fmt: skip
        session.flush()
        if unit:
            session.add(Assignment(user_id=name, org_unit_id=unit, valid_from=D("2020-01-01")))
    session.flush()
    return session


@pytest.fixture
def at(firm):
    """How somebody reaches the goals."""

    def reach(name, now=NOW):
        user = firm.get(User, name)
        return reach_of(firm, user, visible_to(firm, user, as_of=now), as_of=now)

    return reach


def usd(major):
    return Money(int(Decimal(major) * 100), "USD")


def wanted(subject_id, major, **more):
    kind = "org_unit" if subject_id in UNITS else "user"
    given = {"subject_kind": kind, "metric": "bookings", "period": Q2, **more}
    return Wanted(subject_id=subject_id, amount=usd(major), **given)


@pytest.fixture
def approved(firm, at):
    """A function that carries a goal from nothing to approved."""

    def approve(subject_id, major, **more):
        goal = operations.propose(firm, wanted(subject_id, major, **more), reach=at("ops"), now=NOW)
        version = firm.scalar(select(func.max(GoalVersion.version)).filter_by(goal_id=goal.id))
        operations.act(firm, goal.id, "submit", version=version, reach=at("ops"), now=NOW)
        now = NOW + dt.timedelta(minutes=version)
        operations.act(firm, goal.id, "approve", version=version, reach=at("fin"), now=now)
        return goal

    return approve


def target_of(session, kind, subject_id, scope, as_of=LATER):
    found = targets(session, subject_kind=kind, metric="bookings", scope=scope, period=Q2,
                    currency="USD", as_of=as_of)  # fmt: skip
    return found[subject_id].target.amount if subject_id in found else None


class TestAGoal:
    def test_is_a_quota_only_once_approved(self, firm, at):
        goal = operations.propose(firm, wanted("ann", 900), reach=at("ops"), now=NOW)
        operations.act(firm, goal.id, "submit", version=1, reach=at("ops"), now=NOW)
        assert firm.scalar(select(func.count()).select_from(Quota)) == 0
        operations.act(firm, goal.id, "approve", version=1, reach=at("fin"), now=NOW)
        everyone = at("ops").visibility
        assert target_of(firm, "user", "ann", everyone) == usd(900)
        assert target_of(firm, "user", "ann", everyone, as_of=NOW - dt.timedelta(days=1)) is None

    def test_is_not_approved_by_who_wrote_or_proposed_it(self, firm, at):
        goal = operations.propose(firm, wanted("ann", 900), reach=at("ops"), now=NOW)
        operations.act(firm, goal.id, "submit", version=1, reach=at("head"), now=NOW)
        for author in ("ops", "head"):
            with pytest.raises(SelfApproval):
                operations.act(firm, goal.id, "approve", version=1, reach=at(author), now=NOW)
        operations.act(firm, goal.id, "approve", version=1, reach=at("chief"), now=NOW)

    def test_is_not_set_or_approved_by_who_carries_it(self, firm, at):
        for who, subject in (("boss", "boss"), ("boss", "east"), ("head", "north")):
            with pytest.raises(MayNot, match="carry"):
                operations.propose(firm, wanted(subject, 1), reach=at(who), now=NOW)
        with pytest.raises(MayNot):
            operations.propose(firm, wanted("ann", 1), reach=at("ann"), now=NOW)
        for who, subject in (
            ("boss", "north"),
            ("boss", "west"),
            ("ann", "bea"),
            ("head", "company"),
        ):
            with pytest.raises(NoSuchGoal):
                operations.propose(firm, wanted(subject, 1), reach=at(who), now=NOW)
        operations.propose(firm, wanted("east", 1), reach=at("head"), now=NOW)
        operations.propose(firm, wanted("ann", 1), reach=at("boss"), now=NOW)

    def test_in_discussion_is_open_to_who_carries_it_and_a_draft_is_not(self, firm, at):
        goal = operations.propose(firm, wanted("ann", 900), reach=at("boss"), now=NOW)
        with pytest.raises(NoSuchGoal):
            queries.detail(firm, goal.id, reach=at("ann"))
        with pytest.raises(NoSuchGoal):
            operations.act(firm, goal.id, "comment", version=1, reach=at("ann"), now=NOW, note="?")
        operations.act(firm, goal.id, "submit", version=1, reach=at("boss"), now=NOW)
        operations.act(firm, goal.id, "comment", version=1, reach=at("ann"), now=NOW,
                       note="too much")  # fmt: skip
        operations.commit_to(firm, goal.id, usd(700), reach=at("ann"), now=NOW)
        seen = queries.detail(firm, goal.id, reach=at("ann"))
        assert [(step.act, step.by, step.note) for step in seen.steps] == [
            ("comment", "Ann", "too much"), ("submit", "Boss", None), ("propose", "Boss", None),
        ]  # fmt: skip
        assert seen.commits[0].amount == usd(700)
        assert (seen.goal.may, seen.goal.may_commit) == (("comment",), True)
        with pytest.raises(NoSuchGoal):
            queries.detail(firm, goal.id, reach=at("bea"))

    def test_changes_by_a_version_more_with_a_reason(self, firm, at, approved):
        approved("ann", 910)
        with pytest.raises(NotAGoal, match="needs a reason"):
            operations.propose(firm, wanted("ann", 1820), reach=at("ops"), now=NOW)
        approved("ann", 1820, reason="new product", effective_on=D("2026-05-01"))
        everyone = at("ops").visibility
        assert target_of(firm, "user", "ann", everyone) == usd(300 + 2 * 610)
        before = NOW + dt.timedelta(minutes=1)
        assert target_of(firm, "user", "ann", everyone, as_of=before) == usd(910)
        goal = firm.scalars(select(Goal)).one()
        kept = queries.detail(firm, goal.id, reach=at("ops"))
        assert [(v.version, v.amount, v.reason) for v in kept.versions] == [
            (2, usd(1820), "new product"), (1, usd(910), None),
        ]  # fmt: skip

    def test_approved_stays_in_force_while_its_change_is_discussed(self, firm, at, approved):
        goal = approved("ann", 910)
        operations.propose(firm, wanted("ann", 5, reason="typo"), reach=at("boss"), now=NOW)
        with pytest.raises(ChangePending):
            operations.propose(firm, wanted("ann", 6, reason="again"), reach=at("ops"), now=NOW)
        assert target_of(firm, "user", "ann", at("ops").visibility) == usd(910)
        seen = queries.detail(firm, goal.id, reach=at("boss")).goal
        assert (seen.shown.amount, seen.in_force.amount) == (usd(5), usd(910))
        assert queries.detail(firm, goal.id, reach=at("ann")).goal.shown.amount == usd(910)

    def test_locked_is_reopened_only_by_who_sees_everything(self, firm, at, approved):
        goal = approved("ann", 910)
        operations.act(firm, goal.id, "lock", version=1, reach=at("fin"), now=NOW)
        with pytest.raises(ChangePending, match="locked"):
            operations.propose(firm, wanted("ann", 5, reason="x"), reach=at("boss"), now=NOW)
        with pytest.raises(NoSuchMove):
            operations.act(firm, goal.id, "withdraw", version=1, reach=at("ops"), now=NOW, note="x")
        operations.propose(firm, wanted("ann", 5, reason="x"), reach=at("ops"), now=NOW)

    def test_flagged_is_locked_only_with_a_reason(self, firm, at, approved):
        goal = approved("ann", 910)
        flags = [{"flag": "unattainable", "ratio": "2.1"}]
        with pytest.raises(FlagsNeedAReason, match="unattainable"):
            operations.act(firm, goal.id, "lock", version=1, reach=at("fin"), now=NOW, flags=flags)
        operations.act(firm, goal.id, "lock", version=1, reach=at("fin"), now=NOW, flags=flags,
                       note="a launch is planned")  # fmt: skip
        last = queries.detail(firm, goal.id, reach=at("ops")).steps[0]
        assert (last.note, last.flags) == ("a launch is planned", tuple(flags))

    def test_read_before_somebody_moved_it_is_not_moved(self, firm, at, approved):
        goal = approved("ann", 910)
        operations.propose(firm, wanted("ann", 5, reason="x"), reach=at("ops"), now=NOW)
        with pytest.raises(GoalChanged):
            operations.act(firm, goal.id, "lock", version=1, reach=at("fin"), now=NOW)

    def test_survives_a_change_of_the_calendar(self, firm, at, approved):
        """HubSpot: editing the period wipes goals. Here nothing moves and nothing is lost."""
        approved("ann", 910)
        operations.propose(firm, wanted("bea", 50), reach=at("ops"), now=NOW)
        before = queries.goals_of(firm, at("ops"), [("user", "ann"), ("user", "bea")],
                                  metric="bookings", period=Q2)  # fmt: skip
        firm.get(Company, 1).fiscal_year_start_month = 2
        firm.flush()
        firm.execute(text("delete from stages"))
        after = queries.goals_of(firm, at("ops"), [("user", "ann"), ("user", "bea")],
                                 metric="bookings", period=Q2)  # fmt: skip
        assert after == before
        assert len(before) == 2
        assert queries.periods_with_goals(firm, at("ops"), metric="bookings") == [Q2]
        assert target_of(firm, "user", "ann", at("ops").visibility) == usd(910)

    def test_of_a_newcomer_is_the_amount_as_planned_unless_it_is_for_everybody(
        self, firm, at, approved
    ):
        approved("bea", 610)  # there from 1 May: 61 of 91 days
        everyone = at("ops").visibility
        assert target_of(firm, "user", "bea", everyone) == usd(610)
        approved("bea", 910, reason="as everybody", whole=True)
        assert target_of(firm, "user", "bea", everyone) == usd(610)
        firm.get(User, "bea").left_on = D("2026-06-01")
        firm.flush()
        assert target_of(firm, "user", "bea", everyone) == usd(310)

    def test_of_who_goes_on_leave_falls_by_those_days_and_comes_back(self, firm, at, approved):
        approved("ann", 910)
        may = at("boss").visibility
        leave = quota_operations.record_leave(
            firm, user_id="ann", starts_on=D("2026-04-11"), ends_on=D("2026-05-11"), within=may,
            by="boss", now=NOW + dt.timedelta(days=30),
        )  # fmt: skip
        assert target_of(firm, "user", "ann", may) == usd(610)
        known_before = NOW + dt.timedelta(days=29)
        assert target_of(firm, "user", "ann", may, as_of=known_before) == usd(910)
        with pytest.raises(quota_operations.LeaveOverlaps):
            quota_operations.record_leave(firm, user_id="ann", starts_on=D("2026-05-10"),
                                          ends_on=D("2026-05-12"), within=may,
                                          by=None, now=NOW)  # fmt: skip
        quota_operations.cancel_leave(firm, leave, within=may, by="boss",
                                      now=NOW + dt.timedelta(days=40))  # fmt: skip
        assert target_of(firm, "user", "ann", may) == usd(910)
        assert target_of(firm, "user", "ann", may, as_of=NOW + dt.timedelta(days=35)) == usd(610)

    def test_follows_a_ramp_from_when_it_was_set(self, firm, at, approved):
        approved("bea", 910, whole=True)
        quota_operations.set_ramp(firm, percents=[50, 75], hired_from=D("2026-01-01"),
                                  reason="new hires need time", by="ops",
                                  now=NOW + dt.timedelta(days=1))  # fmt: skip
        everyone = at("ops").visibility
        assert target_of(firm, "user", "bea", everyone) == usd("380")  # 31 × ½ + 30 × ¾ of 91
        assert target_of(firm, "user", "bea", everyone, as_of=NOW + dt.timedelta(hours=1)) == usd(
            610
        )


class TestPassingDown:
    def children(self, firm, at, unit, who="ops"):
        tree = tree_of(firm, at(who), period=Q2, as_of=NOW)
        return [Child(kind=each.kind, id=each.id) for each in tree.below(unit)]

    def test_makes_a_draft_for_each_child_that_sums_to_what_was_passed(self, firm, at, approved):
        goal = approved("north", 100)
        below = self.children(firm, at, "north", "head")
        assert [child.id for child in below] == ["east", "west"]
        found = split(usd(100), below, mix={"even": Decimal(1)}, factor=Decimal("1.05"))
        made = operations.pass_down(firm, goal.id, found, version=1, method="waterfall",
                                    mix=found.mix, reason=None, reach=at("head"),
                                    now=NOW)  # fmt: skip
        assert len(made) == 2
        drafts = firm.scalars(select(GoalVersion).where(GoalVersion.state == "draft")).all()
        assert sum(draft.amount_minor for draft in drafts) == 105_00
        again = split(usd(100), below, mix={"even": Decimal(1)})
        operations.pass_down(firm, goal.id, again, version=1, method="waterfall", mix=again.mix,
                             reason=None, reach=at("head"), now=NOW)  # fmt: skip
        drafts = firm.scalars(select(GoalVersion).where(GoalVersion.state == "draft")).all()
        assert sum(draft.amount_minor for draft in drafts) == 100_00

    def test_of_padding_shows_nowhere_below(self, firm, at, approved):
        goal = approved("north", 100)
        found = split(usd(100), self.children(firm, at, "north"), mix={"even": Decimal(1)},
                      factor=Decimal("1.2"))  # fmt: skip
        made = operations.pass_down(firm, goal.id, found, version=1, method="waterfall",
                                    mix=found.mix, reason="stretch", reach=at("head"),
                                    now=NOW)  # fmt: skip
        for child in made:
            operations.act(firm, child.id, "submit", version=1, reach=at("head"), now=NOW)
            operations.act(firm, child.id, "approve", version=1, reach=at("fin"), now=NOW)
        boss = at("boss")
        with pytest.raises(NoSuchGoal):
            queries.detail(firm, goal.id, reach=boss)
        units = [("org_unit", unit) for unit in UNITS]
        seen = queries.goals_of(firm, boss, units, metric="bookings", period=Q2)
        assert {key: view.shown.amount for key, view in seen.items()} == {
            ("org_unit", "east"): usd(60)
        }
        own = queries.detail(firm, seen["org_unit", "east"].id, reach=boss)
        assert own.passed_down == ()
        assert set(targets(firm, subject_kind="org_unit", metric="bookings", scope=boss.visibility,
                           period=Q2, currency="USD", as_of=LATER)) == {"east"}  # fmt: skip
        above = queries.detail(firm, goal.id, reach=at("head"))
        assert above.passed_down[0].factor == Decimal("1.2")
        assert above.passed_down[0].passed == usd(120)

    def test_tree_counts_people_where_they_are_most_of_the_period(self, firm, at):
        firm.add(Assignment(user_id="cy", org_unit_id="east", valid_from=D("2026-06-20")))
        firm.flush()
        tree = tree_of(firm, at("ops"), period=Q2, as_of=NOW)
        assert [each.id for each in tree.below("west")] == ["cy"]
        assert [each.id for each in tree.below("east")] == ["ann", "bea"]
        east = tree.find("org_unit", "east")
        strength = tree.strength(east, Q2)
        assert (strength.heads, strength.days) == (3, 91 + 61 + 11)
        assert [unit.id for unit in tree.path("east")] == ["company", "north", "east"]
