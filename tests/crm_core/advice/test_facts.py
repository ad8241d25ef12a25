"""A deal's situation is what was known at the time, loaded by a fixed number of statements."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from sqlalchemy import event

from crm_core.accounts.models import Ticket, Usage
from crm_core.advice.facts import situations
from crm_core.advice.situations import Contacts, Norm
from crm_core.money import Money
from crm_core.orders.models import FxRate, Subscription
from tests import factories as make

NOW = dt.datetime(2026, 6, 10, 9, tzinfo=dt.UTC)


def ago(days):
    return NOW - dt.timedelta(days=days)


def day(days):
    return dt.date(2026, 6, 10) - dt.timedelta(days=days)


@pytest.fixture
def deal(session):
    make.a_company(session)
    account = make.an_account(session, key="acme")
    return make.an_opportunity(
        session,
        key="d1",
        account=account,
        owner=make.a_user(session, key="rep"),
        created_at=ago(40),
        amount="5000.00",
        expected_close_on=day(-20),
        stages={ago(12): "Propose"},
    )


def look(session, deal, at=NOW):
    return situations(session, [deal.id], as_of=at)[deal.id]


class TestSituation:
    def test_is_the_deal_as_it_stood(self, session, deal):
        found = look(session, deal)
        assert (found.stage, found.stage_share, found.is_open) == ("Propose", 0.5, True)
        assert (found.created_on, found.stage_since) == (day(40), day(12))
        assert found.amount == found.value == Money(500_000, "EUR")
        assert found.expected_close_on == day(-20)
        assert found.period_end == dt.date(2026, 7, 1)
        assert look(session, deal, ago(13)).stage == "Qualify"

    def test_does_not_exist_before_it_was_known(self, session, deal):
        deal.recorded_at = ago(5)
        session.flush()
        assert situations(session, [deal.id], as_of=ago(6)) == {}
        assert deal.id in situations(session, [deal.id], as_of=ago(5))

    def test_does_not_know_what_was_recorded_later(self, session, deal):
        make.an_event(session, deal, field="amount", value="1.00", at=ago(9), recorded_at=ago(2))
        assert look(session, deal, ago(3)).amount == Money(500_000, "EUR")
        assert look(session, deal).amount == Money(100, "EUR")

    def test_tells_drops_and_slips(self, session, deal):
        make.an_event(session, deal, field="amount", value="4000.00", at=ago(8))
        for days_ago, until in ((30, -30), (20, -25), (10, -50)):
            make.an_event(
                session,
                deal,
                field="expected_close_on",
                value=day(until).isoformat(),
                at=ago(days_ago),
            )
        found = look(session, deal)
        assert (found.drop.before, found.drop.after) == (
            Money(500_000, "EUR"),
            Money(400_000, "EUR"),
        )
        assert [(slip.after, slip.day) for slip in found.slips] == [
            (day(-30), day(30)),
            (day(-50), day(10)),
        ]
        make.an_event(session, deal, field="amount", value="4500.00", at=ago(7))
        assert look(session, deal).drop is None

    def test_converts_by_the_day_s_rate_and_guesses_none(self, session, deal):
        foreign = make.an_opportunity(session, key="d2", created_at=ago(9), currency="USD")
        assert look(session, foreign).value is None
        session.add(FxRate(base="USD", quote="EUR", valid_from=day(3), rate=Decimal("0.9")))
        session.flush()
        assert look(session, foreign).value == Money(90_000, "EUR")
        assert look(session, foreign, ago(4)).value is None

    def test_merges_custom_fields_and_knows_which_are_in_use(self, session, deal):
        make.an_event(session, deal, field="custom", value='{"x_a": false}', at=ago(9))
        make.an_event(session, deal, field="custom", value='{"x_a": true, "x_b": 1}', at=ago(1))
        assert look(session, deal, ago(2)).custom == {"x_a": False}
        assert look(session, deal, ago(2)).recorded_fields == {"x_a"}
        assert look(session, deal).custom == {"x_a": True, "x_b": 1}


class TestTouches:
    def test_are_unknown_where_no_activity_is_recorded(self, session, deal):
        assert look(session, deal).touches is None
        other = make.an_opportunity(session, created_at=ago(9))
        make.an_activity(session, opportunity=other, at=ago(3))
        assert look(session, deal).touches.count == 0
        assert look(session, deal, ago(4)).touches is None

    def test_tell_contact_of_both_sides_from_our_own(self, session, deal):
        make.an_activity(session, opportunity=deal, kind="meeting", at=ago(30))
        make.an_activity(session, opportunity=deal, kind="call", at=ago(20), duration_minutes=5)
        make.an_activity(session, opportunity=deal, kind="call", at=ago(9))
        make.an_activity(session, opportunity=deal, kind="email", direction="out", at=ago(8))
        make.an_activity(session, opportunity=deal, kind="note", at=ago(1))
        found = look(session, deal).touches
        assert (found.count, found.last_on) == (4, day(8))
        assert (found.last_two_way_on, found.last_meeting_on) == (day(20), day(30))

    def test_tell_a_message_that_waits(self, session, deal):
        make.an_activity(session, opportunity=deal, kind="email", direction="in", at=ago(6))
        assert look(session, deal).touches.unanswered_since == day(6)
        make.an_activity(session, opportunity=deal, kind="note", at=ago(5))
        assert look(session, deal).touches.unanswered_since == day(6)
        make.an_activity(session, opportunity=deal, kind="call", direction="out", at=ago(4))
        assert look(session, deal).touches.unanswered_since is None
        assert look(session, deal, ago(5)).touches.unanswered_since == day(6)

    def test_follow_a_correction_even_to_another_deal(self, session, deal):
        other = make.an_opportunity(session, created_at=ago(50))
        make.an_activity(session, opportunity=deal, key="a1", at=ago(9))
        make.an_activity(session, opportunity=other, key="a1", at=ago(9), recorded_at=ago(2))
        assert look(session, deal, ago(3)).touches.count == 1
        assert look(session, deal).touches.count == 0
        assert look(session, other).touches.count == 1


class TestContacts:
    def test_count_who_takes_part_and_who_was_met_once_each(self, session, deal):
        account = make.an_account(session)
        boss = make.a_contact(session, account=account, seniority="vp")
        clerk = make.a_contact(session, account=account, seniority="staff")
        assert look(session, deal).contacts is None
        make.an_engagement(session, opportunity=deal, contact=clerk, at=ago(9))
        assert look(session, deal).contacts == Contacts(people=1, seniors=0)
        make.an_activity(session, opportunity=deal, contact_id=boss.id, at=ago(3))
        make.an_activity(session, opportunity=deal, contact_id=clerk.id, at=ago(3))
        assert look(session, deal).contacts == Contacts(people=2, seniors=1)

    def test_do_not_know_ranks_that_nobody_records(self, session, deal):
        contact = make.a_contact(session, account=make.an_account(session))
        make.an_engagement(session, opportunity=deal, contact=contact, at=ago(9))
        assert look(session, deal).contacts == Contacts(people=1, seniors=None)


class TestSigns:
    def test_tell_an_open_severe_ticket_until_it_is_closed(self, session, deal):
        session.add(
            Ticket(
                id="t1", account_id="acme", opened_at=ago(9), closed_at=ago(2), severity="Critical"
            )
        )
        session.flush()
        assert look(session, deal, ago(3)).signs.severe_ticket_on == day(9)
        assert look(session, deal).signs.severe_ticket_on is None

    def test_tell_a_last_rating_that_is_low(self, session, deal):
        def rated(name, days, rating):
            closed = ago(days)
            session.add(
                Ticket(
                    id=name,
                    account_id="acme",
                    opened_at=closed - dt.timedelta(days=1),
                    closed_at=closed,
                    satisfaction=Decimal(rating),
                )
            )
            session.flush()

        rated("t1", 60, 5)
        rated("t2", 20, 2)
        assert look(session, deal).signs.low_rating == 2
        rated("t3", 3, 4)
        assert look(session, deal).signs.low_rating is None

    def test_tell_an_ended_subscription_unless_another_runs(self, session, deal):
        def subscribed(name, ended):
            session.add(
                Subscription(
                    id=name,
                    account_id="acme",
                    started_on=day(300),
                    ended_on=ended,
                    monthly_amount_minor=1,
                    currency="EUR",
                )
            )
            session.flush()

        subscribed("s1", day(10))
        assert look(session, deal).signs.subscription_ended_on == day(10)
        assert look(session, deal, ago(11)).signs.subscription_ended_on is None
        subscribed("s2", None)
        assert look(session, deal).signs.subscription_ended_on is None

    def test_tell_usage_that_fell_much(self, session, deal):
        for days in range(1, 57):
            value = Decimal(10 if days > 28 else 5)
            session.add(Usage(account_id="acme", day=day(days), measure="users", value=value))
        session.flush()
        signs = look(session, deal).signs
        assert (signs.usage_before, signs.usage_now) == (10, 5)
        assert look(session, deal, ago(27)).signs.usage_now is None


class TestNorms:
    @pytest.fixture
    def won(self, session, deal):
        """Twelve won deals: 10 to 21 days in the first stage, a call every 4 days."""
        for number in range(12):
            start = ago(200 + number)
            begun = start + dt.timedelta(days=10 + number)
            each = make.an_opportunity(
                session,
                created_at=start,
                stages={begun: "Propose", begun + dt.timedelta(days=30): "Won"},
                amount=str(1000 * (number + 1)),
            )
            for call in range(8):
                make.an_activity(
                    session,
                    opportunity=each,
                    kind="meeting",
                    at=start + dt.timedelta(days=4 * call),
                )
        return deal

    def test_are_of_won_deals_in_the_same_stage(self, session, won):
        found = look(session, won)
        assert found.stage_norm == Norm(30, 12)
        assert found.contact_norm.days == 4
        assert look(session, won, ago(13)).stage_norm == Norm(18, 12)  # the 75th of 10 to 21

    def test_are_unknown_before_enough_deals_are_won(self, session, won):
        early = make.an_opportunity(session, created_at=ago(190))
        assert look(session, early, ago(180)).stage_norm is None

    def test_call_large_what_a_quarter_of_won_deals_exceed(self, session, won):
        assert look(session, won).large_from == Money(900_000, "EUR")


class TestLoading:
    def test_takes_the_same_number_of_statements_for_one_deal_and_for_thirty(self, session, deal):
        ids = [deal.id] + [make.an_opportunity(session, created_at=ago(9)).id for _ in range(30)]
        assert self.count(session, ids[:1]) == self.count(session, ids) <= 18

    @staticmethod
    def count(session, ids):
        statements = []

        def note(connection, cursor, statement, *_):
            statements.append(statement)

        event.listen(session.get_bind(), "before_cursor_execute", note)
        try:
            situations(session, ids, as_of=NOW)
        finally:
            event.remove(session.get_bind(), "before_cursor_execute", note)
        return len(statements)
