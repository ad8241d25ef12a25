"""Each rule applies by a fact of the record, says that fact, and is silent where it is unknown."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from decimal import Decimal
from pathlib import Path

import pytest

from crm_core.advice.situations import (
    AccountSigns,
    Contacts,
    Drop,
    Norm,
    Situation,
    Slip,
    Touches,
)
from crm_core.money import Money, from_major
from serving.coaching import sentences
from serving.coaching.actions import ACTIONS, BY_ID, applicable, as_markdown
from serving.coaching.sentences import Template, Term

TODAY = dt.date(2026, 6, 10)


def ago(days):
    return TODAY - dt.timedelta(days=days)


def usd(major):
    return from_major(Decimal(major), "USD")


QUIET = Situation(
    opportunity_id="d1",
    account_id="a1",
    owner_id="u1",
    pipeline="default",
    stage="Propose",
    is_open=True,
    stage_share=0.5,
    day=TODAY,
    created_on=ago(40),
    stage_since=ago(5),
    currency="USD",
    amount=usd("50000"),
    value=usd("50000"),
    expected_close_on=dt.date(2026, 8, 15),
    period_end=dt.date(2026, 7, 1),
    touches=Touches(count=9, last_on=ago(1), last_two_way_on=ago(2), last_meeting_on=ago(10)),
    contacts=Contacts(people=3, seniors=1),
)
"""A deal on which nothing is wrong."""


def but(**changes):
    return dataclasses.replace(QUIET, **changes)


def touched(**changes):
    return but(touches=dataclasses.replace(QUIET.touches, **changes))


CASES = [
    ("answer_message", touched(unanswered_since=ago(3)), {"date": ago(3), "days": 3}),
    ("make_first_contact", but(touches=Touches(), created_on=ago(4)), {"days": 4}),
    ("break_silence", touched(last_two_way_on=ago(14)), {"days": 14}),
    ("break_silence", touched(last_two_way_on=None), {"days": 40}),
    (
        "break_silence",
        dataclasses.replace(touched(last_two_way_on=ago(12)), contact_norm=Norm(6, 40)),
        {"days": 12, "norm": 6},
    ),
    (
        "resolve_account_problem",
        but(signs=AccountSigns(severe_ticket_on=ago(8))),
        {"date": ago(8)},
    ),
    (
        "resolve_account_problem",
        but(signs=AccountSigns(low_rating=Decimal("1.0"), low_rating_on=ago(20))),
        {"date": ago(20), "rating": "1"},
    ),
    (
        "resolve_account_problem",
        but(signs=AccountSigns(subscription_ended_on=ago(9))),
        {"date": ago(9)},
    ),
    (
        "resolve_account_problem",
        but(signs=AccountSigns(usage_before=Decimal(10), usage_now=Decimal(4))),
        {"percent": 60},
    ),
    (
        "secure_close_in_period",
        but(expected_close_on=dt.date(2026, 6, 28)),
        {"date": dt.date(2026, 6, 28), "days": 21},
    ),
    ("renew_close_date", but(expected_close_on=ago(1)), {"date": ago(1), "days": 1}),
    (
        "meet_exit_criterion",
        but(
            recorded_fields=frozenset({"x_budget_confirmed"}), custom={"x_budget_confirmed": False}
        ),
        {"stage": "Propose", "criterion": Term("the budget being confirmed", "预算确认")},
    ),
    (
        "reach_decision_maker",
        but(contacts=Contacts(people=3, seniors=0), large_from=usd("50000")),
        {"amount": usd("50000")},
    ),
    ("widen_contacts", but(contacts=Contacts(people=1, seniors=None)), {"days": 40}),
    ("widen_contacts", but(contacts=Contacts(people=0, seniors=None)), {"days": 40}),
    (
        "check_changed_need",
        but(drop=Drop(usd("1000"), usd("900"), ago(30))),
        {"before": usd("1000"), "after": usd("900"), "date": ago(30)},
    ),
    (
        "ask_why_date_slips",
        but(slips=(Slip(ago(90), ago(60), ago(80)), Slip(ago(60), ago(30), ago(50)))),
        {"count": 2, "date": ago(50)},
    ),
    (
        "unblock_stage",
        but(stage_since=ago(31), stage_norm=Norm(30, 50)),
        {"stage": "Propose", "days": 31, "norm": 30},
    ),
    ("hold_meeting", touched(last_meeting_on=ago(28)), {"days": 28}),
    ("hold_meeting", touched(last_meeting_on=None), {"days": 40}),
]

JUST_NOT = [
    ("answer_message", touched(unanswered_since=TODAY)),
    ("make_first_contact", but(touches=Touches(), created_on=ago(2))),
    ("break_silence", touched(last_two_way_on=ago(13))),
    (
        "break_silence",
        dataclasses.replace(touched(last_two_way_on=ago(11)), contact_norm=Norm(6, 40)),
    ),
    (
        "break_silence",
        dataclasses.replace(touched(last_two_way_on=ago(19)), contact_norm=Norm(10, 40)),
    ),
    ("resolve_account_problem", but(signs=AccountSigns())),
    ("secure_close_in_period", but(expected_close_on=dt.date(2026, 7, 1))),
    (
        "secure_close_in_period",
        but(expected_close_on=dt.date(2026, 6, 28), day=dt.date(2026, 6, 9)),
    ),
    ("renew_close_date", but(expected_close_on=TODAY)),
    ("renew_close_date", but(expected_close_on=None)),
    ("meet_exit_criterion", but(recorded_fields=frozenset(), custom={})),
    (
        "meet_exit_criterion",
        but(recorded_fields=frozenset({"x_budget_confirmed"}), custom={"x_budget_confirmed": True}),
    ),
    (
        "meet_exit_criterion",
        but(recorded_fields=frozenset({"x_budget_confirmed"}), stage_share=0.25),
    ),
    (
        "reach_decision_maker",
        but(contacts=Contacts(people=3, seniors=0), large_from=usd("50000.01")),
    ),
    ("reach_decision_maker", but(contacts=Contacts(people=3, seniors=None), large_from=usd("1"))),
    ("reach_decision_maker", but(contacts=Contacts(people=3, seniors=0), large_from=None)),
    ("widen_contacts", but(contacts=Contacts(people=2, seniors=None))),
    ("widen_contacts", but(contacts=Contacts(people=1, seniors=None), created_on=ago(13))),
    ("check_changed_need", but(drop=Drop(usd("1000"), usd("900.01"), ago(30)))),
    ("check_changed_need", but(drop=Drop(usd("1000"), usd("10"), ago(31)))),
    ("ask_why_date_slips", but(slips=(Slip(ago(90), ago(60), ago(80)),))),
    ("unblock_stage", but(stage_since=ago(30), stage_norm=Norm(30, 50))),
    ("unblock_stage", but(stage_since=ago(300), stage_norm=None)),
    ("hold_meeting", touched(last_meeting_on=ago(27))),
]

UNKNOWN = but(touches=None, contacts=None, expected_close_on=None, amount=None, value=None)


def found(situation):
    return {action.id: finding for action, finding in applicable(situation)}


class TestApplicable:
    def test_finds_nothing_on_a_deal_that_is_well(self):
        assert found(QUIET) == {}

    def test_finds_nothing_where_nothing_is_recorded(self):
        assert found(UNKNOWN) == {}

    def test_finds_nothing_on_a_deal_that_is_closed(self):
        for _, situation, _ in CASES:
            assert found(dataclasses.replace(situation, is_open=False)) == {}

    @pytest.mark.parametrize(("action", "situation", "slots"), CASES)
    def test_finds_the_action_by_its_fact(self, action, situation, slots):
        assert found(situation)[action].slots == slots

    @pytest.mark.parametrize(("action", "situation"), JUST_NOT)
    def test_does_not_find_it_just_below_the_line(self, action, situation):
        assert action not in found(situation)

    def test_covers_every_action_on_both_sides(self):
        ids = {action.id for action in ACTIONS}
        assert ids == {case[0] for case in CASES}
        assert ids == {case[0] for case in JUST_NOT}
        assert len(ids) >= 10


class TestAnchor:
    @pytest.mark.parametrize(("action", "situation", "slots"), CASES)
    def test_stays_while_only_time_passes(self, action, situation, slots):
        tomorrow = dataclasses.replace(situation, day=TODAY + dt.timedelta(days=1))
        later = found(tomorrow).get(action)
        if later is not None:  # what was 30 days ago may have passed
            assert later.anchor == found(situation)[action].anchor

    def test_changes_with_the_situation(self):
        first = found(touched(last_two_way_on=ago(20)))["break_silence"].anchor
        second = found(touched(last_two_way_on=ago(15)))["break_silence"].anchor
        assert first != second


def read_back(template, text, language, slots):
    """Return the facts in a sentence, read from its words alone, by the kinds of its slots."""
    pattern = re.escape(template.zh if language == "zh" else template.en)
    for name in slots:
        pattern = pattern.replace(re.escape("{" + name + "}"), f"(?P<{name}>.+?)")
    matched = re.fullmatch(pattern, text)
    assert matched, (pattern, text)
    return {name: parse(matched[name], value, language) for name, value in slots.items()}


def parse(text, kind, language):
    if isinstance(kind, Money):
        currency, number = text.split(" ")
        return from_major(Decimal(number.replace(",", "")), currency)
    if isinstance(kind, dt.date):
        if language == "zh":
            return dt.date(*map(int, re.fullmatch(r"(\d+)年(\d+)月(\d+)日", text).groups()))
        return dt.datetime.strptime(text, "%d %b %Y").date()
    if isinstance(kind, Term):
        return kind if text == (kind.zh if language == "zh" else kind.en) else None
    return int(text) if isinstance(kind, int) else text


class TestSentences:
    @pytest.mark.parametrize("language", ["en", "zh"])
    @pytest.mark.parametrize(("action", "situation", "slots"), CASES)
    def test_parse_back_to_their_facts(self, action, situation, slots, language):
        finding = found(situation)[action]
        template = BY_ID[action].reasons[finding.variant]
        text = template.render(finding.slots, language)
        assert read_back(template, text, language, finding.slots) == slots

    @pytest.mark.parametrize(("action", "situation", "slots"), CASES)
    def test_come_back_from_storage_as_they_went(self, action, situation, slots):
        assert sentences.from_json(sentences.as_json(slots)) == slots

    def test_have_every_variant_that_a_rule_can_return_and_no_other(self):
        used = {(action, found(situation)[action].variant) for action, situation, _ in CASES}
        assert used == {(a.id, variant) for a in ACTIONS for variant in a.reasons}

    def test_claim_no_cause_and_name_no_model(self):
        claims = re.compile(
            r"caus|because|due to|lead to|increase|improve|raise|boost|shap|model|score|probab"
            r"|导致|因为|造成|提高|提升|模型|概率|得分",
            re.IGNORECASE,
        )
        for action in ACTIONS:
            for template in (action.title, *action.reasons.values()):
                assert not claims.search(template.en + template.zh), template

    def test_are_one_sentence_in_both_languages(self):
        for action in ACTIONS:
            for template in action.reasons.values():
                assert template.en.endswith(".")
                assert template.en.count(". ") == 0
                assert template.zh.endswith("。")
                assert template.zh.count("。") == 1

    def test_refuse_slots_that_differ_between_the_languages(self):
        with pytest.raises(ValueError, match="different slots"):
            Template(en="{days} days", zh="天")


class TestPlaybook:
    def test_is_of_grade_c_with_the_shrunk_prior(self):
        assert {(a.grade, a.basis, a.prior_mean, a.prior_sd) for a in ACTIONS} == {
            ("C", "playbook", 0.01, 0.01)
        }

    def test_asks_for_activities_that_exist_and_looks_only_at_facts(self):
        kinds = {"call", "email", "meeting", "visit", "demo", "proposal"}
        fields = {field.name for field in dataclasses.fields(Situation)}
        for action in ACTIONS:
            assert set(action.asks_for) <= kinds
            assert set(action.facts) <= fields
            assert 0 < action.effort_minutes <= 60
            assert 0 <= action.urgency <= 1

    def test_is_the_table_of_the_document(self):
        document = Path(__file__).parents[3] / "docs" / "coaching.md"
        text = document.read_text(encoding="utf-8")
        table = text.split("<!-- playbook -->")[1].split("<!-- /playbook -->")[0]
        assert table.strip() == as_markdown()
