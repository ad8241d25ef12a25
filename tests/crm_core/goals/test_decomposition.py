"""Parts of a goal sum to parent × factor to the minor unit, whatever the weights."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_core.goals.arithmetic import (
    COMPONENTS,
    Child,
    NoSuchMove,
    NotADecomposition,
    difficulty,
    moved,
    reconciled,
    split,
)
from crm_core.money import Money, apply_rate, total

EVEN = {"even": Decimal(1)}
shares = st.decimals(0, 1, places=2)
measures = st.none() | st.decimals(0, 10**12, places=2)


@st.composite
def children(draw):
    return [
        Child(
            kind="user", id=str(number), history=draw(measures), potential=draw(measures),
            heads=draw(st.integers(0, 40)), capacity=draw(shares), ramp=draw(shares),
            season=draw(measures),
        )
        for number in range(draw(st.integers(1, 12)))
    ]  # fmt: skip


amounts = st.integers(0, 10**15).map(lambda minor: Money(minor, "CNY"))
factors = st.decimals("0.1", 3, places=6)
mixes = st.fixed_dictionaries(dict.fromkeys(COMPONENTS, st.decimals(0, 100, places=1))).filter(
    lambda mix: any(mix.values())
)


def usd(major):
    return Money(major * 100, "USD")


def people(**history):
    return [Child(kind="user", id=name, history=Decimal(sold)) for name, sold in history.items()]


def parts(found):
    return {line.child.id: line.amount.minor / 100 for line in found.lines}


class TestSplit:
    @given(amounts, children(), mixes, factors)
    def test_sums_to_parent_times_factor_exactly(self, parent, below, mix, factor):
        found = split(parent, below, mix=mix, factor=factor)
        assert total((x.amount for x in found.lines), currency="CNY") == apply_rate(parent, factor)
        assert found.residual == Money(0, "CNY")
        assert all(line.amount.minor >= 0 for line in found.lines)
        assert abs(sum(line.weight for line in found.lines) - 1) < Decimal("1e-20")
        for component in found.mix:
            assert abs(sum(x.shares[component] for x in found.lines) - 1) < Decimal("1e-20")

    @given(amounts, children(), mixes, factors, st.data())
    def test_with_held_parts_says_exactly_what_they_leave(self, parent, below, mix, factor, data):
        names = data.draw(st.sets(st.sampled_from([child.id for child in below])))
        held = {name: data.draw(amounts) for name in names}
        found = split(parent, below, mix=mix, factor=factor, held=held)
        carried = total((x.amount for x in found.lines), currency="CNY")
        assert carried - found.passed == found.residual
        fixed = total(held.values(), currency="CNY")
        if fixed.minor <= found.passed.minor and len(held) < len(below):
            assert found.residual.minor == 0
        assert {x.child.id: x.amount for x in found.lines if x.held} == held

    @given(amounts, children(), factors, st.lists(factors, min_size=1, max_size=3))
    def test_level_by_level_sums_at_every_level(self, parent, below, first, later):
        """The waterfall: each level puts its own factor on what it was given."""
        given_down = [parent]
        for factor in [first, *later]:
            found = [split(each, below, mix=EVEN, factor=factor) for each in given_down]
            given_down = [line.amount for each in found for line in each.lines][:12]
            for each in found:
                assert total((x.amount for x in each.lines), currency="CNY") == each.passed

    def test_follows_the_worked_examples(self):
        by_history = {"history": Decimal(1)}
        assert parts(split(usd(100), people(a=1, b=1, c=1), mix=EVEN)) == {
            "a": 33.34, "b": 33.33, "c": 33.33,
        }  # fmt: skip
        assert parts(split(usd(100), people(a=60, b=40), mix=by_history,
                           factor=Decimal("1.1"))) == {"a": 66, "b": 44}  # fmt: skip
        half = {"history": Decimal(50), "even": Decimal(50)}
        assert parts(split(usd(100), people(a=60, b=40), mix=half)) == {"a": 55, "b": 45}

    def test_takes_off_what_somebody_will_not_be_there(self):
        below = [
            Child(kind="user", id="whole", history=Decimal(100)),
            Child(kind="user", id="half", history=Decimal(100), capacity=Decimal("0.5")),
            Child(kind="user", id="new", capacity=Decimal("0.5"), ramp=Decimal("0.5")),
        ]
        even = split(usd(175), below, mix=EVEN)
        assert parts(even) == {"whole": 100, "half": 50, "new": 25}
        assert parts(split(usd(150), below, mix={"history": Decimal(1)})) == {
            "whole": 100, "half": 50, "new": 0,
        }  # fmt: skip

    def test_shares_the_weight_of_a_component_that_says_nothing(self):
        mix = {"history": Decimal(50), "potential": Decimal(50)}
        found = split(usd(100), people(a=60, b=40), mix=mix)
        assert found.mix == {"history": 1}
        assert parts(found) == {"a": 60, "b": 40}
        nothing = split(usd(100), people(a=0, b=0), mix={"history": Decimal(1)})
        assert (nothing.mix, parts(nothing)) == ({}, {"a": 50, "b": 50})

    def test_allocates_the_rest_around_what_is_held(self):
        found = split(usd(100), people(a=1, b=1, c=2), mix={"history": Decimal(1)},
                      held={"a": usd(40)})  # fmt: skip
        assert parts(found) == {"a": 40, "b": 20, "c": 40}
        too_much = split(usd(100), people(a=1, b=1), mix=EVEN, held={"a": usd(130)})
        assert (parts(too_much), too_much.residual) == ({"a": 130, "b": 0}, usd(30))

    @pytest.mark.parametrize(
        ("changed", "why"),
        [
            ({"factor": Decimal(4)}, "factor"),
            ({"mix": {"even": Decimal(0)}}, "not all zero"),
            ({"mix": {"even": Decimal(-1), "history": Decimal(2)}}, "negative"),
            ({"held": {"x": usd(1)}}, "gets no part"),
            ({"held": {"a": usd(-1)}}, "not negative"),
        ],
    )
    def test_refuses_what_makes_no_sense(self, changed, why):
        with pytest.raises(NotADecomposition, match=why):
            split(usd(100), people(a=1), **{"mix": EVEN, **changed})
        with pytest.raises(NotADecomposition, match="nobody below"):
            split(usd(100), [], mix=EVEN)


class TestReconciled:
    def test_lies_between_what_is_passed_and_what_is_committed(self):
        top = split(usd(100), people(a=60, b=40), mix={"history": Decimal(1)})
        commits = {"a": usd(80), "b": usd(50)}
        half = reconciled(top, commits, trust=Decimal("0.5"), exact=False)
        assert (parts(half), half.residual) == ({"a": 70, "b": 45}, usd(15))
        scaled = reconciled(top, commits, trust=Decimal(1), exact=True)
        assert parts(scaled) == {"a": 61.54, "b": 38.46}
        assert reconciled(top, commits, trust=Decimal(0), exact=True) == top

    def test_keeps_the_part_of_who_has_not_committed(self):
        top = split(usd(100), people(a=60, b=40), mix={"history": Decimal(1)})
        found = reconciled(top, {"a": usd(80)}, trust=Decimal(1), exact=False)
        assert parts(found) == {"a": 80, "b": 40}

    @given(amounts, children(), mixes, st.decimals(0, 1, places=3), st.data())
    def test_sums_exactly_where_it_must(self, parent, below, mix, trust, data):
        top = split(parent, below, mix=mix)
        commits = {c.id: data.draw(amounts) for c in below if data.draw(st.booleans())}
        found = reconciled(top, commits, trust=trust, exact=True)
        wanted = reconciled(top, commits, trust=trust, exact=False)
        assert found.residual.minor == 0
        carried = total((x.amount for x in wanted.lines), currency="CNY")
        assert wanted.residual == carried - wanted.passed


class TestDifficulty:
    def past(self, *actuals):
        return [(Decimal(actual), Decimal(1)) for actual in actuals]

    @pytest.mark.parametrize(
        ("amount", "ratio", "flag"),
        [(100, 1, None), (150, "1.5", None), (151, "1.51", "unattainable"),
         (60, "0.6", None), (59, "0.59", "trivial")],
    )  # fmt: skip
    def test_flags_beyond_the_bounds_only(self, amount, ratio, flag):
        found = difficulty(Decimal(amount), past=self.past(80, 120), presence=Decimal(1))
        assert (found.ratio, found.flag, found.potential) == (Decimal(ratio), flag, 100)

    def test_brings_the_past_to_the_days_ahead(self):
        past = [
            (Decimal(40), Decimal("0.5")),
            (Decimal(80), Decimal("0.5")),
            (Decimal(9), Decimal(0)),
        ]
        found = difficulty(Decimal(60), past=past, presence=Decimal("0.5"))
        assert (found.potential, found.periods, found.ratio) == (60, 2, 1)

    def test_abstains_with_too_little_past(self):
        found = difficulty(Decimal(60), past=self.past(100), presence=Decimal(1))
        assert (found.potential, found.ratio, found.flag) == (None, None, None)

    def test_of_somebody_who_never_sold_is_out_of_reach(self):
        found = difficulty(Decimal(60), past=self.past(0, 0), presence=Decimal(1))
        assert (found.ratio, found.flag) == (None, "unattainable")


class TestStates:
    def test_go_from_draft_to_locked_only_through_discussion_and_approval(self):
        assert moved(moved(moved("draft", "submit"), "approve"), "lock") == "locked"

    @pytest.mark.parametrize(
        ("state", "act"),
        [("draft", "approve"), ("draft", "lock"), ("discussion", "lock"), ("locked", "withdraw"),
         ("approved", "send_back"), ("withdrawn", "submit"), ("approved", "withdraw")],
    )  # fmt: skip
    def test_are_not_left_out(self, state, act):
        with pytest.raises(NoSuchMove, match="cannot be moved"):
            moved(state, act)
