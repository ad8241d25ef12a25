"""Whom people reported to comes and goes through files as it was."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import select

from crm_core.database import set_now, transaction
from crm_core.people import queries
from crm_core.people.models import ReportingLine, User
from tests.crm_core.imports.stores import NOW, bring, execute

COMPANY = "name,currency,time_zone\nAcme,USD,UTC\n"
USERS = "id,name,email,role,manager_id\na,A,a@x.y,manager,\nb,B,b@x.y,manager,\nr,R,r@x.y,rep,b\n"


def write(folder, **files):
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / f"{name}.csv").write_text(content, encoding="utf-8")
    return folder


def lines(engine):
    with transaction(engine) as session:
        found = session.scalars(
            select(ReportingLine).order_by(ReportingLine.user_id, ReportingLine.valid_to)
        )
        return [(e.user_id, e.manager_id, str(e.valid_from), str(e.valid_to)) for e in found]


class TestReportingLines:
    def test_count_for_the_days_they_name(self, engine, tmp_path):
        history = "user_id,manager_id,valid_from,valid_to\nr,a,,2026-03-01\n"
        folder = write(tmp_path / "in", company=COMPANY, users=USERS, reporting_lines=history)
        report, _ = bring(engine, folder)
        assert report.tables["reporting_lines"].inserted == 1
        with transaction(engine) as session:
            for day, manager in (("2026-02-28", "a"), ("2026-03-01", "b")):
                as_of = dt.datetime.fromisoformat(f"{day}T12:00Z")
                sees = [
                    name
                    for name in ("a", "b")
                    if queries.visible_to(session, session.get(User, name), as_of=as_of).allows("r")
                ]
                assert sees == [manager]

    def test_that_contradict_one_another_are_rejected(self, engine, tmp_path):
        history = (
            "user_id,manager_id,valid_from,valid_to\n"
            "r,a,2026-01-01,2026-03-01\nr,b,2026-02-01,2026-04-01\nr,r,2026-05-01,2026-06-01\n"
            "a,b,2026-03-01,2026-03-01\nr,,2026-04-01,2026-05-01\nnobody,a,,2026-01-01\n"
            "r,a,,2026-02-01\n"
        )
        folder = write(tmp_path / "in", company=COMPANY, users=USERS, reporting_lines=history)
        report, _ = bring(engine, folder)
        assert {r.line for r in report.rejections} == {3, 4, 5, 7, 8}
        assert [line[1:] for line in lines(engine)] == [
            ("a", "2026-01-01", "2026-03-01"), (None, "2026-04-01", "2026-05-01"),
        ]  # fmt: skip
        write(folder, reporting_lines="user_id,manager_id,valid_from,valid_to\n"
              "r,b,2026-04-01,2026-04-15\nr,b,2026-01-01,2026-03-01\n")  # fmt: skip
        report, _ = bring(engine, folder, at=NOW + dt.timedelta(days=1))
        assert {r.line for r in report.rejections} == {2}
        assert lines(engine)[0][1:] == ("b", "2026-01-01", "2026-03-01")  # corrected

    def test_that_the_database_kept_are_exported(self, engine, tmp_path):
        bring(engine, write(tmp_path / "in", company=COMPANY, users=USERS))
        with transaction(engine) as session:
            set_now(session, NOW)
            session.get(User, "r").manager_id = "a"
        assert lines(engine) == [("r", "b", "None", "2026-06-30")]

    def test_are_taken_back_with_their_import(self, engine, tmp_path):
        from tests.crm_core.imports.stores import dump, undo

        bring(engine, write(tmp_path / "in", company=COMPANY, users=USERS))
        before = dump(engine)
        history = "user_id,manager_id,valid_from,valid_to\nr,a,,2026-03-01\n"
        _, number = bring(engine, write(tmp_path / "more", reporting_lines=history))
        execute(engine, "select 1")
        undo(engine, number)
        assert dump(engine) == before
