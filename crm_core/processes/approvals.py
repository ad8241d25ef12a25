"""Approvals: in steps, by people who did not ask, with a record of what exactly was approved."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from crm_core.errors import Conflict, Invalid
from crm_core.people.models import User
from crm_core.processes import alerts
from crm_core.processes.acting import Acting, program
from crm_core.processes.approval_views import NoSuchApproval, visible
from crm_core.processes.arithmetic import Decision, Standing, decide, widen
from crm_core.processes.models import Approval, ApprovalDecision, ApprovalPolicy

PURPOSES = ("stage_override", "discount", "quota", "other")
APPROVER_ROLES = ("manager", "leader", "sales_ops", "finance", "admin")
MOST_STEPS = 5
DEFAULT_STEPS: tuple[dict[str, Any], ...] = (
    {"approver": {"manager": 1}, "escalate_after_hours": 48},
)


class BadPolicy(Invalid):
    """The steps of an approval are not as they must be."""


class NobodyApproves(Conflict):
    """No approver is left for a step; name one in the policy."""


class AlreadyAsked(Conflict):
    """The same is waiting for a decision already."""


class ContentChanged(Conflict):
    """What was read is not what is asked now, or what is stored is not what was asked."""


def content_hash(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the content in canonical JSON."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def set_policy(
    session: Session,
    *,
    purpose: str,
    steps: Sequence[Mapping[str, Any]],
    allows_self: bool = False,
    acting: Acting,
) -> int:
    """Set who approves requests of a purpose from now on; return the version.

    A step is ``{"approver": {"manager": 1} | {"role": "finance"} | {"user": id},
    "escalate_after_hours": 48}``. Running requests keep the steps they began with.
    """
    acting.requires_operations()
    if purpose not in PURPOSES or not 0 < len(steps) <= MOST_STEPS:
        raise BadPolicy(f"A policy has 1 to {MOST_STEPS} steps for one of {', '.join(PURPOSES)}.")
    for number, step in enumerate(steps, 1):
        _check_step(session, step, number)
    session.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"approval {purpose}"))))
    newest = select(func.max(ApprovalPolicy.version)).where(ApprovalPolicy.purpose == purpose)
    version = (session.scalar(newest) or 0) + 1
    session.add(
        ApprovalPolicy(
            purpose=purpose, version=version, steps=[dict(step) for step in steps],
            allows_self=allows_self, created_at=acting.now, created_by=acting.user_id,
        )
    )  # fmt: skip
    session.flush()
    acting.log(
        session, "create", "approval_policies", f"{purpose} {version}",
        {"steps": (None, [dict(step) for step in steps]), "allows_self": (None, allows_self)},
    )  # fmt: skip
    return version


def _check_step(session: Session, step: Mapping[str, Any], number: int) -> None:
    approver = step.get("approver")
    hours = step.get("escalate_after_hours", 48)
    sound = (
        isinstance(approver, Mapping)
        and len(approver) == 1
        and set(step) <= {"approver", "escalate_after_hours"}
        and isinstance(hours, int)
        and 0 < hours <= 24 * 90
    )
    if sound and isinstance(approver, Mapping):
        ((kind, value),) = approver.items()
        levels = kind == "manager" and value in (1, 2, 3)
        role = kind == "role" and value in APPROVER_ROLES
        person = kind == "user" and isinstance(value, str) and session.get(User, value) is not None
        if levels or role or person:
            return
    raise BadPolicy(
        f"Step {number} needs an approver (manager 1–3 levels up, a role that approves, or a "
        "user) and at most 90 days until it escalates."
    )


def _policy(session: Session, purpose: str, acting: Acting) -> ApprovalPolicy:
    newest = (
        select(ApprovalPolicy)
        .where(ApprovalPolicy.purpose == purpose)
        .order_by(ApprovalPolicy.version.desc())
        .limit(1)
    )
    found = session.scalar(newest)
    if found is None:
        set_policy(session, purpose=purpose, steps=DEFAULT_STEPS, acting=program(acting.now))
        found = session.scalar(newest)
    assert found is not None
    return found


def request(
    session: Session,
    *,
    purpose: str,
    subject_kind: str,
    subject_id: str,
    title: str,
    content: Mapping[str, Any],
    acting: Acting,
) -> int:
    """Ask for an approval of exactly this content; return its number.

    The caller has checked that who asks may see the subject. Raises AlreadyAsked and
    NobodyApproves.
    """
    assert acting.viewer is not None
    if purpose not in PURPOSES:
        raise BadPolicy(f"There is no approval for {purpose!r}; use {', '.join(PURPOSES)}.")
    policy = _policy(session, purpose, acting)
    approval = Approval(
        purpose=purpose, subject_kind=subject_kind, subject_id=subject_id, title=title,
        content=dict(content), content_hash=content_hash(content), policy_id=policy.id,
        requested_by=acting.viewer.id, requested_at=acting.now, state="pending", step=0,
        approvers=[],
    )  # fmt: skip
    _begin_step(session, approval, policy, now=acting.now)
    try:
        with session.begin_nested():
            session.add(approval)
    except IntegrityError as error:
        raise AlreadyAsked("This waits for a decision already; withdraw it first.") from error
    _tell_approvers(session, approval, now=acting.now)
    acting.log(
        session, "request", "approvals", approval.id,
        {"purpose": (None, purpose), "content_hash": (None, approval.content_hash)},
    )  # fmt: skip
    return approval.id


def _begin_step(
    session: Session, approval: Approval, policy: ApprovalPolicy, *, now: dt.datetime
) -> None:
    """Name who may decide the present step and when it escalates."""
    step = policy.steps[approval.step]
    requester = "" if policy.allows_self else approval.requested_by
    found = _approvers(session, step["approver"], approval.requested_by) - {requester}
    if not found:
        found = set(alerts.people_in(session, ["admin"])) - {requester}
    if not found:
        raise NobodyApproves("Nobody is left to approve this; sales operations must name somebody.")
    approval.approvers = sorted(found)
    approval.escalates_at = now + dt.timedelta(hours=step.get("escalate_after_hours", 48))


def _approvers(session: Session, approver: Mapping[str, Any], requester: str) -> set[str]:
    ((kind, value),) = approver.items()
    if kind == "role":
        return set(alerts.people_in(session, [value]))
    if kind == "user":
        person = session.get(User, value)
        return {person.id} if person is not None and person.left_on is None else set()
    found = _superior(session, requester, levels=int(value))
    return {found} if found else set()


def _superior(session: Session, user_id: str, *, levels: int) -> str | None:
    """Return the manager so many levels up, or the highest below that who still works here."""
    person, best, seen = session.get(User, user_id), None, {user_id}
    while person is not None and person.manager_id is not None and levels > 0:
        if person.manager_id in seen:
            break  # a circle in the data
        seen.add(person.manager_id)
        person = session.get(User, person.manager_id)
        if person is not None and person.left_on is None:
            best, levels = person.id, levels - 1
    return best


def _tell_approvers(session: Session, approval: Approval, *, now: dt.datetime) -> None:
    for user_id in approval.approvers:
        alerts.raise_alert(
            session, user_id=user_id, kind="approval_waiting", severity="warning",
            dedupe_key=f"approval:{approval.id}:{approval.step}",
            words={"title": approval.title, "approval": approval.id}, now=now,
        )  # fmt: skip


def _standing(approval: Approval, policy: ApprovalPolicy) -> Standing:
    return Standing(
        approval.requested_by, policy.allows_self, len(policy.steps),
        frozenset(approval.approvers), approval.step, approval.state,
    )  # fmt: skip


def act(
    session: Session,
    approval_id: int,
    decision: Decision,
    *,
    acting: Acting,
    seen_hash: str | None = None,
    comment: str | None = None,
    to: str | None = None,
) -> Approval:
    """Write a person's decision down and move the request on; return it.

    ``seen_hash`` is the content's hash that the person read; another one is refused. What an
    approved request causes is done by ``operations.decide_approval``. Raises NoSuchApproval,
    ContentChanged and what ``arithmetic.decide`` raises.
    """
    assert acting.viewer is not None
    approval, policy = _locked(session, approval_id, acting)
    if content_hash(approval.content) != approval.content_hash:
        raise ContentChanged("The stored request is not what was asked; tell an administrator.")
    if seen_hash is not None and seen_hash != approval.content_hash:
        raise ContentChanged("The request is not the one you read; read it again.")
    if decision == "reject" and not (comment or "").strip():
        raise BadPolicy("A rejection needs a comment; say why.")
    if to is not None and (person := session.get(User, to)) is not None and person.left_on:
        raise BadPolicy(f"{person.name} has left the company.")
    if to is not None and session.get(User, to) is None:
        raise BadPolicy("There is no such person to hand this to.")
    after = decide(_standing(approval, policy), acting.viewer.id, decision, to=to)
    _write(session, approval, decision, user_id=acting.viewer.id, comment=comment,
           to=[to] if to else [], now=acting.now)  # fmt: skip
    alerts.resolve(session, f"approval:{approval.id}:{approval.step}", now=acting.now)
    approval.step, approval.state = after.step, after.state
    if after.state != "pending":
        approval.approvers, approval.escalates_at = [], None
        approval.ended_at = acting.now
        _tell_requester(session, approval, now=acting.now)
    elif decision == "delegate":
        approval.approvers = sorted(after.approvers)
        _tell_approvers(session, approval, now=acting.now)
    else:
        _begin_step(session, approval, policy, now=acting.now)
        _tell_approvers(session, approval, now=acting.now)
    session.flush()
    acting.log(
        session, decision, "approvals", approval.id,
        {"content_hash": (None, approval.content_hash), "comment": (None, comment)},
    )  # fmt: skip
    return approval


def _locked(session: Session, approval_id: int, acting: Acting) -> tuple[Approval, ApprovalPolicy]:
    row = session.execute(
        select(Approval, ApprovalPolicy)
        .join(ApprovalPolicy, ApprovalPolicy.id == Approval.policy_id)
        .where(Approval.id == approval_id, visible(acting.user_id, acting.visibility))
        .with_for_update(of=Approval)
        .execution_options(populate_existing=True)
    ).one_or_none()
    if row is None:
        raise NoSuchApproval("There is no such request among those you may see.")
    return row[0], row[1]


def _write(
    session: Session,
    approval: Approval,
    decision: str,
    *,
    user_id: str | None,
    comment: str | None,
    to: list[str],
    now: dt.datetime,
) -> None:
    session.add(
        ApprovalDecision(
            approval_id=approval.id, step=approval.step, decision=decision, user_id=user_id,
            to_users=to, comment=comment, content_hash=approval.content_hash, occurred_at=now,
        )
    )  # fmt: skip


def _tell_requester(session: Session, approval: Approval, *, now: dt.datetime) -> None:
    alerts.raise_alert(
        session, user_id=approval.requested_by, kind="approval_decided",
        dedupe_key=f"approval:{approval.id}:decided", now=now,
        words={"title": approval.title, "state": approval.state, "approval": approval.id},
    )  # fmt: skip


def escalate(session: Session, *, now: dt.datetime) -> int:
    """Widen each request that waited too long to the approvers' managers; return how many.

    Where nobody stands above them the administrators are asked.
    """
    late = session.execute(
        select(Approval, ApprovalPolicy)
        .join(ApprovalPolicy, ApprovalPolicy.id == Approval.policy_id)
        .where(Approval.state == "pending", Approval.escalates_at <= now)
        .order_by(Approval.id)
        .limit(500)
        .with_for_update(of=Approval, skip_locked=True)
    ).all()
    for approval, policy in late:
        above = {_superior(session, each, levels=1) for each in approval.approvers} - {None}
        before = _standing(approval, policy)
        after = widen(before, frozenset(str(each) for each in above))
        if after.approvers == before.approvers:
            after = widen(before, frozenset(alerts.people_in(session, ["admin"])))
        added = sorted(after.approvers - before.approvers)
        _write(session, approval, "escalate", user_id=None, comment=None, to=added, now=now)
        approval.approvers = sorted(after.approvers)
        hours = policy.steps[approval.step].get("escalate_after_hours", 48)
        approval.escalates_at = now + dt.timedelta(hours=hours) if added else None
        _tell_approvers(session, approval, now=now)
    session.flush()
    return len(late)
