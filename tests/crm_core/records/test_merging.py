"""Two records become one, nothing of either is lost, and it can be undone."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from crm_core.accounts import likeness
from crm_core.accounts.models import Usage
from crm_core.people.queries import Visibility
from crm_core.records import duplicates, merging, queries
from crm_core.records.merging import CannotUndo, MergeInvalid, NotMerged, Wanted
from crm_core.records.tables import shape
from tests import factories

NOW = dt.datetime(2026, 4, 10, 12, tzinfo=dt.UTC)
EVERYONE = Visibility(everyone=True)
TABLES = ("accounts", "contacts", "opportunities", "activities", "orders", "usage",
          "opportunity_contacts")  # fmt: skip


def snapshot(session):
    return {
        table: session.scalars(
            text(f"select to_jsonb(t) from {table} t order by to_jsonb(t)::text")
        ).all()
        for table in TABLES
    }


@pytest.fixture
def world(session):
    factories.a_company(session)
    one = factories.an_account(session, key="a", name="Acme", tier="gold", industry=None,
                               custom={"x_a": 1})  # fmt: skip
    other = factories.an_account(
        session, key="b", name="Acme GmbH & Co. KG", tier="silver", industry="steel",
        employees=7, custom={"x_a": 2, "x_b": "text"},
    )  # fmt: skip
    factories.an_account(session, key="child", parent_id="b")
    contact = factories.a_contact(session, account=other, key="c")
    deal = factories.an_opportunity(session, key="d", account=other)
    factories.an_engagement(session, opportunity=deal, contact=contact)
    factories.an_activity(session, opportunity=deal, key="act")
    for amount, hour in ((1, 10), (2, 11)):
        factories.an_order(session, account=other, key="o", amount_minor=amount,
                           ordered_on=dt.date(2026, 2, 1),
                           recorded_at=dt.datetime(2026, 2, 1, hour, tzinfo=dt.UTC))  # fmt: skip
    session.add_all(
        Usage(account_id=account, day=dt.date(2026, 1, day), measure="m", value=day)
        for account, day in (("a", 1), ("b", 1), ("b", 2))
    )
    session.flush()
    return one, other


def merge(session, survivor="a", loser="b", *, dry_run=False, table="accounts", **rules):
    return merging.merge(
        session,
        Wanted(table=table, survivor=survivor, loser=loser, rules=rules),
        user_id=None, channel="cli", recorded_at=NOW, dry_run=dry_run,
    )  # fmt: skip


def undo(session, loser="b", table="accounts"):
    return merging.undo(session, table, loser, user_id=None, channel="cli", recorded_at=NOW)


class TestMerge:
    def test_keeps_the_survivors_values_and_fills_its_gaps(self, session, world):
        done = merge(session)
        assert done.changes["industry"] == (None, "steel")
        assert done.changes["custom"][1] == {"x_a": 1, "x_b": "text"}
        assert "tier" not in done.changes
        row = session.execute(text("select name, tier, employees from accounts where id='a'")).one()
        assert tuple(row) == ("Acme", "gold", 7)

    def test_keeps_what_the_rules_say(self, session, world):
        done = merge(session, dry_run=True, name="longest", tier="loser", employees="survivor",
                     x_a="loser")  # fmt: skip
        assert done.changes["name"] == ("Acme", "Acme GmbH & Co. KG")
        assert done.changes["tier"] == ("gold", "silver")
        assert "employees" not in done.changes
        assert done.changes["custom"][1]["x_a"] == 2

    def test_moves_everything_that_names_the_loser(self, session, world):
        planned = merge(session, dry_run=True)
        before = snapshot(session)
        done = merge(session)
        assert planned.changes == done.changes
        for place in ("contacts.account_id", "opportunities.account_id", "orders.account_id",
                      "activities.account_id", "accounts.parent_id"):  # fmt: skip
            assert done.moves[place] == planned.moves[place] > 0, place
        for table in ("contacts", "opportunities", "orders", "usage", "activities"):
            left = session.scalar(text(f"select count(*) from {table} where account_id = 'b'"))
            assert left == 0, table
        assert len(snapshot(session)["orders"]) == len(before["orders"])
        assert session.scalar(text("select count(*) from accounts where id = 'b'")) == 0

    def test_a_dry_run_writes_nothing(self, session, world):
        before = snapshot(session)
        merge(session, dry_run=True)
        assert snapshot(session) == before

    def test_undone_is_as_before(self, session, world):
        before = snapshot(session)
        merge(session, name="longest")
        assert undo(session) == "a"
        assert snapshot(session) == before

    def test_an_undo_spares_later_edits(self, session, world):
        merge(session)
        session.execute(text("update accounts set industry = 'glass' where id = 'a'"))
        undo(session)
        assert session.scalar(text("select industry from accounts where id = 'a'")) == "glass"

    def test_leaves_a_redirect(self, session, world):
        merge(session)
        assert queries.survivor(session, "accounts", "b") == "a"
        merge(session, survivor="child", loser="a")
        assert queries.survivor(session, "accounts", "b") == "child"
        with pytest.raises(CannotUndo):
            undo(session)
        undo(session, "a")
        undo(session)

    def test_keeps_the_losers_history(self, session, world):
        merge(session)
        kept = session.scalar(text("select count(*) from record_events where key = 'b'"))
        assert kept >= 1

    def test_merges_contacts_that_sit_in_one_deal(self, session, world):
        account, _ = world
        factories.a_contact(session, account=account, key="c2", email="x@y.example")
        session.execute(text("insert into opportunity_contacts values ('d', 'c2', 'user', now())"))
        before = snapshot(session)
        merge(session, "c", "c2", table="contacts")
        assert session.scalar(text("select count(*) from opportunity_contacts")) == 1
        undo(session, "c2", "contacts")
        assert snapshot(session) == before

    @pytest.mark.parametrize(
        "wanted",
        [
            {"survivor": "a", "loser": "a"},
            {"survivor": "a", "loser": "b", "table": "orders"},
            {"survivor": "a", "loser": "b", "password": "loser"},
            {"survivor": "a", "loser": "b", "name": "shortest"},
        ],
    )
    def test_refuses_what_cannot_be(self, session, world, wanted):
        with pytest.raises(MergeInvalid):
            merge(session, **wanted)
        with pytest.raises(NotMerged):
            undo(session)


class TestDuplicates:
    def found(self, session, table, **record):
        return {
            each.key: each
            for each in duplicates.candidates(session, shape(table), record, may=EVERYONE)
        }

    @pytest.mark.parametrize(
        ("name", "known"),
        [
            ("ACME, Inc.", True),
            ("acme", True),
            ("Äcmé GmbH", True),
            ("Acme Steel", False),
            ("Zenith", False),
        ],
    )
    def test_of_accounts_are_told_by_name(self, session, world, name, known):
        found = self.found(session, "accounts", name=name)
        assert ("a" in found and found["a"].score >= duplicates.ALMOST_CERTAIN) == known

    def test_of_chinese_companies_are_told_by_their_core(self, session, world):
        factories.an_account(session, key="zh", name="上海星辰科技有限公司")
        found = self.found(session, "accounts", name="上海星辰科技股份有限公司")
        assert found["zh"].reasons == ("same name",)

    def test_of_contacts_are_told_by_mail_and_telephone(self, session, world):
        account, _ = world
        factories.a_contact(session, account=account, key="li", name="Li Wei",
                            email="Li.Wei@Acme.example ", phone="+86 (21) 5555-1234")  # fmt: skip
        by_mail = self.found(session, "contacts", name="Wei Li", email="li.wei@acme.example")
        assert by_mail["li"].score > 0.9
        assert "same e-mail" in by_mail["li"].reasons
        by_phone = self.found(session, "contacts", name="Li W.", phone="0086 21 55551234")
        assert "same telephone number" in by_phone["li"].reasons

    def test_are_reported_once_as_pairs(self, session, world):
        pairs = duplicates.pairs(session, shape("accounts"), may=EVERYONE, since=None, limit=100)
        assert [(one, other.key) for one, other in pairs] == [("a", "b")]

    @given(st.text(max_size=20), st.text(max_size=20))
    def test_likeness_is_symmetric_and_bounded(self, one, other):
        first, second = likeness.name(one), likeness.name(other)
        forth, back = likeness.similarity(first, second), likeness.similarity(second, first)
        assert forth == back
        assert 0 <= forth <= 1
        assert likeness.similarity(first, first) == 1


class TestImportsAfterwards:
    """What a source sends of a merged record goes to the survivor."""

    def read(self, engine, tmp_path, **tables):
        from crm_core.imports.operations import import_path

        folder = tmp_path / f"files {len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        for name, content in tables.items():
            (folder / f"{name}.csv").write_text(content, encoding="utf-8")
        return import_path(engine, folder, mapping=None, recorded_at=NOW, dry_run=False,
                           rejected_folder=None, progress=None)  # fmt: skip

    def test_go_to_the_survivor(self, engine, tmp_path):
        from crm_core.database import transaction

        with transaction(engine) as session:
            factories.a_company(session)
            for key in ("a", "b"):
                factories.an_account(session, key=key, name=key)
        with transaction(engine) as session:
            merge(session)
        contacts = "id,account_id,name\nc,b,Li\n"
        self.read(engine, tmp_path, contacts=contacts, accounts="id,name,tier\nb,b,gold\n")
        both = "id,name,tier\na,Survivor,tin\nb,Loser,lead\n"
        report = self.read(engine, tmp_path, accounts=both)
        assert report.tables["accounts"].duplicate == 1
        with transaction(engine) as session:
            assert session.execute(text("select account_id from contacts")).all() == [("a",)]
            accounts = session.execute(text("select id, name, tier from accounts")).all()
            assert accounts == [("a", "Survivor", "tin")]
