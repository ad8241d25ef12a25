"""An import names the records that seem to be there already, in time that grows with the rows."""

from __future__ import annotations

import datetime as dt
import time

import pytest
from sqlalchemy import text

from crm_core.database import transaction
from crm_core.exchange import table
from crm_core.imports import doubles
from crm_core.imports.staging import Stage, create
from crm_core.imports.tracking import Tracker
from tests.crm_core.imports.stores import NOW, bring

COMPANY = "name,currency,time_zone\nAcme,USD,UTC\n"


def write(folder, **files):
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / f"{name}.csv").write_text(content, encoding="utf-8")
    return folder


def told(report):
    return {f.table: (f.rows, f.pairs) for f in report.findings if f.kind == "possible duplicates"}


class TestPossibleDuplicates:
    def test_are_named_with_what_is_there_already_and_within_the_file(self, engine, tmp_path):
        first = write(
            tmp_path / "one", company=COMPANY,
            accounts="id,name\nold,Müller GmbH\nother,Nordwind\nparis,Café Noir SARL\n",
            contacts="id,account_id,name,email,phone\nc1,old,Ann Lee,ann@old.example,\n",
            leads="id,created_at,x_name,x_email\nl1,2026-01-01,Ann Lee,ann@lead.example\n",
        )  # fmt: skip
        report, _ = bring(engine, first)
        assert told(report) == {}
        second = write(
            tmp_path / "two",
            accounts="id,name\nnew,MULLER\nfirst,有限科技有限公司\nagain,有限科技\nmine,Sonne\n",
            contacts="id,account_id,name,email,phone\n"
            "c2,old,Bo,  ANN@old.example,\nc3,old,ann  lee,,\nc4,other,Ann Lee,,\n"
            "c5,other,Cy,,+49 (0) 30 123456-78\nc6,paris,Di,,030/12345678\n",
            leads="id,created_at,x_name,x_email\nl2,2026-01-02,Bo,ANN@lead.example\n",
        )  # fmt: skip
        report, _ = bring(engine, second, at=NOW + dt.timedelta(days=1))
        assert told(report) == {
            "accounts": (3, (("again", "first"), ("old", "new"))),
            "contacts": (4, (("c1", "c2"), ("c1", "c3"), ("c5", "c6"))),
            "leads": (1, (("l1", "l2"),)),
        }
        (finding,) = [f for f in report.findings if f.table == "leads"]
        assert finding.examples == ("l1 = l2 (Bo): same e-mail",)

    def test_are_not_told_again_when_the_same_comes_again(self, engine, tmp_path):
        folder = write(tmp_path / "in", company=COMPANY, accounts="id,name\na,Same\nb,SAME\n")
        assert told(bring(engine, folder)[0])
        assert told(bring(engine, folder, at=NOW + dt.timedelta(days=1))[0]) == {}
        write(folder, accounts="id,name\na,Same\nb,SAME\nc,Else\n")
        assert told(bring(engine, folder, at=NOW + dt.timedelta(days=2))[0]) == {}

    def test_of_a_hundred_thousand_rows_are_found_in_seconds(self, engine):
        """Half of them new and every tenth name twice: a pass, not every row with every other."""
        with transaction(engine) as session:
            session.execute(
                text(
                    "insert into accounts (id, name, custom) select 'a' || n,"
                    " 'Customer ' || (n % 90000) || ' GmbH', '{}' from generate_series(1, 100000) n"
                )
            )
            stage = Stage("stage_x", table("accounts"), {"id": "text"}, "f",
                          Tracker.start(session, 0, recorded_at=NOW))  # fmt: skip
            create(session, stage)
            session.execute(
                text(
                    "insert into stage_x (_line, id, _verdict) select n, 'a' || n, 'inserted'"
                    " from generate_series(50001, 100000) n"
                )
            )
            began = time.perf_counter()
            doubles.tell(session, stage)
            assert time.perf_counter() - began < 20  # 2 s on an idle machine
        (finding,) = stage.findings
        assert finding.rows == 10_000
        assert len(finding.pairs) == doubles.MOST_PAIRS

    def test_of_too_many_rows_are_said_not_to_be_looked_for(self, engine, tmp_path, monkeypatch):
        monkeypatch.setattr(doubles, "MOST_ROWS", 2)
        folder = write(tmp_path / "in", company=COMPANY, accounts="id,name\na,S\nb,S\nc,S\n")
        report, _ = bring(engine, folder)
        (finding,) = [f for f in report.findings if f.kind == "possible duplicates"]
        assert finding.rows == 3
        assert "too many" in finding.text


@pytest.mark.parametrize("phone", ["12345", "", "  "])
def test_a_number_too_short_to_tell_is_no_sign(phone):
    assert list(doubles._signs(None, None, phone, "")) == []
