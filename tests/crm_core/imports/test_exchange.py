"""A folder in the exchange format: what comes in, what is turned away and how that is told."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy import text

from crm_core.database import transaction
from crm_core.errors import Invalid
from crm_core.imports.exports import export
from crm_core.imports.operations import import_path
from crm_core.opportunities.queries import states

NOW = dt.datetime(2026, 6, 30, 12, tzinfo=dt.UTC)
COMPANY = "name,currency,time_zone\nAcme,USD,America/New_York\n"
STAGES = (
    "pipeline,stage,position,kind\ndefault,New,1,open\ndefault,Talk,2,open\n"
    "default,Won,3,won\ndefault,Lost,4,lost\n"
)


def folder_of(tmp_path, **files):
    folder = tmp_path / "in"
    folder.mkdir(exist_ok=True)
    for name, content in {"company": COMPANY, **files}.items():
        data = content if isinstance(content, bytes) else content.encode()
        (folder / f"{name}.csv").write_bytes(data)
    return folder


def bring(engine, folder, *, days=0, dry_run=False, rejected=None, mapping=None):
    return import_path(
        engine,
        folder,
        mapping=mapping,
        recorded_at=NOW + dt.timedelta(days=days),
        dry_run=dry_run,
        rejected_folder=rejected,
        progress=None,
    )


def rows(engine, sql, **values):
    with transaction(engine) as session:
        return session.execute(text(sql), values).all()


def one(engine, sql, **values):
    return rows(engine, sql, **values)[0][0]


def deal_states(engine, deal, day):
    with transaction(engine) as session:
        found = states(session, [deal], as_of=dt.datetime.fromisoformat(day + "T12:00:00+00:00"))
        return found.get(deal)


class TestAWholeFolder:
    def test_comes_in_once_and_changes_nothing_the_second_time(self, engine, tmp_path):
        folder = folder_of(
            tmp_path,
            users="id,name,email,role,manager_id\nr,Ray,r@a.b,rep,m\nm,Mo,m@a.b,manager,\n",
            accounts="id,name,parent_id,x_size\nc,Child,p,12\np,Parent,,7\n",
            orders="id,account_id,ordered_on,amount\no1,c,2026-01-05,10.25\no2,p,2026-01-06,-3.10\n",
        )
        first = bring(engine, folder)
        assert {name: counts.inserted for name, counts in first.tables.items()} == {
            "company": 1,
            "users": 2,
            "accounts": 2,
            "orders": 2,
        }
        again = bring(engine, folder, days=1)
        assert again.already_imported
        assert again.changed == 0
        assert one(engine, "select count(*) from import_batches") == 1
        assert one(engine, "select sum(amount_minor) from orders") == 715
        assert rows(engine, "select custom from accounts order by id") == [
            ({"x_size": 12.0},),
            ({"x_size": 7.0},),
        ]

    def test_reads_naive_times_in_the_companys_zone(self, engine, tmp_path):
        folder = folder_of(
            tmp_path,
            accounts="id,name,created_at\na,A,2026-01-05 10:00:00\nb,B,2026-01-05\n"
            "c,C,2026-01-05T10:00:00+08:00\n",
        )
        bring(engine, folder)
        found = [row[0] for row in rows(engine, "select created_at from accounts order by id")]
        assert [time.astimezone(dt.UTC).isoformat() for time in found] == [
            "2026-01-05T15:00:00+00:00",
            "2026-01-05T05:00:00+00:00",
            "2026-01-05T02:00:00+00:00",
        ]

    def test_writes_nothing_in_a_dry_run_but_judges_every_row(self, engine, tmp_path):
        folder = folder_of(tmp_path, accounts="id,name\na,A\na,A\nb,\n")
        report = bring(engine, folder, dry_run=True)
        counts = report.tables["accounts"]
        assert (counts.inserted, counts.duplicate, counts.rejected, counts.rows) == (1, 1, 1, 3)
        assert one(engine, "select count(*) from accounts") == 0
        assert one(engine, "select count(*) from company") == 0

    def test_updates_only_what_a_file_gives(self, engine, tmp_path):
        bring(engine, folder_of(tmp_path, accounts="id,name,industry,x_a\na,A,steel,1\n"))
        report = bring(engine, folder_of(tmp_path, accounts="id,name,x_b\na,B,yes\n"), days=1)
        assert report.tables["accounts"].updated == 1
        assert rows(engine, "select name, industry, custom from accounts") == [
            ("B", "steel", {"x_a": 1.0, "x_b": True})
        ]

    def test_keeps_a_correction_of_an_order_as_a_later_version(self, engine, tmp_path):
        head = "id,account_id,ordered_on,amount\n"
        accounts = "id,name\na,A\n"
        bring(engine, folder_of(tmp_path, accounts=accounts, orders=head + "o,a,2026-01-05,10\n"))
        changed = bring(
            engine,
            folder_of(tmp_path, accounts=accounts, orders=head + "o,a,2026-01-05,12\n"),
            days=1,
        )
        assert changed.tables["orders"].updated == 1
        found = rows(engine, "select amount_minor, recorded_at from orders order by recorded_at")
        assert [row[0] for row in found] == [1000, 1200]
        assert found[1][1] == NOW + dt.timedelta(days=1)


class TestBadInput:
    @pytest.mark.parametrize(
        ("table", "content", "column", "part"),
        [
            ("accounts", "id,name,created_at\na,A,2026-02-31\n", "created_at", "2026-02-31"),
            (
                "orders",
                'id,account_id,ordered_on,amount\no,a,2026-01-01,"1.234,50"\n',
                "amount",
                "1.234,50",
            ),
            (
                "orders",
                "id,account_id,ordered_on,amount\no,nobody,2026-01-01,1\n",
                "account_id",
                "not among the accounts",
            ),
            ("users", "id,name,email,role\nu,U,u@x.y,boss\n", "role", "is not one of rep"),
            ("accounts", "id,name,currency\na,A,EURO\n", "currency", "ISO 4217"),
            ("accounts", "id,name,employees\na,A,many\n", "employees", "whole number"),
            ("accounts", "id,name\n,A\n", "id", "missing"),
            ("accounts", "id,name\na,A,extra\n", None, "3 cells"),
            (
                "opportunities",
                "id,created_at,stage\nd,2026-01-01,Nowhere\n",
                "stage",
                "not a stage",
            ),
            ("opportunities", "id,created_at,stage\nd,2026-01-01,Won\n", "stage", "closed_at"),
            (
                "opportunities",
                "id,created_at,stage,closed_at\nd,2026-01-05,Won,2026-01-01\n",
                "closed_at",
                "before created_at",
            ),
        ],
    )
    def test_is_rejected_with_line_column_and_reason(
        self, engine, tmp_path, table, content, column, part
    ):
        files = {"stages": STAGES, "accounts": "id,name\na,A\n", table: content}
        report = bring(engine, folder_of(tmp_path, **files))
        (rejection,) = report.rejections
        assert (rejection.table, rejection.file) == (table, f"{table}.csv")
        assert rejection.line == 2
        assert rejection.column == column
        assert part in rejection.reason
        assert one(engine, "select count(*) from import_rejections") == 1

    def test_that_repeats_an_id_with_other_values_names_both_lines(self, engine, tmp_path):
        report = bring(engine, folder_of(tmp_path, accounts="id,name\na,A\nb,B\na,C\n"))
        (rejection,) = report.rejections
        assert rejection.line == 4
        assert "line 2" in rejection.reason
        assert report.tables["accounts"].inserted == 2

    def test_can_be_corrected_in_the_rejected_file_and_imported_again(self, engine, tmp_path):
        folder = folder_of(tmp_path, accounts='id,name,employees\na,=cmd(),5\nb,"=x, y",five\n')
        report = bring(engine, folder, rejected=tmp_path / "out")
        (file,) = report.rejected_files
        content = file.read_text()
        assert content.splitlines()[0] == (
            "id,name,employees,winward_line,winward_column,winward_reason"
        )
        assert '"\'=x, y"' in content
        file.write_text(content.replace("five", "5", 1))
        fixed = bring(engine, file, days=1)
        assert fixed.tables["accounts"].inserted == 1
        assert rows(engine, "select name from accounts order by id") == [("=cmd()",), ("=x, y",)]

    @pytest.mark.parametrize(
        ("files", "part"),
        [
            ({"accounts": "id\na\n"}, "accounts.csv has no column 'name'"),
            ({"accounts": "id,name,Colour\na,A,red\n"}, "'Colour'"),
            ({"accounts": ""}, "accounts.csv is empty"),
            ({"accounts": "id,name,NAME\na,A,B\n"}, "twice"),
            ({"accounts": b"id,name\na,\x00B\n"}, "NUL"),
            ({"accounts": 'id,name\na,"never closed\n'}, "never closed"),
            ({"company": "name,currency,time_zone\nA,XXQ,UTC\n"}, "XXQ"),
            ({"company": "name,currency,time_zone\nA,USD,Mars/Base\n"}, "Mars/Base"),
        ],
    )
    def test_that_spoils_a_whole_file_stops_the_import_and_writes_nothing(
        self, engine, tmp_path, files, part
    ):
        with pytest.raises(Invalid, match="(?s).*") as caught:
            bring(engine, folder_of(tmp_path, users="id,name,email,role\nu,U,u@x.y,rep\n", **files))
        assert part in caught.value.message
        assert one(engine, "select count(*) from users") == 0

    def test_an_empty_extra_column_does_no_harm(self, engine, tmp_path):
        report = bring(engine, folder_of(tmp_path, accounts="id,name,Colour\na,A,\n"))
        assert report.tables["accounts"].inserted == 1


class TestDealsWithoutHistory:
    CONTENT = (
        "id,created_at,stage,closed_at,amount,owner_id,x_size\n"
        "won,2026-01-01T12:00Z,Won,2026-03-01T12:00Z,99.50,u,3\n"
        "open,2026-01-01T12:00Z,Talk,,50,u,4\n"
    )
    USERS = "id,name,email,role\nu,U,u@x.y,rep\nv,V,v@x.y,rep\n"

    def test_learn_final_values_only_at_the_end(self, engine, tmp_path):
        bring(
            engine, folder_of(tmp_path, stages=STAGES, users=self.USERS, opportunities=self.CONTENT)
        )
        early = deal_states(engine, "won", "2026-02-01")
        assert (early.stage, early.amount, dict(early.custom)) == ("New", None, {})
        assert early.owner_id == "u"
        late = deal_states(engine, "won", "2026-03-02")
        assert (late.stage, str(late.amount), dict(late.custom)) == ("Won", "99.5", {"x_size": 3})

    def test_of_open_deals_know_their_values_from_the_import_on(self, engine, tmp_path):
        bring(
            engine, folder_of(tmp_path, stages=STAGES, users=self.USERS, opportunities=self.CONTENT)
        )
        assert deal_states(engine, "open", "2026-06-29").amount is None
        known = deal_states(engine, "open", "2026-07-01")
        assert (known.stage, str(known.amount)) == ("Talk", "50")
        assert rows(engine, "select distinct history from opportunities") == [("none",)]

    def test_append_what_a_later_file_says_otherwise(self, engine, tmp_path):
        files = {"stages": STAGES, "users": self.USERS}
        bring(engine, folder_of(tmp_path, opportunities=self.CONTENT, **files))
        later = self.CONTENT.replace(
            "open,2026-01-01T12:00Z,Talk,,50,u,4",
            "open,2026-01-01T12:00Z,Won,2026-07-03T12:00Z,60,v,5",
        )
        report = bring(engine, folder_of(tmp_path, opportunities=later, **files), days=5)
        counts = report.tables["opportunities"]
        assert (counts.updated, counts.unchanged) == (1, 1)
        assert rows(
            engine,
            "select stage, outcome, amount_minor, owner_id, custom, closed_at "
            "from opportunities where id = 'open'",
        ) == [("Won", "won", 6000, "v", {"x_size": 5}, dt.datetime(2026, 7, 3, 12, tzinfo=dt.UTC))]
        assert deal_states(engine, "open", "2026-07-02").owner_id == "u"
        assert bring(engine, folder_of(tmp_path, opportunities=later, **files), days=9).changed == 0


class TestDealsWithHistory:
    def test_stand_where_their_events_say(self, engine, tmp_path):
        files = {
            "stages": STAGES,
            "opportunities": "id,created_at,stage,amount\nd,2026-01-01T12:00Z,Talk,10\n",
            "opportunity_events": (
                "opportunity_id,occurred_at,recorded_at,field,new_value\n"
                "d,2026-01-01T12:00Z,,stage,New\n"
                "d,2026-01-09T12:00Z,,amount,100\n"
                "d,2026-01-09T12:00Z,2026-03-01T12:00Z,amount,999\n"
                "d,2026-02-01T12:00Z,,stage,Won\n"
                "d,2026-02-09T12:00Z,,stage,Unknown\n"
                "d,2026-02-09T12:00Z,,amount,12x\n"
                "ghost,2026-02-09T12:00Z,,stage,Won\n"
            ),
        }
        report = bring(engine, folder_of(tmp_path, **files))
        counts = report.tables["opportunity_events"]
        assert (counts.inserted, counts.rejected) == (4, 3)
        assert rows(
            engine, "select stage, outcome, amount_minor, history, closed_at from opportunities"
        ) == [("Won", "won", 99900, "full", dt.datetime(2026, 2, 1, 12, tzinfo=dt.UTC))]
        assert str(deal_states(engine, "d", "2026-02-15").amount) == "100"
        assert str(deal_states(engine, "d", "2026-03-02").amount) == "999"
        assert bring(engine, folder_of(tmp_path, **files), days=1).changed == 0


class TestExport:
    def test_neutralises_formulas_and_comes_back_the_same(self, engine, tmp_path):
        names = [
            "=HYPERLINK(1)",
            "+1",
            "-x",
            "@a",
            "'=q",
            "''=q",
            "plain",
            'a "b", c',
            "two\nlines",
            "\tt",
            "O'Neil",
            " padded ",
        ]
        quoted = "".join(
            'a{},"{}"\n'.format(i, name.replace('"', '""'))
            for i, name in enumerate(names)
            if not name.startswith("'")
        )
        source = "id,name\n" + quoted + "q1,''=q\nq2,'''=q\n"
        bring(engine, folder_of(tmp_path, accounts=source))
        stored = {row[0] for row in rows(engine, "select name from accounts")}
        counts = export(engine, tmp_path / "out")
        assert counts["accounts"] == len(names)
        body = (tmp_path / "out" / "accounts.csv").read_text()
        assert "'=HYPERLINK(1)" in body
        report = bring(engine, tmp_path / "out", days=1)
        assert report.changed == 0
        assert stored == set(names)
