"""The list of customers shows what one may see, finds, orders and pages; doubles can be merged."""

from __future__ import annotations

import re

import pytest

from crm_core.accounts.models import Account, Contact
from crm_core.database import transaction
from tests.serving.conftest import PEOPLE, a_deal

HTML = {"accept": "text/html"}


@pytest.fixture
def customers(engine, app):
    """Sixty customers of the rep, one hidden double of another, one double of the rep's own."""
    with transaction(engine) as session:
        session.add_all(
            Account(id=f"n{number:02}", name=f"Number {number:02}", owner_id="rep",
                    employees=number, industry="Steel")
            for number in range(60)
        )  # fmt: skip
        session.add_all(
            [
                Account(id="zeta", name="Zeta Pumps", owner_id="rep", country="DE"),
                Account(id="zeta2", name="Zeta Pumps GmbH", owner_id="rep", tier="gold"),
                Account(id="hidden", name="Zeta Pumps Inc", owner_id="stranger"),
            ]
        )
        session.flush()
        session.add_all(
            Contact(id=f"z{number}", account_id="zeta2", name=f"Z {number}") for number in range(3)
        )
        a_deal(session, "hidden deal", "stranger", 3)


def keys(page):
    return re.findall(r'data-href="/customers/([^"]+)"', page.text)


class TestTheList:
    def test_shows_exactly_what_the_api_shows(self, signed_in, customers):
        for user in PEOPLE:
            client = signed_in(user)
            listed = client.get("/api/v1/records/accounts?limit=500").json()["items"]
            expected = {item["key"] for item in listed}
            found, link = [], "/accounts?sort=-employees"
            while link:
                page = client.get(link, headers=HTML)
                assert page.status_code == 200
                found += keys(page)
                more = re.search(r'href="([^"]+)">Next page', page.text)
                link = more[1].replace("&amp;", "&") if more else None
            assert len(found) == len(set(found)), user
            assert set(found) == expected, user
            told = re.search(r"(\d+) customers?", page.text)[1]
            assert int(told) == len(expected), user

    def test_counts_no_deal_that_is_hidden(self, signed_in, customers):
        page = signed_in("rep").get("/accounts?q=halcyon", headers=HTML)
        assert keys(page) == ["acme"]
        assert "1 open" in page.text
        assert "&lt;b&gt;Halcyon" in page.text

    def test_searches_and_orders(self, signed_in, customers):
        client = signed_in("rep")
        assert keys(client.get("/accounts?q=PUMPS&sort=-name", headers=HTML)) == ["zeta2", "zeta"]
        first = keys(client.get("/accounts?sort=-employees", headers=HTML))
        assert [key for key in first if key.startswith("n")][:2] == ["n59", "n58"]
        assert "No customer matches" in client.get("/accounts?q=100%25", headers=HTML).text
        assert client.get("/accounts?sort=owner_id", headers=HTML).status_code == 422

    def test_speaks_chinese(self, signed_in, customers):
        page = signed_in("rep").get("/accounts?lang=zh", headers=HTML)
        assert "客户" in page.text
        assert "Customers" not in page.text


class TestDoubles:
    def test_are_named_only_within_reach(self, signed_in, customers):
        page = signed_in("rep").get("/customers/zeta/duplicates", headers=HTML)
        assert "zeta2" in page.text
        assert "/customers/hidden" not in page.text
        assert "Preview the merge" not in page.text
        hidden = signed_in("rep").get("/customers/hidden/duplicates", headers=HTML)
        assert hidden.status_code == 404

    def test_are_merged_after_a_preview_by_who_may(self, signed_in, customers):
        address = "/customers/zeta/merge"
        assert signed_in("rep").post(address, data={"other": "zeta2"}).status_code == 403
        client = signed_in("admin")
        page = client.get("/customers/zeta/duplicates?other=zeta2", headers=HTML)
        assert "<b>gold</b>" in page.text
        assert re.search(r">3</span> × contacts", page.text)
        assert client.get("/customers/zeta2", headers=HTML).status_code == 200, "nothing yet"
        token = client.headers["x-csrf-token"]
        done = client.post(address, data={"other": "zeta2", "csrf_token": token})
        assert (done.status_code, done.headers["location"]) == (303, "/customers/zeta")
        record = client.get("/api/v1/records/accounts/zeta").json()["record"]
        assert (record["tier"], record["country"]) == ("gold", "DE")
