"""Chances by age are the worked ones, and what is still open is counted in."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from crm_core.kpis.survival import by_age, half_life
from tests.oracles.deal_kpis import aalen_johansen, kaplan_meier_median

WORKED = ((10, 1, 1), (20, 0, 1), (30, None, 1), (40, 1, 1), (50, None, 1))
"""Five deals: won at 10, lost at 20, open at 30, won at 40, open at 50 days."""


class TestByAge:
    def test_is_the_sum_of_chances_of_winning_while_still_open(self):
        # 1/5; then 4/5 × 3/4 = 3/5 are open at 40, where one of the two left is won
        assert by_age(WORKED, 10) == Decimal(1) / 5
        assert by_age(WORKED, 39) == Decimal(1) / 5
        assert by_age(WORKED, 40) == Decimal(1) / 5 + Decimal(3) / 5 / 2
        assert by_age(WORKED, 50) == Decimal("0.5")

    def test_is_none_beyond_what_was_watched(self):
        assert by_age(WORKED, 51) is None
        assert by_age((), 10) is None

    def test_is_known_for_ever_once_all_have_closed(self):
        assert by_age(((3, 1, 1), (5, 0, 3)), 365) == Decimal("0.25")

    def test_is_not_the_share_of_closed_deals(self):
        """Two won early, eight still open: far from the 100 % of the closed ones."""
        assert by_age(((5, 1, 2), (90, None, 8)), 90) == Decimal("0.2")


class TestHalfLife:
    def test_counts_open_deals_for_as_long_as_they_were_watched(self):
        assert half_life(WORKED) == 40
        assert half_life(((10, 1, 1), (90, None, 3))) is None
        assert half_life(((7, 0, 1), (7, 1, 1))) == 7


POINTS = st.lists(
    st.tuples(st.integers(0, 30), st.sampled_from([1, 0, None]), st.integers(1, 4)), max_size=12
)


@given(POINTS, st.integers(1, 40))
def test_equals_the_textbook(points, days):
    named = {1: "won", 0: "lost", None: "open"}
    ages = [(age, named[how]) for age, how, count in points for _ in range(count)]
    told, expected = by_age(tuple(points), days), aalen_johansen(ages, days)
    if expected is None:
        assert told is None
    else:
        assert abs(told - expected) < Decimal("1e-20")
    assert half_life(tuple(points)) == kaplan_meier_median(ages)


@given(POINTS, st.integers(1, 40))
def test_never_gives_more_than_the_whole(points, days):
    told = by_age(tuple(points), days)
    assert told is None or 0 <= Fraction(told) <= 1
