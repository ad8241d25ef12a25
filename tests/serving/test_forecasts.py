"""The forecast over HTTP: who sees and sets what, the numbers of the page, its statements."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import event

from crm_core.database import transaction
from crm_core.forecasts.models import ForecastScore
from crm_core.money import Money
from crm_core.opportunities.models import Opportunity, Stage
from crm_core.orders.conversion import rates
from serving import forecasting
from tests import factories
from tests.serving.conftest import NOON, PEOPLE, SEES, a_deal

HTML = {"accept": "text/html"}
API = "/api/v1/forecasts"
BELOW = {
    "leader": ("leader", "manager", "rep", "colleague", "stranger"),
    "manager": ("manager", "rep", "colleague"),
    "rep": ("rep",),
    "colleague": ("colleague",),
    "stranger": ("stranger",),
}


@pytest.fixture
def committed(engine, app):
    """Every deal of the small company is in commit."""
    with transaction(engine) as session:
        for stage in session.query(Stage).filter_by(kind="open"):
            stage.forecast_category = "commit"
    return app


def worth(engine, owners):
    """What these people's deals are worth in dollars, deal by deal, for the twin."""
    with transaction(engine) as session:
        day = NOON.astimezone(ZoneInfo("Asia/Shanghai")).date()
        table = rates(session, to="USD", day=day, known_at=NOON)
        deals = session.query(Opportunity).all()
        return {
            owner: sum(
                table.convert(Money(deal.amount_minor, deal.currency)).major
                for deal in deals
                if deal.owner_id == owner
            )
            for owner in owners
        }


def commit(answer):
    return {name: Decimal(value) for name, value in answer["cells"]["commit"].items()
            if name in ("raw", "without_owner", "owner_view", "all_adjustments")}  # fmt: skip


class TestWhoSeesWhat:
    def test_is_their_part_of_the_tree(self, committed, signed_in, engine):
        own = worth(engine, [*BELOW, None])
        for user, (role, *_) in PEOPLE.items():
            client = signed_in(user)
            for subject in (*BELOW, "*"):
                answer = client.get(f"{API}?subject={subject}")
                if subject == "*":
                    may = role in ("admin", "finance", "sales_ops")
                    people = [*BELOW]
                else:
                    may, people = subject in SEES[user], BELOW[subject]
                assert answer.status_code == (200 if may else 404), (user, subject)
                if may:
                    people = [*people, None] if subject == "*" else people
                    raw = sum(own[person] for person in people)
                    assert commit(answer.json())["raw"] == raw, (user, subject)

    def test_defaults_to_oneself_and_for_who_sells_nothing_to_the_company(
        self, committed, signed_in
    ):
        assert signed_in("manager").get(API).json()["subject"] == "manager"
        assert signed_in("finance").get(API).json()["subject"] is None

    def test_has_the_deals_behind_each_number(self, committed, signed_in):
        client = signed_in("manager")
        found = client.get(f"{API}/deals?category=commit").json()
        assert Decimal(found["total"]) == sum(Decimal(deal["value"]) for deal in found["deals"])
        assert Decimal(found["total"]) == commit(client.get(API).json())["raw"]
        assert found["count"] == 3

    def test_page_equals_the_api(self, committed, signed_in):
        client = signed_in("manager")
        page = client.get("/forecast", headers=HTML)
        assert page.status_code == 200
        exact = set(re.findall(r'title="\$([\d,.]+)"', page.text))
        answer = client.get(API).json()
        for column, cell in answer["cells"].items():
            amount = f"{Decimal(cell['all_adjustments']):,.2f}"
            assert amount in exact, column


class TestAdjusting:
    def adjust(self, client, subject, amount, **more):
        body = {"subject": subject, "category": "commit", "amount": amount, "note": "felt so"}
        return client.post(f"{API}/adjustments", json={**body, **more})

    def test_shows_above_and_not_below(self, committed, signed_in):
        manager, rep = signed_in("manager"), signed_in("rep")
        assert self.adjust(rep, "rep", "12000").status_code == 201
        assert self.adjust(manager, "rep", "9000.50").status_code == 201
        assert commit(rep.get(API).json()) == {
            "raw": 10_000, "without_owner": 10_000, "owner_view": 12_000, "all_adjustments": 12_000,
        }  # fmt: skip
        seen = commit(manager.get(f"{API}?subject=rep").json())
        assert seen["all_adjustments"] == Decimal("9000.50")
        assert "9000.50" not in rep.get(f"{API}/history").text
        assert "9,000.50" not in rep.get("/forecast", headers=HTML).text
        assert "9,000.50" in manager.get("/forecast", headers=HTML).text

    def test_is_refused_beyond_direct_reports(self, committed, signed_in):
        skipping = self.adjust(signed_in("leader"), "rep", "1")
        assert skipping.status_code == 403
        assert "Rep reports to Manager" in skipping.json()["detail"]
        assert self.adjust(signed_in("rep"), "manager", "1").status_code == 404
        assert self.adjust(signed_in("admin"), "rep", "1").status_code == 403

    def test_is_refused_when_the_deals_changed_since_one_looked(self, committed, signed_in, engine):
        rep = signed_in("rep")
        looked = NOON - dt.timedelta(hours=1)
        with transaction(engine) as session:
            deal = session.get(Opportunity, "deal of rep")
            at = NOON - dt.timedelta(minutes=1)
            factories.an_event(session, deal, field="amount", value="7", at=at)
        answer = self.adjust(rep, "rep", "1", looked_at=looked.isoformat())
        assert answer.status_code == 409
        assert self.adjust(rep, "rep", "1", looked_at=NOON.isoformat()).status_code == 201

    def test_from_the_page_needs_the_token_and_returns(self, committed, signed_in):
        rep = signed_in("rep")
        form = {"subject": "rep", "period": "2026-Q2", "column": "commit", "amount": "12",
                "note": "felt so", "looked_at": NOON.isoformat(), "back": "/forecast"}  # fmt: skip
        token = rep.headers.pop("x-csrf-token")
        assert rep.post("/forecast/adjustments", data=form).status_code == 403
        answer = rep.post("/forecast/adjustments", data={**form, "csrf_token": token})
        assert (answer.status_code, answer.headers["location"]) == (303, "/forecast")
        rep.headers["x-csrf-token"] = token
        taken_back = rep.post("/forecast/adjustments", data={**form, "amount": ""})
        assert taken_back.status_code == 303
        lines = rep.get(f"{API}/history").json()["adjustments"]
        assert [line["amount"] for line in lines] == [None, "12.00"]


class TestSubmitting:
    def test_freezes_the_call_and_shows_it_above(self, committed, signed_in):
        rep, manager = signed_in("rep"), signed_in("manager")
        made = rep.post(f"{API}/submissions", json={"note": "<b>sure</b>"})
        assert made.status_code == 201
        call = {(i["roll_up"], i["category"]): i["amount"] for i in made.json()["items"]}
        assert call["cumulative", "commit"] == "10000.00"
        assert (made.json()["author"], made.json()["late"]) == ("rep", True)
        page = manager.get("/forecast?subject=rep", headers=HTML).text
        assert "&lt;b&gt;sure&lt;/b&gt;" in page
        assert signed_in("colleague").get(f"{API}/history").json()["submissions"] == []

    def test_is_for_sellers(self, committed, signed_in):
        assert signed_in("finance").post(f"{API}/submissions", json={}).status_code == 403


class TestPicking:
    def test_a_category_is_for_who_may_edit_the_deal(self, committed, signed_in):
        path = f"{API}/deals/deal of rep/category"
        for user, status in (("colleague", 404), ("finance", 403), ("rep", 204), ("leader", 204)):
            answer = signed_in(user).put(path, json={"category": "best_case"})
            assert answer.status_code == status, user
        rep = signed_in("rep")
        assert commit(rep.get(API).json())["raw"] == 0
        shown = rep.get(f"{API}/deals?category=best_case").json()["deals"]
        assert [(deal["category"], deal["source"]) for deal in shown] == [("best_case", "manual")]
        page = rep.post("/forecast/deals/deal%20of%20rep/category", data={"category": ""})
        assert page.status_code == 303
        assert commit(rep.get(API).json())["raw"] == 10_000


class TestTheCadence:
    def test_is_sales_operations_to_set(self, committed, signed_in):
        body = {"weekday": 5, "hour": 9}
        assert signed_in("manager").put(f"{API}/cadence", json=body).status_code == 403
        assert signed_in("admin").put(f"{API}/cadence", json=body).status_code == 204
        assert signed_in("admin").put(f"{API}/cadence", json=body | {"hour": 24}).status_code == 422


class TestAccuracy:
    def test_shows_what_rules_said_and_how_near_each_layer_was(self, committed, signed_in, engine):
        first = dt.date(2026, 1, 1)
        with transaction(engine) as session:
            forecasting.freeze(session, as_of=NOON, now=NOON)
            for layer, minor in (("naive", 100_00), ("manager", 150_00)):
                session.add(
                    ForecastScore(
                        subject_id="manager", period_start=first, period_end=dt.date(2026, 4, 1),
                        week=2, layer=layer, recorded_at=NOON, forecast_minor=minor,
                        actual_minor=200_00, naive_minor=100_00, currency="USD",
                    )
                )  # fmt: skip
        manager = signed_in("manager")
        now = manager.get(f"{API}/accuracy").json()
        assert {each["layer"]: each["reason"] for each in now["baselines"]} == {
            "naive": "too_short_a_history", "stage_week": "too_few_periods",
            "weighted": "too_few_closed",
        }  # fmt: skip
        past = manager.get(f"{API}/accuracy?period=2026-Q1").json()
        score = next(each for each in past["scores"] if each["layer"] == "manager")
        assert [Decimal(score[name]) for name in ("error", "bias", "value_added")] == [
            Decimal("0.25"), Decimal("-0.25"), Decimal("0.25"),
        ]  # fmt: skip
        for lang, words in (("en", "Who was nearer in 2026-Q1"), ("zh", "2026-Q1 谁更准")):
            assert words in manager.get(f"/forecast?lang={lang}", headers=HTML).text
        assert signed_in("rep").get(f"{API}/accuracy?subject=manager").status_code == 404
        assert signed_in("rep").get(f"{API}/accuracy?period=2026-Q1").json()["scores"] == []


class TestThePage:
    @pytest.mark.parametrize("lang", ["en", "zh"])
    @pytest.mark.parametrize("query", ["", "roll_up=single&", "period=2026-Q1&", "period=2026-Q3&"])
    def test_shows_for_everybody(self, committed, signed_in, lang, query):
        for user in ("leader", "rep", "admin"):
            for path in ("/forecast", "/forecast/deals"):
                page = signed_in(user).get(f"{path}?{query}lang={lang}", headers=HTML)
                assert page.status_code == 200, page.text[:2000]

    def test_tells_what_changed_since_a_week_ago(self, committed, signed_in, engine):
        with transaction(engine) as session:
            a_deal(session, "young", "rep", 3)
            deal = session.get(Opportunity, "deal of rep")
            at = NOON - dt.timedelta(days=2)
            factories.an_event(session, deal, field="amount", value="10500", at=at)
        page = signed_in("manager").get("/forecast", headers=HTML).text
        assert "Amount raised" in page
        assert "$500.00" in page
        found = signed_in("manager").get(f"{API}/bridge").json()
        terms = sum(Decimal(term["amount"]) for term in found["terms"])
        assert Decimal(found["opening"]) + terms == Decimal(found["closing"])

    def test_asks_the_same_number_of_questions_whatever_there_is(
        self, committed, signed_in, engine, app
    ):
        manager = signed_in("manager")
        counted = []
        for size in (1, 30):
            with transaction(engine) as session:
                for number in range(size):
                    a_deal(session, f"more {size} {number}", "rep", number % 5)
            seen = []

            def note(_connection, _cursor, statement, *_rest, seen=seen):
                seen.append(statement)

            event.listen(app.state.engine, "before_cursor_execute", note)
            assert manager.get("/forecast", headers=HTML).status_code == 200
            event.remove(app.state.engine, "before_cursor_execute", note)
            counted.append(len(seen))
        assert counted[0] == counted[1] <= 55
