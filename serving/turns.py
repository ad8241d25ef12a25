"""The worker's turn on processes: everything that waits or has become due, handled now."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from crm_core.database import transaction
from crm_core.processes import approvals, assignment, operations, pace, tasks, watching
from crm_core.processes import webhooks as kept
from crm_core.processes.draining import drain
from serving import webhooks

LOG = logging.getLogger(__name__)
MOST_DELIVERIES = 100


@dataclass(frozen=True, slots=True)
class Turn:
    """How much was done."""

    events: int
    assigned: int
    reminders: int
    tasks: int
    escalated: int


def take_turn(engine: Engine, *, now: dt.datetime) -> Turn:
    """Handle events, assign leads, make and remind of tasks, escalate approvals.

    Each part commits for itself, and all may be repeated: a worker that is killed leaves
    nothing half done.
    """
    with transaction(engine) as session:
        made = operations.mandatory_tasks(session, now=now)
    with transaction(engine) as session:
        assigned = len(assignment.sweep(session, now=now))
    events = drain(engine, now=now)
    with transaction(engine) as session:
        reminders = tasks.remind(session, now=now)
    with transaction(engine) as session:
        escalated = approvals.escalate(session, now=now)
    return Turn(events, assigned, reminders, made, escalated)


def watch(engine: Engine, *, now: dt.datetime) -> int:
    """Tell owners which deals slipped or stalled, once a company day; who is off pace, weekly."""
    with transaction(engine) as session:
        told = watching.watch(session, now=now)
    with transaction(engine) as session:
        return told + pace.watch(session, now=now)


def deliver(
    engine: Engine,
    *,
    now: dt.datetime,
    allowed_hosts: frozenset[str],
    resolve: webhooks.Resolve = webhooks.resolve,
) -> int:
    """Attempt each delivery that is due, once; return how many were accepted.

    A worker killed between sending and noting it sends again: the message's id tells.
    """
    accepted = 0
    attempt = _sender(now, allowed_hosts, resolve)
    for _ in range(MOST_DELIVERIES):
        with transaction(engine) as session:
            done = _one(session, now=now, attempt=attempt)
        if done is None:
            break
        accepted += done
    return accepted


Attempt = Callable[[kept.Due], tuple[webhooks.Answer, bool]]


def _sender(now: dt.datetime, allowed: frozenset[str], resolve: webhooks.Resolve) -> Attempt:
    def attempt(due: kept.Due) -> tuple[webhooks.Answer, bool]:
        """Return the answer, and whether trying again is of no use."""
        body = due.body.encode()
        try:
            goal = webhooks.target(due.url, allowed=allowed, resolve=resolve)
        except webhooks.BadTarget as error:
            return webhooks.Answer(None, error.message), False
        stamp = int(now.timestamp())
        signed = ",".join(
            f"v1={webhooks.signature(key, timestamp=stamp, body=body)}" for key in due.secrets
        )
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Winward",
            "Winward-Delivery": str(due.id),
            "Winward-Signature": f"t={stamp},{signed}",
        }
        answer = webhooks.post(goal, body, headers=headers)
        return answer, answer.status == 410

    return attempt


def _one(session: Session, *, now: dt.datetime, attempt: Attempt) -> int | None:
    due = kept.claim(session, now=now)
    if due is None:
        return None
    answer, final = attempt(due)
    if not answer.is_accepted:
        LOG.warning("webhook delivery %s: %s", due.id, answer.error)
    kept.settle(session, due.id, status=answer.status, error=answer.error, final=final, now=now)
    return int(answer.is_accepted)
