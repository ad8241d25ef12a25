"""The API of deals: the list, one deal, its score, the reference."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy import event

from crm_core.database import transaction
from crm_core.opportunities.models import Opportunity
from tests.serving.conftest import NOON

LIST = "/api/v1/opportunities"


class TestTheList:
    def test_tells_each_deal_with_its_latest_probability(self, signed_in):
        (deal,) = signed_in("rep").get(LIST).json()["items"]
        assert deal["amount"] == {"amount": "10000.00", "currency": "USD"}
        assert deal["score"]["p_win"] == pytest.approx(0.3)
        assert deal["score"]["model_version"] == "7"
        assert deal["days_silent"] == 3
        assert deal["is_overdue"] is True
        assert deal["last_contact_at"] == "2026-06-27T12:00:00Z"

    def test_counts_days_on_the_company_s_calendar(self, app, signed_in):
        client = signed_in("rep")  # the call was at 20:00 of 27 June in Shanghai
        app.state.fixed_time = NOON + dt.timedelta(hours=3, minutes=59)
        assert client.get(LIST).json()["items"][0]["days_silent"] == 3
        app.state.fixed_time = NOON + dt.timedelta(hours=4)
        assert client.get(LIST).json()["items"][0]["days_silent"] == 4

    def test_walks_by_cursor(self, signed_in):
        client = signed_in("admin")
        seen, cursor = [], None
        while True:
            params = {"limit": 2, "sort": "-p_win", **({"cursor": cursor} if cursor else {})}
            page = client.get(LIST, params=params).json()
            seen += [deal["score"]["p_win"] for deal in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert seen == sorted(seen, reverse=True)
        assert len(seen) == 6

    @pytest.mark.parametrize(
        "query",
        ["limit=201", "limit=0", "sort=password_hash", "status=deleted", "min_amount=abc",
         "min_amount=-1", "min_amount=NaN", "min_amount=1e400", "closes_before=2026-02-31",
         "cursor=zzz"],
    )  # fmt: skip
    def test_refuses_what_makes_no_sense(self, signed_in, query):
        assert signed_in("rep").get(f"{LIST}?{query}").status_code == 422

    def test_takes_as_many_queries_for_many_deals_as_for_one(self, signed_in, engine):
        client = signed_in("rep")
        statements = []

        def note(*arguments):
            statements.append(arguments[2])

        event.listen(engine, "before_cursor_execute", note)
        client.get(LIST)
        few = len(statements)
        with transaction(engine) as session:
            at = NOON - dt.timedelta(days=1)
            session.add_all(
                Opportunity(id=f"n{n}", owner_id="rep", account_id="acme", created_at=at,
                            recorded_at=at, currency="USD", stage="Offer")
                for n in range(40)
            )  # fmt: skip
        statements.clear()
        assert len(client.get(LIST).json()["items"]) == 41
        assert len(statements) == few <= 8


class TestOneDeal:
    def test_tells_facts_changes_contacts_activities_and_past_scores(self, signed_in):
        deal = signed_in("rep").get(f"{LIST}/deal of rep").json()
        fields = [c["field"] for c in deal["changes"]]
        assert fields == ["owner_id", "amount", "expected_close_on", "stage"]
        assert deal["changes"][1]["new"] == {"amount": "10000.00", "currency": "USD"}
        assert deal["changes"][0]["new"] == "Rep"
        assert [c["name"] for c in deal["contacts"]] == ["Li Wei"]
        assert (deal["activities_total"], deal["activities"][0]["kind"]) == (1, "call")
        assert [s["p_win"] for s in deal["past_scores"]] == pytest.approx([0.25, 0.3])


class TestTheScore:
    def test_abstains_in_words_without_a_model(self, signed_in):
        client = signed_in("rep")
        for lang, word in (("en", "model"), ("zh", "模型")):
            score = client.get(f"{LIST}/deal of rep/score", params={"lang": lang}).json()
            assert score["kind"] == "none"
            assert score["p_win"] is None
            assert word in score["abstained"]
            assert score["as_of"] == "2026-06-30T12:00:00Z"


class TestHealth:
    def test_says_alive_and_ready_and_that_no_model_answers_yet(self, client):
        assert client.get("/healthz").json() == {"status": "alive"}
        ready = client.get("/readyz").json()
        assert ready["ready"] is True
        assert "No model is promoted yet" in ready["checks"][1]["detail"]


class TestTheReference:
    def test_describes_every_route_of_the_api(self, client):
        paths = client.get("/openapi.json").json()["paths"]
        assert set(paths) >= {LIST, LIST + "/{opportunity_id}", LIST + "/{opportunity_id}/score"}

    def test_is_a_page_that_loads_nothing_from_elsewhere(self, client):
        page = client.get("/docs").text
        assert "/api/v1/opportunities/{opportunity_id}/score" in page
        assert "p_win_in_period" in page
        assert 'src="http' not in page
        assert "//cdn" not in page

    def test_names_problem_json_for_errors(self, client):
        operation = client.get("/openapi.json").json()["paths"][LIST]["get"]
        assert set(operation["responses"]) >= {"200", "401", "404", "422"}
