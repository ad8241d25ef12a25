"""The order is by value, the draw is reproducible, and the logged chances are the true ones."""

from __future__ import annotations

import datetime as dt
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_core.money import Money
from serving.coaching import ranking
from serving.coaching.ranking import (
    FLOOR,
    POOL,
    SHOWN,
    Candidate,
    DealOption,
    Past,
    arm,
    candidate,
    draw,
    fixed,
    of_the_day,
    propensities,
    seed,
    standing,
)

DAY = dt.date(2026, 6, 10)
NOW = dt.datetime(2026, 6, 10, 9, tzinfo=dt.UTC)


def made(number, *, family="f", urgency=0.5, score=1000, cost=100):
    value = None if score is None else score + cost
    return Candidate(
        action=f"a{number}",
        family=family,
        urgency=urgency,
        lift=0.01,
        value=value,
        cost=cost,
        score=score,
    )


MIXED = [
    made(0, family="contact", urgency=1.0, score=48_000),
    made(1, family="contact", urgency=0.85, score=47_500),
    made(2, family="date", urgency=0.7, score=47_500),
    made(3, family="people", urgency=0.55, score=46_000),
    made(4, family="stage", urgency=0.4, score=45_000),
    made(5, family="contact", urgency=0.35, score=44_000),
    made(6, family="value", urgency=0.2, score=-5),
]
lists = st.lists(
    st.tuples(
        st.sampled_from(["contact", "date", "people"]),
        st.floats(0, 1),
        st.one_of(st.none(), st.integers(-(10**6), 10**9)),
    ),
    max_size=8,
).map(lambda rows: [made(i, family=f, urgency=u, score=s) for i, (f, u, s) in enumerate(rows)])


class TestCandidate:
    def test_is_worth_lift_times_amount_less_the_effort(self):
        found = candidate(
            action="a",
            family="f",
            urgency=0.5,
            lift=0.01,
            effort_minutes=30,
            amount=Money(5_000_000, "USD"),
            currency="USD",
        )
        assert (found.value, found.cost, found.score) == (50_000, 3_000, 47_000)

    def test_has_no_score_without_an_amount(self):
        found = candidate(
            action="a",
            family="f",
            urgency=0.5,
            lift=0.01,
            effort_minutes=30,
            amount=None,
            currency="USD",
        )
        assert (found.value, found.score, found.is_worth_it) == (None, None, True)

    def test_guesses_no_cost_in_a_currency_without_one(self):
        found = candidate(
            action="a",
            family="f",
            urgency=0.5,
            lift=0.01,
            effort_minutes=60,
            amount=Money(100_000, "BHD"),
            currency="BHD",
        )
        assert found.cost == 0


class TestPool:
    def test_holds_the_best_five_that_pay(self):
        chosen = ranking.pool(MIXED)
        assert [c.action for c in chosen] == ["a0", "a1", "a2", "a3", "a4"]

    @given(lists)
    def test_leaves_out_what_does_not_pay(self, candidates):
        assert all(c.score is None or c.score > 0 for c in ranking.pool(candidates))
        assert len(ranking.pool(candidates)) <= POOL


class TestPropensities:
    def test_are_the_frequencies_of_20_000_draws(self):
        expected = propensities(MIXED)
        draws = 20_000
        seen = Counter(
            (picked.action, position)
            for number in range(draws)
            for position, picked in enumerate(draw(MIXED, seed=seed(f"deal {number}", DAY)))
        )
        for action, chances in expected.items():
            for position, chance in enumerate(chances):
                error = (chance * (1 - chance) / draws) ** 0.5
                assert abs(seen[action, position] / draws - chance) < 4 * error, (action, position)

    @settings(deadline=None)
    @given(lists)
    def test_sum_to_one_at_each_position_and_keep_the_floor_at_the_first(self, candidates):
        found = propensities(candidates)
        positions = min(SHOWN, len(found))
        for position in range(positions):
            assert sum(chances[position] for chances in found.values()) == pytest.approx(1)
        assert all(chances[0] >= FLOOR - 1e-12 for chances in found.values())
        assert all(0 < chance <= 1 + 1e-12 for chances in found.values() for chance in chances)

    def test_prefer_value_urgency_and_variety(self):
        found = propensities(MIXED)
        assert found["a0"][0] > found["a1"][0] > found["a3"][0]
        alike = [made(0, family="x"), made(1, family="x"), made(2, family="y")]
        given_first = ranking.chances(alike[1:], alike[:1], ranking.utilities(alike))
        assert given_first[1] > given_first[0]


class TestDraw:
    @given(lists, st.integers(0, 2**63))
    def test_is_the_same_for_the_same_seed(self, candidates, number):
        assert draw(candidates, seed=number) == draw(candidates, seed=number)

    @given(lists, st.integers(0, 2**63))
    def test_shows_each_action_once_and_at_most_three(self, candidates, number):
        chosen = draw(candidates, seed=number)
        assert len(chosen) == len({c.action for c in chosen}) <= SHOWN
        assert set(chosen) <= set(ranking.pool(candidates))

    def test_depends_on_the_deal_and_the_day(self):
        tomorrow = DAY + dt.timedelta(days=1)
        assert len({seed("d1", DAY), seed("d1", tomorrow), seed("d2", DAY)}) == 3


class TestFixed:
    def test_is_the_likeliest_at_each_position(self):
        assert [c.action for c in fixed(MIXED)] == ["a0", "a2", "a3"]


class TestArm:
    def test_holds_out_a_tenth_and_keeps_a_twentieth_on_the_playbook(self):
        arms = Counter(arm(f"account {number}") for number in range(20_000))
        assert abs(arms["holdout"] / 20_000 - 0.10) < 0.01
        assert abs(arms["playbook_only"] / 20_000 - 0.05) < 0.01

    def test_is_for_good(self):
        assert {arm("acme") for _ in range(5)} == {arm("acme")}


def past(days, **answer):
    on = answer.pop("on", None)
    return Past(
        action="a",
        day=DAY - dt.timedelta(days=days),
        anchor=answer.pop("anchor", "x"),
        response=answer.pop("response", None),
        responded_on=None if on is None else DAY - dt.timedelta(days=on),
        snoozed_until=answer.pop("until", None),
    )


HOUR = dt.timedelta(hours=1)
STANDINGS = [
    ("never shown", [], "new"),
    ("shown yesterday and not answered", [past(1)], "carried"),
    ("shown 13 days ago and not answered", [past(13)], "carried"),
    ("shown 14 days ago and not answered", [past(14)], "new"),
    ("dismissed 20 days ago", [past(25, response="dismissed", on=20)], "blocked"),
    ("dismissed 21 days ago", [past(25, response="dismissed", on=21)], "new"),
    ("done and the situation is the same", [past(90, response="done", on=80)], "blocked"),
    (
        "done and the situation is another",
        [past(90, response="done", on=80, anchor="y")],
        "new",
    ),
    (
        "done 3 days ago and the situation is another",
        [past(3, response="done", on=3, anchor="y")],
        "blocked",
    ),
    ("snoozed until later", [past(30, response="snoozed", on=30, until=NOW + HOUR)], "blocked"),
    ("snoozed until before", [past(3, response="snoozed", on=3, until=NOW - HOUR)], "carried"),
    (
        "dismissed long ago, shown again yesterday",
        [past(60, response="dismissed", on=59), past(1)],
        "carried",
    ),
]


class TestStanding:
    @pytest.mark.parametrize(("why", "history", "expected"), STANDINGS)
    def test_follows_the_table(self, why, history, expected):
        assert standing(history, anchor="x", day=DAY, as_of=NOW) == expected


class TestOfTheDay:
    def options(self, *rows):
        return [
            DealOption(opportunity_id=d, account_id=a, action="x", family=f, utility=u)
            for d, a, f, u in rows
        ]

    def test_is_three_deals_of_different_accounts_and_kinds(self):
        chosen = of_the_day(
            self.options(
                ("d1", "acme", "contact", 1.0),
                ("d2", "acme", "contact", 0.95),
                ("d3", "bolt", "contact", 0.9),
                ("d4", "core", "date", 0.8),
                ("d5", "dune", "people", 0.75),
            )
        )
        assert chosen == ["d1", "d4", "d5"]

    def test_prefers_value_when_it_is_much_more(self):
        chosen = of_the_day(
            self.options(
                ("d1", "acme", "contact", 1.0),
                ("d2", "bolt", "contact", 0.99),
                ("d3", "core", "date", 0.1),
            )
        )
        assert chosen == ["d1", "d2", "d3"]
