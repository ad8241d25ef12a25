"""One's numbers on a page, in the API and in files are the same, and nobody else's leak."""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
from decimal import Decimal
from html import unescape

import pytest
from openpyxl import load_workbook
from sqlalchemy import event, select

from crm_core.audit.models import AuditEntry
from crm_core.database import transaction
from crm_core.orders.models import Order
from crm_core.people.models import User
from crm_core.quotas.models import Quota
from tests.serving.conftest import NOON, a_deal

HTML = {"accept": "text/html"}
TEAM = {f"peer {number}": 12_345_67 * (number + 1) for number in range(6)}
"""Reps beside those of the small company and what they booked, in cents."""


@pytest.fixture
def sold(engine, app):
    """Quotas of 100,000 and orders of this quarter for the rep and six peers."""
    with transaction(engine) as session:
        for number, who in enumerate(TEAM):
            session.add(
                User(id=who, name=who.title(), email=f"p{number}@acme.example", role="rep",
                     org_unit_id="west")
            )  # fmt: skip
        session.flush()
        for who, booked in {**TEAM, "rep": 25_000_37}.items():
            session.add(
                Order(id=f"order of {who}", account_id="acme", owner_id=who, currency="USD",
                      ordered_on=dt.date(2026, 5, 4), amount_minor=booked, recorded_at=NOON)
            )  # fmt: skip
            session.add(
                Quota(subject_kind="user", subject_id=who, metric="bookings", currency="USD",
                      period_start=dt.date(2026, 4, 1), period_end=dt.date(2026, 7, 1),
                      recorded_at=NOON - dt.timedelta(days=1), amount_minor=100_000_00)
            )  # fmt: skip
        session.add(
            Order(id="=order", account_id="acme", owner_id="rep", currency="USD",
                  ordered_on=dt.date(2026, 2, 4), amount_minor=5_000_00, recorded_at=NOON)
        )  # fmt: skip


def table(content):
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))


def said(page):
    """The words of a page without its marks."""
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)))


class TestThePage:
    def test_tells_attainment_gap_trend_and_place(self, sold, signed_in):
        page = said(signed_in("rep").get("/numbers", headers=HTML).text)
        for words in ("My numbers", "25.0%", "$25,000.37 of $100,000.00", "$74,999.63",
                      "2026-Q1 $5,000.00", "of 7 reps with a quota"):  # fmt: skip
            assert words in page, words
        assert re.search(r"5 of 7 reps", page)  # who booked 74, 62, 49 and 37 thousand are ahead

    def test_links_every_number_to_its_rows(self, sold, signed_in):
        client = signed_in("rep")
        links = set(re.findall(r'href="(/kpis/[^"]+)"', client.get("/numbers", headers=HTML).text))
        assert len(links) > 12
        for link in links:
            assert client.get(unescape(link), headers=HTML).status_code == 200, link
        assert "order of rep" in client.get("/kpis/bookings?period=2026-Q2&person=rep").text

    def test_says_what_is_missing_instead_of_zero(self, app, signed_in):
        page = said(signed_in("rep").get("/numbers", headers=HTML).text)
        assert "No attainment to show There is no quota for the period." in page
        assert "Nothing to draw yet" in page
        assert "Only reps with a quota" in page

    def test_speaks_chinese(self, sold, signed_in):
        page = said(signed_in("rep").get("/numbers?lang=zh", headers=HTML).text)
        assert "我的业绩" in page
        assert "/ 7 名有配额的销售,按完成率排名" in page.replace("，", ",")

    def test_asks_the_database_equally_often_whatever_the_company(
        self, sold, app, engine, signed_in
    ):
        client, asked = signed_in("rep"), []
        event.listen(app.state.engine, "before_cursor_execute", lambda *_: asked.append(1))
        client.get("/numbers")
        few, asked[:] = len(asked), []
        with transaction(engine) as session:
            for number in range(40):
                a_deal(session, f"more {number}", "rep", number % 5)
        client.get("/numbers")
        assert len(asked) == few <= MOST_STATEMENTS


MOST_STATEMENTS = 100


class TestWhose:
    def test_a_manager_chooses_among_the_team_and_nobody_else(self, sold, signed_in):
        manager = signed_in("manager")
        page = manager.get("/numbers?person=rep", headers=HTML).text
        assert "Numbers of Rep" in page
        assert set(re.findall(r'<option value="([^"]+)"', page)) == {"colleague", "manager", "rep"}
        for who in ("stranger", "nobody at all"):
            assert manager.get(f"/numbers?person={who}", headers=HTML).status_code == 404
            assert manager.get(f"/kpis/bookings?person={who}").status_code == 404
            assert manager.get(f"/api/v1/numbers?person={who}").status_code == 404
            for form in ("csv", "xlsx", "pdf"):
                path = f"/api/v1/exports/numbers.{form}?person={who}"
                assert manager.get(path).status_code == 404

    def test_a_place_tells_no_peer_s_number_or_name(self, sold, signed_in, engine):
        client = signed_in("rep")
        before = client.get("/numbers", headers=HTML).text
        assert "Peer" not in before
        with transaction(engine) as session:  # the peers right above and below move by a cent
            session.get(Order, ("order of peer 2", NOON)).amount_minor += 1
            session.get(Order, ("order of peer 1", NOON)).amount_minor -= 1
        assert client.get("/numbers", headers=HTML).text == before

    def test_no_place_is_told_among_few(self, signed_in, engine, app):
        with transaction(engine) as session:
            for who in ("rep", "stranger"):
                session.add(
                    Quota(subject_kind="user", subject_id=who, metric="bookings", currency="USD",
                          period_start=dt.date(2026, 4, 1), period_end=dt.date(2026, 7, 1),
                          recorded_at=NOON, amount_minor=100)
                )  # fmt: skip
            session.add(
                Order(id="o", account_id="acme", owner_id="rep", currency="USD",
                      ordered_on=dt.date(2026, 5, 4), amount_minor=1, recorded_at=NOON)
            )  # fmt: skip
        told = signed_in("rep").get("/api/v1/numbers").json()
        assert told["place"] is None
        assert "Fewer than 5 reps" in told["place_untold"]

    def test_a_margin_is_told_to_nobody_who_may_not_read_costs(self, sold, signed_in):
        for user, status in (("rep", 403), ("manager", 403), ("leader", 200), ("finance", 200)):
            client = signed_in(user)
            for metric in ("gross_margin", "attainment_gross_margin", "pipeline_margin"):
                assert client.get(f"/kpis/{metric}").status_code == status, (user, metric)
                assert client.get(f"/api/v1/kpis/{metric}/rows").status_code == status
        path = "/api/v1/exports/rows.csv?metric=gross_margin"
        assert signed_in("rep").get(path).status_code == 403


class TestTheFiles:
    def test_are_the_page_and_the_api_to_the_minor_unit(self, sold, signed_in):
        client = signed_in("rep")
        told = client.get("/api/v1/numbers").json()
        rows = table(client.get("/api/v1/exports/numbers.csv").content)
        now = {row["Metric"]: row for row in rows if row["Period"] == "2026-Q2"}
        page = said(client.get("/numbers", headers=HTML).text)
        for kpi in told["kpis"]:
            row = now[kpi["metric"]]
            if kpi["value"] is None:
                assert (row["Value"], row["Why there is none"]) == ("", kpi["reason"])
            elif kpi["unit"] == "money":
                assert Decimal(row["Value"]) == Decimal(kpi["value"])
                assert f"{Decimal(kpi['value']):,.2f}" in page
            else:
                assert abs(Decimal(row["Value"]) - Decimal(kpi["value"])) < Decimal("1e-11")
        trend = {p["period"]: p for p in told["trend"]}
        for row in rows:
            if row["Metric"] == "bookings":
                assert Decimal(row["Value"]) == Decimal(trend[row["Period"]]["bookings"])
        assert now["quota"]["Value"] == "100000.00"
        assert rows[0]["exported_by"] == "Rep <rep@acme.example>"
        assert rows[0]["as_of"] == "2026-06-30T20:00:00+08:00 (Asia/Shanghai)"
        assert "bookings v1" in rows[0]["definitions"]

    def test_of_a_number_s_rows_sum_to_it(self, sold, signed_in):
        leader = signed_in("leader")
        told = leader.get("/api/v1/kpis/bookings/rows").json()["kpi"]
        rows = table(leader.get("/api/v1/exports/rows.csv?metric=bookings").content)
        assert sum(Decimal(row["Value (USD)"]) for row in rows) == Decimal(told["value"])
        book = load_workbook(
            io.BytesIO(leader.get("/api/v1/exports/rows.xlsx?metric=bookings").content)
        )
        values = [row[5].value for row in list(book.worksheets[0].iter_rows())[1:]]
        assert all(isinstance(value, int | float) for value in values)
        assert round(sum(values) * 100) == round(Decimal(told["value"]) * 100)

    def test_run_nothing_that_a_source_wrote(self, sold, signed_in):
        path = "/api/v1/exports/rows.csv?metric=bookings&period=2026-Q1"
        rows = table(signed_in("leader").get(path).content)
        assert [row["Row"] for row in rows] == ["'=order"]

    def test_are_refused_where_the_records_may_not_be_exported(self, sold, signed_in):
        rep = signed_in("rep")
        assert rep.get("/api/v1/exports/rows.csv?metric=bookings").status_code == 403
        assert rep.get("/api/v1/exports/rows.csv?metric=pipeline").status_code == 200
        assert "CSV" not in rep.get("/kpis/bookings?period=2026-Q2", headers=HTML).text
        assert "CSV" in rep.get("/kpis/pipeline?period=2026-Q2", headers=HTML).text

    def test_hold_the_viewer_s_rows_only(self, signed_in):
        path = "/api/v1/exports/rows.csv?metric=pipeline"
        assert [r["Row"] for r in table(signed_in("rep").get(path).content)] == ["deal of rep"]
        mine = {row["Row"] for row in table(signed_in("manager").get(path).content)}
        assert mine == {"deal of manager", "deal of rep", "deal of colleague"}

    def test_are_written_into_the_audit_log(self, sold, signed_in, engine):
        signed_in("rep").get("/api/v1/exports/numbers.pdf")
        with transaction(engine) as session:
            entry = session.scalars(select(AuditEntry).where(AuditEntry.action == "export")).one()
        assert (entry.actor, entry.table_name, entry.record_id) == (
            "rep", "metrics", "numbers-2026-Q2",
        )  # fmt: skip
        assert entry.changes["form"] == [None, "pdf"]

    @pytest.mark.parametrize(
        "path",
        ["numbers.doc", "numbers.csv?period=soon", "rows.csv", "rows.csv?metric=none",
         "numbers.csv?as_of=2031-01-01"],
    )  # fmt: skip
    def test_are_refused_for_what_does_not_exist(self, signed_in, path):
        assert signed_in("rep").get(f"/api/v1/exports/{path}").status_code in (404, 422)
