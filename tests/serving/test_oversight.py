"""The audit log and the permissions as the pages, the API and the commands show them."""

from __future__ import annotations

import csv

import pytest
from typer.testing import CliRunner

from serving.commandline.app import app as commands
from tests.serving.conftest import NOON

HTML = {"accept": "text/html"}


def answered(client):
    advice = client.get("/api/v1/opportunities/deal of rep/advice").json()
    number = advice["actions"][0]["id"]
    given = client.post(f"/api/v1/recommendations/{number}/response", json={"response": "done"})
    assert given.status_code == 200, given.text
    return str(number)


class TestTheLog:
    def test_tells_who_what_when_and_from_where(self, signed_in):
        rep = signed_in("rep")
        number = answered(rep)
        (line,) = rep.get("/api/v1/audit?table=recommendations").json()["items"]
        assert (line["actor"], line["action"], line["record_id"]) == ("rep", "respond", number)
        assert line["changes"] == {"reason": [None, None], "response": [None, "done"]}
        assert (line["channel"], line["address"]) == ("api", "testclient")
        assert line["request_id"]
        assert line["occurred_at"].startswith(f"{NOON:%Y-%m-%dT%H:%M}")

    def test_holds_log_ins_refused_ones_and_log_outs(self, signed_in, client):
        signed_in("rep").delete("/api/v1/session")
        wrong = {"email": "rep@acme.example", "password": "wrong"}
        assert client.post("/api/v1/session", json=wrong).status_code == 401
        found = signed_in("admin").get("/api/v1/audit?table=users").json()["items"]
        told = [(line["actor"], line["action"]) for line in found]
        assert told == [("admin", "login"), (None, "login_refused"), ("rep", "logout"),
                        ("rep", "login")]  # fmt: skip
        assert "wrong" not in str(found)

    def test_shows_a_person_only_what_concerns_them(self, signed_in):
        answered(signed_in("rep"))
        stranger = signed_in("stranger").get("/api/v1/audit").json()["items"]
        assert {line["actor"] for line in stranger} == {"stranger"}
        everybody = signed_in("admin").get("/api/v1/audit").json()["items"]
        assert {line["actor"] for line in everybody} == {"admin", "rep", "stranger"}

    def test_pages_through_everything_once(self, signed_in):
        for _ in range(3):
            admin = signed_in("admin")
        whole = admin.get("/api/v1/audit").json()["items"]
        paged, before = [], None
        while True:
            answer = admin.get("/api/v1/audit", params={"limit": 2} | (
                {"before": before} if before else {})).json()  # fmt: skip
            paged += answer["items"]
            before = answer["next_before"]
            if before is None:
                break
        assert paged == whole

    @pytest.mark.parametrize(("user", "status"), [("rep", 200), ("admin", 200), ("finance", 403)])
    def test_has_a_page_for_who_may_read_it(self, signed_in, user, status):
        client = signed_in(user)
        page = client.get("/audit", headers=HTML)
        assert page.status_code == status
        assert ("logged in" in page.text) == (status == 200)


class TestPermissions:
    def test_are_shown_by_role(self, signed_in):
        own = signed_in("rep").get("/api/v1/permissions").json()
        by_table = {each["table"]: each for each in own["tables"]}
        assert by_table["opportunities"]["reach"] == {
            "view": "own", "edit": "own", "approve": "none", "export": "own"}  # fmt: skip
        assert by_table["orders"]["hidden"] == ["cost"]
        assert "owner_id" in by_table["opportunities"]["fixed"]
        page = signed_in("rep").get("/permissions?role=manager&lang=zh", headers=HTML)
        assert page.status_code == 200
        assert "权限一览" in page.text

    def test_are_exported_whole(self, tmp_path):
        out = tmp_path / "permissions.csv"
        done = CliRunner().invoke(commands, ["permissions", "--out", str(out)])
        assert done.exit_code == 0, done.output
        rows = list(csv.DictReader(out.read_text().splitlines()))
        one = {"role": "rep", "table": "products", "field": "cost", "action": "view",
               "reach": "none"}  # fmt: skip
        assert one in rows
