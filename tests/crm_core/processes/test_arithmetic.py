"""Nobody gets more than they can take, nobody decides their own request."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_core.errors import CrmError
from crm_core.processes.arithmetic import (
    MOST_ATTEMPTS,
    ApprovalEnded,
    Candidate,
    NotYourApproval,
    SelfApproval,
    Standing,
    choose,
    decide,
    next_wait,
    widen,
)

_people = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=0, max_size=6).map(
    lambda rows: [Candidate(f"u{n}", has, takes) for n, (has, takes) in enumerate(rows)]
)


class TestChoose:
    @given(people=_people, leads=st.integers(0, 40))
    def test_never_exceeds_a_capacity_and_leaves_nobody_out_who_is_free(self, people, leads):
        load = {each.user_id: each.open for each in people}
        takes = {each.user_id: each.capacity for each in people}
        for number in range(leads):
            now = [Candidate(u, load[u], takes[u]) for u in load]
            choice = choose(now, seed=str(number))
            free = [each for each in now if each.is_free]
            assert (choice.user_id is None) == (not free)
            if choice.user_id is not None:
                chosen = next(each for each in now if each.user_id == choice.user_id)
                assert chosen.is_free
                assert chosen.load == min(each.load for each in free)
                assert sum(dict(choice.propensities).values()) == pytest.approx(1)
                load[choice.user_id] += 1
        assert all(load[u] <= max(takes[u], o.open) for u, o in ((p.user_id, p) for p in people))

    @given(people=_people, seed=st.text(max_size=5), order=st.randoms(use_true_random=False))
    def test_does_not_depend_on_the_order_of_candidates(self, people, seed, order):
        shuffled = list(people)
        order.shuffle(shuffled)
        assert choose(people, seed=seed).user_id == choose(shuffled, seed=seed).user_id

    def test_draws_equals_with_equal_chances(self):
        people = [Candidate(name, 0, 5) for name in ("a", "b", "c")]
        drawn = Counter(choose(people, seed=str(n)).user_id for n in range(3000))
        # 1000 each; the standard deviation is about 26
        assert all(abs(count - 1000) < 130 for count in drawn.values())
        assert choose(people, seed="x").propensity == pytest.approx(1 / 3)


_steps = st.tuples(
    st.sampled_from(["approve", "reject", "delegate", "withdraw", "widen"]),
    st.sampled_from("abcr"),
    st.sampled_from("abcr"),
)


class TestDecide:
    @given(moves=st.lists(_steps, max_size=15), steps=st.integers(1, 3), allows=st.booleans())
    def test_never_lets_who_asks_decide_and_never_leaves_an_end(self, moves, steps, allows):
        standing = Standing("r", allows, steps, frozenset("ab"))
        approvals = 0
        for decision, actor, to in moves:
            before = standing
            try:
                if decision == "widen":
                    if standing.state == "pending":
                        standing = widen(standing, frozenset({to}))
                else:
                    standing = decide(standing, actor, decision, to=to)
            except CrmError:
                assert standing == before
                continue
            assert before.state == "pending" or standing == before
            if decision in ("approve", "reject", "delegate"):
                assert actor in before.approvers
                assert actor != "r" or allows
            if decision == "approve":
                approvals += 1
                if standing.state == "pending":
                    standing = widen(standing, frozenset("bc"))
            assert allows or "r" not in standing.approvers
            assert (standing.state == "approved") == (approvals == steps)

    def test_refuses_one_s_own_request_a_stranger_and_what_has_ended(self):
        standing = Standing("r", False, 1, frozenset({"a", "r"}))
        with pytest.raises(SelfApproval):
            decide(standing, "r", "approve")
        with pytest.raises(SelfApproval):
            decide(standing, "a", "delegate", to="r")
        with pytest.raises(NotYourApproval):
            decide(standing, "b", "approve")
        with pytest.raises(ApprovalEnded):
            decide(decide(standing, "a", "approve"), "a", "reject")


def test_waits_grow_and_end():
    waits = [next_wait(n) for n in range(1, MOST_ATTEMPTS + 1)]
    assert waits[-1] is None
    grown = [wait for wait in waits if wait is not None]
    assert grown == sorted(set(grown))
