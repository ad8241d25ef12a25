"""A hand-over moves what is to come; history and credit stay with the owner of the period."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy import select, text

from crm_core.kpis.crediting import credited, signed_orders
from crm_core.opportunities import queries as opportunities
from crm_core.people.queries import Visibility
from crm_core.records import history, transfer
from crm_core.records.tables import shape
from crm_core.records.transfer import NoSuchOwner, TransferInvalid, Wanted
from tests import factories

NOW = dt.datetime(2026, 4, 10, 12, tzinfo=dt.UTC)
DAY = dt.date(2026, 4, 1)
MIDNIGHT = dt.datetime(2026, 3, 31, 22, tzinfo=dt.UTC)
"""Of the company's zone, Europe/Berlin."""
EVERYONE = Visibility(everyone=True)


@pytest.fixture
def world(session):
    factories.a_company(session)
    old, new = factories.a_user(session, key="old"), factories.a_user(session, key="new")
    account = factories.an_account(session, key="acme", owner_id="old")
    factories.an_opportunity(session, key="open", owner=old, account=account)
    won = {dt.datetime(2026, 3, 1, tzinfo=dt.UTC): "Won"}
    factories.an_opportunity(session, key="won", owner=old, account=account, stages=won)
    factories.an_order(session, account=account, ordered_on=dt.date(2026, 3, 1), owner_id="old",
                       key="before")  # fmt: skip
    factories.an_order(session, account=account, ordered_on=dt.date(2026, 4, 5), owner_id="new",
                       key="after")  # fmt: skip
    session.add(shape_lead := _lead())
    session.flush()
    return old, new, shape_lead


def _lead():
    from crm_core.leads.models import Lead

    return Lead(id="lead", owner_id="old", created_at=factories.START)


def handed(session, **wanted):
    return {
        each.table: each
        for each in transfer.transfer(
            session,
            Wanted(**{"to_user": "new", "effective_on": DAY, "from_user": "old", **wanted}),
            within=EVERYONE,
            user_id=None,
            channel="cli",
            recorded_at=NOW,
        )
    }


def owners(session, table):
    return dict(session.execute(text(f"select id, owner_id from {table} order by id")).all())


class TestTransfer:
    def test_moves_what_is_open_and_leaves_what_is_closed(self, session, world):
        done = handed(session)
        assert done["opportunities"].moved == ("open",)
        assert [key for key, _ in done["opportunities"].left] == ["won"]
        session.expire_all()
        assert owners(session, "opportunities") == {"open": "new", "won": "old"}
        assert owners(session, "accounts") == {"acme": "new"}
        assert owners(session, "leads") == {"lead": "new"}

    def test_leaves_the_time_before_the_day_as_it_was(self, session, world):
        handed(session)
        before, after = MIDNIGHT - dt.timedelta(seconds=1), NOW
        for at, owner in ((before, "old"), (after, "new")):
            assert opportunities.states(session, ["open"], as_of=at)["open"].owner_id == owner
            for table, key in (("accounts", "acme"), ("leads", "lead")):
                state = history.state(session, shape(table), key, as_of=at)
                assert state["owner_id"] == owner, (table, at)

    def test_is_not_known_before_it_was_recorded(self, session, world):
        handed(session)
        between = NOW - dt.timedelta(hours=1)
        assert opportunities.states(session, ["open"], as_of=between)["open"].owner_id == "old"
        assert history.state(session, shape("accounts"), "acme", as_of=between)[
            "owner_id"
        ] == "old"  # fmt: skip

    def test_moves_no_credit(self, session, world):
        def credit():
            orders = signed_orders(start=dt.date(2026, 1, 1), end=dt.date(2026, 7, 1),
                                   known_at=NOW, currency="EUR")  # fmt: skip
            split = credited(orders)
            return session.execute(
                select(split.c.id, split.c.user_id, split.c.value).order_by(split.c.id)
            ).all()

        before = credit()
        handed(session)
        assert credit() == before == [("after", "new", 100_000), ("before", "old", 100_000)]

    def test_is_in_the_audit_log(self, session, world):
        handed(session)
        log = session.execute(
            text("select table_name, record_id, changes from audit_log where action = 'transfer'")
        ).all()
        assert {(table, key) for table, key, _ in log} == {
            ("accounts", "acme"), ("leads", "lead"), ("opportunities", "open"),
        }  # fmt: skip
        assert log[0].changes == {"owner_id": ["old", "new"], "effective_on": [None, "2026-04-01"]}

    def test_leaves_a_deal_that_got_an_owner_since(self, session, world):
        handed(session)
        done = handed(session, from_user="new", to_user="old")
        assert done["opportunities"].moved == ()
        assert done["accounts"].moved == ()

    def test_moves_only_what_is_named(self, session, world):
        done = handed(session, from_user=None, records={"accounts": ["acme", "none"]})
        assert done["accounts"].moved == ("acme",)
        assert [key for key, _ in done["accounts"].left] == ["none"]
        assert done["opportunities"].moved == ()

    @pytest.mark.parametrize(
        ("wanted", "error"),
        [
            ({"effective_on": dt.date(2026, 4, 11)}, TransferInvalid),
            ({"to_user": "nobody"}, NoSuchOwner),
            ({"from_user": None}, TransferInvalid),
            ({"records": {"accounts": ["acme"]}}, TransferInvalid),
            ({"tables": ["orders"]}, TransferInvalid),
        ],
    )
    def test_refuses_what_cannot_be(self, session, world, wanted, error):
        with pytest.raises(error):
            handed(session, **wanted)
