"""Which criteria a deal still misses for a stage. Criteria guard the way forward only.

A deal that moves on must fulfil the exit criteria of its stage and of every stage it skips; a
deal that is lost, put on hold or moved back only the entry criteria of where it goes.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from crm_core.activities.models import Activity
from crm_core.errors import Conflict, Invalid
from crm_core.opportunities.models import Opportunity, OpportunityContact, OpportunityEvent, Stage
from crm_core.processes import conditions, facts
from crm_core.processes.models import StageCriterion, Task


class UnknownStage(Invalid):
    """The pipeline has no such stage."""


class CriteriaMissing(Conflict):
    """The deal does not fulfil what the stage asks; ``missing`` says what."""

    def __init__(self, missing: Sequence[Missing]) -> None:
        said = "; ".join(each.text for each in missing)
        super().__init__(
            f"The deal cannot enter the stage yet: {said}. Complete it or say why not."
        )
        self.missing = tuple(missing)


@dataclass(frozen=True, slots=True)
class Missing:
    """A criterion that is not fulfilled: of which stage, what it asks, in words."""

    criterion_id: int
    stage: str
    kind: str
    value: Any
    text: str

    def as_json(self) -> dict[str, Any]:
        """Return it as it is kept in the log of overrides."""
        return {"criterion": self.criterion_id, "stage": self.stage, "kind": self.kind,
                "value": self.value, "text": self.text}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Situation:
    """What is known of a deal in its stage, read once for all criteria."""

    facts: dict[str, Any]
    days: int
    roles: frozenset[str]
    activities: frozenset[str]
    tasks_done: frozenset[int]


def stages(session: Session, pipeline: str) -> dict[str, Stage]:
    """Return the stages of a pipeline by name, in order."""
    found = session.scalars(
        select(Stage).where(Stage.pipeline == pipeline).order_by(Stage.position)
    )
    return {each.stage: each for each in found}


def missing(
    session: Session, deal: Opportunity, to_stage: str, *, as_of: dt.datetime
) -> tuple[Missing, ...]:
    """Return what the deal misses to enter the stage. Raises UnknownStage."""
    known = stages(session, deal.pipeline)
    if to_stage not in known:
        raise UnknownStage(f"{to_stage} is not a stage of pipeline {deal.pipeline}.")
    left = _left_behind(known, deal.stage, to_stage)
    criteria = [
        each
        for each in criteria_of(session, deal.pipeline)
        if (each.moment == "exit" and each.stage in left)
        or (each.moment == "entry" and each.stage == to_stage)
    ]
    if not criteria:
        return ()
    situation = _situation(session, deal, as_of=as_of)
    return tuple(
        Missing(each.id, each.stage, each.kind, each.value, describe(each.kind, each.value))
        for each in criteria
        if not _fulfilled(each, situation)
    )


def criteria_of(session: Session, pipeline: str) -> Sequence[StageCriterion]:
    """Return the criteria in force of a pipeline."""
    return session.scalars(
        select(StageCriterion)
        .where(StageCriterion.pipeline == pipeline, StageCriterion.retired_at.is_(None))
        .order_by(StageCriterion.id)
    ).all()


def _left_behind(known: dict[str, Stage], from_stage: str, to_stage: str) -> set[str]:
    """Return the stages whose exit criteria the move must fulfil."""
    target, origin = known[to_stage], known.get(from_stage)
    if target.kind in ("lost", "on_hold"):
        return set()
    start = -1 if origin is None else origin.position
    if origin is not None and origin.kind in ("won", "lost"):
        return set()  # reopened or corrected: it fulfilled its way before
    if target.kind == "open" and target.position <= start:
        return set()
    return {
        each.stage
        for each in known.values()
        if each.kind == "open"
        and start <= each.position
        and (target.kind == "won" or each.position < target.position)
    } - {to_stage}


def _situation(session: Session, deal: Opportunity, *, as_of: dt.datetime) -> _Situation:
    since = stage_since(session, deal)
    roles = session.scalars(
        select(OpportunityContact.role).where(
            OpportunityContact.opportunity_id == deal.id, OpportunityContact.added_at <= as_of
        )
    )
    done = session.scalars(
        select(Activity.kind)
        .where(
            Activity.opportunity_id == deal.id,
            Activity.occurred_at >= since,
            Activity.occurred_at <= as_of,
        )
        .distinct()
    )
    tasks = session.scalars(
        select(Task.criterion_id).where(
            Task.subject_kind == "opportunity",
            Task.subject_id == deal.id,
            Task.criterion_id.is_not(None),
            Task.done_at >= since,
        )
    )
    return _Situation(
        facts=facts.of_deal(session, deal),
        days=(as_of - since).days,
        roles=frozenset(role for role in roles if role),
        activities=frozenset(done),
        tasks_done=frozenset(task for task in tasks if task is not None),
    )


def stage_since(session: Session, deal: Opportunity) -> dt.datetime:
    """Return when the deal last came into its present stage."""
    since = session.scalar(
        select(func.max(OpportunityEvent.occurred_at)).where(
            OpportunityEvent.opportunity_id == deal.id,
            OpportunityEvent.field == "stage",
            OpportunityEvent.new_value == deal.stage,
        )
    )
    return since or deal.created_at


def _fulfilled(criterion: StageCriterion, situation: _Situation) -> bool:
    value = criterion.value
    if criterion.kind == "field":
        return situation.facts.get(value) not in (None, "")
    if criterion.kind == "contact_role":
        return value in situation.roles
    if criterion.kind == "activity":
        return value in situation.activities
    if criterion.kind == "min_days":
        return situation.days >= int(value)
    if criterion.kind == "task":
        return criterion.id in situation.tasks_done
    known = facts.FIELDS["opportunity"]
    return conditions.holds(conditions.parse(value["condition"], fields=known), situation.facts)


def describe(kind: str, value: Any) -> str:  # noqa: ANN401 - a criterion's JSON value
    """Return what a criterion asks, in English."""
    if kind == "condition":
        return str(value["text"])
    return {
        "field": "the field {} must be filled",
        "contact_role": "a contact with the role {} must take part",
        "activity": "an activity of the kind {} must have taken place in this stage",
        "min_days": "the deal must have been in this stage for {} days",
        "task": "the task “{}” must be done",
    }[kind].format(value)
