"""The grammar of conditions is closed, total and quick to refuse."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_core.processes.conditions import OPERATORS, BadCondition, Group, holds, parse

FIELDS = frozenset({"amount", "stage", "day"})
FACTS = {"amount": "1500.50", "stage": "Propose", "day": "2026-06-30", "x_flag": True}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({}, True),
        ({"field": "amount", "op": ">", "value": 1500}, True),
        ({"field": "amount", "op": "=", "value": 1500.5}, True),
        ({"field": "amount", "op": "<", "value": 1500}, False),
        ({"field": "stage", "op": "in", "value": ["Propose", "Won"]}, True),
        ({"field": "stage", "op": "not_in", "value": ["Won"]}, True),
        ({"field": "stage", "op": "contains", "value": "pro"}, True),
        ({"field": "day", "op": ">=", "value": "2026-06-01"}, True),
        ({"field": "day", "op": "<", "value": 5}, False),
        ({"field": "x_flag", "op": "=", "value": True}, True),
        ({"field": "x_flag", "op": "=", "value": 1}, False),
        ({"field": "x_none", "op": "is_empty"}, True),
        ({"field": "x_none", "op": "!=", "value": "a"}, True),
        ({"field": "x_none", "op": ">", "value": 0}, False),
        ({"field": "stage", "op": "changed"}, True),
        ({"field": "stage", "op": "became", "value": "Propose"}, True),
        ({"field": "stage", "op": "was", "value": "Qualify"}, True),
        ({"field": "amount", "op": "changed"}, False),
        ({"not": {"field": "stage", "op": "=", "value": "Won"}}, True),
        ({"all": [{}, {"any": [{"not": {}}, {}]}]}, True),
    ],
)
def test_a_condition_means_what_it_says(condition, expected):
    parsed = parse(condition, fields=FIELDS)
    assert holds(parsed, FACTS, {"stage": ["Qualify", "Propose"]}) is expected


@pytest.mark.parametrize(
    "condition",
    [
        "amount > 5",
        [],
        {"field": "secret", "op": "=", "value": 1},
        {"field": "amount", "op": "eval", "value": "1"},
        {"field": "amount", "op": "=", "value": {"a": 1}},
        {"field": "amount", "op": "=", "value": 1, "more": 2},
        {"field": "amount", "op": "in", "value": "text"},
        {"field": "x_a b", "op": "is_empty"},
        {"all": []},
        {"all": [{}], "any": [{}]},
        {"field": "stage", "op": "is_empty", "value": None},
        {"any": [{}] * 100},
        {"field": "amount", "op": "=", "value": float("nan")},
    ],
)
def test_what_is_not_in_the_grammar_is_refused(condition):
    with pytest.raises(BadCondition):
        parse(condition, fields=FIELDS)


def test_a_deep_condition_is_refused():
    condition: object = {}
    for _ in range(10):
        condition = {"not": condition}
    with pytest.raises(BadCondition):
        parse(condition, fields=FIELDS)


_values = (
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=True) | st.text(max_size=4)
)
_tests = st.fixed_dictionaries(
    {
        "field": st.sampled_from(["amount", "stage", "x_a", "nothing"]),
        "op": st.sampled_from(OPERATORS),
    },
    optional={"value": _values | st.lists(_values, max_size=3)},
)
_conditions = st.recursive(
    _tests,
    lambda inner: st.one_of(
        st.builds(lambda part: {"not": part}, inner),
        st.builds(lambda parts: {"all": parts}, st.lists(inner, max_size=3)),
        st.builds(lambda parts: {"any": parts}, st.lists(inner, max_size=3)),
    ),
    max_leaves=6,
)


@given(condition=_conditions, amount=_values, stage=_values, old=_values)
def test_any_condition_is_refused_or_gives_a_truth_value(condition, amount, stage, old):
    try:
        parsed = parse(condition, fields=FIELDS)
    except BadCondition:
        return
    facts, changed = {"amount": amount, "stage": stage}, {"stage": [old, stage]}
    found = holds(parsed, facts, changed)
    assert found in (True, False)
    assert holds(Group("not", (parsed,)), facts, changed) is not found
