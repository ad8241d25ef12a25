"""Every column has words, every word has a column, and the documentation is the list."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from features import definitions, documentation
from features.definitions import FEATURES, GROUPS, UnknownFeature, feature
from features.feature import OwnField

EXAMPLES = (
    "source_code", "source_lift", "x_age", "x_segment_code", "account_x_score",
    "account_x_kind_lift", "done_call_out_reached_count", "done_meeting_days",
    "entered_negotiate_days",
)  # fmt: skip


def test_names_are_unique():
    names = [each.name for each in FEATURES]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", [each.name for each in FEATURES] + list(EXAMPLES))
def test_a_feature_can_be_said_in_both_languages(name):
    each = feature(name)
    assert each.group in {group.name for group in GROUPS}
    for language in ("en", "zh"):
        assert each.label(language)
        for value in (0.0, 1.0, 2.5):
            fact = each.fact(value, language, category="Inbound")
            assert fact
            assert "{" not in fact
            # a record never speaks against itself, see below
            for rises in (value > 0,) if each.unit == "log_odds" else (True, False):
                assert fact in each.reason(value, language, rises=rises, category="Inbound")
        assert each.reason(math.nan, language, rises=True) == "" or each.missing_en


def test_a_lean_is_never_called_a_cause():
    said = [feature("days_since_activity").reason(9, lang, rises=False) for lang in ("en", "zh")]
    for words in said:
        assert not any(each in words for each in ("because", "cause", "leads to", "因为", "导致"))


def test_silence_reads_as_a_sentence():
    silence = feature("days_since_two_way")
    assert silence.fact(12.4, "en") == "No two-way contact for 12 days"
    assert silence.fact(math.nan, "en") == "No two-way contact is recorded"


def test_a_lift_reads_as_times_the_average_odds():
    assert feature("rep_lift").fact(math.log(2), "en").endswith("2.00 times the average odds")


def test_a_lift_never_speaks_against_itself():
    lift = feature("x_competitor_lift")
    assert lift.reason(math.log(1.1), "en", rises=False) == ""
    assert lift.reason(math.log(0.9), "en", rises=True) == ""
    assert "0.90 times" in lift.reason(math.log(0.9), "en", rises=False)


@pytest.mark.parametrize(
    ("name", "value", "en", "zh"),
    [
        ("done_email_in_count", 0, "No e-mail from the customer so far", "尚无客户来信"),
        ("done_call_out_count", 3, "Call to the customer: 3 so far", "致电客户至今 3 次"),
        (
            "done_meeting_held_days",
            4,
            "Last meeting (held) 4 days ago",
            "上次会议（held）在 4 天前",
        ),
        ("done_other_o_sent_back_count", 1, "“o sent back”: 1 so far", "「o sent back」至今 1 次"),
        ("entered_negotiate_days", 9, "Last move into “negotiate” 9 days ago", None),
    ],
)
def test_a_signal_reads_in_sellers_words(name, value, en, zh):
    assert feature(name).fact(value, "en") == en
    assert zh is None or feature(name).fact(value, "zh") == zh


def test_a_column_without_a_definition_is_refused():
    with pytest.raises(UnknownFeature, match=r"docs/features.md"):
        feature("something_else")


def test_only_beliefs_are_marked_as_belief():
    assert {each.name for each in FEATURES if each.belief} == {
        each.name for each in FEATURES if each.group == "belief"
    }


def test_the_documentation_is_the_list():
    path = Path(__file__).parents[2] / "docs" / "features.md"
    assert path.read_text() == documentation.page(), (
        "docs/features.md is out of date: write features.documentation.page() into it"
    )
    assert all(f"`{each.name}`" in documentation.page() for each in definitions.FEATURES)


class TestACompanysOwnField:
    """A reason reads as the company entered the fact, in both languages."""

    own = {
        "x_flag": OwnField("boolean"),
        "account_x_vip": OwnField("boolean", "Key account", "重点客户"),
        "x_due": OwnField("date", "Contract ends", "合同到期"),
        "x_seats": OwnField("number", "Seats", "席位"),
        "x_plan": OwnField("category", "Plan {new}", "方案"),
    }

    @pytest.mark.parametrize(
        ("name", "value", "en", "zh"),
        [
            ("x_flag", 1, "Flag: yes", "flag：是"),
            ("x_flag", 0, "Flag: no", "flag：否"),
            ("account_x_vip", 1, "Account's Key account: yes", "客户的重点客户：是"),
            ("x_due", 12.2, "Contract ends: in 12 days", "合同到期：12 天后"),
            ("x_due", -3.0, "Contract ends: 3 days ago", "合同到期：3 天前"),
            ("x_due", 1.0, "Contract ends: in 1 day", "合同到期：1 天后"),
            ("x_due", 0.2, "Contract ends: today", "合同到期：今天"),
            ("x_seats", 1200, "Seats is 1,200", "席位为 1,200"),
        ],
    )
    def test_reads_as_it_was_entered(self, name, value, en, zh):
        described = feature(name, self.own)
        assert described.fact(value, "en") == en
        assert described.fact(value, "zh") == zh

    def test_may_be_called_anything(self):
        described = feature("x_plan_code", self.own)
        assert described.fact(2, "en", category="gold") == "Plan {new} is gold"
        assert "plan {new} had" in feature("x_plan_lift", self.own).fact(0.5, "en")

    def test_says_nothing_when_it_is_not_known(self):
        assert feature("x_flag", self.own).fact(math.nan, "en") == ""
