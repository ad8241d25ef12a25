"""A batch is undone to the byte, and whatever was edited since is spared and named."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy import text

from crm_core.database import transaction
from crm_core.imports.states import WrongState
from crm_core.simulation import generate
from tests.crm_core.imports.stores import NOW, bring, dump, execute, one, undo

LATER = NOW + dt.timedelta(days=1)


@pytest.fixture(scope="module")
def company(tmp_path_factory):
    """The files of a small simulated company."""
    folder = tmp_path_factory.mktemp("company")
    generate(
        folder / "in", seed=3, size="small", until=dt.date(2026, 6, 30), truth=folder / "truth"
    )
    return folder / "in"


def write(folder, **tables):
    folder.mkdir(exist_ok=True)
    for name, content in tables.items():
        (folder / f"{name}.csv").write_text(content)
    return folder


BASE = {
    "company": "name,currency,time_zone\nAcme,USD,UTC\n",
    "users": "id,name,email,role\nu1,Ann,ann@acme.example,rep\nu2,Bo,bo@acme.example,rep\n",
    "accounts": "id,name,owner_id,parent_id\na1,Alpha,u1,\na2,Beta,u1,a1\n",
    "stages": "pipeline,stage,position,kind\ndefault,New,1,open\ndefault,Won,2,won\n",
    "opportunities": (
        "id,account_id,owner_id,created_at,stage,amount,x_size\n"
        "d1,a1,u1,2026-01-05,New,100.50,12\nd2,a2,u1,2026-02-05,New,200,\n"
    ),
    "orders": "id,account_id,ordered_on,amount\no1,a1,2026-03-01,10.25\n",
}


@pytest.fixture
def base(engine, tmp_path):
    """A store with two accounts, two deals and an order."""
    _, number = bring(engine, write(tmp_path / "base", **BASE), at=NOW - dt.timedelta(days=9))
    return number


def test_a_batch_leaves_one_row_in_the_audit_log(engine, base):
    with transaction(engine) as session:
        found = session.execute(text(
            "select channel, action, record_id, changes->'status' from audit_log"
            " where table_name = 'import_batches'"
        )).all()  # fmt: skip
    assert [tuple(row) for row in found] == [
        ("import", "commit", str(base), ["running", "committed"])
    ]


class TestAWholeCompany:
    def test_leaves_an_empty_store_as_it_was(self, engine, company):
        before = dump(engine)
        report, number = bring(engine, company)
        assert report.changed > 5_000
        done = undo(engine, number)
        assert dump(engine) == before
        assert done.kept_rows == 0
        assert one(engine, "select count(*) from import_changes") == 0
        assert one(engine, "select status from import_batches") == "rolled_back"

    def test_a_later_batch_with_every_kind_of_change_leaves_nothing(self, engine, base, tmp_path):
        before = dump(engine)
        second = write(
            tmp_path / "second",
            company="name,currency,time_zone\nAcme Inc,USD,UTC\n",
            users="id,name,email,role,manager_id\nu1,Anna,ann@acme.example,rep,u3\n"
            "u3,Cy,cy@acme.example,manager,\n",
            accounts="id,name,owner_id,parent_id,x_new\na1,Alpha 2,u3,,yes\na3,Gamma,u3,a2,no\n",
            contacts="id,account_id,name\nc1,a3,Li\n",
            stages="pipeline,stage,position,kind\ndefault,New,5,open\ndefault,Lost,9,lost\n",
            opportunities="id,account_id,owner_id,created_at,stage,amount,closed_at,lost_reason\n"
            "d1,a3,u3,2026-01-05,Lost,90,2026-06-01,price\nd3,a3,u1,2026-06-01,New,5,,\n",
            orders="id,account_id,ordered_on,amount\no1,a1,2026-03-01,99\no2,a3,2026-05-01,7\n",
            invoices="id,order_id,account_id,invoiced_on,amount\ni1,o2,a3,2026-05-02,7\n",
        )
        _, number = bring(engine, second)
        assert dump(engine) != before
        assert undo(engine, number).kept == {}
        assert dump(engine) == before

    def test_is_undone_last_first(self, engine, base, tmp_path):
        empty_but_base = dump(engine)
        change = "id,name,owner_id\na1,{},u1\n"
        _, second = bring(engine, write(tmp_path / "2", accounts=change.format("Two")), at=NOW)
        _, third = bring(engine, write(tmp_path / "3", accounts=change.format("Three")), at=LATER)
        assert undo(engine, second).kept == {"accounts": 1}
        assert one(engine, "select name from accounts where id = 'a1'") == "Three"
        undo(engine, third)
        assert undo(engine, second).kept == {}
        assert dump(engine) == empty_but_base
        with pytest.raises(WrongState, match="rolled back already"):
            undo(engine, second)
        undo(engine, base)
        assert one(engine, "select count(*) from accounts") == 0

    def test_forgets_the_former_values_that_it_made(self, engine, base, tmp_path):
        former = "select count(*) from record_events where key = 'a1' and changes <> '{}'"
        _, number = bring(engine, write(tmp_path / "2", accounts="id,name\na1,Two\n"), at=LATER)
        learnt = "select max(recorded_at) from record_events where key = 'a1'"
        assert one(engine, learnt) == LATER
        assert one(engine, former) == 2
        undo(engine, number)
        assert one(engine, former) == 0

    def test_keeps_the_story_of_a_record_that_was_changed_and_changed_back(
        self, engine, base, tmp_path
    ):
        _, number = bring(engine, write(tmp_path / "2", accounts="id,name\na1,Two\n"), at=LATER)
        execute(engine, "update accounts set tier = 'gold' where id = 'a1'")
        execute(engine, "update accounts set tier = null where id = 'a1'")
        assert undo(engine, number, at=LATER + dt.timedelta(days=1)).kept == {}
        names = "select string_agg(changes ->> 'name', ' ' order by sequence) from record_events"
        assert one(engine, f"{names} where key = 'a1'") == "Alpha Two Alpha"

    @pytest.mark.slow
    @pytest.mark.timeout(1800)
    def test_of_100_000_rows_leaves_the_store_as_it_was(self, engine, base, tmp_path):
        before = dump(engine)
        accounts = "".join(f"b{i},Account {i},u1\n" for i in range(20_000))
        orders = "".join(f"p{i},b{i % 20_000},2026-01-02,{i}.25\n" for i in range(60_000))
        deals = "".join(f"e{i},b{i},u2,2026-01-02,New,{i}\n" for i in range(20_000))
        folder = write(
            tmp_path / "large",
            accounts="id,name,owner_id\n" + accounts,
            orders="id,account_id,ordered_on,amount\n" + orders,
            opportunities="id,account_id,owner_id,created_at,stage,amount\n" + deals,
        )
        report, number = bring(engine, folder)
        assert sum(counts.inserted for counts in report.tables.values()) == 100_000
        assert undo(engine, number).kept == {}
        assert dump(engine) == before


def kept(engine, number):
    with transaction(engine) as session:
        rows = session.execute(
            text(
                "select table_name, key[1], kept from import_changes "
                "where batch_id = :n and kept is not null order by 1, 2"
            ),
            {"n": number},
        )
        return [tuple(row) for row in rows]


class TestLaterEditsAreSpared:
    def test_an_edited_account_and_what_it_refers_to_stay(self, engine, base):
        execute(engine, "update accounts set tier = 'gold' where id = 'a2'")
        undo(engine, base)
        assert kept(engine, base) == [
            ("accounts", "a1", "needed accounts"),
            ("accounts", "a2", "changed"),
            ("users", "u1", "needed accounts"),
        ]
        assert one(engine, "select count(*) from opportunities") == 0

    def test_a_row_that_a_later_one_refers_to_stays(self, engine, base):
        execute(engine, "insert into contacts (id, account_id, name) values ('c', 'a1', 'Li')")
        undo(engine, base)
        assert ("accounts", "a1", "needed contacts") in kept(engine, base)
        assert one(engine, "select count(*) from contacts") == 1

    def test_a_deal_worked_on_since_stays_whole(self, engine, base):
        execute(
            engine,
            "insert into opportunity_events (opportunity_id, occurred_at, recorded_at, field, "
            "new_value) values ('d1', '2026-06-20', '2026-06-20', 'amount', '1')",
        )
        events = "select count(*) from opportunity_events where opportunity_id = 'd1'"
        before = one(engine, events)
        undo(engine, base)
        assert one(engine, events) == before
        assert one(engine, "select string_agg(id, '') from opportunities") == "d1"
        assert one(engine, "select custom->>'x_size' from opportunities") == "12.0"
        assert one(engine, "select count(*) from custom_fields") == 1

    def test_a_later_correction_keeps_the_order(self, engine, base, tmp_path):
        correction = "id,account_id,ordered_on,amount\no1,a1,2026-03-01,11\n"
        bring(engine, write(tmp_path / "2", orders=correction))
        undo(engine, base)
        assert ("orders", "o1", "corrected") in kept(engine, base)
        assert one(engine, "select count(*) from orders") == 2

    def test_only_the_fields_that_nobody_set_again_go_back(self, engine, base, tmp_path):
        deals = "id,account_id,owner_id,created_at,stage,amount\nd1,a1,u2,2026-01-05,New,555\n"
        _, second = bring(engine, write(tmp_path / "2", opportunities=deals))
        amount = "id,account_id,owner_id,created_at,stage,amount\nd1,a1,u2,2026-01-05,New,777\n"
        bring(engine, write(tmp_path / "3", opportunities=amount), at=LATER)
        undo(engine, second)
        assert one(engine, "select amount_minor from opportunities where id = 'd1'") == 77700
        assert one(engine, "select owner_id from opportunities where id = 'd1'") == "u1"
        assert [row[0::2] for row in kept(engine, second)] == [("opportunity_events", "changed")]

    def test_what_we_said_of_a_deal_goes_with_it(self, engine, base):
        execute(
            engine,
            "insert into predictions (opportunity_id, model, model_version, as_of, scored_at, "
            "kind, p_win, contributions, reasons) values ('d1', 'win_rate', '1', now(), now(), "
            "'model', 0.5, '{}', '[]')",
        )
        assert undo(engine, base).kept == {}
        assert one(engine, "select count(*) from predictions") == 0


class TestStates:
    def test_a_failed_import_says_so_and_why(self, engine, tmp_path):
        folder = write(tmp_path / "in", accounts="id\na1\n")
        with pytest.raises(Exception, match="name"):
            bring(engine, folder)
        assert one(engine, "select status from import_batches") == "failed"
        assert "has no column" in one(engine, "select error from import_batches")

    def test_only_a_committed_import_is_rolled_back(self, engine, tmp_path):
        with pytest.raises(Exception, match="name"):
            bring(engine, write(tmp_path / "in", accounts="id\na1\n"))
        with pytest.raises(WrongState, match="failed"):
            undo(engine, one(engine, "select id from import_batches"))
