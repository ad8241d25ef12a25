"""Advice is decided once a day, logged whole, shown to who may see it, and learns from answers."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from sqlalchemy import event, func, select

from crm_core.advice import operations
from crm_core.advice.models import (
    AdviceDecision,
    Recommendation,
    RecommendationOutcome,
    RecommendationResponse,
)
from crm_core.advice.operations import NotAResponse, UnknownRecommendation
from crm_core.opportunities.views import NoSuchDeal
from crm_core.people.queries import Visibility
from serving.coaching import ranking, recommend
from tests import factories as make

NOW = dt.datetime(2026, 6, 10, 9, tzinfo=dt.UTC)
EVERYONE = Visibility(everyone=True)


def ago(days):
    return NOW - dt.timedelta(days=days)


def account_in(arm):
    """Return an account key that the hash puts into an arm."""
    return next(f"acc-{n}" for n in range(1000) if ranking.arm(f"acc-{n}") == arm)


def a_neglected_deal(session, key="d1", *, arm="advice", owner=None, amount="50000.00"):
    """A deal of which several actions apply: silence, overdue date, single contact, no meeting."""
    account_key = account_in(arm)
    from crm_core.accounts.models import Account

    account = session.get(Account, account_key) or make.an_account(session, key=account_key)
    deal = make.an_opportunity(
        session,
        key=key,
        account=account,
        owner=owner,
        created_at=ago(60),
        amount=amount,
        expected_close_on=dt.date(2026, 6, 1),
    )
    contact = make.a_contact(session, account=account)
    make.an_engagement(session, opportunity=deal, contact=contact, at=ago(59))
    make.an_activity(session, opportunity=deal, kind="meeting", at=ago(40))
    return deal


@pytest.fixture
def rep(session):
    make.a_company(session)
    return make.a_user(session, key="rep")


@pytest.fixture
def deal(session, rep):
    return a_neglected_deal(session, owner=rep)


def advise(session, *deals, at=NOW, scope=EVERYONE, **more):
    return recommend.next_best_actions(
        session,
        visibility=scope,
        opportunity_ids=[deal.id for deal in deals],
        as_of=at,
        now=at,
        **more,
    )


def counted(session, table):
    return session.scalar(select(func.count()).select_from(table))


class TestNextBestActions:
    def test_show_three_with_reasons_that_hold_facts(self, session, deal):
        (found,) = advise(session, deal)
        assert [item.rank for item in found.items] == [1, 2, 3]
        assert found.note is None
        for item in found.items:
            assert item.basis == "playbook"
            assert item.grade == "C"
            assert item.expected_lift == 0.01
            assert 0.05 <= item.propensity <= 1
            assert any(character.isdigit() for character in item.reason.en) or item.reason.en
            assert item.reason.zh != item.reason.en

    def test_are_logged_with_all_candidates_whether_shown_or_not(self, session, deal):
        (found,) = advise(session, deal)
        decision = session.scalars(select(AdviceDecision)).one()
        logged = {each["action"]: each for each in decision.candidates}
        assert set(logged) == {
            "break_silence", "renew_close_date", "widen_contacts", "hold_meeting",
        }  # fmt: skip
        for item in found.items:
            assert logged[item.action]["rank"] == item.rank
            assert logged[item.action]["propensities"][item.rank - 1] == item.propensity
        for place in range(3):
            total = sum(each["propensities"][place] for each in logged.values())
            assert total == pytest.approx(1)
        assert decision.policy_version == "playbook-1"
        assert len(decision.context_hash) == 64
        assert json.dumps(decision.candidates)

    def test_are_the_same_on_refresh_and_logged_once(self, session, deal):
        first = advise(session, deal)
        again = advise(session, deal, at=NOW + dt.timedelta(hours=3))
        assert [i.id for i in first[0].items] == [i.id for i in again[0].items]
        assert counted(session, AdviceDecision) == 1
        assert counted(session, Recommendation) == 3

    def test_are_drawn_the_same_for_the_same_deal_and_day(self, session, deal):
        first = [item.action for item in advise(session, deal)[0].items]
        session.execute(Recommendation.__table__.delete())
        session.execute(AdviceDecision.__table__.delete())
        assert [item.action for item in advise(session, deal)[0].items] == first

    def test_stay_until_answered_and_make_room_then(self, session, deal):
        (today,) = advise(session, deal)
        (tomorrow,) = advise(session, deal, at=NOW + dt.timedelta(days=1))
        assert {i.id for i in tomorrow.items} == {i.id for i in today.items}
        assert counted(session, Recommendation) == 3
        self.answer(session, today.items[0].id, response="dismissed", reason="no", at=ago(-1))
        (third,) = advise(session, deal, at=NOW + dt.timedelta(days=2))
        actions = [item.action for item in third.items]
        assert today.items[0].action not in actions
        assert len(actions) == 3
        assert counted(session, Recommendation) == 4

    def test_tell_today_s_facts_of_what_still_stands(self, session, deal):
        (today,) = advise(session, deal)
        (later,) = advise(session, deal, at=NOW + dt.timedelta(days=5))
        before = {item.id: item.reason.en for item in today.items}
        after = {item.id: item.reason.en for item in later.items}
        assert before.keys() == after.keys()
        assert all(before[key] != after[key] for key in before)

    def test_leave_out_what_no_longer_applies(self, session, deal):
        (today,) = advise(session, deal)
        make.an_activity(session, opportunity=deal, kind="meeting", at=ago(0))
        (tomorrow,) = advise(session, deal, at=NOW + dt.timedelta(days=1))
        actions = {item.action for item in tomorrow.items}
        assert actions <= {"renew_close_date", "widen_contacts"}
        assert today.items

    def test_keep_silent_for_the_holdout_but_log_what_applies(self, session, rep):
        deal = a_neglected_deal(session, arm="holdout", owner=rep)
        (found,) = advise(session, deal)
        assert (found.items, found.arm) == ((), "holdout")
        assert "comparison group" in found.note.en
        decision = session.scalars(select(AdviceDecision)).one()
        assert len(decision.candidates) == 4
        assert counted(session, Recommendation) == 0

    def test_explore_nothing_in_the_playbook_arm(self, session, rep):
        deal = a_neglected_deal(session, arm="playbook_only", owner=rep)
        (found,) = advise(session, deal)
        assert [item.propensity for item in found.items] == [1, 1, 1]

    def test_advise_nothing_that_does_not_pay(self, session, rep):
        deal = a_neglected_deal(session, owner=rep, amount="100.00")
        (found,) = advise(session, deal)
        assert found.items == ()
        assert len(session.scalars(select(AdviceDecision)).one().candidates) == 4

    def test_know_no_value_without_an_amount(self, session, rep):
        deal = a_neglected_deal(session, owner=rep, amount=None)
        (found,) = advise(session, deal)
        assert len(found.items) == 3
        assert {item.expected_value for item in found.items} == {None}

    def test_are_only_for_who_may_see_the_deal(self, session, deal):
        mine = Visibility(everyone=False, user_ids=frozenset({"rep"}))
        other = Visibility(everyone=False, user_ids=frozenset({"other"}))
        assert advise(session, deal, scope=other) == []
        assert counted(session, AdviceDecision) == 0
        assert len(advise(session, deal, scope=mine)) == 1
        with pytest.raises(NoSuchDeal):
            recommend.for_deal(session, deal.id, visibility=other, now=NOW)

    def test_end_with_the_deal(self, session, deal):
        make.moves(session, deal, to="Won", at=ago(1))
        found = recommend.for_deal(session, deal.id, visibility=EVERYONE, now=NOW)
        assert found.items == ()
        assert "closed" in found.note.en

    def test_take_the_same_number_of_statements_for_one_deal_and_for_twenty(self, session, rep):
        deals = [a_neglected_deal(session, f"d{n}", owner=rep) for n in range(21)]
        one, many = self.count(session, deals[:1]), self.count(session, deals[1:])
        assert one == many <= 32
        assert self.count(session, deals) <= 9  # a refresh reads the decisions back

    @staticmethod
    def count(session, deals):
        statements = []

        def note(connection, cursor, statement, *_):
            statements.append(statement)

        event.listen(session.get_bind(), "before_cursor_execute", note)
        try:
            advise(session, *deals)
        finally:
            event.remove(session.get_bind(), "before_cursor_execute", note)
        return len([s for s in statements if not s.startswith(("SAVEPOINT", "RELEASE"))])

    @staticmethod
    def answer(session, number, *, at=NOW, scope=EVERYONE, **answer):
        return recommend.respond(
            session,
            number,
            user_id="rep",
            visibility=scope,
            now=at,
            **{"reason": None, "snoozed_until": None, **answer},
        )


class TestRespond:
    answer = staticmethod(TestNextBestActions.answer)

    @pytest.fixture
    def number(self, session, deal):
        return advise(session, deal)[0].items[0].id

    def test_is_written_once_however_often_it_is_pressed(self, session, number):
        for _ in range(3):
            assert self.answer(session, number, response="done").response == "done"
        assert counted(session, RecommendationResponse) == 1

    def test_stands_beside_an_earlier_one(self, session, number):
        self.answer(session, number, response="done")
        found = self.answer(session, number, response="dismissed", reason="wrong deal")
        assert (found.response, found.response_reason) == ("dismissed", "wrong deal")
        assert counted(session, RecommendationResponse) == 2

    @pytest.mark.parametrize(
        ("answer", "said"),
        [
            ({"response": "liked"}, "done, snoozed or dismissed"),
            ({"response": "dismissed"}, "needs a reason"),
            ({"response": "dismissed", "reason": "  "}, "needs a reason"),
            ({"response": "snoozed"}, "until when"),
            ({"response": "done", "snoozed_until": NOW}, "until when"),
            ({"response": "snoozed", "snoozed_until": NOW}, "in the future"),
        ],
    )
    def test_is_whole_or_refused(self, session, number, answer, said):
        with pytest.raises(NotAResponse, match=said):
            self.answer(session, number, **answer)
        assert counted(session, RecommendationResponse) == 0

    def test_is_for_who_may_see_the_deal(self, session, number):
        other = Visibility(everyone=False, user_ids=frozenset({"other"}))
        with pytest.raises(UnknownRecommendation):
            self.answer(session, number, response="done", scope=other)
        with pytest.raises(UnknownRecommendation):
            self.answer(session, number + 999, response="done")

    def test_of_a_snooze_hides_the_action_until_then(self, session, deal, number):
        (today,) = advise(session, deal)
        action = next(item.action for item in today.items if item.id == number)
        until = NOW + dt.timedelta(days=4)
        self.answer(session, number, response="snoozed", snoozed_until=until)
        (during,) = advise(session, deal, at=NOW + dt.timedelta(days=3))
        (after,) = advise(session, deal, at=NOW + dt.timedelta(days=5))
        assert action not in [item.action for item in during.items]
        assert action in [item.action for item in after.items]


class TestSettling:
    def settled(self, session, at):
        return operations.settle_outcomes(session, as_of=at)

    def outcomes(self, session):
        rows = session.execute(
            select(Recommendation.action, RecommendationOutcome.kind).join(
                Recommendation, Recommendation.id == RecommendationOutcome.recommendation_id
            )
        )
        return {(row.action, row.kind) for row in rows}

    def test_finds_the_activity_that_was_asked_for_within_fourteen_days(self, session, deal):
        (found,) = advise(session, deal)
        actions = {item.action for item in found.items}
        make.an_activity(session, opportunity=deal, kind="call", at=ago(-14))
        self.settled(session, ago(-20))
        asked = {action for action in actions if action != "hold_meeting"}
        assert self.outcomes(session) == {(action, "activity") for action in asked}

    @pytest.mark.parametrize(
        "activity",
        [
            {"kind": "call", "at": ago(-15)},
            {"kind": "call", "at": ago(0)},
            {"kind": "note", "at": ago(-3)},
            {"kind": "call", "direction": "in", "at": ago(-3)},
            {"kind": "call", "at": ago(-3), "recorded_at": ago(-40)},
        ],
    )
    def test_does_not_take_another_for_it(self, session, deal, activity):
        advise(session, deal)
        make.an_activity(session, opportunity=deal, **activity)
        self.settled(session, ago(-30))
        assert self.outcomes(session) == set()

    def test_finds_an_advance_and_a_win_once(self, session, deal):
        advise(session, deal)
        make.moves(session, deal, to="Propose", at=ago(-3))
        assert self.settled(session, ago(-5))["stage_advanced"] == 3
        make.moves(session, deal, to="Won", at=ago(-60))
        first, second = self.settled(session, ago(-61)), self.settled(session, ago(-62))
        assert (first["won"], first["lost"], first["stage_advanced"]) == (3, 0, 0)
        assert set(second.values()) == {0}

    def test_takes_no_step_back_for_an_advance(self, session, deal):
        make.moves(session, deal, to="Negotiate", at=ago(2))
        advise(session, deal)
        make.moves(session, deal, to="Propose", at=ago(-3))
        assert self.settled(session, ago(-5))["stage_advanced"] == 0


class TestDayBeginsWith:
    def test_is_three_deals_and_logs_the_others_as_not_shown(self, session, rep):
        for number in range(5):
            a_neglected_deal(session, f"d{number}", owner=rep, amount=f"{10000 * (number + 1)}")
        found = recommend.day_begins_with(
            session, visibility=EVERYONE, owner_id="rep", as_of=NOW, now=NOW
        )
        assert [len(each.items) for each in found] == [1, 1, 1]
        assert found[0].opportunity_id == "d4"
        assert counted(session, AdviceDecision) == 5
        assert counted(session, Recommendation) == 3
