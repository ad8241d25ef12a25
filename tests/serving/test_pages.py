"""What the pages say of a score, of advice and of numbers, and that answers are kept."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace

import pytest
from sqlalchemy import select

from crm_core.advice.models import RecommendationResponse
from crm_core.database import transaction
from serving import deals, languages
from serving.coaching.recommend import DealAdvice
from serving.explanations import Reason, Words, effects, sigmoid
from serving.scores import ScoreView
from serving.web import charts, pages
from tests.serving.conftest import NOON

HTML = {"accept": "text/html"}
DEAL = "/deals/deal%20of%20rep"


@pytest.fixture
def shown(engine, app):
    """Return a function that renders one deal's page with a given score."""

    def render(score, language="en"):
        from crm_core.people.queries import Viewer, Visibility

        viewer = Viewer("admin", "Admin", "a@acme.example", "admin", None, "token")
        with transaction(engine) as session:
            view = deals.one_deal(
                session, "deal of rep", viewer=viewer, visibility=Visibility(everyone=True),
                as_of=NOON,
            )  # fmt: skip
        advised = DealAdvice(
            opportunity_id="deal of rep", arm="advice", day=NOON.date(), items=(), note=None
        )
        frame = pages.bare_frame(DEAL, languages.languages()[language])
        page = pages.render(
            "deal.html", frame, view=view, score=score, advised=advised,
            waterfall=charts.waterfall(score), past=view.past_scores,
            line=charts.line(view.past_scores),
        )  # fmt: skip
        return page.body.decode()

    return render


def a_score(**fields):
    contributions = {"contact": 0.8, "age": -0.3}
    base = -0.4
    margin = base + 0.8 - 0.3
    values = {
        "opportunity_id": "deal of rep", "as_of": NOON, "kind": "model", "model_version": "12",
        "p_win": sigmoid(margin), "low": 0.41, "high": 0.63, "n_similar": 1234, "margin": margin,
        "base_value": base, "contributions": contributions,
        "effects": effects(base_value=base, contributions=contributions),
        "reasons": (
            Reason("contact", True, 0.8, Words("Spoken 3 days ago.", "3 天前通过话。"), {}),
            Reason("age", False, -0.3, Words("Open <90> days.", "已开放 <90> 天。"), {}),
        ),
    }  # fmt: skip
    return ScoreView(**{**values, **fields})


class TestTheScore:
    def test_tells_number_band_sample_version_and_time(self, shown):
        page = shown(a_score())
        for words in ("52%", "likely between 41% and 63%", "1,234 similar deals", "Model 12",
                      "as of 30 Jun 2026, 12:00", "Spoken 3 days ago."):  # fmt: skip
            assert words in page

    def test_tells_it_in_chinese(self, shown):
        page = shown(a_score(), "zh")
        for words in ("很可能在 41% 到 63% 之间", "3 天前通过话。", "模型 12"):
            assert words in page

    def test_draws_the_reasons_and_repeats_them_in_a_table(self, shown):
        page = shown(a_score())
        assert page.count('class="bar-up"') == 1
        assert page.count('class="bar-down"') == 1
        assert page.count('class="bar-total"') == 2
        for value in ("0.800", "−0.300", "-0.300", "0.100"):
            if value in ("−0.300", "-0.300"):
                assert "−0.300" in page or "-0.300" in page
            else:
                assert value in page

    def test_escapes_words(self, shown):
        assert "Open &lt;90&gt; days." in shown(a_score())

    def test_marks_a_base_rate_as_one(self, shown):
        note = Words("Nothing known tells these deals apart.", "…")
        page = shown(a_score(kind="base_rate", effects=(), reasons=(), note=note))
        assert "Base rate" in page
        assert "Nothing known tells these deals apart." in page
        assert "bar-total" not in page

    def test_shows_no_number_when_it_abstains(self, shown):
        page = shown(
            ScoreView(
                opportunity_id="deal of rep", as_of=NOON, kind="none", model_version=None,
                contributions={}, abstained=Words("Created today.", "今天创建。"),
            )
        )  # fmt: skip
        assert "No number, on purpose" in page
        assert "Created today." in page
        assert 'class="score-p' not in page


class TestAdvice:
    def first(self, client):
        return client.get("/api/v1/opportunities/deal of rep/advice").json()["actions"][0]

    def responses(self, engine):
        with transaction(engine) as session:
            return [
                (r.response, r.reason, r.snoozed_until)
                for r in session.scalars(
                    select(RecommendationResponse).order_by(RecommendationResponse.id)
                )
            ]

    def test_stands_on_the_deal_s_page_with_its_reason(self, signed_in):
        client = signed_in("rep")
        action = self.first(client)
        page = client.get(DEAL, headers=HTML).text
        assert action["title"] in page
        assert action["reason"].split()[0] in page
        assert f'action="/recommendations/{action["id"]}"' in page

    def test_is_the_same_list_after_a_refresh(self, signed_in):
        client = signed_in("rep")
        assert self.first(client) == self.first(client)

    def test_keeps_an_answer_and_returns_to_the_page(self, signed_in, engine):
        client = signed_in("rep")
        number = self.first(client)["id"]
        form = {"response": "dismissed", "reason": "bad_time", "back": DEAL + "#advice"}
        answer = client.post(f"/recommendations/{number}", data=form)
        assert (answer.status_code, answer.headers["location"]) == (303, DEAL + "#advice")
        assert self.responses(engine) == [("dismissed", "bad_time", None)]
        assert "Dismissed" in client.get(DEAL, headers=HTML).text

    def test_snoozes_to_the_company_s_midnight(self, signed_in, engine):
        client = signed_in("rep")
        number = self.first(client)["id"]
        client.post(
            f"/api/v1/recommendations/{number}/response",
            json={"response": "snoozed", "snooze_days": 3},
        )
        until = dt.datetime(2026, 7, 2, 16, tzinfo=dt.UTC)  # 3 July 00:00 in Shanghai
        assert self.responses(engine) == [("snoozed", None, until)]

    @pytest.mark.parametrize(
        "given",
        [{"response": "dismissed"}, {"response": "dismissed", "reason": " "},
         {"response": "snoozed"}, {"response": "snoozed", "snooze_days": 0},
         {"response": "liked"}, {}],
    )  # fmt: skip
    def test_refuses_half_an_answer(self, signed_in, engine, given):
        client = signed_in("rep")
        number = self.first(client)["id"]
        answer = client.post(f"/api/v1/recommendations/{number}/response", json=given)
        assert answer.status_code == 422
        assert self.responses(engine) == []

    def test_begins_the_day_above_the_list(self, signed_in):
        client = signed_in("rep")
        page = client.get("/deals", headers=HTML).text
        assert "Start your day here" in page
        assert "Start your day here" not in client.get("/deals?q=x", headers=HTML).text


class TestNumbers:
    def test_stand_above_the_list_and_lead_to_their_rows(self, signed_in):
        client = signed_in("rep")
        page = client.get("/deals", headers=HTML).text
        assert "/kpis/pipeline?period=2026-Q2" in page
        assert "How was this computed?" in page

    def test_explain_themselves(self, signed_in):
        client = signed_in("rep")
        page = client.get("/kpis/attainment?period=2026-Q2", headers=HTML).text
        assert "How was this computed?" in page
        told = {k["metric"]: k for k in client.get("/api/v1/kpis").json()["kpis"]}
        assert told["attainment"]["value"] is None
        assert told["attainment"]["reason"]
        assert told["attainment"]["formula"] in page

    @pytest.mark.parametrize(
        ("path", "status"),
        [("/kpis/none", 404), ("/kpis/pipeline?period=soon", 422),
         ("/api/v1/kpis/none/rows", 404), ("/api/v1/kpis?period=2026-Q5", 422),
         ("/api/v1/kpis/pipeline/rows?limit=0", 422)],
    )  # fmt: skip
    def test_refuse_what_does_not_exist(self, signed_in, path, status):
        assert signed_in("rep").get(path).status_code == status


class TestAnEmptyStore:
    def test_shows_a_page_that_says_so(self, app, engine, signed_in):
        from sqlalchemy import text

        client = signed_in("rep")
        with transaction(engine) as session:
            tables = "predictions, activities, opportunity_events, opportunity_contacts"
            session.execute(text(f"truncate {tables}, opportunities cascade"))
        page = client.get("/deals", headers=HTML)
        assert page.status_code == 200
        assert "A deal appears here as soon as you own one." in page.text


class TestTheFrame:
    def test_links_keep_the_rest_of_the_address(self):
        frame = pages.bare_frame("/deals", languages.languages()["en"])
        frame = SimpleNamespace(path="/deals", query=(("q", "a b"), ("sort", "name")), frame=frame)
        assert pages.Frame.link(frame, sort="-name") == "/deals?q=a+b&sort=-name"
        assert pages.Frame.link(frame, q=None, sort=None) == "/deals"
