"""Carrying rules out: events from the outbox, each rule version at most once per event.

Everything about one event happens in one transaction: its effects, the note that they were
done, and the mark on the event. A worker that is killed leaves the event as it was.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.orm import Session

from crm_core.accounts.models import Account
from crm_core.errors import CrmError
from crm_core.leads.models import Lead
from crm_core.opportunities import changing
from crm_core.people.models import User
from crm_core.processes import alerts, assignment, conditions, facts, outbox, rules, tasks
from crm_core.processes.models import (
    ProcessEvent,
    RuleRun,
    RuleVersion,
    WebhookDelivery,
    WebhookEndpoint,
)

DEEPEST = 5
"""So many rules may follow from one another."""
MOST_RUNS = 100
"""So many runs may follow from one event, whatever branches."""

Effect = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Preview:
    """What a rule would have done about one past event."""

    event_id: int
    occurred_at: dt.datetime
    subject_kind: str
    subject_id: str
    effects: tuple[Effect, ...]
    blocked: bool


def handle_next(
    session: Session, *, now: dt.datetime, claimed: list[int] | None = None
) -> int | None:
    """Handle the next waiting event; return its id, None when none waits.

    ``claimed`` is told the id before anything is done, for who must know which event failed.
    """
    event = outbox.claim(session, now=now)
    if event is None:
        return None
    if claimed is not None:
        claimed.append(event.id)
    for version in rules.in_force(session, event.kind, at=event.recorded_at):
        if _matches(version, event):
            _run(session, version, event, now=now)
    outbox.finish(session, event.id, now=now)
    return event.id


def _matches(version: RuleVersion, event: ProcessEvent) -> bool:
    condition = conditions.parse(version.condition, fields=facts.fields_of(event.kind))
    return conditions.holds(condition, event.facts, event.changed)


def _run(session: Session, version: RuleVersion, event: ProcessEvent, *, now: dt.datetime) -> None:
    outcome = _refusal(session, version, event)
    done: list[Effect] = []
    first = session.scalar(
        insert(RuleRun)
        .values(
            rule_id=version.rule_id, version=version.version, event_id=event.id,
            outcome=outcome or "done", effects=[], occurred_at=event.occurred_at, recorded_at=now,
        )
        .on_conflict_do_nothing()
        .returning(RuleRun.rule_id)
    )  # fmt: skip
    if first is None or outcome is not None:
        return
    run = session.get_one(RuleRun, (version.rule_id, version.version, event.id))
    try:
        with session.begin_nested():
            for number, action in enumerate(version.actions):
                done.append(_do(session, action, number, version, event, now=now))
    except (CrmError, DataError, IntegrityError) as error:
        # one rule that cannot be carried out does not stop the others; its effects are undone
        run.outcome, done = "failed", [{"kind": "error", "text": str(error).splitlines()[0]}]
    run.effects = done
    session.flush()


def _refusal(session: Session, version: RuleVersion, event: ProcessEvent) -> str | None:
    """Return why the rule must not run: it would go in a circle, or something later was done."""
    if event.depth >= DEEPEST or version.rule_id in event.chain:
        return "blocked"
    root = event.root_id or event.id
    family = select(ProcessEvent.id).where(
        (ProcessEvent.root_id == root) | (ProcessEvent.id == root)
    )
    runs = session.scalar(
        select(func.count()).where(RuleRun.event_id.in_(family), RuleRun.outcome == "done")
    )
    if (runs or 0) >= MOST_RUNS:
        return "blocked"
    if not any(action["kind"] in ("set", "assign") for action in version.actions):
        return None
    later = session.scalar(
        select(RuleRun.event_id)
        .join(ProcessEvent, ProcessEvent.id == RuleRun.event_id)
        .where(
            RuleRun.rule_id == version.rule_id,
            RuleRun.outcome == "done",
            RuleRun.occurred_at > event.occurred_at,
            ProcessEvent.subject_kind == event.subject_kind,
            ProcessEvent.subject_id == event.subject_id,
        )
        .limit(1)
    )
    return None if later is None else "stale"


def _do(
    session: Session,
    action: Mapping[str, Any],
    number: int,
    version: RuleVersion,
    event: ProcessEvent,
    *,
    now: dt.datetime,
) -> Effect:
    """Carry one action out and return what it did."""
    cause = outbox.Cause(
        event_id=event.id, root_id=event.root_id or event.id, depth=event.depth + 1,
        chain=(*event.chain, version.rule_id),
    )  # fmt: skip
    key = f"rule:{version.rule_id}:{version.version}:{event.id}:{number}"
    if action["kind"] == "assign":
        return _assign(session, action, event, cause, now=now)
    if action["kind"] == "set":
        return _set(session, action, event, cause, now=now)
    if action["kind"] == "task":
        return _task(session, action, key, event, now=now)
    if action["kind"] == "notify":
        return _notify(session, action, key, event, now=now)
    return _webhook(session, action, version, event, now=now)


def _assign(
    session: Session,
    action: Mapping[str, Any],
    event: ProcessEvent,
    cause: outbox.Cause,
    *,
    now: dt.datetime,
) -> Effect:
    if action["to"] == "policy":
        found = assignment.assign(
            session, event.subject_id, now=now, occasion=f"event {event.id}", cause=cause
        )
        return {"kind": "assign", "to": found.user_id, "outcome": found.outcome}
    changed = _change(session, event, {"owner_id": action["to"]}, cause, now=now)
    return {"kind": "assign", "to": action["to"], "changed": changed}


def _set(
    session: Session,
    action: Mapping[str, Any],
    event: ProcessEvent,
    cause: outbox.Cause,
    *,
    now: dt.datetime,
) -> Effect:
    value = _value(action, event)
    changed = _change(session, event, {action["field"]: value}, cause, now=now)
    return {"kind": "set", "field": action["field"], "value": value, "changed": changed}


def _value(action: Mapping[str, Any], event: ProcessEvent) -> Any:  # noqa: ANN401 - a JSON value
    if action["field"] == "expected_close_on":
        return (event.occurred_at.date() + dt.timedelta(days=action["value"])).isoformat()
    return action["value"]


def _change(
    session: Session,
    event: ProcessEvent,
    values: Mapping[str, Any],
    cause: outbox.Cause,
    *,
    now: dt.datetime,
) -> bool:
    """Change the record's fields; tell the outbox only when something changed."""
    custom = {name: value for name, value in values.items() if name.startswith("x_")}
    plain = {name: value for name, value in values.items() if name not in custom}
    changed: Mapping[str, tuple[Any, Any]]
    if event.subject_kind == "opportunity":
        changed = changing.change(
            session, event.subject_id, plain, custom=custom, user_id=None,
            occurred_at=event.occurred_at, recorded_at=now,
        )  # fmt: skip
    else:
        changed = _change_row(session, event, plain, custom)
    if changed:
        outbox.emit(
            session, f"{event.subject_kind}.changed", event.subject_id, changed=changed,
            actor_id=None, occurred_at=event.occurred_at, recorded_at=now, cause=cause,
        )  # fmt: skip
    return bool(changed)


def _change_row(
    session: Session, event: ProcessEvent, plain: Mapping[str, Any], custom: Mapping[str, Any]
) -> dict[str, tuple[Any, Any]]:
    table: Any = {"lead": Lead, "account": Account}[event.subject_kind]
    row = session.get(table, event.subject_id, with_for_update=True, populate_existing=True)
    if row is None:
        return {}
    changed: dict[str, tuple[Any, Any]] = {}
    for name, value in plain.items():
        if getattr(row, name) != value:
            changed[name] = (getattr(row, name), value)
            setattr(row, name, value)
    fresh = {name: value for name, value in custom.items() if row.custom.get(name) != value}
    if fresh:
        changed |= {name: (row.custom.get(name), value) for name, value in fresh.items()}
        row.custom = {**row.custom, **fresh}
    session.flush()
    return changed


def _task(
    session: Session, action: Mapping[str, Any], key: str, event: ProcessEvent, *, now: dt.datetime
) -> Effect:
    wanted = action.get("assignee", "owner")
    assignee = _owner(session, event) if wanted == "owner" else wanted
    due = event.occurred_at.date() + dt.timedelta(days=action.get("due_in_days", 0))
    number = tasks.make_once(
        session, key, subject_kind=event.subject_kind, subject_id=event.subject_id,
        title=action["title"], assignee_id=assignee, due_on=due, now=now,
    )  # fmt: skip
    return {"kind": "task", "task": number, "title": action["title"], "assignee": assignee}


def _notify(
    session: Session, action: Mapping[str, Any], key: str, event: ProcessEvent, *, now: dt.datetime
) -> Effect:
    told = _addressees(session, action["to"], event)
    for user_id in told:
        alerts.raise_alert(
            session, user_id=user_id, kind="rule", severity=action.get("severity", "info"),
            dedupe_key=key, words={"text": action["text"]}, now=now,
            subject_kind=event.subject_kind, subject_id=event.subject_id,
        )  # fmt: skip
    return {"kind": "notify", "to": told, "text": action["text"]}


def _addressees(session: Session, to: str, event: ProcessEvent) -> list[str]:
    if to == "sales_ops":
        return alerts.people_in(session, ["sales_ops"])
    if to not in ("owner", "manager"):
        return [to]
    owner = _owner(session, event)
    if owner is None or to == "owner":
        return [owner] if owner else []
    manager = session.scalar(select(User.manager_id).where(User.id == owner))
    return [manager] if manager else []


def _owner(session: Session, event: ProcessEvent) -> str | None:
    """Return whose the record is now."""
    now_known = facts.of(session, event.subject_kind, event.subject_id) or event.facts
    found = now_known.get("owner_id", now_known.get("user_id"))
    return found if isinstance(found, str) else None


def _webhook(
    session: Session,
    action: Mapping[str, Any],
    version: RuleVersion,
    event: ProcessEvent,
    *,
    now: dt.datetime,
) -> Effect:
    endpoint = session.get(WebhookEndpoint, action["endpoint"])
    if endpoint is None or not endpoint.is_active:
        return {"kind": "webhook", "endpoint": action["endpoint"], "skipped": "inactive"}
    body = json.dumps(
        {
            "event": event.kind, "event_id": event.id, "rule_id": version.rule_id,
            "rule_version": version.version, "occurred_at": event.occurred_at.isoformat(),
            "subject": {"kind": event.subject_kind, "id": event.subject_id},
            "facts": event.facts, "changed": event.changed,
        },
        sort_keys=True, ensure_ascii=False,
    )  # fmt: skip
    session.execute(
        insert(WebhookDelivery)
        .values(
            endpoint_id=endpoint.id, event_id=event.id, rule_id=version.rule_id,
            rule_version=version.version, body=body, next_attempt_at=now, created_at=now,
        )
        .on_conflict_do_nothing()
    )  # fmt: skip
    return {"kind": "webhook", "endpoint": endpoint.id}


def rehearse(
    session: Session,
    draft: rules.Draft,
    *,
    since: dt.datetime,
    until: dt.datetime,
    limit: int = 200,
) -> tuple[int, tuple[Preview, ...]]:
    """Return how many past events a rule would have looked at and what it would have done.

    Nothing is written. The newest matching events come first. Raises what ``rules.check`` does.
    """
    rules.check(session, draft)
    condition = conditions.parse(draft.condition, fields=facts.fields_of(draft.event_kind))
    past = session.scalars(
        select(ProcessEvent)
        .where(
            ProcessEvent.kind == draft.event_kind,
            ProcessEvent.recorded_at >= since,
            ProcessEvent.recorded_at <= until,
        )
        .order_by(ProcessEvent.id.desc())
        .limit(10_000)
    ).all()
    found = [each for each in past if conditions.holds(condition, each.facts, each.changed)]
    return len(past), tuple(_preview(draft, each) for each in found[:limit])


def _preview(draft: rules.Draft, event: ProcessEvent) -> Preview:
    effects: list[Effect] = []
    owner = event.facts.get("owner_id", event.facts.get("user_id"))
    for action in draft.actions:
        effect = dict(action)
        if action["kind"] == "set":
            effect["from"], effect["value"] = (
                event.facts.get(action["field"]),
                _value(action, event),
            )
        elif action["kind"] == "task" and action.get("assignee", "owner") == "owner":
            effect["assignee"] = owner
        elif action["kind"] == "notify":
            effect["to"] = [owner] if action["to"] == "owner" else action["to"]
        effects.append(effect)
    blocked = event.depth >= DEEPEST
    return Preview(
        event.id, event.occurred_at, event.subject_kind, event.subject_id, tuple(effects), blocked
    )
