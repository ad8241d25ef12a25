"""Processes through the API, as each role meets them."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy import event

from crm_core.accounts.models import Account, Ticket
from crm_core.activities.models import Activity
from crm_core.database import transaction
from crm_core.leads.models import Lead
from crm_core.opportunities.models import Opportunity
from crm_core.orders.models import Order, Subscription
from crm_core.processes.models import LeadAssignment
from serving.turns import take_turn, watch
from tests.serving.conftest import NOON, PEOPLE, SEES

HTML = {"accept": "text/html"}
DEAL = "/api/v1/opportunities/deal of rep"


@pytest.fixture
def ops(engine, signed_in):
    with transaction(engine) as session:
        from crm_core.people.models import User

        session.get(User, "admin").role = "sales_ops"
    return signed_in("admin")


class TestStages:
    def test_change_through_the_api_and_say_what_is_missing(self, ops, signed_in):
        asked = ops.post(
            "/api/v1/stage-criteria",
            json={"stage": "Qualify", "kind": "activity", "value": "meeting"},
        )
        assert asked.status_code == 201, asked.text
        rep = signed_in("rep")
        ways = {way["stage"]: way["missing"] for way in rep.get(f"{DEAL}/stages").json()}
        assert [each["kind"] for each in ways["Offer"]] == ["activity"]
        refused = rep.post(f"{DEAL}/stage", json={"stage": "Offer"})
        assert refused.status_code == 409
        assert "meeting" in refused.json()["detail"]
        waiting = rep.post(f"{DEAL}/stage", json={"stage": "Offer", "reason": "met at a fair"})
        assert waiting.json()["status"] == "waiting"
        manager = signed_in("manager")
        (request,) = manager.get("/api/v1/approvals").json()
        assert request["may_decide"]
        decision = {"decision": "approve", "content_hash": request["content_hash"]}
        decided = manager.post(f"/api/v1/approvals/{request['id']}/decision", json=decision)
        assert decided.json()["state"] == "approved", decided.text
        assert rep.get(DEAL).json()["stage"] == "Offer"
        assert rep.get("/api/v1/alerts").json()[0]["kind"] == "approval_decided"

    def test_hide_a_deal_that_may_not_be_seen(self, signed_in):
        for user, sees in SEES.items():
            client = signed_in(user)
            answer = client.get(f"{DEAL}/stages")
            assert answer.status_code == (200 if "rep" in sees else 404), user
            note = client.get("/api/v1/notes?subject_kind=opportunity&subject_id=deal of rep")
            assert note.status_code == (200 if "rep" in sees else 404), user

    def test_leave_rules_to_sales_operations(self, signed_in):
        for user in ("rep", "manager", "leader", "finance"):
            client = signed_in(user)
            for path in ("/rules", "/webhooks", "/leads/stranded", "/rules/runs"):
                assert client.get(f"/api/v1{path}").status_code == 403, (user, path)


class TestRules:
    def test_act_by_the_worker_after_a_change(self, ops, signed_in, engine):
        rule = {
            "name": "Offer made",
            "event_kind": "opportunity.stage_changed",
            "condition": {"field": "stage", "op": "became", "value": "Offer"},
            "actions": [{"kind": "task", "title": "Follow up", "due_in_days": 3}],
        }
        assert ops.post("/api/v1/rules", json=rule).status_code == 201
        rep = signed_in("rep")
        assert rep.post(f"{DEAL}/stage", json={"stage": "Offer"}).json()["status"] == "changed"
        assert rep.get("/api/v1/tasks?mine=true").json() == []
        assert take_turn(engine, now=NOON).events == 1
        assert take_turn(engine, now=NOON).events == 0
        (task,) = rep.get("/api/v1/tasks?mine=true").json()
        assert (task["title"], task["due_on"]) == ("Follow up", "2026-07-03")
        (run,) = ops.get("/api/v1/rules/runs").json()
        assert (run["outcome"], run["effects"][0]["kind"]) == ("done", "task")
        assert ops.post("/api/v1/rules/rehearsal", json=rule).json()["events"] == 1

    @pytest.mark.parametrize(
        "url", ["http://127.0.0.1/", "ftp://a.example", "https://u:p@a.example", "nonsense"]
    )
    def test_refuse_an_endpoint_of_another_form(self, ops, url):
        answer = ops.post("/api/v1/webhooks", json={"name": "x", "url": url})
        assert answer.status_code == 422

    def test_show_an_endpoint_s_secret_once(self, ops):
        made = ops.post("/api/v1/webhooks", json={"name": "x", "url": "https://a.example/hook"})
        assert len(made.json()["secret"]) > 30
        assert "secret" not in ops.get("/api/v1/webhooks").text


class TestLeads:
    def test_are_assigned_up_to_capacity_and_the_rest_is_reported(self, ops, signed_in, engine):
        with transaction(engine) as session:
            session.add_all(
                Lead(id=f"l{n}", created_at=NOON - dt.timedelta(hours=n), status="new")
                for n in range(6)
            )
        policy = {"rules": [{"condition": {}, "pool": {"users": ["rep", "colleague"]}}],
                  "default_capacity": 2}  # fmt: skip
        assert ops.put("/api/v1/assignment-policy", json=policy).status_code == 201
        take_turn(engine, now=NOON)
        with transaction(engine) as session:
            owners = [lead.owner_id for lead in session.query(Lead)]
            log = session.query(LeadAssignment).all()
        assert sorted(o for o in owners if o) == ["colleague"] * 2 + ["rep"] * 2
        assert len(log) == 6
        assert log[0].propensity == 0.5  # both were free and equal
        assert {each["id"] if "id" in each else each["lead_id"] for each in
                ops.get("/api/v1/leads/stranded").json()} == {"l0", "l1"}  # fmt: skip
        assert {e["reason"] for e in ops.get("/api/v1/leads/stranded").json()} == {"no_capacity"}
        kinds = [alert["kind"] for alert in ops.get("/api/v1/alerts").json()]
        assert kinds.count("lead_stranded") == 2
        ops.put("/api/v1/assignment-capacities/rep?most_open=9")
        take_turn(engine, now=NOON + dt.timedelta(hours=2))
        assert ops.get("/api/v1/leads/stranded").json() == []

    def test_of_who_left_are_assigned_anew(self, ops, engine):
        from crm_core.people.models import User

        with transaction(engine) as session:
            session.add(Lead(id="l", created_at=NOON, status="working", owner_id="stranger"))
            session.get(User, "stranger").left_on = NOON.date()
        assert ops.get("/api/v1/leads/stranded").json()[0]["reason"] == "owner_left"


class TestTeamwork:
    def test_a_note_is_seen_where_its_record_is_and_tells_who_is_meant(self, signed_in):
        rep, manager = signed_in("rep"), signed_in("manager")
        body = "<script>alert(1)</script> please look, @manager@acme.example"
        note = {"subject_kind": "opportunity", "subject_id": "deal of rep", "body": body}
        assert rep.post("/api/v1/notes", json=note).status_code == 201
        told = manager.get("/api/v1/alerts").json()
        assert [(each["kind"], each["words"]["by"]) for each in told] == [("mention", "Rep")]
        where = "/api/v1/notes?subject_kind=opportunity&subject_id=deal of rep"
        assert manager.get(where).json()[0]["body"] == body
        hidden = note | {"body": "hello @stranger@acme.example"}
        refused = rep.post("/api/v1/notes", json=hidden)
        assert refused.status_code == 422
        assert "may not see" in refused.json()["detail"]
        assert signed_in("stranger").post("/api/v1/notes", json=note).status_code == 404

    def test_a_task_goes_to_who_may_see_its_record(self, signed_in, engine):
        manager, rep = signed_in("manager"), signed_in("rep")
        task = {"subject_kind": "opportunity", "subject_id": "deal of rep", "title": "Call",
                "assignee_id": "rep", "due_on": "2026-06-29"}  # fmt: skip
        made = manager.post("/api/v1/tasks", json=task)
        assert made.status_code == 201, made.text
        refused = manager.post("/api/v1/tasks", json=task | {"assignee_id": "colleague"})
        assert refused.status_code == 422
        (mine,) = rep.get("/api/v1/tasks?mine=true&status=overdue").json()
        assert mine["is_overdue"]
        assert signed_in("colleague").get("/api/v1/tasks").json() == []
        take_turn(engine, now=NOON)
        take_turn(engine, now=NOON)
        kinds = [(each["kind"], each["times"]) for each in rep.get("/api/v1/alerts").json()]
        assert ("task_overdue", 1) in kinds
        assert rep.post(f"/api/v1/tasks/{mine['id']}/done").status_code == 204
        assert rep.get("/api/v1/alerts").json() == []

    def test_alerts_are_counted_snoozed_and_one_s_own(self, app, signed_in, engine):
        rep = signed_in("rep")
        watch(engine, now=NOON)
        assert rep.get("/api/v1/alerts").json() == []  # it waits for the digest
        later = dt.datetime(2026, 7, 1, 1, tzinfo=dt.UTC)  # after 8 o'clock in Shanghai
        watch(engine, now=later - dt.timedelta(hours=2))
        app.state.fixed_time = later
        rep = signed_in("rep")  # the first login is over by then
        found = rep.get("/api/v1/alerts").json()
        assert [each["kind"] for each in found] == ["slipped"], found
        (slipped,) = found
        assert (slipped["kind"], slipped["words"]["count"]) == ("slipped", 1)
        assert rep.get("/api/v1/alerts/unread").json() == {"count": 1}
        path = f"/api/v1/alerts/{slipped['id']}"
        until = (later + dt.timedelta(days=2)).isoformat()
        stranger = signed_in("stranger")
        assert stranger.post(f"{path}/snooze", json={"until": until}).status_code == 404
        assert rep.post(f"{path}/snooze", json={"until": until}).status_code == 200
        assert rep.get("/api/v1/alerts").json() == []
        assert rep.post(f"{path}/snooze", json={"until": NOON.isoformat()}).status_code == 422

    def test_a_kind_that_is_not_wanted_is_not_told(self, signed_in):
        manager, rep = signed_in("manager"), signed_in("rep")
        assert manager.put("/api/v1/alert-preferences/mention", json={"mode": "off"}).is_success
        assert manager.put("/api/v1/alert-preferences/x", json={"mode": "off"}).status_code == 422
        note = {"subject_kind": "opportunity", "subject_id": "deal of rep",
                "body": "@manager@acme.example"}  # fmt: skip
        assert rep.post("/api/v1/notes", json=note).status_code == 201
        assert manager.get("/api/v1/alerts").json() == []


def _customer(session, size):
    for number in range(size):
        for owner in ("rep", "stranger"):
            key = f"{owner} {number}"
            session.add(
                Opportunity(
                    id=key, name=key, account_id="acme", owner_id=owner, created_at=NOON,
                    recorded_at=NOON, currency="USD", stage="Qualify", amount_minor=10_000,
                )
            )  # fmt: skip
            session.flush()
            session.add(
                Order(id=key, account_id="acme", ordered_on=NOON.date(), recorded_at=NOON,
                      owner_id=owner, opportunity_id=key, amount_minor=500, currency="USD")
            )  # fmt: skip
            session.add(
                Activity(id=key, kind="call", opportunity_id=key, account_id="acme",
                         user_id=owner, occurred_at=NOON, recorded_at=NOON)
            )  # fmt: skip
        session.add(Ticket(id=f"t{number}", account_id="acme", opened_at=NOON))
        session.add(
            Subscription(id=f"s{number}", account_id="acme", started_on=NOON.date(),
                         monthly_amount_minor=100, currency="USD")
        )  # fmt: skip


class TestOverview:
    URL = "/api/v1/accounts/acme/overview"

    def test_shows_and_sums_exactly_what_may_be_seen(self, signed_in, engine):
        with transaction(engine) as session:
            _customer(session, 30)
        for user in PEOPLE:
            found = signed_in(user).get(self.URL).json()
            mine = 30 * len({"rep", "stranger"} & SEES[user])
            own = len({*SEES[user]} & {"leader", "manager", "rep", "colleague", "stranger", None})
            assert found["sums"]["open_deals"] == mine + own, user
            ordered = [each["amount"] for each in found["sums"]["ordered"]]
            assert ordered == ([f"{mine * 5}.00"] if mine else []), user
            shown = {line["owner"] for line in found["deals"]}
            assert shown <= {PEOPLE_NAMES.get(each) for each in SEES[user]}, user
            assert found["sums"]["open_tickets"] == 30

    def test_asks_the_same_number_of_questions_whatever_there_is(self, signed_in, engine, app):
        rep = signed_in("rep")
        counted = []
        for size in (1, 40):
            with transaction(engine) as session:
                for table in (Activity, Order, Ticket, Subscription):
                    session.query(table).delete()
                session.query(Opportunity).filter(Opportunity.id.like("% 0")).delete()
                _customer(session, size)
            counted.append(_statements(app, lambda: rep.get(self.URL)))
        assert counted[0] == counted[1] <= 25

    def test_hides_a_customer_of_others(self, signed_in, engine):
        with transaction(engine) as session:
            session.add(Account(id="theirs", name="Secret", owner_id="stranger"))
        for user in PEOPLE:
            answer = signed_in(user).get("/api/v1/accounts/theirs/overview")
            assert answer.status_code == (200 if "stranger" in SEES[user] else 404), user


PEOPLE_NAMES = {user: user.title() for user in PEOPLE} | {None: None}


def _statements(app, call):
    seen = []

    def note(_connection, _cursor, statement, *_rest):
        seen.append(statement)

    event.listen(app.state.engine, "before_cursor_execute", note)
    try:
        assert call().status_code == 200
    finally:
        event.remove(app.state.engine, "before_cursor_execute", note)
    return len(seen)


class TestPages:
    @pytest.mark.parametrize("lang", ["en", "zh"])
    def test_show_every_kind_of_alert_task_request_and_rule(self, ops, signed_in, engine, lang):
        from crm_core.processes import alerts

        words = {"version": "2", "serving": "1", "gain": None, "low": None, "high": None,
                 "promoted": False, "allowed": True, "reasons": "calibration",
                 "count": 2, "deals": [{"id": "d", "name": "<b>"}], "title": "t", "by": "b",
                 "state": "approved", "lead": "l", "reason": "no_rule", "text": "x"}  # fmt: skip
        with transaction(engine) as session:
            for kind in alerts.KINDS:
                alerts.choose_mode(session, user_id="rep", kind=kind, mode="now")
                alerts.raise_alert(
                    session, user_id="rep", kind=kind, dedupe_key=kind, now=NOON,
                    words=words if kind in ("slipped", "stalled") else
                    {key: value for key, value in words.items() if key != "deals"},
                )  # fmt: skip
        for kind, value in (("activity", "meeting"), ("min_days", 300), ("task", "Ask"),
                            ("field", "x_budget"), ("contact_role", "blocker")):  # fmt: skip
            asked = {"stage": "Qualify", "kind": kind, "value": value}
            assert ops.post("/api/v1/stage-criteria", json=asked).status_code == 201
        rule = {"name": "r", "event_kind": "opportunity.changed",
                "condition": {"all": [{"not": {}}, {"field": "stage", "op": "changed"}]},
                "actions": [{"kind": "set", "field": "x_a", "value": "1"},
                            {"kind": "notify", "to": "owner", "text": "x"},
                            {"kind": "assign", "to": "rep"}]}  # fmt: skip
        assert ops.post("/api/v1/rules", json=rule).status_code == 201
        rep = signed_in("rep")
        token = rep.headers["x-csrf-token"]
        form = {"stage": "Offer", "csrf_token": token}
        missed = rep.post("/deals/deal of rep/stage", data=form)
        assert missed.status_code == 303
        assert "missed=Offer" in missed.headers["location"]
        rep.post("/deals/deal of rep/stage", data=form | {"reason": "<i>why"})
        take_turn(engine, now=NOON)
        for client, path in (
            (rep, "/alerts"), (rep, "/tasks"), (rep, "/tasks?show=done"), (rep, "/approvals"),
            (rep, "/deals/deal of rep/work?missed=Offer"), (rep, "/customers/acme"),
            (signed_in("manager"), "/approvals"), (ops, "/processes"),
        ):  # fmt: skip
            page = client.get(path, params={"lang": lang}, headers=HTML)
            assert page.status_code == 200, (path, page.text[:500])
            assert "<i>why" not in page.text
        assert rep.get("/processes", headers=HTML).status_code == 403
