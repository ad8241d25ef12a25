"""Rules: an event, a condition, actions. Written and versioned here; carried out elsewhere."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from crm_core.errors import Invalid, NotFound
from crm_core.people.models import User
from crm_core.processes import conditions, facts
from crm_core.processes.acting import Acting
from crm_core.processes.models import (
    ProcessEvent,
    Rule,
    RuleRun,
    RuleVersion,
    WebhookEndpoint,
)

ACTIONS = ("assign", "task", "notify", "set", "webhook")
MOST_ACTIONS = 10
LONGEST_TEXT = 300
SETTABLE: Mapping[str, frozenset[str]] = {
    "opportunity": frozenset({"forecast_category", "expected_close_on"}),
    "lead": frozenset({"status"}),
    "account": frozenset({"tier", "industry", "region"}),
    "activity": frozenset(),
}
"""Fields that a rule may set, beside custom ones. Never a stage or an amount: those are decided."""

_CHOICES = {
    "forecast_category": ("pipeline", "best_case", "most_likely", "commit", "closed", "omitted"),
    "status": ("new", "working", "qualified", "disqualified"),
}


class NoSuchRule(NotFound):
    """No rule has this number."""


class BadRule(Invalid):
    """A rule's name, event, condition or action is not as it must be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A rule as somebody writes it: the content of a version."""

    name: str
    event_kind: str
    condition: Mapping[str, Any]
    actions: Sequence[Mapping[str, Any]]
    is_active: bool = True
    valid_from: dt.datetime | None = None
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class RuleView:
    """A version of a rule as it is shown."""

    id: int
    name: str
    version: int
    event_kind: str
    condition: dict[str, Any]
    actions: tuple[dict[str, Any], ...]
    is_active: bool
    valid_from: dt.datetime
    created_at: dt.datetime
    created_by: str | None
    comment: str | None


def write(
    session: Session, draft: Draft, *, rule_id: int | None = None, acting: Acting
) -> RuleView:
    """Write a new rule, or a new version of one; versions are never changed.

    Raises BadRule, BadCondition, UnknownEvent, NoSuchRule and MayNot.
    """
    acting.requires_operations()
    name = draft.name.strip()
    if not 0 < len(name) <= LONGEST_TEXT:
        raise BadRule("A rule needs a name.")
    starts = draft.valid_from or acting.now
    if starts < acting.now:
        raise BadRule("A rule cannot count from a time in the past.")
    check(session, draft)
    rule = _rule(session, name, rule_id)
    newest = session.scalar(
        select(func.max(RuleVersion.version)).where(RuleVersion.rule_id == rule.id)
    )
    version = RuleVersion(
        rule_id=rule.id, version=(newest or 0) + 1, event_kind=draft.event_kind,
        condition=dict(draft.condition), actions=[dict(each) for each in draft.actions],
        is_active=draft.is_active, valid_from=starts, created_at=acting.now,
        created_by=acting.user_id, comment=draft.comment,
    )  # fmt: skip
    session.add(version)
    session.flush()
    acting.log(
        session, "create", "rule_versions", f"{rule.id} {version.version}",
        {"event_kind": (None, draft.event_kind), "condition": (None, dict(draft.condition)),
         "actions": (None, [dict(each) for each in draft.actions]),
         "is_active": (None, draft.is_active)},
    )  # fmt: skip
    return _view(rule, version)


def _rule(session: Session, name: str, rule_id: int | None) -> Rule:
    namesake = session.scalar(select(Rule.id).where(Rule.name == name))
    if namesake is not None and namesake != rule_id:
        raise BadRule("Another rule has this name; choose a different one.")
    if rule_id is None:
        rule = Rule(name=name)
        session.add(rule)
    else:
        found = session.scalar(select(Rule).where(Rule.id == rule_id).with_for_update())
        if found is None:
            raise NoSuchRule("There is no such rule.")
        rule = found
        rule.name = name
    session.flush()
    return rule


def check(session: Session, draft: Draft) -> None:
    """Raise unless the event exists and the condition and every action can be meant."""
    conditions.parse(draft.condition, fields=facts.fields_of(draft.event_kind))
    if not 0 < len(draft.actions) <= MOST_ACTIONS:
        raise BadRule(f"A rule has 1 to {MOST_ACTIONS} actions.")
    subject = facts.EVENT_KINDS[draft.event_kind]
    for number, action in enumerate(draft.actions, 1):
        problem = _problem(session, subject, action)
        if problem:
            raise BadRule(f"Action {number}: {problem}.")


def _problem(session: Session, subject: str, action: Mapping[str, Any]) -> str | None:
    kind = action.get("kind")
    if kind == "assign":
        return _assign_problem(session, subject, action)
    if kind == "task":
        return _task_problem(session, action)
    if kind == "notify":
        return _notify_problem(session, action)
    if kind == "set":
        return _set_problem(subject, action)
    if kind == "webhook":
        number = action.get("endpoint")
        known = isinstance(number, int) and session.get(WebhookEndpoint, number) is not None
        return (
            None if known and set(action) == {"kind", "endpoint"} else "there is no such endpoint"
        )
    return f"the kind is one of {', '.join(ACTIONS)}"


def _assign_problem(session: Session, subject: str, action: Mapping[str, Any]) -> str | None:
    if subject not in ("opportunity", "lead") or set(action) != {"kind", "to"}:
        return "assign leads and deals only, and say to whom"
    to = action["to"]
    if to == "policy" and subject == "lead":
        return None
    return None if _works_here(session, to) else "assign to a user who works here, or by the policy"


def _works_here(session: Session, user_id: object) -> bool:
    person = session.get(User, user_id) if isinstance(user_id, str) else None
    return person is not None and person.left_on is None


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value.strip()) <= LONGEST_TEXT


def _task_problem(session: Session, action: Mapping[str, Any]) -> str | None:
    days, assignee = action.get("due_in_days", 0), action.get("assignee", "owner")
    if not set(action) <= {"kind", "title", "due_in_days", "assignee"}:
        return "a task takes title, due_in_days and assignee"
    if not _is_text(action.get("title")):
        return "a task needs a title"
    if not isinstance(days, int) or isinstance(days, bool) or not 0 <= days <= 365:
        return "due_in_days is between 0 and 365"
    known = assignee == "owner" or _works_here(session, assignee)
    return None if known else "the assignee is the owner or a user who works here"


def _notify_problem(session: Session, action: Mapping[str, Any]) -> str | None:
    if not set(action) <= {"kind", "to", "text", "severity"} or not _is_text(action.get("text")):
        return "a notification needs a text"
    if action.get("severity", "info") not in ("info", "warning", "urgent"):
        return "the severity is info, warning or urgent"
    to = action.get("to")
    known = to in ("owner", "manager", "sales_ops") or _works_here(session, to)
    return None if known else "notify the owner, the manager, sales_ops or a user who works here"


def _set_problem(subject: str, action: Mapping[str, Any]) -> str | None:
    field, value = action.get("field"), action.get("value")
    if set(action) != {"kind", "field", "value"} or not isinstance(field, str):
        return "name a field and a value"
    if field.startswith("x_"):
        plain = value is None or isinstance(value, (str, int, float, bool))
        sound = field.isidentifier() and len(field) <= 64 and subject != "activity"
        return None if plain and sound else "a custom field takes a text, number or truth value"
    if field not in SETTABLE[subject]:
        return f"a rule may set {', '.join(sorted(SETTABLE[subject])) or 'nothing'} and x_… fields"
    if field == "expected_close_on":
        days = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 730
        return None if days else "expected_close_on takes a number of days from then"
    if field in _CHOICES and value not in _CHOICES[field]:
        return f"{field} is one of {', '.join(_CHOICES[field])}"
    return None if isinstance(value, str) and len(value) <= LONGEST_TEXT else "the value is a text"


def in_force(session: Session, event_kind: str, *, at: dt.datetime) -> Sequence[RuleVersion]:
    """Return the version of each rule that counts for an event recorded at a time."""
    newest = (
        select(RuleVersion)
        .ext(distinct_on(RuleVersion.rule_id))
        .where(RuleVersion.valid_from <= at)
        .order_by(RuleVersion.rule_id, RuleVersion.version.desc())
    )
    return [
        each for each in session.scalars(newest) if each.is_active and each.event_kind == event_kind
    ]


def listed(session: Session) -> tuple[RuleView, ...]:
    """Return the newest version of each rule, by name."""
    newest = (
        select(Rule, RuleVersion)
        .join(RuleVersion, RuleVersion.rule_id == Rule.id)
        .ext(distinct_on(Rule.name, Rule.id))
        .order_by(Rule.name, Rule.id, RuleVersion.version.desc())
    )
    return tuple(_view(rule, version) for rule, version in session.execute(newest))


def versions(session: Session, rule_id: int) -> tuple[RuleView, ...]:
    """Return all versions of a rule, newest first. Raises NoSuchRule."""
    rows = session.execute(
        select(Rule, RuleVersion)
        .join(RuleVersion, RuleVersion.rule_id == Rule.id)
        .where(Rule.id == rule_id)
        .order_by(RuleVersion.version.desc())
    ).all()
    if not rows:
        raise NoSuchRule("There is no such rule.")
    return tuple(_view(rule, version) for rule, version in rows)


def _view(rule: Rule, version: RuleVersion) -> RuleView:
    return RuleView(
        rule.id, rule.name, version.version, version.event_kind, version.condition,
        tuple(version.actions), version.is_active, version.valid_from, version.created_at,
        version.created_by, version.comment,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class RunView:
    """What a version of a rule did about an event."""

    rule_id: int
    name: str
    version: int
    event_id: int
    subject_kind: str
    subject_id: str
    outcome: str
    effects: tuple[dict[str, Any], ...]
    recorded_at: dt.datetime


def runs(session: Session, *, rule_id: int | None = None, limit: int = 100) -> tuple[RunView, ...]:
    """Return what rules did, the latest first."""
    wanted = select(RuleRun, Rule.name, ProcessEvent.subject_kind, ProcessEvent.subject_id)
    if rule_id is not None:
        wanted = wanted.where(RuleRun.rule_id == rule_id)
    rows = session.execute(
        wanted.join(Rule, Rule.id == RuleRun.rule_id)
        .join(ProcessEvent, ProcessEvent.id == RuleRun.event_id)
        .order_by(RuleRun.event_id.desc(), RuleRun.rule_id)
        .limit(limit)
    )
    return tuple(
        RunView(
            run.rule_id, name, run.version, run.event_id, kind, subject, run.outcome,
            tuple(run.effects), run.recorded_at,
        )
        for run, name, kind, subject in rows
    )  # fmt: skip
