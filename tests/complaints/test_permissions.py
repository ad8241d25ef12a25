"""One policy for list, total, search, link, export and reason; rights are checked by the server.

Each test is a thread of another product's users, with its own numbers.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from sqlalchemy import select

from crm_core.audit.models import AuditEntry
from crm_core.people.models import User
from tests.complaints.conftest import HTML, NOON, predicted

QUARTER = "2026-Q2"
SECRET = "Project Nightjar"  # what only Zoe, who sits in another team, may know

SILENT = (
    "/", "/customers/acme", "/audit",
    "/api/v1/records/leads?limit=200",
    "/api/v1/notes?subject_kind=opportunity&subject_id=nightjar",
)  # fmt: skip
"""Addresses that tell not even Zoe the deal's name or amount: they are about something else."""


def hidden(firm):
    """Give Zoe a deal, an order and a lead that nobody of Ann's team may see."""
    firm.opens()
    firm.makes("accounts", id="nest", name=SECRET, owner_id="zoe")
    firm.makes("opportunities", id="nightjar", name=SECRET, account_id="nest", owner_id="zoe",
               stage="Qualify", created_at="2026-05-01T09:00:00Z", amount="777777", currency="EUR",
               expected_close_on="2026-06-29")  # fmt: skip
    firm.makes("orders", id="o-nightjar", account_id="nest", owner_id="zoe", currency="EUR",
               ordered_on="2026-05-12", amount="777777", opportunity_id="nightjar")  # fmt: skip
    firm.makes("leads", id="lead-nightjar", created_at="2026-05-01T09:00:00Z", owner_id="zoe",
               status="new")  # fmt: skip
    with firm.facts() as session:
        predicted(session, "nightjar", 0.5)


def reads_nothing_of_it(answer):
    """Return whether an answer tells neither the name nor the amount."""
    words = answer.text
    return SECRET not in words and "777777" not in words and "777,777" not in words


class TestSuiteCrm:
    def test_suitecrm_8684_two_groups_of_1000_dollars_are_2000_to_neither(self, firm):
        firm.opens(currency="USD")
        firm.deal("one", "1000", "USD", owner="ann")
        firm.deal("two", "1000", "USD", owner="zoe")
        for who, mine in (("ann", "one"), ("zoe", "two")):
            told = firm.gets(who, "/kpis", period=QUARTER)["kpis"]
            tiles = {each["metric"]: each["value"] for each in told}
            assert Decimal(tiles["pipeline"]) == 1000
            rows = firm.metric(who, "pipeline", QUARTER)["rows"]
            assert [row["row_id"] for row in rows] == [mine]
            listed = firm.gets(who, "/opportunities")
            assert [item["id"] for item in listed["items"]] == [mine]
            assert [Decimal(each["amount"]) for each in listed["amounts"]] == [1000]
            assert "$2" not in firm.page(who, "/deals")
        assert firm.value("boss", "pipeline", QUARTER) == 1000
        assert firm.value("ops", "pipeline", QUARTER) == 2000


class TestKrayin:
    @pytest.mark.parametrize(
        ("thread", "path"),
        [
            ("krayin_719", "/deals"),
            ("krayin_801", "/"),
            ("krayin_732", "/api/v1/opportunities?q=nightjar"),
            ("krayin_1088", "/customers/acme"),
            ("krayin_592", "/deals/nightjar"),
            ("krayin_2122", "/api/v1/records/opportunities/nightjar"),
            ("frappe_crm_1132", "/kpis/pipeline?period=2026-Q2"),
            ("frappe_crm_1132", "/kpis/bookings?period=2026-Q2"),
            ("erpnext_13104", "/api/v1/records/leads?limit=200"),
            ("erpnext_13104", "/api/v1/kpis/bookings/rows?period=2026-Q2"),
            ("espocrm_530", "/audit"),
            ("espocrm_530", "/api/v1/history/opportunities/nightjar"),
            ("espocrm_530", "/api/v1/notes?subject_kind=opportunity&subject_id=nightjar"),
            ("metabase_shared_link", "/customers/nest"),
        ],
    )
    def test_no_other_way_leads_to_a_hidden_deal(self, firm, thread, path):
        """Each thread found a way round the rule: dashboard, search, link, address, stream."""
        hidden(firm)
        for who in ("ann", "boss"):
            answer = firm.person(who).get(path, headers=HTML)
            assert answer.status_code in (200, 303, 404), (thread, answer.status_code)
            assert reads_nothing_of_it(answer), thread
        if path not in SILENT:
            assert not reads_nothing_of_it(firm.person("zoe").get(path, headers=HTML)), path

    def test_krayin_719_the_dashboard_s_numbers_are_the_viewer_s_own(self, firm):
        hidden(firm)
        firm.deal("mine", "5", "EUR")
        mine = {k["metric"]: k["value"] for k in firm.gets("ann", "/kpis", period=QUARTER)["kpis"]}
        assert Decimal(mine["pipeline"]) == 5
        assert Decimal(mine["bookings"]) == 0
        assert firm.value("zoe", "bookings", QUARTER) == 777_777


class TestTwenty:
    def test_twenty_19738_the_server_itself_refuses_an_import(self, firm):
        """The button was hidden, the request was not refused."""
        firm.opens()
        sent = {"files": ("accounts.csv", b"id,name\nn1,Nova\n", "text/csv")}
        for who in ("ann", "boss"):
            assert firm.sends(who, "POST", "/imports", files=sent).status_code == 403
            assert firm.sends(who, "GET", "/imports").status_code == 403
            assert firm.person(who).post("/imports", files=sent).status_code == 403
        for path in ("/imports/1/rollback",):
            assert firm.sends("ann", "POST", path).status_code == 403

    def test_twenty_22911_300_people_are_read_by_each_role_without_a_crash(self, firm):
        firm.opens()
        with firm.facts() as session:
            session.add_all(
                User(id=f"p{n:03}", name=f"Person {n}", email=f"p{n}@test.example", role="rep",
                     manager_id="boss" if n % 2 else None)
                for n in range(300)
            )  # fmt: skip
        for who in ("ann", "boss", "ops", "root"):
            seen, cursor = [], None
            while True:
                page = firm.gets(who, "/records/users", limit=200,
                                 **({"cursor": cursor} if cursor else {}))  # fmt: skip
                seen += [item["key"] for item in page["items"]]
                cursor = page["next_cursor"]
                if cursor is None:
                    break
            assert len(seen) == len(set(seen))
            assert who in seen


class TestFrappe:
    def asked(self, firm, **policy):
        """Ask for an approval as the manager, who by the policy would be the one to approve."""
        steps = [{"approver": {"user": "boss"}}, {"approver": {"role": "sales_ops"}}]
        firm.opens()
        firm.deal("d", "100", "EUR")
        put = firm.sends("root", "PUT", "/approval-policies/discount",
                         json={"steps": steps[: policy.pop("levels", 2)]} | policy)  # fmt: skip
        assert put.status_code == 201, put.text
        request = {"purpose": "discount", "subject_kind": "opportunity", "subject_id": "d",
                   "content": {"percent": 30}, "title": "30 % off"}  # fmt: skip
        return firm.sends("boss", "POST", "/approvals", json=request)

    def test_frappe_5553_nobody_approves_what_they_ask_for(self, firm):
        asked = self.asked(firm)
        if asked.status_code == 201:
            number = asked.json()["id"]
            shown = firm.gets("boss", f"/approvals/{number}")
            decision = {"decision": "approve", "content_hash": shown["content_hash"]}
            answer = firm.sends("boss", "POST", f"/approvals/{number}/decision", json=decision)
            assert answer.status_code == 403, answer.text
            assert firm.gets("boss", f"/approvals/{number}")["state"] == "pending"
            assert not shown["may_decide"]
        else:
            assert asked.status_code == 409, asked.text

    def test_frappe_5691_self_approval_is_a_switch_of_one_policy_and_is_logged(self, firm):
        asked = self.asked(firm, allows_self=True, levels=1)
        assert asked.status_code == 201, asked.text
        number = asked.json()["id"]
        shown = firm.gets("boss", f"/approvals/{number}")
        decision = {"decision": "approve", "content_hash": shown["content_hash"]}
        answer = firm.sends("boss", "POST", f"/approvals/{number}/decision", json=decision)
        assert answer.status_code == 200, answer.text
        with firm.facts() as session:
            logged = session.scalars(
                select(AuditEntry).where(AuditEntry.table_name == "approval_policies")
            ).all()
        assert any((entry.changes or {}).get("allows_self") == [None, True] for entry in logged)

    def test_erpnext_20934_self_approval_is_refused_where_nobody_set_a_policy(self, firm):
        firm.opens()
        firm.deal("d", "100", "EUR")
        request = {"purpose": "other", "subject_kind": "opportunity", "subject_id": "d",
                   "content": {"why": "a"}, "title": "please"}  # fmt: skip
        asked = firm.sends("ann", "POST", "/approvals", json=request)
        assert asked.status_code == 201, asked.text
        number = asked.json()["id"]
        shown = firm.gets("ann", f"/approvals/{number}")
        decision = {"decision": "approve", "content_hash": shown["content_hash"]}
        own = firm.sends("ann", "POST", f"/approvals/{number}/decision", json=decision)
        assert own.status_code == 403
        assert dt.datetime.fromisoformat(shown["requested_at"]) >= NOON
