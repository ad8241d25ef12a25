"""Amounts along a tree of units sum to the whole, whatever the tree."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crm_core.kpis.folding import ancestors, folded

UNITS = "abcdef"
TREES = st.fixed_dictionaries({u: st.one_of(st.none(), st.sampled_from(UNITS)) for u in UNITS})
AMOUNTS = st.dictionaries(
    st.one_of(st.none(), st.sampled_from(UNITS + "z")),
    st.dictionaries(st.sampled_from(["bookings", "commit"]), st.integers(-(10**9), 10**9)),
)


class TestFolded:
    def test_adds_up_to_the_top(self):
        parents = {"company": None, "north": "company", "team": "north", "south": "company"}
        own = {"team": {"b": 5}, "south": {"b": 7}, "north": {"b": 1}, None: {"b": 2}}
        assert folded(parents, own) == {
            "team": {"b": 5}, "north": {"b": 6}, "south": {"b": 7}, "company": {"b": 13},
            None: {"b": 15},
        }  # fmt: skip

    @given(TREES, AMOUNTS)
    def test_the_whole_is_everything_once(self, parents, own):
        whole = folded(parents, own)[None]
        for kind in ("bookings", "commit"):
            assert whole.get(kind, 0) == sum(each.get(kind, 0) for each in own.values())

    @given(TREES, AMOUNTS)
    def test_a_unit_is_its_own_and_its_children_s(self, parents, own):
        if any(u in ancestors(parents, parents[u])[0:] for u in UNITS if parents[u]):
            return  # a circle has no top to add up to
        sums = folded(parents, own)
        for unit in UNITS:
            children = [each for each in UNITS if parents[each] == unit]
            parts = [own.get(unit, {}), *(sums.get(child, {}) for child in children)]
            expected = sum(part.get("bookings", 0) for part in parts)
            assert sums.get(unit, {}).get("bookings", 0) == expected

    def test_walks_a_circle_once(self):
        assert ancestors({"a": "b", "b": "a"}, "a") == ("a", "b")
        assert folded({"a": "b", "b": "a"}, {"a": {"x": 1}})["a"] == {"x": 1}
