"""The company by unit and by three dimensions: parts sum to the whole, cells open their rows."""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
from decimal import Decimal
from html import unescape

import pytest
from sqlalchemy import event

from crm_core.accounts.models import Account
from crm_core.database import transaction
from crm_core.orders.models import Order
from crm_core.people.models import User
from crm_core.products.models import Product
from crm_core.quotas.models import Quota
from tests.serving.conftest import NOON, a_deal

HTML = {"accept": "text/html"}
SOLD = {
    "o1": ("rep", 100_000_01, "meter", "acme"),
    "o2": ("colleague", 50_000_02, "care", "acme"),
    "o3": ("stranger", 7_000_03, "meter", "zenith"),
    "o4": ("leader", 1_000_04, None, "zenith"),
    "o5": ("freelance", 300_05, "care", "nowhere"),
    "o6": (None, 20_06, None, "acme"),
}


@pytest.fixture
def sold(engine, app):
    """Orders of this quarter over units, regions and products; quotas of the units."""
    with transaction(engine) as session:
        session.add(User(id="freelance", name="Free Lance", email="f@acme.example", role="rep"))
        session.add_all(
            Product(id=name, name=name.title(), family=family)
            for name, family in (("meter", "Devices"), ("care", "Service"))
        )
        session.get(Account, "acme").region = "North"
        session.get(Account, "acme").industry = "Chemicals"
        session.add(Account(id="zenith", name="Zenith", region="South", industry="=Steel"))
        session.add(Account(id="nowhere", name="Nowhere"))
        session.flush()
        for name, (owner, minor, product, account) in SOLD.items():
            session.add(
                Order(id=name, account_id=account, owner_id=owner, currency="USD",
                      product_id=product, ordered_on=dt.date(2026, 5, 4), amount_minor=minor,
                      recorded_at=NOON)
            )  # fmt: skip
        for unit, minor in (("company", 400_000_00), ("east", 200_000_00)):
            session.add(
                Quota(subject_kind="org_unit", subject_id=unit, metric="bookings", currency="USD",
                      period_start=dt.date(2026, 4, 1), period_end=dt.date(2026, 7, 1),
                      recorded_at=NOON - dt.timedelta(days=1), amount_minor=minor)
            )  # fmt: skip


def table(content):
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))


def said(page):
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)))


def amount(row, name="Bookings (USD)"):
    return Decimal(row[name])


class TestTheTree:
    def lines(self, client, query=""):
        found = client.get(f"/api/v1/exports/company.csv?{query}")
        assert found.status_code == 200, found.text
        return table(found.content)

    def test_sums_its_parts_to_the_whole_at_every_unit(self, sold, signed_in):
        client = signed_in("admin")
        whole, *parts = self.lines(client)
        assert amount(whole) == Decimal("158320.21")
        assert sum(amount(row) for row in parts if row["Level"] == "1") == amount(whole)
        assert {row["Kind"] for row in parts} >= {"unit", "unplaced", "nowhere"}
        for unit, own in (("company", "158000.10"), ("east", "150000.03"), ("west", "7000.03")):
            top, *below = self.lines(client, f"unit={unit}")
            assert amount(top) == Decimal(own)
            for name in ("Bookings (USD)", "Pipeline (USD)"):
                first = [row for row in below if row["Level"] == "1"]
                assert sum(amount(row, name) for row in first) == amount(top, name)

    def test_is_the_metric_s_own_number(self, sold, signed_in):
        client = signed_in("admin")
        told = client.get("/api/v1/kpis/bookings/rows").json()["kpi"]
        assert Decimal(told["value"]) == amount(self.lines(client)[0])

    def test_holds_a_unit_against_its_own_quota(self, sold, signed_in):
        east = next(row for row in self.lines(signed_in("admin")) if row["Id"] == "east")
        assert east["Quota (USD)"] == "200000.00"
        assert Decimal(east["Attainment"]) == Decimal("0.75000015")
        page = said(signed_in("admin").get("/company?unit=east", headers=HTML).text)
        assert "75.0%" in page
        assert "$150,000.03" in page

    def test_opens_people_and_their_rows(self, sold, signed_in):
        client = signed_in("leader")
        page = client.get("/company?unit=east", headers=HTML).text
        links = [unescape(link) for link in re.findall(r'href="(/kpis/[^"]+)"', page)]
        assert links
        for link in links:
            assert client.get(link, headers=HTML).status_code == 200, link
        rows = said(client.get(next(x for x in links if "colleague" in x), headers=HTML).text)
        assert "o2" in rows
        assert "o1" not in rows

    def test_shows_a_manager_only_the_units_they_lead(self, sold, signed_in):
        manager = signed_in("manager")
        whole, *parts = self.lines(manager)
        assert amount(whole) == Decimal("150000.03")
        assert "west" not in {row["Id"] for row in parts}
        for unit in ("company", "west", "none such"):
            assert manager.get(f"/company?unit={unit}", headers=HTML).status_code == 404
            path = f"/api/v1/exports/company.pdf?unit={unit}"
            assert manager.get(path).status_code == 404

    def test_is_not_for_a_rep(self, sold, signed_in):
        rep = signed_in("rep")
        for path in ("/company", "/company/table", "/api/v1/exports/company.csv",
                     "/api/v1/exports/table.csv"):  # fmt: skip
            assert rep.get(path).status_code == 403
        assert "/company" not in rep.get("/deals", headers=HTML).text

    def test_asks_the_database_equally_often(self, sold, app, engine, signed_in):
        client, asked, counts = signed_in("leader"), [], []
        event.listen(app.state.engine, "before_cursor_execute", lambda *_: asked.append(1))
        for turn in range(2):
            for path in ("/company", "/company/table"):
                asked.clear()
                assert client.get(path, headers=HTML).status_code == 200
                counts.append(len(asked))
            with transaction(engine) as session:
                for number in range(30):
                    owner = ("rep", "stranger")[number % 2]
                    a_deal(session, f"more {turn} {number}", owner, number % 5)
        assert counts[:2] == counts[2:]
        assert max(counts) <= 40

    def test_of_an_empty_period_says_so(self, sold, signed_in):
        page = said(signed_in("leader").get("/company/table?period=2019-Q1", headers=HTML).text)
        assert "Nothing in this period" in page


class TestTheTable:
    def test_sums_rows_columns_and_segments_to_the_whole(self, sold, signed_in):
        admin = signed_in("admin")
        *rows, whole = table(admin.get("/api/v1/exports/table.csv").content)
        names = [name for name in rows[0] if name.endswith("(USD)")]
        assert names == ["Devices (USD)", "Service (USD)", "(none) (USD)", "Total (USD)"]
        assert whole["Total (USD)"] == "158320.21"
        sums = [row for row in rows if row["Industry"] == "(all)"]
        parts = [row for row in rows if row["Industry"] != "(all)"]
        for name in names:
            for lines in (sums, parts):
                assert sum(Decimal(row[name] or 0) for row in lines) == Decimal(whole[name])
        for row in sums:
            mine = [part for part in parts if part["Region"] == row["Region"]]
            assert sum(amount(part, "Total (USD)") for part in mine) == amount(row, "Total (USD)")

    def test_opens_the_rows_of_each_cell_which_sum_to_it(self, sold, signed_in):
        admin = signed_in("admin")
        page = admin.get("/company/table", headers=HTML).text
        cells = re.findall(r'<td class="end num"><a href="(/kpis/[^"]+)">\$([\d,.]+)</a>', page)
        assert len(cells) > 10
        for link, shown in cells:
            query = unescape(link).partition("?")[2]
            path = f"/api/v1/exports/rows.csv?metric=bookings&{query}"
            rows = table(admin.get(path).content)
            assert sum(amount(row, "Value (USD)") for row in rows) == Decimal(
                shown.replace(",", "")
            )
            assert admin.get(unescape(link), headers=HTML).status_code == 200

    def test_is_what_the_api_tells(self, sold, signed_in):
        leader = signed_in("leader")
        told = leader.get(
            "/api/v1/kpis/bookings/slices?by=region&by=product_family&by=industry"
        ).json()
        *rows, whole = table(leader.get("/api/v1/exports/table.csv").content)
        assert Decimal(told["whole"]["value"]) == amount(whole, "Total (USD)")
        for cell in told["cells"]:
            region, family, industry = (label or "(none)" for label in cell["labels"])
            mine = next(
                row
                for row in rows
                if (row["Region"], row["Industry"].strip("'")) == (region, industry)
            )
            assert amount(mine, f"{family} (USD)") == Decimal(cell["value"]["value"])

    def test_counts_only_what_the_viewer_may_see(self, sold, signed_in):
        *_, whole = table(signed_in("manager").get("/api/v1/exports/table.csv").content)
        assert whole["Total (USD)"] == "150000.03"

    def test_runs_nothing_that_a_source_wrote(self, sold, signed_in):
        rows = table(signed_in("admin").get("/api/v1/exports/table.csv").content)
        assert "'=Steel" in {row["Industry"] for row in rows}

    def test_refuses_what_it_cannot_show(self, sold, signed_in):
        manager = signed_in("manager")
        for query, status in (
            ("metric=none", 404), ("metric=attainment", 422), ("by=region", 422),
            ("by=region&by=region&by=tier", 422), ("by=region&by=tier&by=moon", 422),
            ("metric=win_rate_closed", 422), ("metric=gross_margin", 403),
        ):  # fmt: skip
            assert manager.get(f"/company/table?{query}").status_code == status, query

    def test_refuses_a_cell_that_is_none(self, sold, signed_in):
        admin = signed_in("admin")
        for query in (
            "by=region", "by=region&key=[]", "by=region&key=[1]", "key=[", "by=moon&key=[null]",
            f"by=region&key={'[' * 1900}",
        ):  # fmt: skip
            assert admin.get(f"/kpis/bookings?{query}").status_code == 422, query[:40]
        assert admin.get('/kpis/bookings?by=region&key=["Moon"]').status_code == 404
