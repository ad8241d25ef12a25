"""One deal's page: facts behind the one door, changes in words, participants, activities."""

from __future__ import annotations

import datetime as dt

import pytest

from crm_core.accounts.models import Account, Contact
from crm_core.activities import views as activity_views
from crm_core.activities.models import Activity
from crm_core.money import Money
from crm_core.opportunities import views
from crm_core.opportunities.models import (
    Opportunity,
    OpportunityContact,
    OpportunityEvent,
    Stage,
)
from crm_core.people.models import User
from crm_core.people.queries import Visibility

NOON = dt.datetime(2026, 6, 30, 12, tzinfo=dt.UTC)
EVERYONE = Visibility(everyone=True)


@pytest.fixture
def store(session):
    session.add_all(User(id=u, name=u.title(), email=f"{u}@x", role="rep") for u in ("ann", "bob"))
    session.add(Account(id="acme", name="Acme"))
    session.add_all(
        [
            Stage(pipeline="p", stage="Won", position=2, kind="won"),
            Stage(pipeline="p", stage="Offer", position=1, kind="open"),
        ]
    )
    session.flush()
    session.add(
        Opportunity(
            id="d1", name="Deal", account_id="acme", owner_id="ann", pipeline="p", stage="Offer",
            currency="JPY", amount_minor=500, created_at=NOON, recorded_at=NOON,
            custom={"x_size": 3},
        )
    )  # fmt: skip
    session.flush()
    return session


def record(session, field, new, *, days, old=None, by=None, recorded=None):
    session.add(
        OpportunityEvent(
            opportunity_id="d1", field=field, old_value=old, new_value=new, user_id=by,
            occurred_at=NOON + dt.timedelta(days=days),
            recorded_at=recorded or NOON + dt.timedelta(days=days),
        )
    )  # fmt: skip
    session.flush()


def changes(session, *, days=30):
    facts = views.deal(session, "d1", visibility=EVERYONE)
    return views.changes(session, facts, as_of=NOON + dt.timedelta(days=days))


class TestDeal:
    def test_tells_the_facts(self, store):
        facts = views.deal(store, "d1", visibility=EVERYONE)
        assert (facts.account_name, facts.owner_name, facts.stage_kind) == ("Acme", "Ann", "open")
        assert facts.amount == Money(500, "JPY")
        assert facts.custom == (("x_size", "3"),)

    @pytest.mark.parametrize("deal_id", ["d1", "d2"])
    def test_does_not_tell_a_hidden_deal_from_a_missing_one(self, store, deal_id):
        with pytest.raises(views.NoSuchDeal) as refused:
            views.deal(store, deal_id, visibility=Visibility(False, frozenset({"bob"})))
        assert refused.value.message == "There is no such deal among those you may see."

    def test_lists_the_stages_of_its_pipeline_in_order(self, store):
        assert [s.stage for s in views.steps(store, pipeline="p")] == ["Offer", "Won"]


class TestChanges:
    def test_tell_values_as_what_they_mean_and_people_by_name(self, store):
        record(store, "owner_id", "ann", days=0)
        record(store, "amount", "400", days=1)
        record(store, "owner_id", "bob", days=2, old="ann", by="ann")
        record(store, "amount", "500", days=3)
        record(store, "expected_close_on", "2026-08-01", days=4)
        told = [(c.field, c.old, c.new, c.by) for c in changes(store)]
        assert told == [
            ("expected_close_on", None, dt.date(2026, 8, 1), None),
            ("amount", Money(400, "JPY"), Money(500, "JPY"), None),
            ("owner_id", "Ann", "Bob", "Ann"),
            ("amount", None, Money(400, "JPY"), None),
            ("owner_id", None, "Ann", None),
        ]

    def test_leave_out_what_was_not_yet_known(self, store):
        record(store, "amount", "400", days=1, recorded=NOON + dt.timedelta(days=9))
        assert changes(store, days=8) == ()
        assert len(changes(store, days=9)) == 1

    def test_keep_text_that_means_nothing_as_text(self, store):
        record(store, "expected_close_on", "soon", days=1)
        assert changes(store)[0].new == "soon"

    def test_tell_custom_fields_in_one_line(self, store):
        record(store, "custom", '{"x_b": 1, "x_a": "ö"}', days=1)
        assert changes(store)[0].new == "a: ö; b: 1"


class TestParticipants:
    def test_come_with_their_role(self, store):
        store.add(Contact(id="c", account_id="acme", name="Li Wei", title="CFO"))
        store.flush()
        store.add(
            OpportunityContact(
                opportunity_id="d1", contact_id="c", role="economic_buyer", added_at=NOON
            )
        )
        store.flush()
        (who,) = views.participants(store, "d1")
        assert (who.name, who.title, who.role) == ("Li Wei", "CFO", "economic_buyer")


class TestTimeline:
    def test_shows_the_latest_correction_known_newest_first(self, store):
        def add(activity_id, occurred, recorded, **fields):
            store.add(
                Activity(
                    id=activity_id, kind="call", opportunity_id=fields.get("deal", "d1"),
                    occurred_at=NOON + dt.timedelta(days=occurred), user_id="ann",
                    recorded_at=NOON + dt.timedelta(days=recorded),
                    outcome=fields.get("outcome"),
                )
            )  # fmt: skip

        add("a", 1, 1, outcome="no answer")
        add("a", 1, 3, outcome="spoke")
        add("b", 2, 2)
        store.flush()
        before = activity_views.timeline(store, "d1", as_of=NOON + dt.timedelta(days=2))
        after = activity_views.timeline(store, "d1", as_of=NOON + dt.timedelta(days=3))
        assert [d.outcome for d in before.rows] == [None, "no answer"]
        assert [d.outcome for d in after.rows] == [None, "spoke"]
        assert (after.total, after.rows[0].by) == (2, "Ann")

    def test_drops_an_activity_that_a_correction_moved_away(self, store):
        for deal, recorded in (("d1", 1), (None, 2)):
            store.add(
                Activity(id="a", kind="call", opportunity_id=deal, occurred_at=NOON,
                         recorded_at=NOON + dt.timedelta(days=recorded))
            )  # fmt: skip
        store.flush()
        moved = activity_views.timeline(store, "d1", as_of=NOON + dt.timedelta(days=2))
        assert moved == activity_views.Timeline((), 0)
