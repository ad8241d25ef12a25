"""Why a forecast changed: Shapley shares against every order of events, exact to the minor unit."""

from __future__ import annotations

import datetime as dt
import itertools
import math
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_core.forecasts.attribution import Position, View, explain, shapley, whole, worth
from crm_core.forecasts.catalogue import CATEGORIES, COLUMNS, TERMS
from crm_core.periods import Period

QUARTER = Period(dt.date(2026, 4, 1), dt.date(2026, 7, 1), "2026-Q2")
IN, OUT = dt.date(2026, 5, 20), dt.date(2026, 8, 20)
COMMIT = COLUMNS["cumulative"]["commit"]
OURS = View(frozenset({"anna", "bo"}), QUARTER, COMMIT, "EUR")


def a_position(**fields):
    values = {
        "opportunity_id": "deal", "owner_id": "anna", "kind": "open", "category": "commit",
        "due_on": IN, "amount": Fraction(100), "currency": "EUR", "rate": Fraction(1),
    }  # fmt: skip
    return Position(**{**values, **fields})


def why(earlier, later, view=OURS):
    return explain(earlier, later, before=view, after=view)


class TestOneChange:
    @pytest.mark.parametrize(
        ("earlier", "later", "shares"),
        [
            (None, {}, {"new": 10_000}),
            ({}, None, {"removed": -10_000}),
            ({"category": "best_case"}, {"kind": "won", "category": "closed"}, {"won": 10_000}),
            ({}, {"kind": "won", "category": "closed"}, {}),
            ({}, {"kind": "lost", "category": "omitted"}, {"lost": -10_000}),
            ({"due_on": OUT}, {}, {"pulled_in": 10_000}),
            ({}, {"due_on": OUT}, {"pushed_out": -10_000}),
            ({}, {"due_on": None}, {"pushed_out": -10_000}),
            ({}, {"amount": Fraction(130)}, {"amount_up": 3_000}),
            ({}, {"amount": Fraction(70)}, {"amount_down": -3_000}),
            ({"amount": None}, {}, {"amount_up": 10_000}),
            ({"category": "best_case"}, {}, {"category_change": 10_000}),
            ({}, {"category": "pipeline"}, {"category_change": -10_000}),
            ({"kind": "won", "category": "closed"}, {"category": "pipeline"},
             {"category_change": -10_000}),
            ({"owner_id": "carl"}, {}, {"owner_in": 10_000}),
            ({}, {"owner_id": None}, {"owner_out": -10_000}),
            ({}, {"owner_id": "bo"}, {}),
            ({"currency": "USD", "rate": Fraction(9, 10)},
             {"currency": "USD", "rate": Fraction(8, 10)}, {"exchange_rate": -1_000}),
            ({"currency": "USD", "rate": None},
             {"currency": "USD", "rate": Fraction(8, 10)}, {"exchange_rate": 8_000}),
            ({"due_on": OUT}, {"due_on": OUT, "amount": Fraction(9)}, {}),
        ],
    )  # fmt: skip
    def test_has_one_name(self, earlier, later, shares):
        before = None if earlier is None else a_position(**earlier)
        after = None if later is None else a_position(**later)
        assert why(before, after) == shares


class TestChangesTogether:
    def test_share_what_neither_does_alone(self):
        """Won for next quarter's plan: the pull-in and the win are needed both."""
        earlier = a_position(category="pipeline", due_on=OUT)
        later = a_position(kind="won", category="closed")
        assert why(earlier, later) == {"won": 5_000, "pulled_in": 5_000}

    def test_of_amount_and_rate_meet_in_the_middle(self):
        earlier = a_position(amount=Fraction(100), currency="USD", rate=Fraction(1))
        later = a_position(amount=Fraction(200), currency="USD", rate=Fraction(2))
        assert why(earlier, later) == {"amount_up": 15_000, "exchange_rate": 15_000}

    def test_leave_no_cent_over(self):
        earlier = a_position(category="pipeline", due_on=OUT, owner_id="carl")
        later = a_position(kind="won", category="closed", amount=Fraction(1, 100) * 10_001)
        shares = why(earlier, later)
        assert sum(shares.values()) == 10_001

    def test_of_somebody_else_s_deal_are_nothing(self):
        earlier = a_position(owner_id="carl")
        later = a_position(owner_id="carl", amount=Fraction(7), due_on=OUT)
        assert why(earlier, later) == {}

    def test_follow_who_was_in_the_team_at_each_end(self):
        after = View(frozenset({"bo"}), QUARTER, COMMIT, "EUR")
        deal = a_position()
        assert explain(deal, deal, before=OURS, after=after) == {"owner_out": -10_000}


def by_every_order(earlier, later, before, after):
    """The brute force: what each change adds at its turn, averaged over all orders of all five."""
    changes = {
        "owner": (before.is_ours(earlier), after.is_ours(later)),
        "timing": (before.is_due(earlier), after.is_due(later)),
        "category": (earlier.category, later.category),
        "amount": (earlier.amount, later.amount),
        "rate": (earlier.rate, later.rate),
    }

    def value(state):
        counts = state["owner"] and state["timing"] and state["category"] in before.categories
        if not counts or state["amount"] is None or state["rate"] is None:
            return 0
        with localcontext() as context:
            context.prec = 80
            product = state["amount"] * state["rate"] * 100
            exact = Decimal(product.numerator) / Decimal(product.denominator)
            return int(exact.quantize(Decimal(1), rounding=ROUND_HALF_EVEN))

    added = dict.fromkeys(changes, Fraction(0))
    orders = list(itertools.permutations(changes))
    for order in orders:
        state = {name: old for name, (old, _) in changes.items()}
        for name in order:
            was = value(state)
            state[name] = changes[name][1]
            added[name] += value(state) - was
    return {name: total / len(orders) for name, total in added.items()}


THING = {
    "new": None, "removed": None, "won": "category", "lost": "category",
    "category_change": "category", "pulled_in": "timing", "pushed_out": "timing",
    "amount_up": "amount", "amount_down": "amount", "owner_in": "owner", "owner_out": "owner",
    "exchange_rate": "rate",
}  # fmt: skip

kinds = st.sampled_from(
    [("open", c) for c in CATEGORIES if c != "closed"] + [("won", "closed"), ("lost", "omitted")]
)
cents = st.integers(-(10**6), 10**9).map(lambda minor: Fraction(minor, 100))
rates = st.integers(1, 10**6).map(lambda number: Fraction(number, 100_000))


@st.composite
def positions(draw):
    kind, category = draw(kinds)
    return a_position(
        owner_id=draw(st.sampled_from(["anna", "bo", "carl", None])), kind=kind, category=category,
        due_on=draw(st.sampled_from([IN, OUT, None])),
        amount=draw(st.none() | cents), currency="USD", rate=draw(st.none() | rates),
    )  # fmt: skip


@st.composite
def pairs(draw):
    """Two states of a deal that differ in some of the things that count."""
    earlier, later = draw(positions()), draw(positions())
    kept = draw(st.sets(st.sampled_from(["owner_id", "due_on", "amount", "rate"])))
    fields = {name: getattr(earlier, name) for name in kept}
    if draw(st.booleans()):
        fields |= {"kind": earlier.kind, "category": earlier.category}
    values = {name: getattr(later, name) for name in Position.__dataclass_fields__}
    return earlier, Position(**{**values, **fields})


class TestOnRandomPairs:
    @given(pairs(), st.sampled_from(["cumulative", "single"]), st.data())
    def test_the_shares_are_the_average_over_all_orders(self, pair, method, data):
        earlier, later = pair
        column = data.draw(st.sampled_from(sorted(COLUMNS[method])))
        view = View(OURS.people, QUARTER, COLUMNS[method][column], "EUR")
        shares = why(earlier, later, view)
        exact = by_every_order(earlier, later, view, view)
        assert sum(exact.values()) == view.value(later) - view.value(earlier)
        told = dict.fromkeys(exact, 0)
        for term, part in shares.items():
            told[THING[term]] += part
        for name, share in exact.items():
            assert abs(told[name] - share) < 1, (name, told, exact)
        for name, share in exact.items():
            if share.denominator == 1 and all(s.denominator == 1 for s in exact.values()):
                assert told[name] == share

    @given(st.lists(pairs(), max_size=12))
    def test_the_terms_sum_exactly_to_the_change(self, found):
        change = sum(OURS.value(later) - OURS.value(earlier) for earlier, later in found)
        assert change == sum(sum(why(earlier, later).values()) for earlier, later in found)

    @given(pairs())
    def test_the_way_back_is_the_way_there_reversed_within_a_unit(self, pair):
        earlier, later = pair
        there = by_thing(why(earlier, later))
        back = by_thing(why(later, earlier))
        for name in there.keys() | back.keys():
            assert abs(there.get(name, 0) + back.get(name, 0)) <= 1


def by_thing(shares):
    found = {}
    for term, part in shares.items():
        found[THING[term]] = found.get(THING[term], 0) + part
    return found


class TestShapley:
    def test_gives_the_textbook_gloves_game(self):
        """One left glove (won), two right ones: 2/3, 1/6, 1/6."""

        def pairs_of(some):
            return 6 if "won" in some and some & {"lost", "new"} else 0

        shares = shapley(("won", "lost", "new"), pairs_of)
        assert shares == {"won": Fraction(4), "lost": Fraction(1), "new": Fraction(1)}

    @given(st.lists(st.fractions(-50, 50, max_denominator=120), min_size=1, max_size=6))
    def test_is_made_whole_without_a_remainder(self, shares):
        rest = math.ceil(sum(shares)) - sum(shares)
        named = dict(zip(TERMS, [*shares, rest], strict=False))
        total = sum(named.values())
        parts = whole(named, int(total))
        assert sum(parts.values()) == total
        assert all(abs(parts[term] - share) < 1 for term, share in named.items())


class TestWorth:
    @pytest.mark.parametrize(
        ("amount", "rate", "currency", "minor"),
        [
            (Fraction(1, 100), Fraction(1, 2), "EUR", 0),
            (Fraction(3, 100), Fraction(1, 2), "EUR", 2),
            (Fraction(-3, 100), Fraction(1, 2), "EUR", -2),
            (Fraction(10), Fraction(3, 2), "JPY", 15),
            (Fraction(1), Fraction(1), "BHD", 1_000),
        ],
    )
    def test_rounds_half_to_even_in_the_currency_s_own_units(self, amount, rate, currency, minor):
        assert worth(amount, rate, currency) == minor
