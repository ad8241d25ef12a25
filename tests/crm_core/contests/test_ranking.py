"""Ranks follow the metric's direction, ties are ties, and a viewer is told what the rule tells."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_core.contests.arithmetic import NotRanked, ranked, told

VALUES = {"a": 10, "b": 30, "c": 20, "d": 30, "e": None, "f": 5, "g": 10}
TABLE = """
direction ties    ranks
higher    shared  b=1 d=1 c=3 a=4 g=4 f=6 e=-
higher    dense   b=1 d=1 c=2 a=3 g=3 f=4 e=-
lower     shared  f=1 a=2 g=2 c=4 b=5 d=5 e=-
lower     dense   f=1 a=2 g=2 c=3 b=4 d=4 e=-
"""


def values(given_values=VALUES):
    return {k: None if v is None else Decimal(v) for k, v in given_values.items()}


class TestRanked:
    @pytest.mark.parametrize("line", TABLE.strip().splitlines()[1:])
    def test_follows_the_worked_table(self, line):
        """Odoo's podium ignored that lower is better (PR#18901); the definition decides here."""
        direction, ties, *expected = line.split()
        found = ranked(values(), direction=direction, ties=ties)
        assert [f"{place.subject_id}={place.rank or '-'}" for place in found] == expected
        assert {p.subject_id for p in found if p.tied} == {"a", "b", "d", "g"}

    def test_refuses_a_metric_without_a_better_direction(self):
        with pytest.raises(NotRanked):
            ranked(values(), direction="neither", ties="shared")

    @given(st.dictionaries(st.text(min_size=1), st.none() | st.decimals(-100, 100, places=1)),
           st.sampled_from(["higher", "lower"]), st.sampled_from(["shared", "dense"]))  # fmt: skip
    def test_gives_equal_values_one_rank_and_better_ones_a_better(self, given_values, way, ties):
        found = {p.subject_id: p for p in ranked(given_values, direction=way, ties=ties)}
        assert found.keys() == given_values.keys()
        some = [place for place in found.values() if place.rank is not None]
        assert len(some) == sum(value is not None for value in given_values.values())
        for one in some:
            better = {x.value for x in some if (x.value > one.value) == (way == "higher")
                      and x.value != one.value}  # fmt: skip
            count = sum(x.value in better for x in some)
            assert one.rank == 1 + (count if ties == "shared" else len(better))


class TestTold:
    def lines(self, names, own="c", visible=frozenset({"c"}), given_values=VALUES):
        places = ranked(values(given_values), direction="higher", ties="shared")
        return told(places, own=frozenset({own}), visible=visible, names=names)

    def test_of_others_only_nameless_ranks_around_ones_own(self):
        found = self.lines("own")
        assert [(x.rank, x.subject_id, x.value, x.is_own) for x in found] == [
            (1, None, None, False), (1, None, None, False), (3, "c", Decimal(20), True),
            (4, None, None, False), (4, None, None, False),
        ]  # fmt: skip

    def test_the_first_ones_by_name_where_the_rule_says_so(self):
        assert [x.subject_id for x in self.lines("top", own="f", visible=frozenset())] == [
            "b", "d", "c", None, None, "f",
        ]  # fmt: skip

    def test_everybody_to_who_sees_everybody(self):
        assert [x.subject_id for x in self.lines("own", visible=None)] == list("bdcagfe")

    def test_nothing_of_others_among_few(self):
        few = {"a": 3, "c": 2, "d": 1}
        assert [x.subject_id for x in self.lines("all", given_values=few)] == ["c"]

    def test_nothing_to_who_takes_no_part(self):
        assert self.lines("own", own="x", visible=frozenset()) == ()
