"""Every route × every user × every deal: nobody sees what is not theirs, not even in a total."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from decimal import Decimal
from urllib.parse import quote

import pytest
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient

from crm_core import exchange
from crm_core.database import transaction, web_engine
from tests.serving.conftest import NOON, OWNERS, PEOPLE, SEES, a_deal
from tests.serving.goal_routes import ABOUT_GOALS
from tests.serving.number_routes import ABOUT_NUMBERS
from tests.serving.work_routes import ABOUT_WORK

HTML = {"accept": "text/html"}

ABOUT_ONE_DEAL = {
    ("GET", "/api/v1/opportunities/{opportunity_id}"),
    ("GET", "/api/v1/opportunities/{opportunity_id}/score"),
    ("GET", "/api/v1/opportunities/{opportunity_id}/advice"),
    ("GET", "/deals/{opportunity_id}"),
    ("GET", "/api/v1/opportunities/{opportunity_id}/stages"),
    ("GET", "/deals/{opportunity_id}/work"),
}
ABOUT_ADVICE = {
    ("POST", "/api/v1/recommendations/{recommendation_id}/response"),
    ("POST", "/recommendations/{recommendation_id}"),
}
ABOUT_IMPORTS = {
    ("GET", "/api/v1/imports"),
    ("POST", "/api/v1/imports"),
    ("GET", "/api/v1/imports/{number}"),
    ("GET", "/api/v1/imports/{number}/rejections"),
    ("POST", "/api/v1/imports/{number}/rollback"),
    ("GET", "/imports"),
    ("POST", "/imports"),
    ("GET", "/imports/{number}"),
    ("POST", "/imports/{number}/rollback"),
    ("POST", "/imports/{number}/carry-out"),
}
ABOUT_JOBS = {
    ("GET", "/jobs"),
    ("GET", "/api/v1/jobs"),
    *(
        ("POST", f"{start}/jobs/{rest}")
        for start in ("", "/api/v1")
        for rest in ("{job_id}/retry", "{job_id}/cancel", "{name}/run-now")
    ),
}
"""Walked in test_job_board.py."""
ABOUT_CUSTOMERS = {
    ("GET", "/accounts"),
    ("GET", "/customers/{account_id}/duplicates"),
    ("POST", "/customers/{account_id}/merge"),
}
"""Walked in test_customers.py."""
ABOUT_ALL_DEALS = {("GET", "/api/v1/opportunities"), ("GET", "/deals")}
SIGNED_IN_ONLY = {
    ("GET", "/api/v1/me"),
    ("GET", "/api/v1/advice/today"),
    ("GET", "/api/v1/audit"),
    ("GET", "/api/v1/permissions"),
    ("GET", "/api/v1/data-health"),
    ("GET", "/api/v1/data-health/report.pdf"),
    ("GET", "/health"),
    ("GET", "/audit"),
    ("GET", "/permissions"),
    ("GET", "/"),
    ("DELETE", "/api/v1/session"),
    ("POST", "/logout"),
}
PUBLIC = {
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/openapi.json"),
    ("GET", "/docs"),
    ("GET", "/login"),
    ("POST", "/login"),
    ("POST", "/api/v1/session"),
}
ABOUT_RECORDS = {
    (method, f"/api/v1/records/{table.name}{rest}")
    for table in exchange.TABLES
    for method, rest in (
        ("GET", ""), ("POST", ""), ("PUT", ""), ("GET", "/{key:path}"), ("PATCH", "/{key:path}")
    )
    if table.name != "opportunity_events" or method in ("GET", "POST")
} | {
    ("GET", "/api/v1/history/{table}/{key:path}"),
    ("POST", "/api/v1/transfers"),
    ("GET", "/api/v1/duplicates/{table}"),
    ("GET", "/api/v1/duplicates/{table}/{key:path}"),
    ("POST", "/api/v1/merges"),
    ("POST", "/api/v1/merges/undo"),
    ("GET", "/api/v1/custom-fields/{table}"),
    ("PUT", "/api/v1/custom-fields/{table}/{name}"),
}  # fmt: skip
"""Walked table by table in test_records_api.py."""
ABOUT_FORECASTS = {
    ("GET", "/forecast"),
    ("GET", "/forecast/deals"),
    ("POST", "/forecast/adjustments"),
    ("POST", "/forecast/submissions"),
    ("POST", "/forecast/deals/{opportunity_id}/category"),
    ("GET", "/api/v1/forecasts"),
    ("GET", "/api/v1/forecasts/deals"),
    ("GET", "/api/v1/forecasts/bridge"),
    ("GET", "/api/v1/forecasts/history"),
    ("GET", "/api/v1/forecasts/snapshots"),
    ("GET", "/api/v1/forecasts/accuracy"),
    ("POST", "/api/v1/forecasts/adjustments"),
    ("POST", "/api/v1/forecasts/submissions"),
    ("PUT", "/api/v1/forecasts/deals/{opportunity_id:path}/category"),
    ("PUT", "/api/v1/forecasts/cadence"),
}
"""Walked in test_forecasts.py."""
MATRIX = (
    ABOUT_RECORDS
    | ABOUT_FORECASTS
    | ABOUT_IMPORTS
    | ABOUT_CUSTOMERS
    | ABOUT_JOBS
    | ABOUT_ONE_DEAL
    | ABOUT_ALL_DEALS
    | ABOUT_ADVICE
    | ABOUT_NUMBERS
    | ABOUT_WORK
    | ABOUT_GOALS
    | SIGNED_IN_ONLY
    | PUBLIC
)


def routes(app):
    return {
        (method, context.path)
        for context in iter_route_contexts(app.routes)
        for method in (context.methods or ())
        if method != "HEAD"
    }


def deal_ids():
    return {f"deal of {owner or 'nobody'}": owner for owner in OWNERS}


def filled(path):
    return (
        path.replace("{opportunity_id}", "deal of rep")
        .replace("{recommendation_id}", "1")
        .replace("{opportunity_id:path}", "deal of rep")
        .replace("{metric}", "pipeline")
        .replace("{form}", "csv")
        .replace("{number}", "1")
        .replace("{job_id}", "1")
        .replace("{table}", "accounts")
        .replace("{key:path}", "acme")
        .replace("{name}", "x_field")
    )


class TestTheMatrix:
    def test_names_every_route(self, app):
        assert routes(app) == MATRIX

    def test_lets_nobody_in_without_a_login(self, app):
        client = TestClient(app, follow_redirects=False)
        for method, path in MATRIX - PUBLIC:
            answer = client.request(method, filled(path))
            assert answer.status_code == 401, (method, path)

    def test_shows_each_deal_to_exactly_who_may_see_it(self, signed_in):
        for user in PEOPLE:
            client = signed_in(user)
            for deal_id, owner in deal_ids().items():
                for method, path in sorted(ABOUT_ONE_DEAL):
                    url = path.replace("{opportunity_id}", quote(deal_id))
                    answer = client.request(method, url, headers=HTML)
                    expected = 200 if owner in SEES[user] else 404
                    assert answer.status_code == expected, (user, url, answer.text[:300])
                    if expected == 404:
                        assert "Secret" not in answer.text, (user, url)

    def test_lists_and_sums_exactly_the_visible_rows(self, signed_in):
        for user in PEOPLE:
            client = signed_in(user)
            mine = {d for d, owner in deal_ids().items() if owner in SEES[user]}
            answer = client.get("/api/v1/opportunities?limit=200").json()
            assert {item["id"] for item in answer["items"]} == mine, user
            assert answer["total"] == len(mine)
            shown = Counter()
            for item in answer["items"]:
                shown[item["amount"]["currency"]] += Decimal(item["amount"]["amount"])
            assert {a["currency"]: Decimal(a["amount"]) for a in answer["amounts"]} == shown
            page = client.get("/deals?limit=200", headers=HTML).text
            assert set(re.findall(r"Secret (deal of \w+)", page)) == mine, user

    def test_takes_an_answer_to_exactly_the_advice_one_may_see(self, signed_in):
        first = signed_in("stranger").get("/api/v1/opportunities/deal of stranger/advice").json()
        number = first["actions"][0]["id"]
        for user in PEOPLE:
            client = signed_in(user)
            answer = client.post(
                f"/api/v1/recommendations/{number}/response", json={"response": "done"}
            )
            page = client.post(f"/recommendations/{number}", data={"response": "done"})
            may = "stranger" in SEES[user]
            assert (answer.status_code, page.status_code) == ((200, 303) if may else (404, 404))
        missing = signed_in("rep").post(
            "/api/v1/recommendations/999999/response", json={"response": "done"}
        )
        assert missing.status_code == 404

    def test_computes_numbers_from_exactly_the_visible_rows(self, signed_in):
        for user in PEOPLE:
            client = signed_in(user)
            behind = client.get("/api/v1/kpis/pipeline/rows").json()
            mine = {d for d, owner in deal_ids().items() if owner in SEES[user]}
            assert {row["row_id"] for row in behind["rows"]} <= mine, user
            page = client.get("/kpis/pipeline", headers=HTML)
            assert page.status_code == 200
            assert set(re.findall(r"Secret (deal of \w+)", page.text)) <= mine, user

    def test_a_filter_reaches_no_further_than_the_list(self, signed_in):
        client = signed_in("rep")
        for query in ("owner=stranger", "q=stranger", "status=all&q=Secret&owner=admin"):
            answer = client.get(f"/api/v1/opportunities?{query}").json()
            assert (answer["items"], answer["total"], answer["amounts"]) == ([], 0, [])

    def test_hides_a_hidden_deal_like_a_missing_one(self, signed_in):
        client = signed_in("rep")
        for path in ("/api/v1/opportunities/{}", "/api/v1/opportunities/{}/score"):
            hidden = client.get(path.format("deal of stranger")).json()
            missing = client.get(path.format("deal of nobody at all")).json()
            hidden.pop("instance"), missing.pop("instance")
            assert hidden == missing


class TestNonInterference:
    """Two worlds that differ only in what the rep may not see give the same bytes."""

    URLS = (
        "/deals",
        "/deals?status=all&sort=p_win",
        "/deals/deal%20of%20rep",
        "/kpis/pipeline",
        "/numbers",
        "/api/v1/kpis",
        "/api/v1/advice/today",
        "/api/v1/me",
        "/api/v1/audit",
        "/audit",
        "/permissions",
        "/api/v1/opportunities?sort=-amount&limit=1",
        "/api/v1/opportunities?q=e&sort=touched",
        "/api/v1/opportunities/deal%20of%20rep",
        "/api/v1/opportunities/deal%20of%20stranger",
    )

    def test_of_hidden_deals(self, signed_in, engine):
        client = signed_in("rep")
        for url in self.URLS:
            client.get(url, headers=HTML)  # the first look writes down the score it was given
        before = [client.get(url, headers=HTML).content for url in self.URLS]
        with transaction(engine) as session:
            for number, owner in enumerate(("stranger", "colleague", None, "manager")):
                a_deal(session, f"more {number}", owner, number)
        after = [client.get(url, headers=HTML).content for url in self.URLS]
        assert after == before

    def test_of_two_users_on_one_connection(self, app, signed_in):
        url = app.state.engine.url.render_as_string(hide_password=False)
        app.state.engine = web_engine(url, pool_size=1, max_overflow=0)
        admin, rep = signed_in("admin"), signed_in("rep")
        for _ in range(3):
            assert admin.get("/api/v1/opportunities").json()["total"] == len(OWNERS)
            assert rep.get("/api/v1/opportunities/none").status_code == 404
            assert rep.get("/api/v1/opportunities").json()["total"] == 1
        app.state.engine.dispose()


class TestReplay:
    def test_refuses_the_future(self, signed_in):
        later = (NOON + dt.timedelta(seconds=1)).isoformat()
        answer = signed_in("rep").get(
            "/api/v1/opportunities/deal of rep/score", params={"as_of": later}
        )
        assert answer.status_code == 422
        assert "future" in answer.json()["detail"]

    @pytest.mark.parametrize(
        "address",
        [
            "/api/v1/opportunities/deal of rep/score?as_of=0001-01-01T00:00:00%2B14:00",
            "/api/v1/kpis?period=0001",
            "/api/v1/kpis?period=9999-W52",
        ],
    )
    def test_refuses_days_outside_the_calendar(self, signed_in, address):
        assert signed_in("rep").get(address).status_code == 422

    def test_judges_by_what_may_be_seen_now(self, signed_in, engine):
        client = signed_in("rep")
        with transaction(engine) as session:
            from crm_core.opportunities.models import Opportunity

            session.get(Opportunity, "deal of rep").owner_id = "stranger"
        past = (NOON - dt.timedelta(days=5)).isoformat()
        answer = client.get("/api/v1/opportunities/deal of rep/score", params={"as_of": past})
        assert answer.status_code == 404
