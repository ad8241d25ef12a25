"""The fold of a deal's events never sees the future, on either clock."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from crm_core.opportunities.history import Event, outcome, state

DAY = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
KINDS = {"Open": "open", "Hold": "on_hold", "Signed": "won", "Paid": "won", "Lost": "lost"}
instants = st.integers(0, 60).map(lambda days: DAY + dt.timedelta(days=days))
values = {
    "stage": st.sampled_from(list(KINDS)),
    "amount": st.integers(0, 10**6).map(str) | st.none(),
    "owner_id": st.sampled_from(["a", "b"]) | st.none(),
    "expected_close_on": st.dates().map(dt.date.isoformat) | st.none(),
    "custom": st.sampled_from(['{"x_a": 1}', '{"x_a": null, "x_b": "k"}']),
}


@st.composite
def histories(draw):
    found = []
    for sequence in range(draw(st.integers(0, 25))):
        name = draw(st.sampled_from(list(values)))
        found.append(Event(name, draw(values[name]), draw(instants), draw(instants), sequence))
    return found


def at(day: int) -> dt.datetime:
    return DAY + dt.timedelta(days=day)


class TestState:
    @given(histories(), instants)
    def test_is_the_same_without_the_events_of_the_future_on_either_clock(self, events, as_of):
        past = [e for e in events if e.occurred_at <= as_of and e.recorded_at <= as_of]
        assert state(events, as_of=as_of) == state(past, as_of=as_of)

    @given(histories(), instants, histories())
    def test_is_not_changed_by_any_event_that_happens_or_is_learnt_later(
        self, events, as_of, others
    ):
        later = [
            Event(e.field, e.new_value, e.occurred_at, as_of + dt.timedelta(seconds=1), 99)
            for e in others
        ] + [
            Event(e.field, e.new_value, as_of + dt.timedelta(seconds=1), e.recorded_at, 99)
            for e in others
        ]
        assert state(events + later, as_of=as_of) == state(events, as_of=as_of)

    @given(histories(), instants, st.randoms())
    def test_does_not_depend_on_the_order_of_the_events(self, events, as_of, random):
        shuffled = list(events)
        random.shuffle(shuffled)
        assert state(shuffled, as_of=as_of) == state(events, as_of=as_of)

    def test_sees_a_back_dated_correction_only_once_it_is_recorded(self):
        events = [
            Event("amount", "100", at(10), at(10), 1),
            Event("amount", "999", at(10), at(40), 2),
        ]
        assert state(events, as_of=at(20)).amount == Decimal(100)
        assert state(events, as_of=at(40)).amount == Decimal(999)

    def test_merges_custom_fields_over_time_and_forgets_emptied_ones(self):
        events = [
            Event("custom", '{"x_a": 1, "x_b": "k"}', at(1), at(1), 1),
            Event("custom", '{"x_a": null, "x_c": true}', at(2), at(2), 2),
        ]
        assert dict(state(events, as_of=at(1)).custom) == {"x_a": 1, "x_b": "k"}
        assert dict(state(events, as_of=at(2)).custom) == {"x_b": "k", "x_c": True}

    def test_is_empty_before_the_first_event(self):
        assert state([Event("stage", "Open", at(3), at(3))], as_of=at(2)).stage is None


class TestOutcome:
    def test_is_none_while_open_on_hold_or_opened_again(self):
        events = [Event("stage", "Lost", at(1), at(1), 1), Event("stage", "Open", at(5), at(5), 2)]
        assert outcome(state(events, as_of=at(1)), KINDS) == ("lost", at(1))
        assert outcome(state(events, as_of=at(5)), KINDS) is None
        assert outcome(state([Event("stage", "Hold", at(1), at(1))], as_of=at(2)), KINDS) is None

    def test_counts_from_the_first_of_several_won_stages(self):
        events = [
            Event("stage", "Open", at(0), at(0), 1),
            Event("stage", "Signed", at(3), at(3), 2),
            Event("stage", "Paid", at(9), at(9), 3),
        ]
        assert outcome(state(events, as_of=at(30)), KINDS) == ("won", at(3))
