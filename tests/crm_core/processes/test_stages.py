"""A deal moves on when it fulfils what its stage asks, or when somebody who may says why not."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from crm_core.audit.models import AuditEntry
from crm_core.opportunities.models import OpportunityEvent
from crm_core.people.permissions import MayNot
from crm_core.processes import approvals, operations, tasks
from crm_core.processes.approval_views import one
from crm_core.processes.arithmetic import BadDelegate, SelfApproval
from crm_core.processes.gates import CriteriaMissing, UnknownStage
from crm_core.processes.models import Approval, ProcessEvent, StageOverride, Task
from crm_core.processes.operations import BadCriterion
from crm_core.processes.subjects import NoSuchSubject
from tests import factories
from tests.crm_core.processes.conftest import NOW, acting_as


@pytest.fixture
def deal(session, team):
    account = factories.an_account(session, owner_id="rep")
    return factories.an_opportunity(
        session, account=account, owner=team["rep"], created_at=NOW - dt.timedelta(days=3)
    )


def asks(session, team, kind, value, *, stage="Qualify", moment="exit"):
    return operations.add_criterion(
        session, pipeline="default", stage=stage, moment=moment, kind=kind, value=value,
        acting=acting_as(session, team["ops"]),
    )  # fmt: skip


def moves(session, user, deal, to, **given):
    return operations.change_stage(session, deal.id, to, acting=acting_as(session, user), **given)


def test_a_change_is_an_event_an_audit_entry_and_a_message(session, team, deal):
    assert moves(session, team["rep"], deal, "Propose").status == "changed"
    event = session.scalars(
        select(OpportunityEvent).where(OpportunityEvent.opportunity_id == deal.id)
        .order_by(OpportunityEvent.sequence.desc())
    ).first()  # fmt: skip
    assert (event.field, event.old_value, event.new_value) == ("stage", "Qualify", "Propose")
    assert (event.user_id, event.occurred_at) == ("rep", NOW)
    assert (deal.stage, deal.forecast_category, deal.outcome) == ("Propose", "best_case", None)
    entry = session.scalars(select(AuditEntry).where(AuditEntry.record_id == deal.id)).one()
    assert entry.changes == {"stage": ["Qualify", "Propose"]}
    told = session.scalars(select(ProcessEvent)).one()
    assert (told.kind, told.facts["stage"]) == ("opportunity.stage_changed", "Propose")


def test_the_same_stage_again_changes_nothing(session, team, deal):
    assert moves(session, team["rep"], deal, "Qualify").status == "unchanged"
    assert session.scalars(select(ProcessEvent)).all() == []


def test_winning_closes_the_deal_at_that_moment(session, team, deal):
    moves(session, team["rep"], deal, "Won")
    assert (deal.outcome, deal.closed_at) == ("won", NOW)


@pytest.mark.parametrize(
    ("kind", "value", "fulfil"),
    [
        ("field", "expected_close_on", lambda s, d: setattr(d, "expected_close_on", NOW.date())),
        ("field", "x_budget", lambda s, d: setattr(d, "custom", {"x_budget": 5})),
        ("contact_role", "champion", lambda s, d: factories.an_engagement(
            s, opportunity=d, contact=factories.a_contact(s, account=s.get(
                factories.Account, d.account_id)), role="champion")),
        ("activity", "meeting", lambda s, d: factories.an_activity(
            s, opportunity=d, kind="meeting", at=NOW - dt.timedelta(days=1))),
        ("condition", {"condition": {"field": "source", "op": "=", "value": "fair"},
                       "text": "it came from a fair"}, lambda s, d: setattr(d, "source", "fair")),
    ],
)  # fmt: skip
def test_a_criterion_holds_a_deal_until_it_is_fulfilled(session, team, deal, kind, value, fulfil):
    asks(session, team, kind, value)
    with pytest.raises(CriteriaMissing) as caught:
        moves(session, team["rep"], deal, "Propose")
    assert [each.kind for each in caught.value.missing] == [kind]
    assert deal.stage == "Qualify"
    fulfil(session, deal)
    session.flush()
    assert moves(session, team["rep"], deal, "Propose").status == "changed"


def test_days_in_the_stage_count_from_its_entry(session, team, deal):
    asks(session, team, "min_days", 3)
    assert moves(session, team["rep"], deal, "Propose").status == "changed"
    asks(session, team, "min_days", 1, stage="Propose")
    with pytest.raises(CriteriaMissing):
        moves(session, team["rep"], deal, "Negotiate")


def test_a_mandatory_task_is_made_on_entry_and_must_be_done(session, team, deal):
    asks(session, team, "task", "Confirm the budget", stage="Propose")
    moves(session, team["rep"], deal, "Propose")
    task = session.scalars(select(Task)).one()
    assert (task.title, task.assignee_id) == ("Confirm the budget", "rep")
    assert operations.mandatory_tasks(session, now=NOW) == 0
    with pytest.raises(CriteriaMissing, match="Confirm the budget"):
        moves(session, team["rep"], deal, "Won")
    later = NOW + dt.timedelta(hours=1)
    tasks.complete(session, task.id, acting=acting_as(session, team["rep"], at=later))
    acting = acting_as(session, team["rep"], at=later)
    assert operations.change_stage(session, deal.id, "Won", acting=acting).status == "changed"


def test_skipping_a_stage_asks_for_what_it_asks(session, team, deal):
    asks(session, team, "contact_role", "economic_buyer", stage="Negotiate")
    assert moves(session, team["rep"], deal, "Negotiate").status == "changed"
    deal2 = factories.an_opportunity(session, owner=team["rep"])
    with pytest.raises(CriteriaMissing):
        moves(session, team["rep"], deal2, "Won")


def test_losing_and_going_back_ask_for_entry_criteria_only(session, team, deal):
    asks(session, team, "contact_role", "champion", stage="Propose")
    asks(session, team, "field", "lost_reason", stage="Lost", moment="entry")
    moves(session, team["rep"], deal, "Propose")
    later = acting_as(session, team["rep"], at=NOW + dt.timedelta(hours=1))
    assert operations.change_stage(session, deal.id, "Qualify", acting=later).status == "changed"
    with pytest.raises(CriteriaMissing):
        operations.change_stage(session, deal.id, "Lost", acting=later)
    later = acting_as(session, team["rep"], at=NOW + dt.timedelta(hours=2))
    done = operations.change_stage(
        session, deal.id, "Lost", acting=later, lost_reason="too expensive"
    )
    assert (done.status, deal.outcome, deal.lost_reason) == ("changed", "lost", "too expensive")


class TestOverride:
    def test_of_a_manager_needs_a_reason_and_is_logged(self, session, team, deal):
        asks(session, team, "contact_role", "champion")
        with pytest.raises(CriteriaMissing):
            moves(session, team["manager"], deal, "Propose", reason="  ")
        done = moves(session, team["manager"], deal, "Propose", reason="The CEO called")
        assert done.status == "changed"
        kept = session.scalars(select(StageOverride)).one()
        assert (kept.user_id, kept.reason) == ("manager", "The CEO called")
        assert kept.missing[0]["kind"] == "contact_role"
        entry = session.scalars(select(AuditEntry).where(AuditEntry.action == "override")).one()
        assert entry.changes["override"][1]["reason"] == "The CEO called"

    def test_of_a_rep_waits_for_the_manager(self, session, team, deal):
        asks(session, team, "contact_role", "champion")
        waiting = moves(session, team["rep"], deal, "Propose", reason="The CEO called")
        assert (waiting.status, deal.stage) == ("waiting", "Qualify")
        acting = acting_as(session, team["manager"])
        done = operations.decide_approval(session, waiting.approval_id, "approve", acting=acting)
        assert (done.state, done.result, deal.stage) == ("approved", "done", "Propose")
        kept = session.scalars(select(StageOverride)).one()
        assert (kept.user_id, kept.approval_id) == ("rep", waiting.approval_id)

    def test_is_not_carried_out_when_the_deal_has_moved_on(self, session, team, deal):
        asks(session, team, "contact_role", "champion")
        waiting = moves(session, team["rep"], deal, "Propose", reason="Trust me")
        operations.change_stage(
            session, deal.id, "Lost",
            acting=acting_as(session, team["rep"], at=NOW + dt.timedelta(hours=1)),
        )  # fmt: skip
        done = operations.decide_approval(
            session, waiting.approval_id, "approve", acting=acting_as(session, team["manager"])
        )
        assert "moved on" in done.result
        assert deal.stage == "Lost"

    def test_of_a_managers_own_deal_is_not_theirs_to_decide(self, session, team):
        own = factories.an_opportunity(session, owner=team["manager"])
        asks(session, team, "contact_role", "champion")
        waiting = moves(session, team["manager"], own, "Propose", reason="I know better")
        assert waiting.status == "waiting"
        with pytest.raises(SelfApproval):
            operations.decide_approval(
                session, waiting.approval_id, "approve", acting=acting_as(session, team["manager"])
            )


class TestAccess:
    def test_hides_what_may_not_be_seen(self, session, team, deal):
        with pytest.raises(NoSuchSubject):
            moves(session, team["colleague"], deal, "Propose")

    def test_refuses_who_may_only_read(self, session, team, deal):
        with pytest.raises(MayNot):
            moves(session, team["finance"], deal, "Propose")

    def test_knows_only_the_stages_of_the_pipeline(self, session, team, deal):
        with pytest.raises(UnknownStage):
            moves(session, team["rep"], deal, "Imagined")

    def test_leaves_criteria_to_sales_operations(self, session, team):
        with pytest.raises(MayNot):
            operations.add_criterion(
                session, pipeline="default", stage="Qualify", moment="exit", kind="min_days",
                value=2, acting=acting_as(session, team["manager"]),
            )  # fmt: skip

    @pytest.mark.parametrize(
        ("kind", "value"),
        [("field", "password_hash"), ("min_days", -1), ("task", ""), ("activity", "party"),
         ("condition", {"condition": {}}), ("magic", 1)],
    )  # fmt: skip
    def test_refuses_a_criterion_that_means_nothing(self, session, team, kind, value):
        with pytest.raises(BadCriterion):
            asks(session, team, kind, value)


class TestApprovals:
    def a_request(self, session, team, steps=None, **policy):
        if steps:
            approvals.set_policy(
                session,
                purpose="discount",
                steps=steps,
                acting=acting_as(session, team["ops"]),
                **policy,
            )
        return approvals.request(
            session, purpose="discount", subject_kind="opportunity", subject_id="d1",
            title="20 % off", content={"percent": 20}, acting=acting_as(session, team["rep"]),
        )  # fmt: skip

    def decides(self, session, team, who, number, decision="approve", **given):
        return operations.decide_approval(
            session, number, decision, acting=acting_as(session, team[who]), **given
        )

    def test_go_step_by_step_and_keep_what_was_approved(self, session, team):
        number = self.a_request(
            session, team, [{"approver": {"manager": 1}}, {"approver": {"role": "finance"}}]
        )
        assert self.decides(session, team, "manager", number).state == "pending"
        done = self.decides(session, team, "finance", number, comment="fine")
        assert done.state == "approved"
        view = one(session, number, viewer_id="rep",
                   visibility=acting_as(session, team["rep"]).visibility)  # fmt: skip
        assert [(d.step, d.decision, d.by) for d in view.decisions] == [
            (0, "approve", "manager"), (1, "approve", "finance")]  # fmt: skip
        assert {d.content_hash for d in view.decisions} == {view.content_hash}

    def test_are_refused_when_the_content_read_is_another(self, session, team):
        number = self.a_request(session, team)
        with pytest.raises(approvals.ContentChanged):
            self.decides(session, team, "manager", number, seen_hash="0" * 64)

    def test_can_be_handed_on_but_not_to_who_asked(self, session, team):
        factories.an_opportunity(session, key="d1", owner=team["rep"])
        number = self.a_request(session, team)
        with pytest.raises(SelfApproval):
            self.decides(session, team, "manager", number, "delegate", to="rep")
        self.decides(session, team, "manager", number, "delegate", to="finance")
        assert self.decides(session, team, "finance", number).state == "approved"

    def test_are_not_handed_to_who_may_not_see_the_record(self, session, team):
        factories.an_opportunity(session, key="d1", owner=team["rep"])
        number = self.a_request(session, team)
        with pytest.raises(BadDelegate):
            self.decides(session, team, "manager", number, "delegate", to="colleague")

    def test_escalate_to_who_stands_above_and_to_the_administrator_at_last(self, session, team):
        number = self.a_request(session, team)
        asked = session.get(Approval, number)
        for _ in range(4):
            approvals.escalate(session, now=NOW + dt.timedelta(days=30))
        assert set(asked.approvers) == {"manager", "leader"}
        for days in (60, 90):
            approvals.escalate(session, now=NOW + dt.timedelta(days=days))
        assert set(asked.approvers) == {"manager", "leader", "admin"}
        assert self.decides(session, team, "leader", number).state == "approved"

    def test_are_not_asked_twice_at_once(self, session, team):
        self.a_request(session, team)
        with pytest.raises(approvals.AlreadyAsked):
            self.a_request(session, team)

    def test_allow_oneself_only_where_the_policy_says_so(self, session, team):
        approvals.set_policy(
            session, purpose="discount", steps=[{"approver": {"user": "rep"}}], allows_self=True,
            acting=acting_as(session, team["ops"]),
        )  # fmt: skip
        assert self.decides(session, team, "rep", self.a_request(session, team)).state == "approved"

    @pytest.mark.parametrize(
        "statement",
        [
            "update approvals set content = '{}'",
            "update approvals set requested_by = 'ops'",
            "delete from approvals",
            "update approval_decisions set decision = 'reject'",
            "delete from approval_decisions",
            "update approval_policies set allows_self = true",
        ],
    )
    def test_cannot_be_rewritten_even_in_the_database(self, session, team, statement):
        self.decides(session, team, "manager", self.a_request(session, team))
        with pytest.raises(DBAPIError, match=r"append-only|cannot be changed"):
            session.execute(text(statement))
