"""The forms of rules: what a browser sent as a draft, and a draft as what a form shows.

Conditions of one level are edited line by line; deeper ones as JSON, so that nothing a program
wrote is lost when a person edits it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field

from crm_core.errors import Invalid
from crm_core.processes import conditions
from crm_core.processes.rules import Draft, RuleView

NUMERIC = frozenset({"amount", "employees"})
MOST_TESTS, MOST_ACTIONS = 6, 4
"""So many lines a form has at most."""

_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,6})?")
_WHOLE = re.compile(r"-?[0-9]{1,6}")

Text = Annotated[str, Field(max_length=500)]
Texts = Annotated[list[Text], Field(max_length=20)]
Many: Any = Field(default_factory=list)
Line = TypeVar("Line")


class BadForm(Invalid):
    """A line of the form is not complete; the message names it."""


@dataclass(frozen=True, slots=True)
class TestLine:
    """One comparison as the form shows it."""

    field: str = ""
    op: str = "="
    value: str = ""


@dataclass(frozen=True, slots=True)
class ActionLine:
    """One action as the form shows it; what its kind does not take is empty."""

    kind: str = ""
    to: str = ""
    text: str = ""
    days: str = ""
    severity: str = "info"
    field: str = ""
    value: str = ""
    endpoint: str = ""


class RuleForm(BaseModel):
    """A rule as a browser sends it: the lines of its condition and of its actions as columns."""

    rule_id: Annotated[int, Field(ge=1, le=2**63 - 1)] | None = None
    name: Annotated[str, Field(max_length=300)] = ""
    event_kind: Annotated[str, Field(max_length=48)]
    is_active: bool = False
    comment: Annotated[str, Field(max_length=1000)] = ""
    join: Literal["all", "any"] = "all"
    condition: Annotated[str, Field(max_length=20_000)] = ""
    test_field: Texts = Many
    test_op: Texts = Many
    test_value: Texts = Many
    act_kind: Texts = Many
    act_to: Texts = Many
    act_text: Texts = Many
    act_days: Texts = Many
    act_severity: Texts = Many
    act_field: Texts = Many
    act_value: Texts = Many
    act_endpoint: Texts = Many

    def draft(self) -> Draft:
        """Return the rule as the operations take it. Raises BadForm."""
        return Draft(
            name=self.name, event_kind=self.event_kind, is_active=self.is_active,
            condition=parsed(self.condition) if self.condition.strip() else self._tests(),
            actions=self._actions(), comment=self.comment.strip() or None,
        )  # fmt: skip

    def _tests(self) -> dict[str, Any]:
        columns = (self.test_field, self.test_op, self.test_value)
        return condition_of(self.join, [TestLine(*line) for line in as_lines(columns)])

    def _actions(self) -> list[dict[str, Any]]:
        columns = (
            self.act_kind, self.act_to, self.act_text, self.act_days, self.act_severity,
            self.act_field, self.act_value, self.act_endpoint,
        )  # fmt: skip
        lines = [ActionLine(*line) for line in as_lines(columns)]
        return [_action(number, line) for number, line in enumerate(lines, 1) if line.kind]


def as_lines(columns: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """Return the lines that columns of a form make. Raises BadForm when they differ in length."""
    if len({len(column) for column in columns}) != 1:
        raise BadForm("The form arrived with lines of unequal length; load the page again.")
    return list(zip(*columns, strict=True))


def parsed(text: str) -> dict[str, Any]:
    """Return a condition written as JSON. Raises BadForm."""
    try:
        found = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise BadForm("The condition is no JSON; see docs/processes.md for its form.") from error
    if not isinstance(found, dict):
        raise BadForm("The condition is an object; write {} for always.")
    return found


def condition_of(join: str, lines: Sequence[TestLine]) -> dict[str, Any]:
    """Return the condition that lines with a field make, {} for none."""
    tests = [_test(line) for line in lines if line.field.strip()]
    if len(tests) < 2:
        return tests[0] if tests else {}
    return {join: tests}


def _test(line: TestLine) -> dict[str, Any]:
    field, op = line.field.strip(), line.op
    if op in conditions.STATES:
        return {"field": field, "op": op}
    if op in conditions.LISTS:
        parts = [part.strip() for part in re.split(r"[,，]", line.value) if part.strip()]
        return {"field": field, "op": op, "value": [_typed(field, part) for part in parts]}
    value = line.value.strip()
    return {
        "field": field, "op": op,
        "value": value if op in conditions.TEXTS else _typed(field, value),
    }  # fmt: skip


def _typed(field: str, value: str) -> str | int | float | bool:
    """Return a value as its field holds it: ids and codes of digits stay text."""
    if field not in NUMERIC and not field.startswith("x_"):
        return value
    if value in ("true", "false"):
        return value == "true"
    if not _NUMBER.fullmatch(value):
        return value
    return float(value) if "." in value else int(value)


def _action(number: int, line: ActionLine) -> dict[str, Any]:
    kind = line.kind
    if kind == "assign":
        return {"kind": kind, "to": line.to.strip()}
    if kind == "task":
        return {"kind": kind, "title": line.text.strip(), "assignee": line.to.strip() or "owner",
                "due_in_days": _whole(number, line.days or "0")}  # fmt: skip
    if kind == "notify":
        return {"kind": kind, "to": line.to.strip() or "owner", "text": line.text.strip(),
                "severity": line.severity}  # fmt: skip
    if kind == "webhook":
        return {"kind": kind, "endpoint": _whole(number, line.endpoint)}
    field, value = line.field.strip(), line.value.strip()
    if field == "expected_close_on":
        return {"kind": kind, "field": field, "value": _whole(number, value)}
    emptied = field.startswith("x_") and not value
    return {"kind": kind, "field": field, "value": None if emptied else _typed(field, value)}


def _whole(number: int, text: str) -> int:
    if not _WHOLE.fullmatch(text.strip()):
        raise BadForm(f"Action {number} needs a whole number where {text!r} stands.")
    return int(text)


def form_of(rule: RuleView) -> RuleForm:
    """Return the form that says what a rule says."""
    plain = _test_lines(rule.condition)
    join, tests = plain or ("all", ())
    acts = [_action_line(action) for action in rule.actions]
    return RuleForm(
        rule_id=rule.id, name=rule.name, event_kind=rule.event_kind, is_active=rule.is_active,
        join="any" if join == "any" else "all",
        condition="" if plain else json.dumps(rule.condition, ensure_ascii=False, indent=1),
        test_field=[t.field for t in tests], test_op=[t.op for t in tests],
        test_value=[t.value for t in tests],
        act_kind=[a.kind for a in acts], act_to=[a.to for a in acts],
        act_text=[a.text for a in acts], act_days=[a.days for a in acts],
        act_severity=[a.severity for a in acts], act_field=[a.field for a in acts],
        act_value=[a.value for a in acts], act_endpoint=[a.endpoint for a in acts],
    )  # fmt: skip


def tests_of(form: RuleForm) -> tuple[TestLine, ...]:
    """Return the lines of the condition to show: those that say something, and room for more."""
    lines = [TestLine(*line) for line in as_lines((form.test_field, form.test_op, form.test_value))]
    return padded([line for line in lines if line.field], TestLine(), MOST_TESTS)


def actions_of(form: RuleForm) -> tuple[ActionLine, ...]:
    """Return the actions to show: those that do something, and room for more."""
    columns = (form.act_kind, form.act_to, form.act_text, form.act_days, form.act_severity,
               form.act_field, form.act_value, form.act_endpoint)  # fmt: skip
    lines = [ActionLine(*line) for line in as_lines(columns)]
    return padded([line for line in lines if line.kind], ActionLine(), MOST_ACTIONS)


def plain_line(condition: Mapping[str, Any]) -> TestLine | None:
    """Return the one line that says what a condition says, None where it takes JSON."""
    plain = _test_lines(condition)
    if plain is None or len(plain[1]) > 1:
        return None
    return plain[1][0] if plain[1] else TestLine()


def _test_lines(condition: Mapping[str, Any]) -> tuple[str, tuple[TestLine, ...]] | None:
    """Return how the lines are joined and the lines; None when only JSON can show it."""
    join = next((each for each in ("all", "any") if each in condition), "all")
    parts = condition.get(join, [condition] if condition else [])
    if len(parts) > MOST_TESTS or not all("field" in part for part in parts):
        return None
    lines = tuple(_test_line(part) for part in parts)
    return (join, lines) if condition_of(join, lines) == dict(condition) else None


def _test_line(test: Mapping[str, Any]) -> TestLine:
    value = test.get("value", "")
    shown = ", ".join(_shown(each) for each in value) if isinstance(value, list) else _shown(value)
    return TestLine(test["field"], test["op"], shown)


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _action_line(action: Mapping[str, Any]) -> ActionLine:
    return ActionLine(
        kind=action["kind"],
        to=str(action.get("to") or action.get("assignee") or ""),
        text=str(action.get("title") or action.get("text") or ""),
        days=str(action.get("due_in_days", "")),
        severity=str(action.get("severity", "info")),
        field=str(action.get("field", "")),
        value="" if action.get("value") is None else _shown(action["value"]),
        endpoint=str(action.get("endpoint", "")),
    )


def padded(lines: Sequence[Line], empty: Line, most: int) -> tuple[Line, ...]:
    """Return the lines and room for two more, ``most`` at the most."""
    return (*lines, *[empty] * max(0, min(2, most - len(lines))))
