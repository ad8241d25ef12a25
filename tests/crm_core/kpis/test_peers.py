"""A place among peers tells one's own rank and a coarse band, never another's number."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from crm_core.kpis.peers import FEWEST, STEP, place

RATIOS = st.decimals(0, 5, places=4)
TEAMS = st.lists(RATIOS, min_size=FEWEST, max_size=40)


def team(*values):
    return {f"p{number}": Decimal(value) for number, value in enumerate(values)}


class TestPlace:
    def test_ranks_by_direction_and_lets_equals_share(self):
        values = team("0.5", "0.9", "0.9", "0.2", "1.4")
        assert [place(values, who).rank for who in sorted(values)] == [4, 2, 2, 5, 1]
        lower = [place(values, who, direction="lower").rank for who in sorted(values)]
        assert lower == [2, 3, 3, 1, 5]

    def test_is_untold_among_too_few_or_for_who_is_not_among_them(self):
        assert place(team(*["1"] * (FEWEST - 1)), "p0") is None
        assert place(team(*["1"] * FEWEST), "somebody") is None

    def test_tells_the_middle_half_to_whole_steps_outwards(self):
        # of eleven the third from below and the third from above
        found = place(team(*(Decimal(n) / 10 for n in range(11))), "p0")
        assert (found.low, found.high) == (Decimal("0.20"), Decimal("0.80"))
        found = place(team("0.31", "0.32", "0.33", "0.34", "0.36"), "p0")
        assert (found.low, found.high) == (Decimal("0.30"), Decimal("0.35"))

    @given(TEAMS)
    def test_holds_half_of_the_peers_in_the_band(self, values):
        found = place(team(*values), "p0")
        inside = [value for value in values if found.low <= value <= found.high]
        assert 2 * len(inside) >= len(values)
        assert found.low % STEP == found.high % STEP == 0
        assert 1 <= found.rank <= found.peers == len(values)

    @given(TEAMS, RATIOS)
    def test_says_the_same_of_numbers_that_differ_by_a_hair(self, values, own):
        """The one peer above me may move within a step: what I am told does not move with them."""
        before = place(team(own, *values), "p0")
        nudged = [value + Decimal("0.000001") if value > own else value for value in values]
        after = place(team(own, *nudged), "p0")
        assert after.rank == before.rank
        assert abs(after.low - before.low) <= STEP
        assert abs(after.high - before.high) <= STEP
