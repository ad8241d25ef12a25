"""The pages of who approves what, and of how leads find their owner."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Form, Path
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from crm_core.errors import Invalid
from crm_core.people import queries as people
from crm_core.processes import approval_views, approvals, assignment, conditions, facts
from crm_core.processes.acting import Acting
from serving.acting import Acts
from serving.addresses import ByPart
from serving.dependencies import SessionOfRequest
from serving.security import allow, only
from serving.web import pages, rule_form
from serving.web.pages import Frame, Framed
from serving.web.rule_form import Many, TestLine, Texts

router = APIRouter(include_in_schema=False, route_class=ByPart)
OPERATIONS = only("sales_ops", "admin")
Whole = Annotated[int, Field(ge=0, le=10_000)]
APPROVERS = (*(f"manager {n}" for n in (1, 2, 3)),
             *(f"role {role}" for role in approvals.APPROVER_ROLES), "user")  # fmt: skip
"""The kinds of approver that a step may name, as the form's codes."""


class StepsForm(BaseModel):
    """The steps of an approval, as columns; a line without approver is none."""

    approver: Texts = Many
    user: Texts = Many
    hours: Annotated[list[Whole], Field(max_length=20)] = Many
    allows_self: bool = False

    def steps(self) -> list[dict[str, Any]]:
        """Return the steps as the operations take them. Raises BadForm."""
        lines = rule_form.as_lines((self.approver, self.user, [str(each) for each in self.hours]))
        return [
            {"approver": _approver(code, user.strip()), "escalate_after_hours": int(hours)}
            for code, user, hours in lines
            if code
        ]


def _approver(code: str, user: str) -> dict[str, Any]:
    kind, _, rest = code.partition(" ")
    if kind == "manager" and rest in ("1", "2", "3"):
        return {"manager": int(rest)}
    return {"user": user} if kind == "user" else {kind: rest}


class AssignmentForm(BaseModel):
    """How leads find their owner, as columns; a line without pool is none."""

    default_capacity: Whole = 0
    test_field: Texts = Many
    test_op: Texts = Many
    test_value: Texts = Many
    condition: Annotated[list[Annotated[str, Field(max_length=20_000)]],
                         Field(max_length=60)] = Many  # fmt: skip
    pool_kind: Texts = Many
    pool: Annotated[list[Annotated[str, Field(max_length=20_000)]], Field(max_length=60)] = Many

    def rules(self) -> list[dict[str, Any]]:
        """Return the rules as the operations take them. Raises BadForm."""
        columns = (self.test_field, self.test_op, self.test_value, self.condition,
                   self.pool_kind, self.pool)  # fmt: skip
        return [
            {
                "condition": rule_form.parsed(written) if written.strip()
                else rule_form.condition_of("all", [TestLine(field, op, value)]),
                "pool": _pool(kind, text),
            }
            for field, op, value, written, kind, text in rule_form.as_lines(columns)
            if kind
        ]  # fmt: skip


def _pool(kind: str, text: str) -> dict[str, Any]:
    parts = [part.strip() for part in text.replace("，", ",").split(",") if part.strip()]
    return {kind: parts} if kind == "users" else {kind: text.strip()}


@router.get("/processes/approvals")
@allow(OPERATIONS)
def approvals_page(frame: Framed, session: SessionOfRequest, acting: Acts) -> Response:
    """Show who approves what."""
    return _approvals(frame, session, acting)


@router.post("/processes/approvals/{purpose}")
@allow(OPERATIONS)
def set_steps(
    purpose: Annotated[str, Path(max_length=32)], form: Annotated[StepsForm, Form()],
    frame: Framed, session: SessionOfRequest, acting: Acts,
) -> Response:  # fmt: skip
    """Set who approves a purpose from now on."""
    try:
        approvals.set_policy(
            session, purpose=purpose, steps=form.steps(), allows_self=form.allows_self,
            acting=acting,
        )  # fmt: skip
    except Invalid as error:
        return _approvals(frame, session, acting, wrong=(purpose, str(error)), status=422)
    return RedirectResponse(f"/processes/approvals#{purpose}", status_code=303)


def _approvals(
    frame: Frame, session: Session, acting: Acting, *, wrong: tuple[str, str] | None = None,
    status: int = 200,
) -> Response:  # fmt: skip
    return pages.render(
        "approval_policies.html", frame, status=status, wrong=wrong,
        policies=approval_views.policies(
            session, purposes=approvals.PURPOSES, default=approvals.DEFAULT_STEPS
        ),
        approvers=APPROVERS, most=approvals.MOST_STEPS, names=_names(session, acting),
    )  # fmt: skip


@router.get("/processes/leads")
@allow(OPERATIONS)
def assignment_page(frame: Framed, session: SessionOfRequest, acting: Acts) -> Response:
    """Show how leads find their owner, and how many each person takes."""
    return _assignment(frame, session, acting)


@router.post("/processes/leads")
@allow(OPERATIONS)
def set_assignment(
    form: Annotated[AssignmentForm, Form()], frame: Framed, session: SessionOfRequest, acting: Acts
) -> Response:
    """Set how leads find their owner from now on."""
    try:
        assignment.set_policy(
            session, rules=form.rules(), default_capacity=form.default_capacity, acting=acting
        )
    except Invalid as error:
        return _assignment(frame, session, acting, wrong=str(error), status=422)
    return RedirectResponse("/processes/leads", status_code=303)


@router.post("/processes/leads/capacity")
@allow(OPERATIONS)
def set_capacity(
    session: SessionOfRequest, acting: Acts, user_id: Annotated[str, Form(max_length=200)],
    most_open: Annotated[Whole, Form()],
) -> Response:  # fmt: skip
    """Set how many open leads a person takes at most; 0 pauses them."""
    assignment.set_capacity(session, user_id, most_open, acting=acting)
    return RedirectResponse("/processes/leads#capacities", status_code=303)


def _assignment(
    frame: Frame, session: Session, acting: Acting, *, wrong: str | None = None, status: int = 200
) -> Response:
    policy = assignment.newest_policy(session)
    shown = [
        (rule_form.plain_line(rule["condition"]), json.dumps(rule["condition"]), rule["pool"])
        for rule in (policy.rules if policy else ())
    ]
    return pages.render(
        "assignment.html", frame, status=status, policy=policy and policy.version,
        default_capacity=policy.default_capacity if policy else 20, rules=shown, wrong=wrong,
        fields=sorted(facts.FIELDS["lead"]), operators=conditions.OPERATORS,
        loads=assignment.loads(session, now=acting.now), names=_names(session, acting),
        units=people.units(session),
        stranded=len(assignment.stranded(session, visibility=acting.visibility,
                                         as_of=acting.now)),
    )  # fmt: skip


def _names(session: Session, acting: Acting) -> dict[str, str]:
    return {person.id: person.name for person in people.staff(session, as_of=acting.now)}
