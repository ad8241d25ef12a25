"""A rule acts once per event, never in a circle, whoever delivers what in which order."""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from crm_core.database import transaction
from crm_core.leads.models import Lead
from crm_core.opportunities import changing
from crm_core.opportunities.models import Opportunity, OpportunityEvent
from crm_core.people.permissions import MayNot
from crm_core.processes import rules
from crm_core.processes.carrying_out import DEEPEST, handle_next, rehearse
from crm_core.processes.conditions import BadCondition
from crm_core.processes.draining import drain
from crm_core.processes.models import Alert, ProcessEvent, RuleRun, Task
from crm_core.processes.outbox import Cause, emit
from tests import factories
from tests.crm_core.processes.conftest import NOW, a_team, acting_as

MINUTE = dt.timedelta(minutes=1)


def a_rule(session, ops, *actions, condition=None, event="opportunity.stage_changed", **given):
    name = given.pop("name", f"rule {session.scalar(select(func.count(rules.Rule.id)))}")
    draft = rules.Draft(
        name=name, event_kind=event, condition=condition or {}, actions=actions, **given
    )
    return rules.write(session, draft, acting=acting_as(session, ops, at=NOW - MINUTE))


def happens(session, deal_id, *, kind="opportunity.stage_changed", at=NOW, **given):
    return emit(
        session, kind, deal_id, actor_id=None, occurred_at=at,
        recorded_at=given.pop("recorded_at", NOW), **given,
    )  # fmt: skip


def handled(session, limit=200):
    for number in range(limit):
        if handle_next(session, now=NOW) is None:
            return number
    raise AssertionError("the outbox never gets empty")


TASK = {"kind": "task", "title": "Call them", "due_in_days": 2}
SET = {"kind": "set", "field": "x_touched", "value": "yes"}
NOTIFY = {"kind": "notify", "to": "manager", "text": "Look at this"}


class TestEffects:
    def test_follow_only_where_the_condition_holds(self, session, team):
        rep = team["rep"]
        large = factories.an_opportunity(session, owner=rep, amount="9000")
        small = factories.an_opportunity(session, owner=rep, amount="10")
        big = {"field": "amount", "op": ">=", "value": 5000}
        a_rule(session, team["ops"], TASK, SET, NOTIFY, condition=big)
        for deal in (large, small):
            happens(session, deal.id)
        assert handled(session) == 3  # the third is what the rule itself changed
        task = session.scalars(select(Task)).one()
        assert (task.subject_id, task.assignee_id) == (large.id, "rep")
        assert task.due_on == NOW.date() + dt.timedelta(days=2)
        session.expire_all()
        assert (large.custom, small.custom) == ({"x_touched": "yes"}, {})
        assert session.scalars(select(Alert.user_id).where(Alert.kind == "rule")).all() == [
            "manager"
        ]

    def test_that_fail_undo_the_whole_rule_and_spare_the_others(self, session, team):
        lead = Lead(id="l1", created_at=NOW, status="new")
        session.add(lead)
        session.flush()
        a_rule(session, team["ops"], NOTIFY | {"to": "ops"}, {"kind": "assign", "to": "policy"},
               event="lead.created", name="a")  # fmt: skip
        a_rule(session, team["ops"], NOTIFY | {"to": "admin"}, event="lead.created", name="b")
        event = emit(session, "lead.created", "l1", actor_id=None, occurred_at=NOW, recorded_at=NOW)
        session.delete(lead)  # gone before the worker came
        session.flush()
        handled(session)
        outcomes = dict(session.execute(
            select(RuleRun.rule_id, RuleRun.outcome).where(RuleRun.event_id == event)
        ).all())  # fmt: skip
        assert sorted(outcomes.values()) == ["done", "failed"]
        told = session.scalars(select(Alert.user_id).where(Alert.kind == "rule")).all()
        assert told == ["admin"]


class TestVersions:
    def test_count_from_when_they_say_and_are_never_changed(self, session, team):
        deal = factories.an_opportunity(session, owner=team["rep"])
        first = a_rule(session, team["ops"], TASK, name="r")
        acting = acting_as(session, team["ops"])
        rules.write(
            session,
            rules.Draft(name="r", event_kind="opportunity.stage_changed", condition={},
                        actions=[NOTIFY], valid_from=NOW + MINUTE),
            rule_id=first.id, acting=acting,
        )  # fmt: skip
        happens(session, deal.id)
        happens(session, deal.id, recorded_at=NOW + 2 * MINUTE)
        handled(session)
        ran = session.scalars(select(RuleRun.version).order_by(RuleRun.event_id)).all()
        assert ran == [1, 2]
        assert [each.version for each in rules.versions(session, first.id)] == [2, 1]
        with pytest.raises(DBAPIError, match="append-only"):
            session.execute(text("update rule_versions set is_active = false"))

    def test_can_switch_a_rule_off(self, session, team):
        deal = factories.an_opportunity(session, owner=team["rep"])
        first = a_rule(session, team["ops"], TASK, name="r")
        off = rules.Draft(name="r", event_kind="opportunity.stage_changed", condition={},
                          actions=[TASK], is_active=False)  # fmt: skip
        rules.write(session, off, rule_id=first.id, acting=acting_as(session, team["ops"]))
        happens(session, deal.id)
        handled(session)
        assert session.scalars(select(RuleRun)).all() == []

    @pytest.mark.parametrize(
        "action",
        [
            {"kind": "shell", "command": "rm"},
            {"kind": "set", "field": "stage", "value": "Won"},
            {"kind": "set", "field": "amount", "value": "1"},
            {"kind": "set", "field": "forecast_category", "value": "sure"},
            {"kind": "set", "field": "x_a; drop table", "value": "1"},
            {"kind": "assign", "to": "nobody"},
            {"kind": "assign", "to": "policy"},
            {"kind": "task", "title": "", "due_in_days": 1},
            {"kind": "task", "title": "a", "due_in_days": -1},
            {"kind": "notify", "to": "world", "text": "a"},
            {"kind": "webhook", "endpoint": 99},
            {"kind": "webhook", "url": "http://127.0.0.1"},
        ],
    )
    def test_refuse_actions_that_are_not_in_the_grammar(self, session, team, action):
        with pytest.raises(rules.BadRule, match="Action 1"):
            a_rule(session, team["ops"], action)

    def test_refuse_fields_that_the_event_does_not_have(self, session, team):
        with pytest.raises(BadCondition):
            a_rule(session, team["ops"], TASK, condition={"field": "pay", "op": "is_empty"})

    def test_are_sales_operations_to_write(self, session, team):
        with pytest.raises(MayNot):
            a_rule(session, team["manager"], TASK)


class TestLoops:
    def test_two_rules_that_wake_each_other_end(self, session, team):
        deal = factories.an_opportunity(session, owner=team["rep"])
        changed = "opportunity.changed"
        for value, other in (("a", "b"), ("b", "a")):
            a_rule(
                session, team["ops"], {"kind": "set", "field": "x_v", "value": value},
                condition={"field": "x_v", "op": "!=", "value": value}, event=changed,
                name=f"{value}{other}",
            )  # fmt: skip
        happens(session, deal.id, kind=changed)
        handled(session)
        outcomes = session.scalars(select(RuleRun.outcome)).all()
        assert "blocked" in outcomes
        assert outcomes.count("done") <= 4  # each of the two, and each once after the other

    @settings(
        max_examples=15, deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )  # fmt: skip
    @given(
        wiring=st.lists(
            st.tuples(st.sampled_from("abc"), st.sampled_from("abc"), st.integers(0, 3)),
            min_size=1, max_size=6,
        )
    )  # fmt: skip
    def test_any_wiring_of_rules_comes_to_an_end(self, session, wiring):
        nested = session.begin_nested()
        team = a_team(session)
        deal = factories.an_opportunity(session, owner=team["rep"])
        for number, (watched, written, value) in enumerate(wiring):
            a_rule(
                session, team["ops"],
                {"kind": "set", "field": f"x_{written}", "value": f"{value}-{number}"},
                condition={"any": [{"field": f"x_{watched}", "op": "changed"},
                                   {"field": "stage", "op": "changed"}]},
                event="opportunity.changed", name=f"w{number}",
            )  # fmt: skip
        happens(session, deal.id, kind="opportunity.changed", changed={"stage": ("a", "b")})
        handled(session, limit=2000)
        events = session.scalars(select(ProcessEvent)).all()
        assert max(each.depth for each in events) <= DEEPEST
        for each in events:
            assert len(set(each.chain)) == len(each.chain) == each.depth
        nested.rollback()

    def test_a_chain_that_is_too_deep_is_blocked(self, session, team):
        deal = factories.an_opportunity(session, owner=team["rep"])
        rule = a_rule(session, team["ops"], TASK)
        first = happens(session, deal.id)
        session.execute(text("update process_events set processed_at = now()"))
        cause = Cause(first, first, DEEPEST, tuple(range(1000, 1000 + DEEPEST)))
        event = happens(session, deal.id, cause=cause)
        handled(session)
        run = session.get(RuleRun, (rule.id, 1, event))
        assert run.outcome == "blocked"
        assert session.scalars(select(Task)).all() == []


class TestRehearsal:
    def test_shows_what_would_happen_and_does_nothing(self, session, team):
        deals = [
            factories.an_opportunity(session, owner=team["rep"], amount=str(amount))
            for amount in (100, 9000)
        ]
        for deal in deals:
            happens(session, deal.id)
        handled(session)
        draft = rules.Draft(
            name="x", event_kind="opportunity.stage_changed",
            condition={"field": "amount", "op": ">", "value": 5000},
            actions=[TASK, SET, {"kind": "set", "field": "expected_close_on", "value": 30}],
        )  # fmt: skip
        looked_at, found = rehearse(session, draft, since=NOW - MINUTE, until=NOW)
        assert looked_at == 2
        assert [each.subject_id for each in found] == [deals[1].id]
        assert found[0].effects[0]["assignee"] == "rep"
        assert found[0].effects[2]["value"] == "2026-07-30"
        assert session.scalars(select(RuleRun)).all() == []
        assert session.scalars(select(Task)).all() == []


def _company(engine):
    with transaction(engine) as session:
        team = a_team(session)
        deals = [
            factories.an_opportunity(session, key=f"d{n}", owner=team["rep"]).id for n in range(3)
        ]
        a_rule(
            session, team["ops"], TASK, NOTIFY | {"to": "ops"},
            {"kind": "set", "field": "forecast_category", "value": "commit"}, name="all",
        )  # fmt: skip
    return deals


def _effects(engine):
    """Everything a rule can have done, without ids and times of recording."""
    with transaction(engine) as session:
        tasks = session.execute(
            select(Task.subject_id, Task.title, Task.due_on).order_by(Task.subject_id, Task.due_on)
        ).all()
        told = session.scalar(select(func.count()).where(Alert.kind == "rule"))
        state = session.execute(
            select(Opportunity.id, Opportunity.forecast_category).order_by(Opportunity.id)
        ).all()
        runs = session.scalar(select(func.count()).where(RuleRun.outcome == "done"))
        left = session.scalar(select(func.count()).where(ProcessEvent.processed_at.is_(None)))
        return [tuple(t) for t in tasks], told, [tuple(s) for s in state], runs, left


class TestDelivery:
    def test_repeated_reordered_and_concurrent_has_the_effects_of_once_in_order(self, engine):
        deals = _company(engine)
        messages = [(f"m{n}", deals[n % 3], NOW + n * MINUTE) for n in range(12)]

        def deliver(batch):
            for key, deal, at in batch:
                with transaction(engine) as session:
                    happens(session, deal, at=at, source_key=key)

        batches = [list(reversed(messages)), messages, messages[6:] + messages[:6]] * 2
        threads = [threading.Thread(target=deliver, args=(batch,)) for batch in batches]
        threads += [
            threading.Thread(target=drain, args=(engine,), kwargs={"now": NOW}) for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        drain(engine, now=NOW)
        tasks, told, state, runs, left = _effects(engine)
        assert left == 0
        assert {category for _, category in state} == {"commit"}
        with transaction(engine) as session:
            sources = session.scalars(
                select(ProcessEvent.id).where(ProcessEvent.source_key.is_not(None))
            ).all()
            per_event = session.execute(
                select(RuleRun.event_id, func.count()).group_by(RuleRun.event_id)
            ).all()
        assert len(sources) == len(messages)
        assert {count for _, count in per_event} == {1}
        assert len(tasks) == told == runs <= len(messages)

    def test_a_late_event_does_not_overwrite_what_a_later_one_set(self, session, team):
        deal = factories.an_opportunity(session, owner=team["rep"])
        for value in ("one", "two"):
            a_rule(
                session, team["ops"], {"kind": "set", "field": "x_v", "value": value},
                condition={"field": "stage", "op": "became", "value": value}, name=value,
            )  # fmt: skip
        happens(session, deal.id, at=NOW, changed={"stage": ("one", "two")})
        happens(session, deal.id, at=NOW - MINUTE, changed={"stage": (None, "one")})
        handled(session)
        session.expire_all()
        assert deal.custom == {"x_v": "two"}
        kept = session.scalars(
            select(OpportunityEvent.new_value).where(OpportunityEvent.field == "custom")
        ).all()
        assert len(kept) == 2  # the late one is history, not the present

    def test_one_event_that_cannot_be_handled_does_not_hold_up_the_others(self, engine):
        deals = _company(engine)
        with transaction(engine) as session:
            bad = happens(session, deals[0])
            happens(session, deals[1])
            session.execute(
                text("update process_events set kind = 'no.such' where id = :id"), {"id": bad}
            )
            session.execute(text("alter table rule_versions disable trigger all"))
            session.execute(
                text("insert into rule_versions select rule_id, 2, 'no.such', condition, actions, "
                     "is_active, valid_from, created_at, created_by, comment from rule_versions")
            )  # fmt: skip
            session.execute(
                text("update rule_versions set version = 0 where version = 2 and false")
            )
            session.execute(text("insert into rules (name) values ('second')"))
            session.execute(
                text("insert into rule_versions select r.id, 1, 'opportunity.stage_changed', "
                     "v.condition, v.actions, true, v.valid_from, v.created_at, v.created_by, null "
                     "from rules r, rule_versions v where r.name = 'second' and v.version = 1")
            )  # fmt: skip
        drain(engine, now=NOW)
        tasks, *_ = _effects(engine)
        assert [task[0] for task in tasks] == [deals[1]]
        with transaction(engine) as session:
            stuck = session.get(ProcessEvent, bad)
            assert (stuck.attempts, stuck.processed_at) == (1, None)
            assert "UnknownEvent" in stuck.error


_WORKER = """
import sys, datetime as dt
from crm_core.database import create_engine
from crm_core.processes.draining import drain
engine = create_engine(sys.argv[1])
print("began", flush=True)
drain(engine, now=dt.datetime.fromisoformat(sys.argv[2]))
"""


def test_a_worker_killed_at_any_moment_leaves_each_effect_once(engine, database_url):
    deals = _company(engine)
    with transaction(engine) as session:
        for number in range(60):
            happens(session, deals[number % 3], at=NOW + number * MINUTE)
    for pause in (0.05, 0.2, 0.4):
        worker = subprocess.Popen(
            [sys.executable, "-c", _WORKER, database_url, NOW.isoformat()], stdout=subprocess.PIPE
        )
        worker.stdout.readline()
        time.sleep(pause)
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
        worker.stdout.close()
    while drain(engine, now=NOW):
        pass
    tasks, told, state, runs, left = _effects(engine)
    assert (len(tasks), told, runs, left) == (60, 60, 60, 0)
    assert {category for _, category in state} == {"commit"}


def test_a_change_writes_only_what_differs(session, team):
    deal = factories.an_opportunity(session, owner=team["rep"], amount="1000.50")
    given = {"user_id": "rep", "occurred_at": NOW, "recorded_at": NOW}
    same = changing.change(session, deal.id, {"amount": "1000.5", "stage": "Qualify"}, **given)
    assert same == {}
    changed = changing.change(
        session, deal.id, {"amount": "2000"}, custom={"x_a": 1, "x_b": "t"}, **given
    )
    assert changed == {"amount": ("1000.5", "2000"), "x_a": (None, "1"), "x_b": (None, "t")}
    assert (deal.amount_minor, deal.custom) == (200_000, {"x_a": 1, "x_b": "t"})
