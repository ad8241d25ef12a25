"""Goals through the public door: the tree, states, passing down, leave, and who may do what."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from crm_core.accounts.models import Account
from crm_core.database import transaction
from crm_core.orders.models import Order
from crm_core.people import operations as people
from crm_core.people.models import User
from crm_core.quotas.models import Quota
from tests.serving.conftest import NOON, PASSWORD

API = "/api/v1"
Q3 = {"metric": "bookings", "period": "2026-Q3"}


@pytest.fixture
def sold(engine, app):
    """Orders of four quarters for the people of the east, and somebody in sales operations."""
    with transaction(engine) as session:
        session.add(User(id="ops", name="Ops", email="ops@acme.example", role="sales_ops"))
        session.flush()
        people.set_password(session, email="ops@acme.example", password=PASSWORD)
        session.add(Account(id="buyer", name="Buyer"))
        session.flush()
        for owner, major in (("rep", 300), ("colleague", 100)):
            for month in (8, 11, 2, 5):
                day = dt.date(2025 + (month < 8), month, 10)
                session.add(Order(id=f"{owner} {day}", account_id="buyer", ordered_on=day,
                                  recorded_at=NOON, owner_id=owner, amount_minor=major * 100,
                                  currency="USD"))  # fmt: skip
    return engine


def made(client, subject_id, amount, **more):
    kind = "org_unit" if subject_id in ("company", "east", "west") else "user"
    given = {"subject_kind": kind, "subject_id": subject_id, "amount": amount, **Q3, **more}
    answer = client.post(f"{API}/goals", json=given)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def act(client, goal_id, what, version=1, **more):
    return client.post(
        f"{API}/goals/{goal_id}/acts", json={"act": what, "version": version, **more}
    )


def level(client, **more):
    answer = client.get(f"{API}/goals", params={**Q3, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


class TestAGoal:
    def test_goes_from_draft_to_locked_and_is_measured_once_approved(self, sold, app, signed_in):
        ops, finance, rep = signed_in("ops"), signed_in("finance"), signed_in("rep")
        goal = made(ops, "rep", "330.00")
        assert rep.get(f"{API}/goals/{goal}").status_code == 404
        assert act(ops, goal, "submit").status_code == 200
        mine = level(rep)["node"]
        assert (mine["goal"]["shown"]["state"], mine["target"]) == ("discussion", None)
        told = rep.post(f"{API}/goals/{goal}/commits", json={"amount": "310"}).json()
        assert told["commits"][0]["amount"]["amount"] == "310.00"
        assert act(ops, goal, "approve").status_code == 403
        assert act(finance, goal, "approve").status_code == 200
        app.state.fixed_time = dt.datetime(2026, 8, 15, tzinfo=dt.UTC)
        with transaction(sold) as session:
            session.add(Order(id="new", account_id="buyer", ordered_on=dt.date(2026, 7, 7),
                              recorded_at=app.state.fixed_time, owner_id="rep",
                              amount_minor=165_00, currency="USD"))  # fmt: skip
        rep, finance = signed_in("rep"), signed_in("finance")  # the old log-ins are over
        now = level(rep)["node"]
        figures = {each["metric"]: each["value"] for each in now["figures"]}
        assert (Decimal(now["target"]), Decimal(now["actual"])) == (330, 165)
        assert Decimal(figures["attainment"]) == Decimal("0.5")
        assert Decimal(figures["gap"]) == 165
        kpis = rep.get(f"{API}/kpis", params={"period": "2026-Q3"}).json()["kpis"]
        same = {each["metric"]: each["value"] for each in kpis}
        assert {name: same[name] for name in ("attainment", "gap", "pacing")} == {
            name: figures[name] for name in ("attainment", "gap", "pacing")
        }
        assert act(finance, goal, "lock").status_code == 200

    def test_flagged_is_locked_only_with_a_reason(self, sold, signed_in):
        ops, finance = signed_in("ops"), signed_in("finance")
        goal = made(ops, "colleague", "160.00")  # sold 100 a quarter: 1.6 × what is likely
        act(ops, goal, "submit")
        act(finance, goal, "approve")
        refused = act(finance, goal, "lock")
        assert (refused.status_code, "unattainable" in refused.json()["detail"]) == (409, True)
        done = act(finance, goal, "lock", note="a launch is planned").json()
        flag = done["steps"][0]["flags"][0]
        assert (flag["flag"], flag["basis"], Decimal(flag["ratio"])) == (
            "unattainable", "history", Decimal("1.6"),
        )  # fmt: skip

    def test_is_no_harder_for_who_goes_on_leave(self, sold, signed_in):
        ops, manager = signed_in("ops"), signed_in("manager")
        goal = made(ops, "colleague", "100.00")
        act(ops, goal, "submit")
        leave = {"user_id": "colleague", "starts_on": "2026-08-01", "ends_on": "2026-09-01"}
        assert manager.post(f"{API}/leaves", json=leave).status_code == 201
        below = {each["id"]: each for each in level(ops, unit="east")["below"]}
        hard = below["colleague"]["difficulty"]
        assert hard["flag"] is None
        assert abs(Decimal(hard["ratio"]) - 1) < Decimal("1e-9")
        assert abs(Decimal(hard["potential"]) - Decimal(6100) / 92) < Decimal("1e-9")

    def test_of_the_own_unit_or_oneself_is_set_by_nobody(self, sold, signed_in):
        for who, kind, subject in (
            ("manager", "org_unit", "east"), ("manager", "user", "manager"),
            ("leader", "org_unit", "company"),
        ):  # fmt: skip
            given = {"subject_kind": kind, "subject_id": subject, "amount": 1, **Q3}
            assert signed_in(who).post(f"{API}/goals", json=given).status_code == 403
        given = {"subject_kind": "user", "subject_id": "stranger", "amount": 1, **Q3}
        assert signed_in("manager").post(f"{API}/goals", json=given).status_code == 404
        assert signed_in("rep").post(f"{API}/goals", json=given).status_code == 403

    def test_with_stale_eyes_is_not_changed(self, sold, signed_in):
        ops = signed_in("ops")
        goal = made(ops, "rep", 300)
        again = {"subject_kind": "user", "subject_id": "rep", "amount": 5, "reason": "x", **Q3}
        assert ops.post(f"{API}/goals", json=again).status_code == 409
        assert act(ops, goal, "submit", version=2).status_code == 409
        assert act(ops, goal, "comment").status_code == 422


class TestPassingDown:
    def test_shows_every_weight_and_sums_exactly(self, sold, signed_in):
        ops = signed_in("ops")
        goal = made(ops, "east", "440.01")
        recipe = {"mix": {"history": 100}, "factor": "1.1"}
        found = ops.post(f"{API}/goals/{goal}/preview", json=recipe).json()
        assert found["passed"] == {"amount": "484.01", "currency": "USD"}
        parts = {line["id"]: Decimal(line["amount"]["amount"]) for line in found["lines"]}
        assert parts == {"rep": Decimal("363.01"), "colleague": Decimal("121.00")}
        assert Decimal(found["residual"]["amount"]) == 0
        shares = {line["id"]: Decimal(line["shares"]["history"]) for line in found["lines"]}
        assert shares == {"rep": Decimal("0.75"), "colleague": Decimal("0.25")}
        held = ops.post(f"{API}/goals/{goal}/preview",
                        json={**recipe, "held": {"colleague": "200"}}).json()  # fmt: skip
        assert {line["id"]: line["amount"]["amount"] for line in held["lines"]} == {
            "rep": "284.01", "colleague": "200.00",
        }  # fmt: skip
        done = ops.post(f"{API}/goals/{goal}/pass-down", json={**recipe, "version": 1})
        assert done.json() == {"drafts": 2}
        now = level(ops, unit="east")
        assert now["below_sum"]["amount"] == "484.01"
        assert Decimal(now["residual"]["amount"]) == 0
        assert now["passed_down"]["factor"] == "1.100000"

    def test_pads_where_nobody_below_can_see_it(self, sold, engine, signed_in):
        ops, leader, finance = signed_in("ops"), signed_in("leader"), signed_in("finance")
        goal = made(ops, "company", 1000)
        act(ops, goal, "submit")
        act(finance, goal, "approve")
        done = leader.post(f"{API}/goals/{goal}/pass-down",
                           json={"mix": {"even": 1}, "factor": "1.2", "version": 1})  # fmt: skip
        assert done.status_code == 201, done.text
        for child in level(leader)["below"]:
            act(leader, child["goal"]["id"], "submit")
            act(finance, child["goal"]["id"], "approve")
        manager = signed_in("manager")
        seen = level(manager)
        assert (seen["node"]["id"], seen["path"], seen["passed_down"]) == ("east", ["east"], None)
        assert manager.get(f"{API}/goals/{goal}").status_code == 404
        assert manager.get(f"{API}/goals", params={**Q3, "unit": "company"}).status_code == 404
        records = manager.get(f"{API}/records/quotas?limit=200").json()["items"]
        assert {item["record"]["subject_id"] for item in records} <= {"east"}
        pages = [manager.get("/goals?period=2026-Q3"), manager.get("/numbers?period=2026-Q3")]
        for page in pages:
            assert page.status_code == 200
            assert "1,200" not in page.text
            assert "1,000" not in page.text

    def test_meets_the_commits_as_far_as_they_are_trusted(self, sold, signed_in):
        ops, rep = signed_in("ops"), signed_in("rep")
        goal = made(ops, "east", 400)
        child = made(ops, "rep", 300)
        act(ops, child, "submit")
        rep.post(f"{API}/goals/{child}/commits", json={"amount": "200"})
        given = {"mix": {"history": 1}, "trust": "0.5", "exact": False}
        found = ops.post(f"{API}/goals/{goal}/preview", json=given).json()
        assert {x["id"]: Decimal(x["amount"]["amount"]) for x in found["lines"]} == {
            "rep": 250, "colleague": 100,
        }  # fmt: skip
        assert Decimal(found["residual"]["amount"]) == -50

    def test_to_shorter_periods_follows_season_and_history(self, sold, signed_in):
        ops = signed_in("ops")
        season = {"weights": [0] * 6 + [10, 30, 60] + [0] * 3, "reason": "autumn"}
        ops.put(f"{API}/quota-policies/season", json=season)
        goal = made(ops, "rep", "300.00")
        given = {"mix": {"season": 1}, "over": "time"}
        found = ops.post(f"{API}/goals/{goal}/preview", json=given).json()
        assert {x["id"]: x["amount"]["amount"] for x in found["lines"]} == {
            "2026-07": "30.00", "2026-08": "90.00", "2026-09": "180.00",
        }  # fmt: skip
        by_history = {"mix": {"history": 1}, "over": "time", "version": 1}
        assert ops.post(f"{API}/goals/{goal}/pass-down", json=by_history).json() == {"drafts": 3}
        august = ops.get(f"{API}/goals", params={"period": "2026-08", "unit": "east"}).json()
        amounts = {x["id"]: x["goal"]["shown"]["amount"]["amount"] for x in august["below"]
                   if x["goal"]}  # fmt: skip
        assert amounts == {"rep": "300.00"}  # a year before everything was sold in August
        page = ops.get(f"/goals/{goal}/pass-down?over=time&season=100&history=0&potential=0&even=0")
        assert "$180.00" in page.text


class TestTerms:
    def test_of_leave_are_recorded_by_who_sets_the_goal_and_taken_back(self, sold, signed_in):
        manager, rep = signed_in("manager"), signed_in("rep")
        leave = {"user_id": "rep", "starts_on": "2026-07-01", "ends_on": "2026-08-01"}
        assert rep.post(f"{API}/leaves", json=leave).status_code == 403
        assert (
            manager.post(f"{API}/leaves", json={**leave, "user_id": "stranger"}).status_code == 404
        )
        number = manager.post(f"{API}/leaves", json=leave).json()["id"]
        assert [each["id"] for each in rep.get(f"{API}/leaves").json()] == [number]
        assert signed_in("colleague").get(f"{API}/leaves").json() == []
        assert manager.post(f"{API}/leaves", json=leave).status_code == 409
        assert manager.delete(f"{API}/leaves/{number}").status_code == 204
        assert rep.get(f"{API}/leaves").json() == []

    def test_of_ramp_and_season_are_versions_with_a_reason(self, sold, signed_in):
        ops = signed_in("ops")
        ramp = {"percents": [25, 50, 75], "hired_from": "2026-01-01", "reason": "ramp"}
        assert ops.put(f"{API}/quota-policies/ramp", json=ramp).json() == {"id": 1}
        manager = signed_in("manager")
        assert manager.put(f"{API}/quota-policies/ramp", json=ramp).status_code == 403
        for weights in (["1"] * 11, ["0"] * 12):
            season = {"weights": weights, "reason": "x"}
            assert ops.put(f"{API}/quota-policies/season", json=season).status_code == 422
        shown = signed_in("rep").get(f"{API}/quota-policies/ramp").json()
        assert shown["content"]["percents"] == [25, 50, 75]


class TestThePages:
    def test_let_a_leader_set_pass_down_and_decide(self, sold, signed_in):
        ops = signed_in("ops")
        token = ops.headers["x-csrf-token"]
        form = {"csrf_token": token, "subject_kind": "org_unit", "subject_id": "east",
                "amount": "484.00", "back": "/goals?period=2026-Q3", **Q3}  # fmt: skip
        done = ops.post("/goals", data=form)
        assert (done.status_code, done.headers["location"]) == (303, "/goals?period=2026-Q3")
        page = ops.get("/goals?period=2026-Q3&unit=east")
        assert "Pass it down" in page.text
        goal = level(ops, unit="east")["node"]["goal"]["id"]
        preview = ops.get(f"/goals/{goal}/pass-down?history=100&potential=0&even=0&factor=110")
        assert preview.status_code == 200
        assert "$532.40" in preview.text
        sent = {"csrf_token": token, "version": 1, "history": 100, "potential": 0, "even": 0,
                "factor": 110, "trust": 0, "held_id": ["rep", "colleague"], "held": ["", "100"],
                "back": "/goals"}  # fmt: skip
        assert ops.post(f"/goals/{goal}/pass-down", data=sent).status_code == 303
        below = level(ops, unit="east")["below"]
        assert {x["id"]: x["goal"]["shown"]["amount"]["amount"] for x in below} == {
            "rep": "432.40", "colleague": "100.00",
        }  # fmt: skip
        all_of_them = {"csrf_token": token, "act": "submit", "back": "/goals",
                       "goal": [f"{x['goal']['id']}:1" for x in below]}  # fmt: skip
        assert ops.post("/goals/acts", data=all_of_them).status_code == 303
        history = ops.get(f"/goals/{below[0]['goal']['id']}?lang=zh")
        assert "讨论中" in history.text
        here = f"/goals/{below[0]['goal']['id']}"
        leave = {"csrf_token": token, "user_id": below[0]["id"], "starts_on": "2026-07-01",
                 "ends_on": "2026-07-31", "back": here}  # fmt: skip
        assert ops.post("/leaves", data=leave).headers["location"] == here
        assert "2026年7月31日" in ops.get(here).text
        number = ops.get(f"{API}/leaves").json()[0]["id"]
        back = {"csrf_token": token, "back": here}
        assert ops.post(f"/leaves/{number}/cancel", data=back).status_code == 303
        assert "2026年7月31日" not in ops.get(here).text

    @pytest.mark.parametrize("who", ["rep", "manager", "leader", "finance", "admin"])
    def test_open_for_everybody_with_and_without_goals(self, sold, signed_in, who):
        client = signed_in(who)
        for metric in ("bookings", "new_customers"):
            assert client.get(f"/goals?metric={metric}").status_code == 200
        with transaction(sold) as session:
            for subject, kind in (("rep", "user"), ("east", "org_unit")):
                session.add(Quota(subject_kind=kind, subject_id=subject, metric="bookings",
                                  period_start=dt.date(2026, 4, 1), recorded_at=NOON,
                                  period_end=dt.date(2026, 7, 1), amount_minor=400_00,
                                  currency="USD"))  # fmt: skip
        page = client.get("/goals?lang=zh")
        assert page.status_code == 200
        assert client.get("/goals?period=2026-04-01..2026-07-01").status_code == 200
        assert client.get("/goals?period=never").status_code == 422


class TestALeaderboard:
    RULE = {"title": "Quarter", "metric": "bookings", "starts_on": "2026-04-01",
            "ends_on": "2026-06-30", "roles": ["rep"]}  # fmt: skip

    def test_ranks_shows_ones_own_place_and_freezes_for_good(self, sold, app, signed_in):
        ops, rep = signed_in("ops"), signed_in("rep")
        assert rep.post(f"{API}/leaderboards", json=self.RULE).status_code == 403
        number = ops.post(f"{API}/leaderboards", json=self.RULE).json()["id"]
        everything = ops.get(f"{API}/leaderboards/{number}").json()
        lines = everything["lines"]
        assert [(x["rank"], x["subject_id"], Decimal(x["value"]), x["tied"]) for x in lines] == [
            (1, "rep", 300, False), (2, "colleague", 100, False), (3, "stranger", 0, False),
        ]  # fmt: skip
        mine = rep.get(f"{API}/leaderboards/{number}").json()
        assert [x["subject_id"] for x in mine["lines"]] == ["rep"]  # three are too few to tell
        assert (mine["participants"], mine["direction"]) == (3, "higher")
        assert ops.post(f"{API}/leaderboards/{number}/freeze").status_code == 200
        assert ops.post(f"{API}/leaderboards/{number}/freeze").status_code == 409
        with transaction(sold) as session:
            session.add(Order(id="late", account_id="buyer", ordered_on=dt.date(2026, 5, 5),
                              recorded_at=NOON, owner_id="colleague", amount_minor=10**8,
                              currency="USD"))  # fmt: skip
        after = ops.get(f"{API}/leaderboards/{number}").json()
        assert after["lines"] == everything["lines"]
        assert ops.get(f"/leaderboards/{number}?lang=zh").status_code == 200
        page = rep.get(f"/leaderboards/{number}")
        assert "Colleague" not in page.text
        assert "$300.00" in page.text

    def test_follows_a_metric_where_lower_is_better_and_refuses_one_without(self, sold, signed_in):
        ops = signed_in("ops")
        rule = {**self.RULE, "metric": "cycle_days"}
        number = ops.post(f"{API}/leaderboards", json=rule).json()["id"]
        found = ops.get(f"{API}/leaderboards/{number}").json()
        assert (found["direction"], found["without_value"]) == ("lower", 3)
        assert [x["rank"] for x in found["lines"]] == [None, None, None]
        none = {**self.RULE, "metric": "activities"}
        assert ops.post(f"{API}/leaderboards", json=none).status_code == 422
        assert ops.post(f"{API}/leaderboards",
                        json={**self.RULE, "metric": "nothing"}).status_code == 404  # fmt: skip

    def test_is_opened_and_listed_on_its_page(self, sold, signed_in):
        ops = signed_in("ops")
        form = {"csrf_token": ops.headers["x-csrf-token"], **self.RULE}
        made = ops.post("/leaderboards", data=form)
        assert made.status_code == 303
        assert "Quarter" in ops.get(made.headers["location"]).text
        assert "Quarter" in signed_in("rep").get("/leaderboards").text
