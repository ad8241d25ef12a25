"""A trial takes a slice that is whole in itself; phases and the cut-over bring the rest."""

from __future__ import annotations

import datetime as dt

import pytest

from crm_core.imports.choice import Choice, ChoiceInvalid
from crm_core.imports.reconciliation import reconcile_batch
from crm_core.simulation import generate
from tests.crm_core.imports.stores import NOW, bring, dump, execute, one, undo


@pytest.fixture(scope="module")
def company(tmp_path_factory):
    """The files of a small simulated company."""
    folder = tmp_path_factory.mktemp("phases")
    generate(
        folder / "in", seed=3, size="small", until=dt.date(2026, 6, 30), truth=folder / "truth"
    )
    return folder / "in"


def chosen(*, only=None, pilot=None, since=None):
    return Choice.of(only=only, pilot=pilot, since=since)


class TestATrial:
    def test_takes_so_many_deals_with_all_they_need(self, engine, company):
        report, number = bring(engine, company, choice=chosen(pilot="25"))
        assert one(engine, "select count(*) from opportunities") == 25
        assert one(engine, "select count(*) from activities") > 25
        assert {name: c.rejected for name, c in report.tables.items() if c.rejected} == {}
        assert reconcile_batch(engine, number, at=NOW).agrees
        undo(engine, number)
        assert one(engine, "select count(*) from users") == 0

    def test_takes_what_an_owner_or_a_team_owns(self, engine, company):
        report, number = bring(engine, company, choice=chosen(pilot="team=O-R1T1"))
        assert {name: c.rejected for name, c in report.tables.items() if c.rejected} == {}
        assert one(engine, "select count(*) from opportunities") > 0
        units = (
            "select count(*) from opportunities o where not exists (select 1 from assignments a "
            "where a.user_id = o.owner_id and a.org_unit_id = 'O-R1T1') and not exists (select 1 "
            "from users u where u.id = o.owner_id and u.org_unit_id = 'O-R1T1')"
        )
        assert one(engine, units) == 0

    @pytest.mark.parametrize("pilot", ["", "0", "-3", "owner", "owner_id=", "x=1", "owner_id=U9"])
    def test_refuses_a_slice_that_is_none(self, engine, company, pilot):
        with pytest.raises(ChoiceInvalid):
            bring(engine, company, choice=chosen(pilot=pilot))


class TestPhases:
    def test_bring_the_same_as_all_at_once(self, engine, company):
        bring(engine, company)
        whole = dump(engine)
        undo(engine, 1)
        for only in ("org_units,users,assignments", "accounts,contacts", "campaigns,products"):
            bring(engine, company, choice=chosen(only=only))
        assert one(engine, "select count(*) from opportunities") == 0
        assert one(engine, "select count(*) from contacts") > 0
        bring(engine, company)
        now = dump(engine)
        for table in ("users", "accounts", "contacts", "orders", "opportunities", "activities"):
            assert now[table] == whole[table], table

    def test_refuse_a_table_there_is_not(self):
        with pytest.raises(ChoiceInvalid, match="no table"):
            chosen(only="acounts")


def test_the_cut_over_says_what_changed_since_the_trial(engine, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "company.csv").write_text("name,currency,time_zone\nAcme,USD,UTC\n")
    accounts = folder / "accounts.csv"
    accounts.write_text("id,name\na1,One\na2,Two\na3,Three\na4,Four\n")
    _, first = bring(engine, folder)
    execute(engine, "update accounts set name = 'Vier' where id = 'a4'")
    accounts.write_text("id,name\na1,One\na2,Zwei\na4,Four\na5,Five\n")
    report, _ = bring(engine, folder, choice=chosen(since=first))
    assert report.delta["accounts"] == {
        "new": 1, "changed": 2, "unchanged": 1, "gone": 1, "edited_here": 1,
    }  # fmt: skip
    assert one(engine, "select delta->'accounts'->>'gone' from import_batches where id = 2") == "1"
