"""The catalogue says what every number means; a company defines its own and sees it before."""

from __future__ import annotations

import csv
import io
import re
from html import unescape

import pytest

from crm_core.kpis.catalogue import CATALOGUE
from crm_core.kpis.peers import FEWEST
from serving import metric_words

HTML = {"accept": "text/html"}
DRAFT = {
    "id": "x_big_pipeline", "name_en": "Big pipeline", "name_zh": "大额在谈", "unit": "money",
    "direction": "higher", "way": "sum", "fact": "open_deals", "value": "amount",
    "filter": "amount > 1000", "numerator": "", "denominator": "", "valid_from": "2026-06-30",
    "reason": "first",
}  # fmt: skip


def said(page):
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)))


@pytest.fixture
def ops(engine, signed_in):
    """A client of sales operations."""
    from crm_core.database import transaction
    from crm_core.people import operations
    from crm_core.people.models import User
    from tests.serving.conftest import PASSWORD

    with transaction(engine) as session:
        session.add(User(id="ops", name="Ops", email="ops@acme.example", role="sales_ops"))
        session.flush()
        operations.set_password(session, email="ops@acme.example", password=PASSWORD)
    return signed_in("ops")


class TestTheWords:
    @pytest.mark.parametrize("item", CATALOGUE, ids=lambda item: item.id)
    def test_say_every_definition_in_chinese(self, item):
        for words in (metric_words.event_day(item), metric_words.credit(item),
                      metric_words.rate(item)):  # fmt: skip
            assert re.search(r"[\u4e00-\u9fff]", words.zh), (item.id, words)
            assert words.en
        assert item.unit in metric_words.UNITS
        assert item.direction in metric_words.DIRECTIONS

    def test_tell_peers_from_as_many_as_the_page_says(self):
        assert FEWEST == 5


class TestTheCatalogue:
    def test_lists_what_one_may_see_and_finds_by_words(self, signed_in):
        rep, leader = signed_in("rep"), signed_in("leader")
        mine = rep.get("/metrics", headers=HTML).text
        assert "gross_margin" not in mine
        assert 'id="bookings"' in mine
        assert 'id="gross_margin"' in leader.get("/metrics", headers=HTML).text
        found = rep.get("/metrics?q=slip", headers=HTML).text
        assert re.findall(r'<li id="(\w+)"', found) == ["slip_rate"]
        assert "No number is called so" in rep.get("/metrics?q=zzz", headers=HTML).text
        assert "签约额" in rep.get("/metrics?lang=zh", headers=HTML).text

    def test_leads_to_the_viewer_s_own_number_and_its_rows(self, signed_in):
        page = signed_in("rep").get("/kpis/pipeline?lang=en", headers=HTML).text
        words = said(page)
        for part in ("Credited to the owner at that time", "version 1", "Secret deal of rep",
                     "the data were never checked", "$10,000.00"):  # fmt: skip
            assert part in words, part

    def test_goes_out_as_a_table(self, signed_in):
        content = signed_in("rep").get("/api/v1/exports/metrics.csv").content
        rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))
        known = {row["Metric"] for row in rows}
        assert "bookings" in known
        assert "gross_margin" not in known
        assert all(row["Chinese name"] and row["How it is computed"] for row in rows)
        for form in ("xlsx", "pdf"):
            assert signed_in("rep").get(f"/api/v1/exports/metrics.{form}").status_code == 200


class TestDefining:
    def test_previews_keeps_shows_changes_and_retires(self, ops):
        shown = ops.post("/metrics", data={**DRAFT, "do": "preview"}, headers=HTML)
        assert shown.status_code == 200
        assert "What it would give" in shown.text
        assert "x_big_pipeline" not in ops.get("/metrics", headers=HTML).text
        kept = ops.post("/metrics", data={**DRAFT, "do": "save"}, headers=HTML)
        assert (kept.status_code, kept.headers["location"]) == (303, "/kpis/x_big_pipeline")
        number = ops.get("/kpis/x_big_pipeline", headers=HTML)
        assert number.status_code == 200
        value = re.search(r'class="goal-value num">\s*([$\d,.]+)', shown.text).group(1)
        assert value in number.text
        edit = ops.get("/metrics/x_big_pipeline/edit", headers=HTML).text
        assert 'value="amount &gt; 1000"' in edit
        changed = {**DRAFT, "filter": "amount > 50000", "reason": "higher", "do": "save"}
        assert ops.post("/metrics", data=changed).status_code == 303
        assert "version 2" in said(ops.get("/metrics/x_big_pipeline/edit", headers=HTML).text)
        gone = ops.post("/metrics/x_big_pipeline/retire", data={"reason": "unused"})
        assert gone.status_code == 303
        assert "x_big_pipeline" not in ops.get("/metrics", headers=HTML).text

    def test_says_what_is_wrong_beside_the_field_and_keeps_the_rest(self, ops):
        for field, bad in (("value", "amoun"), ("filter", "amount >"), ("id", "Big"),
                           ("fact", ""), ("way", "guess"), ("reason", "")):  # fmt: skip
            do = "save" if field == "reason" else "preview"
            answer = ops.post("/metrics", data={**DRAFT, field: bad, "do": do}, headers=HTML)
            assert answer.status_code == 422, (field, answer.text[:200])
            assert 'role="alert"' in answer.text, field
            assert 'value="Big pipeline"' in answer.text, field

    def test_is_for_who_may_define(self, signed_in, ops):
        for user in ("rep", "leader"):
            client = signed_in(user)
            assert client.get("/metrics/new").status_code == 403
            assert client.post("/metrics", data={**DRAFT, "do": "save"}).status_code == 403
            assert "/metrics/new" not in client.get("/metrics", headers=HTML).text
        assert "/metrics/new" in ops.get("/metrics", headers=HTML).text
        assert ops.get("/metrics/bookings/edit").headers["location"] == "/metrics"

    def test_tells_no_margin_by_another_name(self, ops, signed_in):
        hidden = {**DRAFT, "id": "x_hidden", "fact": "margins", "filter": "", "do": "save"}
        assert ops.post("/metrics", data=hidden).status_code == 303
        rep = signed_in("rep")
        assert rep.get("/kpis/x_hidden").status_code == 403
        assert rep.get("/api/v1/exports/rows.csv?metric=x_hidden").status_code == 403
        assert "x_hidden" not in rep.get("/metrics", headers=HTML).text
