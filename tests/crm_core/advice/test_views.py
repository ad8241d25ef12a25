"""The list of deals: who sees which, in which order, and no page repeats or loses a row."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from crm_core.accounts.models import Account
from crm_core.activities.models import Activity
from crm_core.advice import views
from crm_core.advice.models import Prediction
from crm_core.money import Money
from crm_core.opportunities.models import Opportunity, Stage
from crm_core.people.models import Company, User
from crm_core.people.queries import Visibility

NOON = dt.datetime(2026, 6, 30, 12, tzinfo=dt.UTC)
EVERYONE = Visibility(everyone=True)


def a_deal(deal_id, **fields):
    return Opportunity(
        **{
            "id": deal_id,
            "account_id": "acme",
            "owner_id": "ann",
            "created_at": NOON - dt.timedelta(days=30),
            "recorded_at": NOON - dt.timedelta(days=30),
            "currency": "USD",
            "stage": "Qualify",
            **fields,
        }
    )


def a_prediction(deal_id, p_win, *, days_ago=0):
    as_of = NOON - dt.timedelta(days=days_ago)
    return Prediction(
        opportunity_id=deal_id, model="win_rate", model_version="1", as_of=as_of,
        scored_at=as_of, kind="model", p_win=p_win,
    )  # fmt: skip


@pytest.fixture
def store(session):
    session.add(Company(id=1, name="Acme", currency="USD", time_zone="UTC"))
    session.add_all(User(id=u, name=u.title(), email=f"{u}@x", role="rep") for u in ("ann", "bob"))
    session.add(Account(id="acme", name="Acme 100%"))
    for position, (stage, kind) in enumerate(
        [("Qualify", "open"), ("Offer", "open"), ("Won", "won"), ("Lost", "lost")]
    ):
        session.add(Stage(pipeline="default", stage=stage, position=position, kind=kind))
    session.flush()
    return session


def list_deals(session, *, visibility=EVERYONE, sort="name", cursor=None, limit=50, **wanted):
    return views.deals(
        session, visibility=visibility, wanted=views.DealFilter(**wanted), sort=sort,
        cursor=cursor, limit=limit, as_of=NOON,
    )  # fmt: skip


def ids(listed):
    return [row.id for row in listed.rows]


class TestDeals:
    def test_shows_only_visible_deals_and_sums_only_those(self, store):
        store.add_all(
            [
                a_deal("mine", amount_minor=10000),
                a_deal("his", owner_id="bob", amount_minor=77700),
                a_deal("nobody's", owner_id=None, amount_minor=5500),
            ]
        )
        store.flush()
        mine = list_deals(store, visibility=Visibility(False, frozenset({"ann"})))
        assert ids(mine) == ["mine"]
        assert (mine.total, mine.amounts) == (1, (Money(10000, "USD"),))
        everybody = list_deals(store)
        assert everybody.total == 3
        assert everybody.amounts == (Money(10000 + 77700 + 5500, "USD"),)

    def test_sums_each_currency_apart(self, store):
        store.add_all(
            [a_deal("a", amount_minor=100), a_deal("b", amount_minor=200, currency="JPY")]
        )
        store.flush()
        assert set(list_deals(store).amounts) == {Money(100, "USD"), Money(200, "JPY")}

    def test_shows_the_latest_prediction_and_the_last_contact(self, store):
        store.add(a_deal("a"))
        store.flush()
        store.add_all(
            [a_prediction("a", 0.2, days_ago=3), a_prediction("a", 0.4), a_prediction("a", 0.3)]
        )
        store.add(a_prediction("a", 0.9, days_ago=-1))  # of tomorrow: not known yet
        for number, (kind, days_ago) in enumerate([("call", 9), ("email", 5), ("note", 1)]):
            at = NOON - dt.timedelta(days=days_ago)
            store.add(
                Activity(id=f"t{number}", kind=kind, occurred_at=at, recorded_at=at,
                         opportunity_id="a")
            )  # fmt: skip
        store.flush()
        (row,) = list_deals(store).rows
        assert row.p_win == 0.3
        assert row.touched_at == NOON - dt.timedelta(days=5)

    def test_counts_a_corrected_activity_once_at_its_corrected_time(self, store):
        store.add(a_deal("a"))
        store.flush()
        early, late = NOON - dt.timedelta(days=8), NOON - dt.timedelta(days=2)
        for occurred_at, recorded_at in ((late, late), (early, NOON)):
            store.add(
                Activity(id="t", kind="call", occurred_at=occurred_at, recorded_at=recorded_at,
                         opportunity_id="a")
            )  # fmt: skip
        store.flush()
        assert list_deals(store).rows[0].touched_at == early

    @pytest.mark.parametrize(
        ("wanted", "expected"),
        [
            ({}, ["big", "small"]),
            ({"status": "won"}, ["done"]),
            ({"status": "all"}, ["big", "done", "small"]),
            ({"stage": "Offer"}, ["big"]),
            ({"owner_id": "bob"}, ["small"]),
            ({"minimum": Decimal("500")}, ["big"]),
            ({"closes_before": dt.date(2026, 7, 2)}, ["small"]),
            ({"text": "BIG"}, ["big"]),
            ({"text": "0%"}, ["big", "small"]),
            ({"text": "%0"}, []),
            ({"text": "_"}, []),
        ],
    )
    def test_filters(self, store, wanted, expected):
        store.add_all(
            [
                a_deal("big", amount_minor=50000, stage="Offer",
                       expected_close_on=dt.date(2026, 7, 2)),
                a_deal("small", amount_minor=49999, owner_id="bob",
                       expected_close_on=dt.date(2026, 7, 1)),
                a_deal("done", stage="Won", outcome="won", closed_at=NOON),
            ]
        )  # fmt: skip
        store.flush()
        assert ids(list_deals(store, **wanted)) == expected

    def test_compares_yen_and_dollars_by_major_units(self, store):
        store.add_all(
            [a_deal("yen", amount_minor=900, currency="JPY"), a_deal("usd", amount_minor=1000)]
        )
        store.flush()
        assert ids(list_deals(store, sort="-amount")) == ["yen", "usd"]

    @pytest.mark.parametrize("sort", [s for key in views.SORTS for s in (key, f"-{key}")])
    @settings(
        max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(data=st.data())
    def test_pages_tell_every_row_once_in_order_with_unknowns_last(self, store, sort, data):
        savepoint = store.begin_nested()
        try:
            self.check_pages(store, sort, data)
        finally:
            savepoint.rollback()
            store.expunge_all()

    def check_pages(self, store, sort, data):
        count = data.draw(st.integers(0, 9))
        for number in range(count):
            deal_id = f"d{number}"
            store.add(
                a_deal(
                    deal_id,
                    name=data.draw(st.sampled_from([None, "Same", "Other"])),
                    account_id=data.draw(st.sampled_from([None, "acme"])),
                    owner_id=data.draw(st.sampled_from([None, "ann", "bob"])),
                    stage=data.draw(st.sampled_from(["Qualify", "Offer", "unheard of"])),
                    amount_minor=data.draw(st.sampled_from([None, 100, 100, 12345])),
                    expected_close_on=data.draw(st.sampled_from([None, NOON.date()])),
                )
            )
            store.flush()
            if data.draw(st.booleans()):
                store.add(a_prediction(deal_id, data.draw(st.sampled_from([0.1, 1 / 3]))))
        store.flush()
        whole = ids(list_deals(store, sort=sort))
        walked, cursor = [], None
        while True:
            page = list_deals(store, sort=sort, cursor=cursor, limit=2)
            assert page.total == count
            walked += ids(page)
            cursor = page.next_cursor
            if cursor is None:
                break
        assert walked == whole
        assert sorted(whole) == sorted(f"d{n}" for n in range(count))
        if sort == "-amount":
            amounts = [row.amount for row in list_deals(store, sort=sort).rows]
            known = [a.minor for a in amounts if a is not None]
            assert known == sorted(known, reverse=True)
            assert amounts[len(known) :] == [None] * (count - len(known))

    @pytest.mark.parametrize("cursor", ["", "x", "bnVsbA==", "WyJuYW1lIiwgMSwgMV0=", "é"])
    def test_refuses_a_cursor_it_did_not_give(self, store, cursor):
        with pytest.raises(views.BadCursor, match="start again"):
            list_deals(store, cursor=cursor)

    def test_refuses_a_cursor_of_another_order(self, store):
        store.add_all([a_deal("a"), a_deal("b")])
        store.flush()
        cursor = list_deals(store, sort="name", limit=1).next_cursor
        with pytest.raises(views.BadCursor):
            list_deals(store, sort="-name", cursor=cursor)

    def test_refuses_an_unknown_order(self, store):
        with pytest.raises(views.UnknownSort, match="p_win"):
            list_deals(store, sort="id; drop table users")

    def test_takes_two_queries_however_many_rows(self, store):
        store.add_all(a_deal(f"d{n}") for n in range(30))
        store.flush()
        statements = []
        event.listen(
            store.get_bind().engine, "before_cursor_execute",
            lambda *a: statements.append(a[2]),
        )  # fmt: skip
        list_deals(store, limit=30)
        assert len(statements) == 2


class TestChoices:
    def test_offer_only_what_the_viewer_s_own_rows_contain(self, store):
        store.add_all([a_deal("a"), a_deal("b", owner_id="bob", stage="Offer")])
        store.flush()
        mine = views.choices(store, visibility=Visibility(False, frozenset({"ann"})))
        assert mine == views.Choices(stages=("Qualify",), owners=(("ann", "Ann"),))
