"""Changing a deal's stage and what goes with it: criteria, overrides and their approval."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from crm_core.errors import Invalid, NotFound
from crm_core.opportunities import changing
from crm_core.opportunities.models import Opportunity, Stage
from crm_core.people import permissions
from crm_core.people.models import User
from crm_core.people.queries import visible_to
from crm_core.processes import approvals, conditions, facts, gates, outbox, subjects, tasks
from crm_core.processes.acting import Acting
from crm_core.processes.arithmetic import BadDelegate, Decision
from crm_core.processes.gates import CriteriaMissing, Missing
from crm_core.processes.models import SUBJECT_KINDS, Approval, StageCriterion, StageOverride

LONGEST_REASON = 1_000
KINDS = ("field", "contact_role", "activity", "min_days", "condition", "task")
ROLES = ("champion", "economic_buyer", "user", "blocker", "other")
ACTIVITIES = ("call", "email", "meeting", "visit", "demo", "proposal", "note", "other")


class BadCriterion(Invalid):
    """A criterion is not as it must be."""


class NoSuchCriterion(NotFound):
    """No criterion in force has this number."""


class BadReason(Invalid):
    """An override's reason is too long, or a lost deal's reason is missing."""


@dataclass(frozen=True, slots=True)
class StageChange:
    """What became of a wish to change a stage.

    ``waiting``: an approval was asked for; ``missing`` are the criteria that were overridden.
    """

    status: Literal["changed", "unchanged", "waiting"]
    opportunity_id: str
    from_stage: str
    to_stage: str
    missing: tuple[Missing, ...] = ()
    approval_id: int | None = None


def change_stage(
    session: Session,
    opportunity_id: str,
    to_stage: str,
    *,
    acting: Acting,
    reason: str | None = None,
    lost_reason: str | None = None,
    cause: outbox.Cause | None = None,
) -> StageChange:
    """Move a deal to a stage if it fulfils what the stages ask.

    With ``reason`` a person who may approve deals overrides what is missing, and it is logged;
    anybody else asks for an approval of it. Raises NoSuchSubject, MayNot, UnknownStage and
    CriteriaMissing.
    """
    deal = _editable(session, opportunity_id, acting)
    if deal.stage == to_stage:
        return StageChange("unchanged", deal.id, deal.stage, to_stage)
    if reason is not None and len(reason) > LONGEST_REASON:
        raise BadReason(f"A reason has at most {LONGEST_REASON} characters.")
    if lost_reason:
        deal.lost_reason = lost_reason.strip()[:LONGEST_REASON]
        session.flush()
    missing = gates.missing(session, deal, to_stage, as_of=acting.now)
    why = (reason or "").strip()
    if missing and not why:
        raise CriteriaMissing(missing)
    if missing and not _may_override(acting, deal):
        return _ask(session, deal, to_stage, missing, why, acting=acting)
    return _move(session, deal, to_stage, missing, why, acting=acting, cause=cause)


def _editable(session: Session, opportunity_id: str, acting: Acting) -> Opportunity:
    """Return the deal, locked, if it may be seen and edited."""
    subjects.find(session, "opportunity", opportunity_id, visibility=acting.visibility)
    deal = changing.lock(session, opportunity_id)
    if acting.viewer is None:
        return deal
    permissions.require(acting.viewer, "edit", "opportunities", "stage")
    reach = permissions.within(acting.viewer, "edit", "opportunities", visibility=acting.visibility)
    if not reach.allows(deal.owner_id):
        raise permissions.MayNot("You may read this deal but not change it; ask its owner.")
    return deal


def _may_override(acting: Acting, deal: Opportunity) -> bool:
    """Return whether the person may pass over criteria: who approves deals, but not their own."""
    if acting.viewer is None:
        return True
    reach = permissions.within(
        acting.viewer, "approve", "opportunities", visibility=acting.visibility
    )
    return reach.allows(deal.owner_id) and deal.owner_id != acting.viewer.id


def _ask(
    session: Session,
    deal: Opportunity,
    to_stage: str,
    missing: tuple[Missing, ...],
    reason: str,
    *,
    acting: Acting,
) -> StageChange:
    number = approvals.request(
        session, purpose="stage_override", subject_kind="opportunity", subject_id=deal.id,
        title=f"{deal.name or deal.id}: {deal.stage} → {to_stage}",
        content={"from_stage": deal.stage, "to_stage": to_stage, "reason": reason,
                 "missing": [each.as_json() for each in missing]},
        acting=acting,
    )  # fmt: skip
    return StageChange("waiting", deal.id, deal.stage, to_stage, missing, number)


def _move(
    session: Session,
    deal: Opportunity,
    to_stage: str,
    missing: tuple[Missing, ...],
    reason: str,
    *,
    acting: Acting,
    cause: outbox.Cause | None,
    approval_id: int | None = None,
) -> StageChange:
    before = deal.stage
    changed = changing.change(
        session, deal.id, {"stage": to_stage}, user_id=acting.user_id,
        occurred_at=acting.now, recorded_at=acting.now,
    )  # fmt: skip
    if missing:
        session.add(
            StageOverride(
                opportunity_id=deal.id, from_stage=before, to_stage=to_stage,
                missing=[each.as_json() for each in missing], reason=reason,
                user_id=acting.user_id, approval_id=approval_id, occurred_at=acting.now,
            )
        )  # fmt: skip
    log: dict[str, tuple[object, object]] = {"stage": (before, to_stage)}
    if missing:
        log["override"] = (None, {"reason": reason, "missing": [each.text for each in missing]})
    acting.log(session, "override" if missing else "update", "opportunities", deal.id, log)
    tasks.make_stage_tasks(session, now=acting.now, deal=deal.id)
    outbox.emit(
        session, "opportunity.stage_changed", deal.id, changed=changed, actor_id=acting.user_id,
        occurred_at=acting.now, recorded_at=acting.now, cause=cause,
    )  # fmt: skip
    return StageChange("changed", deal.id, before, to_stage, missing, approval_id)


def ask(
    session: Session,
    *,
    purpose: Literal["discount", "other"],
    subject_kind: str,
    subject_id: str,
    title: str,
    content: Mapping[str, Any],
    acting: Acting,
) -> int:
    """Ask for an approval about a record that one may see; return the request's number."""
    subjects.find(session, subject_kind, subject_id, visibility=acting.visibility)
    return approvals.request(
        session, purpose=purpose, subject_kind=subject_kind, subject_id=subject_id, title=title,
        content=content, acting=acting,
    )  # fmt: skip


def decide_approval(
    session: Session,
    approval_id: int,
    decision: Decision,
    *,
    acting: Acting,
    seen_hash: str | None = None,
    comment: str | None = None,
    to: str | None = None,
) -> Approval:
    """Decide a request and do what it asked for once its last step is approved.

    It is handed on only to somebody who may see what it is about.
    """
    if decision == "delegate" and to is not None:
        _require_sight(session, approval_id, to, acting)
    approval = approvals.act(
        session, approval_id, decision, acting=acting, seen_hash=seen_hash, comment=comment, to=to
    )
    if approval.state == "approved" and approval.purpose == "stage_override":
        _carry_out_override(session, approval, acting=acting)
    return approval


def _require_sight(session: Session, approval_id: int, to: str, acting: Acting) -> None:
    approval, person = session.get(Approval, approval_id), session.get(User, to)
    if approval is None or person is None or approval.subject_kind not in SUBJECT_KINDS:
        return  # what is wrong is said by who judges the decision
    sight = visible_to(session, person, as_of=acting.now)
    if not subjects.sees(session, approval.subject_kind, approval.subject_id, visibility=sight):
        raise BadDelegate(f"{person.name} may not see what this is about; choose another person.")


def _carry_out_override(session: Session, approval: Approval, *, acting: Acting) -> None:
    """Move the deal as approved, in the requester's name, unless it has moved on since."""
    deal = changing.lock(session, approval.subject_id)
    content = approval.content
    requester = session.get_one(User, approval.requested_by)
    sight = visible_to(session, requester, as_of=acting.now)
    if deal.stage != content["from_stage"] or not sight.allows(deal.owner_id):
        approval.result = "The deal has moved on since; nothing was changed."
    else:
        known = [
            Missing(each["criterion"], each["stage"], each["kind"], each["value"], each["text"])
            for each in content["missing"]
        ]
        for_requester = Acting(
            viewer=requester, visibility=sight, now=acting.now, channel=acting.channel,
            address=acting.address,
        )  # fmt: skip
        _move(
            session, deal, content["to_stage"], tuple(known), content["reason"],
            acting=for_requester, cause=None, approval_id=approval.id,
        )  # fmt: skip
        approval.result = "done"
    session.flush()


def add_criterion(
    session: Session,
    *,
    pipeline: str,
    stage: str,
    moment: Literal["exit", "entry"],
    kind: str,
    value: Any,  # noqa: ANN401 - JSON by kind
    acting: Acting,
) -> int:
    """Add a criterion to a stage; return its number. Raises BadCriterion and UnknownStage."""
    acting.requires_operations()
    found = session.get(Stage, (pipeline, stage))
    if found is None:
        raise gates.UnknownStage(f"{stage} is not a stage of pipeline {pipeline}.")
    if moment == "exit" and found.kind != "open":
        raise BadCriterion("Only an open stage has criteria to leave it.")
    if moment == "entry" and kind in ("min_days", "activity", "task"):
        raise BadCriterion(f"A criterion of the kind {kind} is about leaving a stage.")
    _check_value(kind, value)
    criterion = StageCriterion(
        pipeline=pipeline, stage=stage, moment=moment, kind=kind, value=value,
        created_at=acting.now, created_by=acting.user_id,
    )  # fmt: skip
    session.add(criterion)
    session.flush()
    acting.log(
        session, "create", "stage_criteria", criterion.id,
        {"stage": (None, f"{pipeline} / {stage}"), "asks": (None, gates.describe(kind, value))},
    )  # fmt: skip
    return criterion.id


def _check_value(kind: str, value: Any) -> None:  # noqa: ANN401 - JSON by kind
    known = facts.FIELDS["opportunity"]
    sound = {
        "field": lambda: value in known or (isinstance(value, str) and value.startswith("x_")),
        "contact_role": lambda: value in ROLES,
        "activity": lambda: value in ACTIVITIES,
        "min_days": lambda: isinstance(value, int) and 0 < value <= 365,
        "task": lambda: isinstance(value, str) and 0 < len(value.strip()) <= tasks.LONGEST_TITLE,
        "condition": lambda: (
            isinstance(value, Mapping)
            and set(value) == {"condition", "text"}
            and isinstance(value["text"], str)
            and 0 < len(value["text"]) <= tasks.LONGEST_TITLE
        ),
    }
    if kind not in sound or not sound[kind]():
        raise BadCriterion(
            "A criterion is a field of the deal, a contact's role, a kind of activity, a number "
            "of days from 1 to 365, a task's title, or a condition with its text."
        )
    if kind == "condition":
        conditions.parse(value["condition"], fields=known)


def retire_criterion(session: Session, criterion_id: int, *, acting: Acting) -> None:
    """Let a criterion no longer count. Raises NoSuchCriterion."""
    acting.requires_operations()
    found = session.scalar(
        select(StageCriterion)
        .where(StageCriterion.id == criterion_id, StageCriterion.retired_at.is_(None))
        .with_for_update()
    )
    if found is None:
        raise NoSuchCriterion("There is no such criterion in force.")
    found.retired_at, found.retired_by = acting.now, acting.user_id
    session.flush()
    acting.log(session, "retire", "stage_criteria", criterion_id, {})


@dataclass(frozen=True, slots=True)
class Asked:
    """A criterion in force, with what it asks in words."""

    id: int
    pipeline: str
    stage: str
    moment: str
    kind: str
    value: Any
    text: str


def criteria(session: Session, pipeline: str) -> tuple[Asked, ...]:
    """Return the criteria in force of a pipeline."""
    return tuple(
        Asked(
            each.id, each.pipeline, each.stage, each.moment, each.kind, each.value,
            gates.describe(each.kind, each.value),
        )
        for each in gates.criteria_of(session, pipeline)
    )  # fmt: skip


def pipelines(session: Session) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    """Return every pipeline with its stages in order, each with its kind."""
    rows = session.execute(
        select(Stage.pipeline, Stage.stage, Stage.kind).order_by(Stage.pipeline, Stage.position)
    ).all()
    names = dict.fromkeys(row.pipeline for row in rows)
    return tuple(
        (name, tuple((row.stage, row.kind) for row in rows if row.pipeline == name))
        for name in names
    )


@dataclass(frozen=True, slots=True)
class Way:
    """A stage that a deal could enter, and what it misses for that."""

    stage: str
    kind: str
    missing: tuple[Missing, ...]


def ways(session: Session, opportunity_id: str, *, acting: Acting) -> tuple[Way, ...]:
    """Return the other stages of a deal's pipeline and what the deal misses for each."""
    subjects.find(session, "opportunity", opportunity_id, visibility=acting.visibility)
    deal = session.get_one(Opportunity, opportunity_id)
    return tuple(
        Way(name, stage.kind, gates.missing(session, deal, name, as_of=acting.now))
        for name, stage in gates.stages(session, deal.pipeline).items()
        if name != deal.stage
    )


def mandatory_tasks(session: Session, *, now: dt.datetime) -> int:
    """Make the tasks that the stages of open deals ask for and that do not exist yet."""
    return tasks.make_stage_tasks(session, now=now)
