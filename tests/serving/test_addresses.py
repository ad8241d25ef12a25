"""A deal of any stored id can be opened: by its link on a page, and by a program."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crm_core.database import transaction
from serving import addresses
from tests.serving.conftest import a_deal

HTML = {"accept": "text/html"}
LIST = "/api/v1/opportunities"
IDS = (
    "a/b", "a/b/score", "a/b/advice", "a", "x?y#z", "..", ".", "~..", "~a", "100%", "a%2Fb",
    "a;b=c", "a\\b", "//", "/", " a ", "a+b", "商机/甲", "é" * 300, "商" * 300, "<b>&\"'", "a/../b",
)  # fmt: skip


class TestSegment:
    @given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1))
    @example("..")
    @example("~..")
    @example("~~.")
    def test_is_one_part_that_comes_back_as_the_same_id(self, name):
        part = addresses.segment(name)
        assert not set(part) & set("/?#\\ ")
        assert part.isascii()
        assert unquote(part) not in (".", "..")  # a browser would resolve these
        assert addresses.named(part) == name


@pytest.fixture
def rep(app, engine, signed_in):
    """A rep who owns a deal of each id."""
    with transaction(engine) as session:
        for number, deal_id in enumerate(IDS):
            a_deal(session, deal_id, "rep", number % 5)
    return signed_in("rep")


class TestAnyStoredId:
    def test_can_be_read_scored_and_advised_on(self, rep):
        for deal_id in IDS:
            part = addresses.segment(deal_id)
            deal = rep.get(f"{LIST}/{part}")
            assert deal.status_code == 200, (deal_id, deal.text)
            assert deal.json()["id"] == deal_id
            for what in ("score", "advice"):
                answer = rep.get(f"{LIST}/{part}/{what}")
                assert answer.status_code == 200, (deal_id, what, answer.text)
                assert answer.json()["opportunity_id"] == deal_id

    def test_can_be_asked_for_as_any_program_would_encode_it(self, rep):
        for deal_id in set(IDS) - {".", "..", "~.."}:
            for part in (quote(deal_id, safe=""), quote(deal_id, safe="").lower()):
                if unquote(part) == deal_id:
                    assert rep.get(f"{LIST}/{part}").json()["id"] == deal_id

    def test_is_linked_from_the_list_and_opens(self, rep):
        page = rep.get("/deals?limit=200", headers=HTML).text
        links = set(re.findall(r'<a href="(/deals/[^"?#]*)"', page))
        found = {addresses.named(link.removeprefix("/deals/")): link for link in links}
        assert set(found) == {*IDS, "deal of rep"}
        for deal_id in IDS:
            shown = rep.get(found[deal_id], headers=HTML)
            assert shown.status_code == 200, deal_id
            # what leads back here, and to the same page in another language, leads here
            for link in re.findall(r'(?:name="back" value|href)="(/deals/[^"?#]*)', shown.text):
                assert link in (found[deal_id], f"{found[deal_id]}/work")

    def test_that_is_unknown_or_not_ones_own_is_not_there(self, rep, signed_in):
        stranger = signed_in("stranger")
        for deal_id in IDS:
            part = addresses.segment(deal_id)
            assert stranger.get(f"{LIST}/{part}").status_code == 404
            assert stranger.get(f"/deals/{part}", headers=HTML).status_code == 404
        for part in ("%2F%2F%2F", "a%2Fb%2Fc", "%00", "%FF", "~", "~%2E%2E%2E"):
            assert rep.get(f"{LIST}/{part}").status_code in (404, 422)

    def test_leads_a_visitor_back_after_logging_in(self, client):
        sent = client.get("/deals/a%2Fb%3Fc?lang=zh", headers=HTML)
        form = client.get(sent.headers["location"], headers=HTML)
        assert 'name="next" value="/deals/a%2Fb%3Fc?lang=zh"' in form.text
