"""What sales operations write on pages: rules, approval steps, lead assignment, webhooks."""

from __future__ import annotations

import datetime as dt
import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from crm_core.database import transaction
from crm_core.leads.models import Lead
from crm_core.people.models import User
from crm_core.processes import alerts
from crm_core.processes.models import AssignmentCapacity, AssignmentPolicy, Rule, WebhookEndpoint
from crm_core.processes.rules import RuleView
from serving.web import rule_form
from serving.web.rule_form import RuleForm
from tests.serving.conftest import NOON

HTML = {"accept": "text/html"}
EMPTY = {"act_to": "", "act_text": "", "act_days": "", "act_severity": "info", "act_field": "",
         "act_value": "", "act_endpoint": ""}  # fmt: skip


@pytest.fixture
def ops(engine, signed_in):
    with transaction(engine) as session:
        session.get(User, "admin").role = "sales_ops"
    return signed_in("admin")


def rule(name="Offer made", **changed):
    """A form with two lines of a condition and two actions."""
    return {
        "name": name, "event_kind": "opportunity.stage_changed", "is_active": "true",
        "test_field": ["stage", "amount", ""], "test_op": ["became", ">=", "="],
        "test_value": ["Offer", "50", ""], "act_kind": ["task", "notify", ""],
        "act_to": ["", "manager", ""], "act_text": ["Follow up", "<i>Look", ""],
        "act_days": ["3", "", ""], "act_severity": ["info", "urgent", "info"],
        "act_field": [""] * 3, "act_value": [""] * 3, "act_endpoint": [""] * 3, **changed,
    }  # fmt: skip


def post(client, path, form):
    form = {**form, "csrf_token": client.headers["x-csrf-token"]}
    return client.post(path, data=form, headers=HTML)


def count(engine, model):
    with transaction(engine) as session:
        return session.scalar(select(func.count()).select_from(model))


class TestARule:
    def test_is_rehearsed_before_it_is_saved(self, ops, signed_in, engine):
        rep = signed_in("rep")
        rep.post("/api/v1/opportunities/deal of rep/stage", json={"stage": "Offer"})
        for lang in ("en", "zh"):
            assert ops.get(f"/processes/rules?lang={lang}", headers=HTML).status_code == 200
            form = f"/processes/rules/form?event_kind=lead.created&lang={lang}"
            assert ops.get(form, headers=HTML).status_code == 200
        shown = post(ops, "/processes/rules/rehearsal", rule())
        assert shown.status_code == 200, shown.text[:500]
        assert "/deals/deal%20of%20rep" in shown.text
        assert "Follow up → Rep" in re.sub(r"\s+", " ", shown.text)
        assert "<i>Look" not in shown.text
        assert count(engine, Rule) == 0  # nothing was written
        sent = re.search(r'name="rehearsed"[^>]*>([^<]*)<', shown.text)
        assert sent is not None
        saved = post(ops, "/processes/rules", {"rehearsed": html.unescape(sent[1])})
        assert saved.status_code == 303
        (written,) = ops.get("/api/v1/rules").json()
        assert written["condition"] == {
            "all": [{"field": "stage", "op": "became", "value": "Offer"},
                    {"field": "amount", "op": ">=", "value": 50}]}  # fmt: skip
        assert written["actions"] == [
            {"kind": "task", "title": "Follow up", "assignee": "owner", "due_in_days": 3},
            {"kind": "notify", "to": "manager", "text": "<i>Look", "severity": "urgent"},
        ]

    def test_is_changed_into_its_next_version(self, ops):
        sent = RuleForm(**rule()).model_dump_json()
        assert post(ops, "/processes/rules", {"rehearsed": sent}).status_code == 303
        page = ops.get("/processes/rules/form?rule_id=1", headers=HTML)
        assert 'value="Follow up"' in page.text
        changed = RuleForm(**rule(rule_id=1, comment="enough", is_active=False))
        post(ops, "/processes/rules", {"rehearsed": changed.model_dump_json()})
        (newest, first) = ops.get("/api/v1/rules/1/versions").json()
        assert (newest["version"], newest["is_active"], newest["comment"]) == (2, False, "enough")
        assert first["is_active"]

    @pytest.mark.parametrize(
        ("wrong", "said"),
        [
            ({"test_field": ["wage", "", ""]}, "not a field of this event"),
            ({"condition": "{"}, "no JSON"),
            ({"condition": "[" * 5000}, "no JSON"),
            ({"act_kind": ["", "", ""]}, "1 to 10 actions"),
            ({"act_days": ["soon", "", ""]}, "whole number"),
            ({"act_kind": ["set", "", ""], "act_field": ["stage", "", ""]}, "may set"),
            ({"name": " "}, None),
        ],
    )  # fmt: skip
    def test_that_is_wrong_says_so_and_keeps_what_was_typed(self, ops, engine, wrong, said):
        shown = post(ops, "/processes/rules/rehearsal", rule(**wrong))
        if said is not None:
            assert shown.status_code == 422
            assert said in html.unescape(shown.text)
            assert 'name="rehearsed"' not in shown.text
            assert "Offer made" in shown.text
        else:
            sent = RuleForm(**rule(**wrong)).model_dump_json()
            assert post(ops, "/processes/rules", {"rehearsed": sent}).status_code == 422
        assert count(engine, Rule) == 0

    def test_cannot_be_smuggled_in(self, ops, signed_in, engine):
        for sent in ("{}", "null", '{"event_kind": "x"}', "[1"):
            assert post(ops, "/processes/rules", {"rehearsed": sent}).status_code == 422
        sent = {"rehearsed": RuleForm(**rule()).model_dump_json()}
        for user in ("rep", "manager", "leader", "finance"):
            assert post(signed_in(user), "/processes/rules", sent).status_code == 403
        assert ops.post("/processes/rules", data=sent, headers=HTML | {"x-csrf-token": "x"}
                        ).status_code == 403  # fmt: skip
        assert count(engine, Rule) == 0


TESTS = st.builds(
    lambda field, op, value: {"field": field, "op": op, "value": value},
    st.sampled_from(["stage", "amount", "x_size"]), st.sampled_from([">", "=", "became"]),
    st.one_of(st.integers(-10**9, 10**9), st.text(max_size=8), st.booleans(),
              st.floats(-1e6, 1e6)),
)  # fmt: skip
CONDITIONS = st.recursive(
    st.one_of(TESTS, st.just({})),
    lambda inner: st.one_of(
        st.builds(lambda parts: {"all": parts}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda parts: {"any": parts}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda part: {"not": part}, inner),
    ),
    max_leaves=6,
)


class TestTheForm:
    @given(condition=CONDITIONS)
    def test_gives_back_any_condition_as_it_was(self, condition):
        """Lines where they say the same, JSON where not: opening and saving changes nothing."""
        view = RuleView(1, "n", 1, "opportunity.changed", condition, (), True, NOON, NOON, None,
                        None)  # fmt: skip
        form = rule_form.form_of(view)
        assert form.draft().condition == condition

    @pytest.mark.parametrize(
        "action",
        [
            {"kind": "assign", "to": "policy"},
            {"kind": "task", "title": "T", "assignee": "owner", "due_in_days": 0},
            {"kind": "notify", "to": "sales_ops", "text": "T", "severity": "warning"},
            {"kind": "set", "field": "x_a", "value": None},
            {"kind": "set", "field": "x_a", "value": True},
            {"kind": "set", "field": "tier", "value": "007"},
            {"kind": "set", "field": "expected_close_on", "value": 30},
            {"kind": "webhook", "endpoint": 3},
        ],
    )
    def test_gives_back_any_action_as_it_was(self, action):
        view = RuleView(1, "n", 1, "opportunity.changed", {}, (action,), True, NOON, NOON, None,
                        None)  # fmt: skip
        assert rule_form.form_of(view).draft().actions == [action]


class TestApprovalSteps:
    def test_are_set_step_by_step(self, ops):
        form = {"approver": ["manager 1", "role finance", "user", ""],
                "user": ["", "", "leader", ""], "hours": ["24", "48", "72", "48"]}  # fmt: skip
        assert post(ops, "/processes/approvals/discount", form).status_code == 303
        for lang in ("en", "zh"):
            page = ops.get(f"/processes/approvals?lang={lang}", headers=HTML)
            assert page.status_code == 200
            assert "Leader" in page.text
        policy = ops.get("/processes/approvals", headers=HTML).text
        assert policy.count("v1") == 1

    def test_that_nobody_could_take_are_refused(self, ops):
        form = {"approver": ["user"], "user": ["nobody at all"], "hours": ["24"]}
        answer = post(ops, "/processes/approvals/discount", form)
        assert answer.status_code == 422
        assert "Step 1 needs an approver" in answer.text

    def test_a_request_is_handed_on_from_the_page(self, ops, signed_in):
        rep, manager, leader = signed_in("rep"), signed_in("manager"), signed_in("leader")
        asked = {"purpose": "discount", "subject_kind": "opportunity", "subject_id": "deal of rep",
                 "title": "10 %", "content": {"discount": 10}}  # fmt: skip
        assert rep.post("/api/v1/approvals", json=asked).status_code == 201
        (request,) = manager.get("/api/v1/approvals").json()
        form = {"decision": "delegate", "content_hash": request["content_hash"], "to": "leader"}
        assert post(manager, f"/approvals/{request['id']}", form).status_code == 303
        assert leader.get("/api/v1/approvals").json()[0]["may_decide"]
        assert not manager.get("/api/v1/approvals").json()[0]["may_decide"]
        stranger = form | {"to": "stranger"}  # who may not see the deal
        assert post(leader, f"/approvals/{request['id']}", stranger).status_code == 422


class TestLeads:
    def form(self, **changed):
        return {"default_capacity": "5", "test_field": ["source", ""], "test_op": ["=", "="],
                "test_value": ["fair", ""], "condition": ["", ""], "pool_kind": ["users", "role"],
                "pool": ["rep, colleague", "rep"], **changed}  # fmt: skip

    def test_find_their_owner_as_the_page_says(self, ops, engine):
        assert post(ops, "/processes/leads", self.form()).status_code == 303
        with transaction(engine) as session:
            policy = session.scalars(select(AssignmentPolicy)).one()
            assert policy.rules == [
                {"condition": {"field": "source", "op": "=", "value": "fair"},
                 "pool": {"users": ["rep", "colleague"]}},
                {"condition": {}, "pool": {"role": "rep"}},
            ]  # fmt: skip
            session.add(Lead(id="l", created_at=NOON - dt.timedelta(days=1), owner_id="rep",
                             status="new"))  # fmt: skip
        form = {"user_id": "rep", "most_open": "0"}
        assert post(ops, "/processes/leads/capacity", form).status_code == 303
        with transaction(engine) as session:
            assert session.get(AssignmentCapacity, "rep").most_open == 0
        for lang, paused in (("en", "paused"), ("zh", "已暂停")):
            page = ops.get(f"/processes/leads?lang={lang}", headers=HTML)
            assert page.status_code == 200
            assert paused in page.text

    @pytest.mark.parametrize(
        ("changed", "said"),
        [
            ({"pool": ["rep, nobody", "rep"]}, "no user 'nobody'"),
            ({"pool_kind": ["org_unit", "role"], "pool": ["moon", "rep"]}, "no org unit 'moon'"),
            ({"pool": ["rep", "admin"]}, "not to 'admin'"),
            ({"test_field": ["amount", ""]}, "not a field"),
        ],
    )
    def test_are_never_left_to_a_pool_that_does_not_exist(self, ops, engine, changed, said):
        answer = post(ops, "/processes/leads", self.form(**changed))
        assert answer.status_code == 422
        assert said in html.unescape(answer.text)
        assert count(engine, AssignmentPolicy) == 0


class TestWebhooks:
    def test_show_their_secret_once(self, ops, engine):
        made = post(ops, "/processes/webhooks", {"name": "Us", "url": "https://a.example/h"})
        assert made.status_code == 200
        secret = re.search(r"<code>([\w-]{30,})</code>", made.text)
        assert secret is not None
        assert made.headers["cache-control"] == "no-store"
        for lang in ("en", "zh"):
            assert secret[1] not in ops.get(f"/processes/webhooks?lang={lang}", headers=HTML).text
        rotated = post(ops, "/processes/webhooks/1/secret", {})
        assert "<code>" in rotated.text
        assert secret[1] not in rotated.text
        assert post(ops, "/processes/webhooks/1/active", {"is_active": "false"}).status_code == 303
        with transaction(engine) as session:
            assert not session.get(WebhookEndpoint, 1).is_active
        assert post(ops, "/processes/webhooks/9/secret", {}).status_code == 404

    def test_go_to_public_addresses_only(self, ops, engine):
        answer = post(ops, "/processes/webhooks", {"name": "Us", "url": "http://127.0.0.1/"})
        assert answer.status_code == 422
        assert "https://" in answer.text
        assert count(engine, WebhookEndpoint) == 0


class TestAlerts:
    @pytest.mark.parametrize(
        ("lang", "said"),
        [
            ("en", ["2 rules of data health fail, 1 of them critical", "An order", "72%",
                    "1 person of your team is off pace for 2026-Q2", "told below 80%"]),
            ("zh", ["2 条数据健康规则不合格", "其中 1 条为关键规则", "订单", "72%",
                    "低于 80% 时提醒"]),
        ],
    )  # fmt: skip
    def test_say_what_fails_and_who_is_off_pace(self, signed_in, engine, lang, said):
        pace = {"period": "2026-Q2", "below": "0.8"}
        told = {
            "data_health": {"count": 2, "critical": 1, "rules": [["订单", "An order"]]},
            "off_pace": {**pace, "pace": "0.718"},
            "off_pace team": {**pace, "count": 1,
                              "people": [{"id": "rep", "name": "Rep", "pace": "0.718"}]},
        }  # fmt: skip
        with transaction(engine) as session:
            for key, words in told.items():
                alerts.raise_alert(session, user_id="manager", kind=key.split()[0], words=words,
                                   dedupe_key=key, now=NOON)  # fmt: skip
        page = signed_in("manager").get(f"/alerts?lang={lang}", headers=HTML)
        assert page.status_code == 200
        for sentence in said:
            assert sentence in html.unescape(page.text), sentence
