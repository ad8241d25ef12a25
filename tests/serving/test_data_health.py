"""The month of data health on page, API, PDF and command; the badge on the numbers above it."""

from __future__ import annotations

import datetime as dt
import json
import re
import zlib

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from crm_core import settings as configuration
from crm_core.database import transaction
from crm_core.health.catalogue import CATALOGUE
from serving import data_health
from serving.commandline.app import app as commands
from tests.serving.conftest import NOON, a_company

HTML = {"accept": "text/html"}


@pytest.fixture
def checked(app, engine):
    """The company with its rules run once, one deal without owner among six."""
    data_health.check(engine, now=NOON - dt.timedelta(hours=2), cause="nightly")
    return engine


class TestTheApi:
    def test_tells_every_rule_and_names_records_to_who_sees_them_all(self, checked, signed_in):
        told = signed_in("admin").get("/api/v1/data-health").json()
        assert (told["month"], told["runs"]) == ("2026-06", 1)
        assert [rule["rule"] for rule in told["rules"]] == [rule.id for rule in CATALOGUE]
        ownerless = next(r for r in told["rules"] if r["rule"] == "open_deal_has_owner")
        assert (ownerless["checked"], ownerless["failing"], ownerless["status"]) == (
            6,
            1,
            "failing",
        )
        assert [each["key"] for each in ownerless["examples"]] == ["deal of nobody"]

    def test_names_no_record_to_others(self, checked, signed_in):
        for user in ("rep", "manager", "leader"):
            answer = signed_in(user).get("/api/v1/data-health")
            assert "deal of" not in answer.text
            assert answer.json()["rules"][0]["failing"] == 1

    def test_is_empty_for_a_month_without_a_run(self, checked, signed_in):
        told = signed_in("rep").get("/api/v1/data-health?month=2025-01").json()
        assert told == {"month": "2025-01", "runs": 0, "ran_at": None, "rules": []}

    @pytest.mark.parametrize("month", ["2026", "2026-13", "june", "2026-6"])
    def test_refuses_what_is_no_month(self, checked, signed_in, month):
        assert signed_in("rep").get(f"/api/v1/data-health?month={month}").status_code == 422

    def test_wants_a_login(self, app, client):
        assert client.get("/api/v1/data-health").status_code == 401


class TestThePage:
    def test_shows_what_fails_in_both_languages(self, checked, signed_in):
        admin = signed_in("admin")
        english = admin.get("/health?lang=en", headers=HTML).text
        assert "An open deal has an owner" in english
        assert "deal of nobody" in english
        chinese = admin.get("/health?lang=zh", headers=HTML).text
        assert "未关闭的商机有负责人" in chinese
        assert "An open deal has an owner" not in chinese

    def test_shows_no_record_to_a_rep(self, checked, signed_in):
        page = signed_in("rep").get("/health", headers=HTML)
        assert page.status_code == 200
        assert "deal of" not in page.text

    def test_says_when_nothing_was_checked(self, app, signed_in):
        page = signed_in("rep").get("/health?lang=en", headers=HTML).text
        assert "Not checked in this month" in page


class TestTheBadge:
    def test_stands_on_numbers_that_rest_on_failing_data(self, checked, signed_in):
        rep = signed_in("rep")
        kpis = {k["metric"]: k for k in rep.get("/api/v1/kpis?lang=en").json()["kpis"]}
        assert "An open deal has an owner" in kpis["pipeline"]["unsound"]
        assert kpis["bookings"]["unsound"] == []
        page = rep.get("/kpis/pipeline?lang=zh", headers=HTML).text
        assert "未关闭的商机有负责人" in page
        assert 'class="tile-why unsound"' not in rep.get("/kpis/bookings", headers=HTML).text

    def test_is_gone_when_the_data_are_mended(self, checked, signed_in):
        with transaction(checked) as session:
            session.execute(text("delete from recommendations"))
            session.execute(
                text("update opportunities set owner_id = 'rep' where owner_id is null")
            )
        data_health.check(checked, now=NOON - dt.timedelta(hours=1), cause="by_hand")
        kpis = {k["metric"]: k for k in signed_in("rep").get("/api/v1/kpis").json()["kpis"]}
        assert "An open deal has an owner" not in kpis["pipeline"]["unsound"]

    def test_of_an_earlier_time_is_what_was_known_then(self, checked, signed_in):
        before = (NOON - dt.timedelta(hours=3)).isoformat()
        kpis = signed_in("rep").get("/api/v1/kpis", params={"as_of": before}).json()["kpis"]
        assert all(kpi["unsound"] == [] for kpi in kpis)


def drawn(pdf):
    """The drawing instructions of a PDF's pages."""
    import base64

    parts = []
    for stream in re.findall(rb"stream\r?\n(.*?)endstream", pdf, re.S):
        try:
            parts.append(zlib.decompress(base64.a85decode(stream.strip(), adobe=False)))
        except ValueError:
            body = stream.strip().removesuffix(b"~>")
            parts.append(zlib.decompress(base64.a85decode(body)))
    return b"".join(parts)


class TestThePdf:
    def test_is_a_document_of_that_month(self, checked, signed_in):
        answer = signed_in("admin").get("/api/v1/data-health/report.pdf?lang=en")
        assert answer.headers["content-type"] == "application/pdf"
        assert "data-health-2026-06.pdf" in answer.headers["content-disposition"]
        assert answer.content.startswith(b"%PDF-")
        # the built-in Chinese font is addressed in two-byte characters
        assert "deal of nobody".encode("utf-16-be") in _plain(drawn(answer.content))

    def test_is_the_same_twice_and_speaks_chinese(self, checked, signed_in):
        rep = signed_in("rep")
        first = rep.get("/api/v1/data-health/report.pdf?lang=zh").content
        assert first == rep.get("/api/v1/data-health/report.pdf?lang=zh").content
        assert "数据健康".encode("utf-16-be") in _plain(drawn(first))
        assert "deal of nobody".encode("utf-16-be") not in _plain(drawn(first))

    def test_of_a_month_without_a_run_says_so(self, checked, signed_in):
        answer = signed_in("rep").get("/api/v1/data-health/report.pdf?month=2025-01&lang=en")
        assert answer.status_code == 200


def _plain(instructions):
    """Undo a PDF's escapes, so that text can be looked for."""

    def octal(match):
        return bytes([int(match[1], 8)])

    text_ = re.sub(rb"\\([0-7]{3})", octal, instructions)
    return re.sub(rb"\\([()\\])", rb"\1", text_)


class TestTheCommand:
    @pytest.fixture
    def store(self, engine, database_url, monkeypatch, tmp_path, cheap_hashes):
        with transaction(engine) as session:
            a_company(session)
        monkeypatch.setenv("WINWARD_DATABASE_URL", database_url)
        monkeypatch.setenv("WINWARD_HOME", str(tmp_path))
        configuration.load.cache_clear()
        yield engine
        configuration.load.cache_clear()

    def test_runs_the_rules_and_says_what_fails(self, store, tmp_path):
        report = tmp_path / "health.pdf"
        done = CliRunner().invoke(commands, ["health", "--report", str(report)])
        assert done.exit_code == 0, done.output
        assert "An open deal has an owner: 1 of 6." in done.output
        assert report.read_bytes().startswith(b"%PDF-")

    def test_ends_with_one_where_something_is_stopped(self, store):
        with transaction(store) as session:
            session.execute(text("delete from stages where stage = 'Qualify'"))
        done = CliRunner().invoke(commands, ["health", "--json"])
        assert done.exit_code == 1
        told = {rule["rule"]: rule for rule in json.loads(done.stdout)["rules"]}
        assert told["stage_is_known"]["status"] == "failing"
