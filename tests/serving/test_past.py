"""Asking about earlier times: which model answers, what is kept, how hindsight is marked."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy import delete, text

from crm_core.activities.models import Activity
from crm_core.advice.models import Prediction
from crm_core.database import transaction
from serving import champions
from tests.serving.bundles import bundle, put
from tests.serving.conftest import NOON

HTML = {"accept": "text/html"}
DEAL = "/api/v1/opportunities/deal of rep"
PAGE = "/deals/deal%20of%20rep"
TRAINED = dt.datetime(2026, 6, 25, tzinfo=dt.UTC)


@pytest.fixture
def rep(app, signed_in, monkeypatch):
    """A rep, with a model that was trained as of 25 June and serves."""
    monkeypatch.setattr(champions, "CHECK_SECONDS", 0.0)
    put(app.state.settings.models_folder, bundle(version="8", as_of=TRAINED.isoformat()))
    return signed_in("rep")


@pytest.fixture
def kept(engine):
    """Return a function that counts the predictions that are kept."""

    def count():
        with engine.connect() as connection:
            return connection.scalar(text("select count(*) from predictions"))

    return count


class TestReading:
    def test_writes_nothing_when_the_same_was_kept(self, rep, app, kept):
        before = kept()
        rep.get(f"{DEAL}/score")
        assert kept() == before + 1  # another version than the one kept
        for minutes in range(1, 4):
            app.state.fixed_time = NOON + dt.timedelta(minutes=minutes)
            assert rep.get(f"{DEAL}/score").json()["kind"] == "model"
            assert rep.get(PAGE, headers=HTML).status_code == 200
            assert rep.get(DEAL, params={"hindsight": True}).status_code == 200
        assert kept() == before + 1

    def test_of_the_past_writes_nothing(self, rep, kept):
        before = kept()
        for hindsight in (False, True):
            asked = {"as_of": "2026-06-20T00:00:00Z", "with_current_model": hindsight}
            assert rep.get(f"{DEAL}/score", params=asked).status_code == 200
        assert rep.get(f"{DEAL}/score?as_of=2026-06-28").json()["kind"] == "model"
        assert kept() == before

    def test_hides_no_number_by_an_abstention(self, signed_in, kept):
        rep, before = signed_in("rep"), kept()  # nothing is promoted
        assert rep.get(f"{DEAL}/score").json()["kind"] == "none"
        assert rep.get(PAGE, headers=HTML).status_code == 200
        assert rep.get("/api/v1/opportunities").json()["items"][0]["score"][
            "p_win"
        ] == pytest.approx(0.3)
        assert kept() == before


class TestAScoreOfThePast:
    def test_is_given_by_a_model_trained_by_then_or_not_at_all(self, rep):
        late = rep.get(f"{DEAL}/score?as_of=2026-06-25T00:00:00Z").json()
        assert (late["kind"], late["model_version"], late["hindsight"]) == ("model", "8", None)
        early = rep.get(f"{DEAL}/score?as_of=2026-06-24T23:59:59Z").json()
        assert (early["kind"], early["p_win"], early["hindsight"]) == ("none", None, None)
        # on the company's clock, in Shanghai
        assert early["abstained"] == (
            "No model had been trained by 2026-06-25 07:59; the first is of 2026-06-25 08:00."
        )
        zh = rep.get(f"{DEAL}/score?as_of=2026-06-24&lang=zh").json()["abstained"]
        assert zh == "截至 2026-06-24 00:00 尚未训练任何模型；最早的模型训练于 2026-06-25 08:00。"

    def test_says_that_it_is_hindsight_where_that_was_asked_for(self, rep):
        asked = {"as_of": "2026-06-20T00:00:00Z", "with_current_model": True}
        said = rep.get(f"{DEAL}/score", params=asked).json()
        assert said["kind"] == "model"
        assert said["hindsight"].startswith("In hindsight")
        asked["as_of"] = "2026-06-26T00:00:00Z"
        assert rep.get(f"{DEAL}/score", params=asked).json()["hindsight"] is None

    @pytest.mark.parametrize(
        ("as_of", "instant"),
        [
            ("2026-06-28", "2026-06-27T16:00:00Z"),
            ("2026-06-28T09:30", "2026-06-28T01:30:00Z"),
            ("2026-06-28T09:30:00+02:00", "2026-06-28T07:30:00Z"),
        ],
    )
    @pytest.mark.parametrize("address", [f"{DEAL}/score", "/api/v1/kpis"])
    def test_may_be_asked_for_by_day(self, rep, address, as_of, instant):
        answer = rep.get(address, params={"as_of": as_of})
        assert answer.status_code == 200
        assert answer.json()["as_of"] == instant

    @pytest.mark.parametrize("as_of", ["0", "1719705600", "-1", "", "yesterday", "2026-02-31"])
    @pytest.mark.parametrize("address", [f"{DEAL}/score", "/api/v1/kpis"])
    def test_is_refused_with_the_remedy_where_no_time_is_named(self, rep, address, as_of):
        answer = rep.get(address, params={"as_of": as_of})
        assert answer.status_code == 422
        assert "write 2026-06-30 for 00:00 at the company" in answer.json()["detail"]

    def test_tells_that_a_plus_sign_is_encoded_in_a_link(self, rep):
        answer = rep.get(f"{DEAL}/score?as_of=2026-06-28T09:30:00+02:00")
        assert answer.status_code == 422
        assert "%2B" in answer.json()["detail"]


class TestProbabilityOverTime:
    @pytest.fixture
    def never_scored(self, rep, engine):
        with transaction(engine) as session:
            session.execute(delete(Prediction))
        return rep

    def test_begins_with_hindsight_that_is_marked(self, never_scored, kept):
        given = never_scored.get(DEAL, params={"hindsight": True}).json()
        told = given["hindsight_scores"]
        assert given["past_scores"] == []
        # created on 8 June (Shanghai), then the Mondays until the model was trained
        assert [each["day"] for each in told] == ["2026-06-08", "2026-06-15", "2026-06-22"]
        assert all(each["is_hindsight"] for each in told)
        assert {each["model_version"] for each in told} == {"8"}
        assert kept() == 0

    @pytest.mark.parametrize(
        ("lang", "words"), [("en", "learnt from what came after"), ("zh", "事后推算")]
    )
    def test_is_drawn_so_that_hindsight_cannot_be_taken_for_a_score(
        self, never_scored, lang, words
    ):
        page = never_scored.get(f"{PAGE}?lang={lang}", headers=HTML).text
        assert words in page
        assert page.count('class="dot hindsight"') == 3
        assert 'class="trend-line hindsight"' in page

    def test_has_no_hindsight_after_the_first_score(self, rep):
        told = rep.get(DEAL, params={"hindsight": True}).json()
        first = told["past_scores"][0]["as_of"]
        assert told["hindsight_scores"]
        assert all(each["as_of"] < first for each in told["hindsight_scores"])
        assert not any(each["is_hindsight"] for each in told["past_scores"])

    def test_is_not_asked_for_by_the_api_unless_wanted(self, never_scored):
        assert never_scored.get(DEAL).json()["hindsight_scores"] == []


class TestSilence:
    def test_is_unknown_where_no_contact_was_recorded(self, signed_in, engine):
        with transaction(engine) as session:
            session.execute(delete(Activity))
        rep = signed_in("rep")
        (deal,) = rep.get("/api/v1/opportunities").json()["items"]
        assert (deal["days_silent"], deal["last_contact_at"]) == (None, None)
        for lang, words in (("en", "no contact recorded"), ("zh", "尚无联系记录")):
            for page in ("/deals", PAGE):
                assert words in rep.get(f"{page}?lang={lang}", headers=HTML).text
