"""Reading requests for approval: who may see them, and how they are shown."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, any_, literal, or_, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from crm_core.errors import NotFound
from crm_core.people.models import User
from crm_core.people.queries import Visibility
from crm_core.processes.models import Approval, ApprovalDecision, ApprovalPolicy


class NoSuchApproval(NotFound):
    """No request has this number, or the asker may not know that it does."""


@dataclass(frozen=True, slots=True)
class DecisionView:
    """One line of a request's history."""

    step: int
    decision: str
    by: str | None
    to: tuple[str, ...]
    comment: str | None
    content_hash: str
    occurred_at: dt.datetime


@dataclass(frozen=True, slots=True)
class ApprovalView:
    """A request as it is shown. ``may_decide``: by who looks at it."""

    id: int
    purpose: str
    subject_kind: str
    subject_id: str
    title: str
    content: dict[str, Any]
    content_hash: str
    requested_by: str
    requester: str
    requested_at: dt.datetime
    state: str
    step: int
    steps: int
    approvers: tuple[str, ...]
    escalates_at: dt.datetime | None
    ended_at: dt.datetime | None
    result: str | None
    may_decide: bool
    may_withdraw: bool
    decisions: tuple[DecisionView, ...]


@dataclass(frozen=True, slots=True)
class PolicyView:
    """Who approves a purpose, step by step; ``version`` is 0 while nobody has decided it."""

    purpose: str
    version: int
    steps: tuple[dict[str, Any], ...]
    allows_self: bool
    created_at: dt.datetime | None


def policies(
    session: Session, *, purposes: Sequence[str], default: Sequence[dict[str, Any]]
) -> tuple[PolicyView, ...]:
    """Return the policy in force of each purpose, the default where there is none yet."""
    newest = (
        select(ApprovalPolicy)
        .ext(distinct_on(ApprovalPolicy.purpose))
        .order_by(ApprovalPolicy.purpose, ApprovalPolicy.version.desc())
    )
    known = {each.purpose: each for each in session.scalars(newest)}
    return tuple(
        PolicyView(each.purpose, each.version, tuple(each.steps), each.allows_self, each.created_at)
        if (each := known.get(purpose)) is not None
        else PolicyView(purpose, 0, tuple(default), allows_self=False, created_at=None)
        for purpose in purposes
    )


def visible(user_id: str | None, visibility: Visibility) -> ColumnElement[bool]:
    """Return the condition that a request may be seen.

    By who asked, decides or decided, and by who sees the records of who asked.
    """
    decided = select(ApprovalDecision.approval_id).where(ApprovalDecision.user_id == user_id)
    return or_(
        visibility.condition(Approval.requested_by),
        literal(user_id) == any_(Approval.approvers),
        Approval.id.in_(decided),
    )


def listed(
    session: Session,
    *,
    viewer_id: str,
    visibility: Visibility,
    pending_only: bool,
    limit: int = 100,
) -> tuple[ApprovalView, ...]:
    """Return the requests that may be seen, those that wait for the viewer first."""
    wanted = [visible(viewer_id, visibility)]
    if pending_only:
        wanted.append(Approval.state == "pending")
    mine = literal(viewer_id) == any_(Approval.approvers)
    return _views(session, viewer_id, wanted, [mine.desc(), Approval.id.desc()], limit)


def one(
    session: Session, approval_id: int, *, viewer_id: str, visibility: Visibility
) -> ApprovalView:
    """Return one request with its history. Raises NoSuchApproval."""
    wanted = [Approval.id == approval_id, visible(viewer_id, visibility)]
    found = _views(session, viewer_id, wanted, [], 1)
    if not found:
        raise NoSuchApproval("There is no such request among those you may see.")
    return found[0]


def _views(
    session: Session,
    viewer_id: str,
    wanted: list[ColumnElement[bool]],
    order: list[Any],
    limit: int,
) -> tuple[ApprovalView, ...]:
    rows = session.execute(
        select(Approval, ApprovalPolicy)
        .join(ApprovalPolicy, ApprovalPolicy.id == Approval.policy_id)
        .where(*wanted)
        .order_by(*order)
        .limit(limit)
    ).all()
    decisions = session.scalars(
        select(ApprovalDecision)
        .where(ApprovalDecision.approval_id.in_([row[0].id for row in rows]))
        .order_by(ApprovalDecision.id)
    ).all()
    people = {name for row in rows for name in (row[0].requested_by, *row[0].approvers)}
    people |= {name for each in decisions for name in (each.user_id, *each.to_users) if name}
    known = session.execute(select(User.id, User.name).where(User.id.in_(people)))
    names: dict[str, str] = {row.id: row.name for row in known}
    return tuple(
        _view(approval, policy, [d for d in decisions if d.approval_id == approval.id], names,
              viewer_id)
        for approval, policy in rows
    )  # fmt: skip


def _view(
    approval: Approval,
    policy: ApprovalPolicy,
    decisions: list[ApprovalDecision],
    names: dict[str, str],
    viewer_id: str,
) -> ApprovalView:
    plain = ("id", "purpose", "subject_kind", "subject_id", "title", "content", "content_hash",
             "requested_by", "requested_at", "state", "step", "escalates_at", "ended_at",
             "result")  # fmt: skip
    return ApprovalView(
        **{name: getattr(approval, name) for name in plain},
        requester=names.get(approval.requested_by, approval.requested_by),
        steps=len(policy.steps),
        approvers=tuple(names.get(each, each) for each in approval.approvers),
        may_decide=viewer_id in approval.approvers,
        may_withdraw=approval.state == "pending" and viewer_id == approval.requested_by,
        decisions=tuple(
            DecisionView(
                each.step, each.decision, names.get(each.user_id or ""),
                tuple(names.get(to, to) for to in each.to_users), each.comment,
                each.content_hash, each.occurred_at,
            )
            for each in decisions
        ),
    )  # fmt: skip
