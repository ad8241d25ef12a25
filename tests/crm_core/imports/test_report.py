"""What an import tells: odd values with examples, a verdict on every row, a typed profile."""

from __future__ import annotations

import csv
import datetime as dt
import os
import subprocess
import sys

import pytest
from sqlalchemy import text

from crm_core.database import transaction
from crm_core.imports.hierarchies import _circles_of
from crm_core.imports.operations import import_path
from crm_core.imports.rejected import FolderUnusable

NOW = dt.datetime(2026, 6, 30, 12, tzinfo=dt.UTC)
COMPANY = "name,currency,time_zone\nAcme,USD,America/New_York\n"
STAGES = "pipeline,stage,position,kind\ndefault,New,1,open\ndefault,Won,2,won\n"


def bring(engine, tmp_path, *, dry_run=False, rejected=None, verdicts=None, **files):
    folder = tmp_path / "in"
    folder.mkdir(exist_ok=True)
    for name, content in {"company": COMPANY, **files}.items():
        (folder / f"{name}.csv").write_text(content)
    return import_path(
        engine,
        folder,
        mapping=None,
        recorded_at=NOW,
        dry_run=dry_run,
        rejected_folder=rejected,
        progress=None,
        verdicts_file=verdicts,
    )


def told(report, kind):
    return {
        (found.table, found.column): (found.rows, found.examples)
        for found in report.findings
        if found.kind == kind
    }


class TestOddValues:
    def test_of_dates_are_taken_and_told(self, engine, tmp_path):
        report = bring(
            engine,
            tmp_path,
            accounts="id,name,created_at\na,A,2099-01-01T00:00Z\nb,B,1900-01-01T00:00Z\nc,C,\n",
            users="id,name,email,role,hired_on,left_on\nu,U,u@x.y,rep,2020-01-01,2019-12-31\n",
            subscriptions="id,account_id,started_on,ended_on,renews_on,monthly_amount\n"
            "s,a,2026-01-01,2025-01-01,2060-01-01,5\n",
            assignments="user_id,org_unit_id,valid_from,valid_to\nu,o,2026-01-01,2199-12-31\n",
            org_units="id,name\no,O\n",
        )
        assert report.rejections == []
        assert told(report, "date in the future") == {
            ("accounts", "created_at"): (1, ("line 2: 2099-01-01 00:00:00+00",)),
            ("subscriptions", "renews_on"): (1, ("line 2: 2060-01-01",)),
        }
        assert told(report, "date too early") == {
            ("accounts", "created_at"): (1, ("line 3: 1900-01-01 00:00:00+00",))
        }
        assert set(told(report, "order of times")) == {
            ("users", "left_on"),
            ("subscriptions", "ended_on"),
        }

    def test_that_are_negative_are_taken_and_told(self, engine, tmp_path):
        report = bring(
            engine,
            tmp_path,
            accounts="id,name,annual_revenue,employees\na,A,-5,3\n",
            orders="id,account_id,ordered_on,amount,quantity\no,a,2026-01-01,10,-2\n"
            "p,a,2026-01-01,10,2\n",
        )
        assert report.rejections == []
        assert set(told(report, "negative")) == {
            ("accounts", "annual_revenue"),
            ("orders", "quantity"),
        }
        assert told(report, "negative")["orders", "quantity"] == (1, ("line 2: -2",))

    def test_of_deals_against_their_events_are_told(self, engine, tmp_path):
        report = bring(
            engine,
            tmp_path,
            stages=STAGES,
            opportunities="id,created_at,stage,closed_at,amount\n"
            "d,2026-02-01T00:00Z,Won,2026-03-01T00:00Z,10\n"
            "e,2026-02-01T00:00Z,Won,2026-03-01T00:00Z,10\n",
            opportunity_events="opportunity_id,occurred_at,recorded_at,field,new_value\n"
            "d,2026-01-01T00:00Z,2025-12-01T00:00Z,stage,New\n"
            "d,2026-03-02T00:00Z,,stage,Won\nd,2026-03-02T00:00Z,,amount,11\n"
            "e,2026-02-01T00:00Z,,stage,New\ne,2026-03-01T00:00Z,,stage,Won\n",
        )
        assert report.rejections == []
        against = told(report, "row against events")
        assert set(against) == {("opportunities", "amount"), ("opportunities", "closed_at")}
        assert against["opportunities", "amount"] == (
            1,
            ("line 2: d: 1000 in the row, 1100 by its events",),
        )
        order = told(report, "order of times")
        assert order["opportunity_events", "occurred_at"][0] == 1
        assert order["opportunity_events", "recorded_at"][0] == 1

    def test_of_a_clean_file_are_none(self, engine, tmp_path):
        report = bring(engine, tmp_path, accounts="id,name,created_at\na,A,2026-01-01T00:00Z\n")
        assert report.findings == []


class TestCircles:
    def test_of_managers_and_org_units_are_rejected(self, engine, tmp_path):
        report = bring(
            engine,
            tmp_path,
            org_units="id,name,parent_id\no,O,p\np,P,o\nq,Q,\n",
            users="id,name,email,role,manager_id\na,A,a@x,rep,b\nb,B,b@x,rep,c\nc,C,c@x,rep,a\n"
            "d,D,d@x,rep,\ne,E,e@x,rep,d\nself,S,s@x,rep,self\nunder,U,u@x,rep,a\n",
        )
        reasons = {(r.table, r.line): r.reason for r in report.rejections}
        assert set(reasons) == {("org_units", 2), ("org_units", 3)} | {
            ("users", line) for line in (2, 3, 4, 7, 8)
        }
        assert "a → b → c → a" in reasons["users", 3]
        assert "self → self" in reasons["users", 7]
        assert "not among the users" in reasons["users", 8]

    def test_that_close_with_what_the_store_knows_are_rejected(self, engine, tmp_path):
        head = "id,name,email,role,manager_id\n"
        bring(engine, tmp_path, users=head + "a,A,a@x,rep,b\nb,B,b@x,rep,\n")
        report = bring(engine, tmp_path, users=head + "b,B,b@x,rep,a\n")
        assert [r.line for r in report.rejections] == [2]

    def test_of_accounts_are_told(self, engine, tmp_path):
        report = bring(engine, tmp_path, accounts="id,name,parent_id\na,A,b\nb,B,a\nc,C,a\nd,D,d\n")
        assert told(report, "circle") == {("accounts", "parent_id"): (3, ("a → b → a", "d → d"))}

    def test_are_found_in_a_long_chain_at_once(self):
        chain = {str(i): str(i + 1) for i in range(200_000)}
        assert _circles_of(chain) == []
        assert len(_circles_of(chain | {"200000": "199998"})[0]) == 3


class TestVerdicts:
    def test_name_every_row(self, engine, tmp_path):
        bring(engine, tmp_path, accounts="id,name\nold,Old\nsame,Same\n")
        path = tmp_path / "new" / "verdicts.csv"
        report = bring(
            engine,
            tmp_path,
            dry_run=True,
            verdicts=path,
            accounts="id,name\nold,New\nsame,Same\n=new,N\n=new,N\nbad,\n",
        )
        with path.open(newline="") as stream:
            found = [tuple(row.values()) for row in csv.DictReader(stream)]
        assert found[0] == ("company.csv", "2", "company", "", "unchanged", "", "")
        assert [row[1:5] for row in found[1:]] == [
            ("2", "accounts", "old", "update"),
            ("3", "accounts", "same", "unchanged"),
            ("4", "accounts", "'=new", "insert"),
            ("5", "accounts", "'=new", "duplicate"),
            ("6", "accounts", "bad", "reject"),
        ]
        assert found[-1][5:] == ("name", "name is missing")
        assert len(found) == sum(counts.rows for counts in report.tables.values())
        with transaction(engine) as session:
            assert session.execute(text("select count(*) from accounts")).scalar_one() == 2

    @pytest.mark.parametrize("place", ["in", "file", "file/below"])
    def test_and_rejected_rows_need_a_place_of_their_own(self, engine, tmp_path, place):
        (tmp_path / "file").write_text("x")
        with pytest.raises(FolderUnusable):
            bring(engine, tmp_path, rejected=tmp_path / place, accounts="id,name\na,A\n")
        with pytest.raises(FolderUnusable):
            bring(engine, tmp_path, verdicts=tmp_path / place / "accounts.csv")
        assert (tmp_path / "in" / "accounts.csv").read_text() == "id,name\na,A\n"


class TestTheProfile:
    def test_compares_numbers_and_dates_as_such(self, engine, tmp_path):
        report = bring(
            engine,
            tmp_path,
            dry_run=True,
            accounts="id,name,x_n,x_d,x_t\na,A,9,2026-01-10T00:00:00Z,b\nb,B,10,2026-01-09,a\n"
            "c,C,-1e3,2026-01-09T23:00:00-05:00,c\n",
        )
        (profile,) = [file for file in report.profiles if file.file == "accounts.csv"]
        found = {c.name: (c.guess, c.minimum, c.maximum) for c in profile.columns}
        assert found["x_n"] == ("number", "-1e3", "10")
        assert found["x_d"] == ("date", "2026-01-09", "2026-01-09T23:00:00-05:00")
        assert found["x_t"] == ("category", "a", "c")


def test_folders_of_killed_imports_are_swept_and_others_left(engine, tmp_path, monkeypatch):
    body = (
        "import os, pathlib, sys\n"
        "from crm_core.imports.workspaces import workspace\n"
        "with workspace(pathlib.Path(sys.argv[1]), 'winward-import-') as folder:\n"
        "    (folder / 'scratch.duckdb').write_text('x')\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    home = tmp_path / "tmp"
    home.mkdir()
    subprocess.run([sys.executable, "-c", body, str(home)], check=False)
    (home / "winward-import-somebodys").mkdir()
    assert len(os.listdir(home)) == 2
    monkeypatch.setattr("tempfile.tempdir", str(home))
    bring(engine, tmp_path, accounts="id,name\na,A\n")
    assert os.listdir(home) == ["winward-import-somebodys"]
