"""The pages of work together: tasks, alerts, approvals, a customer, a deal's next stage."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

from fastapi import APIRouter, Form, Path, Query
from fastapi.responses import RedirectResponse, Response
from pydantic import Field

from crm_core.opportunities import views
from crm_core.people import queries as people
from crm_core.processes import (
    alerts,
    approval_views,
    assignment,
    notes,
    operations,
    tasks,
)
from crm_core.processes import overview as customers
from crm_core.processes.gates import CriteriaMissing
from serving import logins
from serving.acting import Acts
from serving.addresses import ByPart, segment
from serving.deals import Blank
from serving.dependencies import May, Now, SessionOfRequest, SignedIn
from serving.security import SIGNED_IN, allow, only
from serving.web import pages
from serving.web.pages import Framed

router = APIRouter(include_in_schema=False, route_class=ByPart)
TextId = Annotated[str, Path(max_length=200)]
Number = Annotated[int, Path(ge=1, le=2**63 - 1)]
Kind = Literal["opportunity", "account", "contact", "lead", "activity", "order", "ticket"]
Back = Annotated[str, Form(max_length=2000)]
OPERATIONS = only("sales_ops", "admin")


def _go(back: str) -> Response:
    return RedirectResponse(logins.own_path(back), status_code=303)


@router.get("/tasks")
@allow(SIGNED_IN)
def tasks_page(
    frame: Framed, session: SessionOfRequest, viewer: SignedIn, may: May, now: Now,
    show: Literal["mine", "all", "done"] = "mine",
) -> Response:  # fmt: skip
    """Show what the viewer has to do, or what everybody they see has."""
    found = tasks.listed(
        session, viewer_id=viewer.id, visibility=may, as_of=now,
        status="done" if show == "done" else "open",
        assignee_id=viewer.id if show == "mine" else None,
    )  # fmt: skip
    return pages.render("tasks.html", frame, tasks=found, show=show)


@router.post("/tasks")
@allow(SIGNED_IN)
def make_task(
    session: SessionOfRequest, acting: Acts, subject_kind: Annotated[Kind, Form()],
    subject_id: Annotated[str, Form(max_length=200)], title: Annotated[str, Form(max_length=300)],
    due_on: Annotated[dt.date | None, Blank, Form()] = None, back: Back = "/tasks",
) -> Response:  # fmt: skip
    """Make a task of one's own about a record."""
    tasks.create(
        session, subject_kind=subject_kind, subject_id=subject_id, title=title, assignee_id=None,
        due_on=due_on, acting=acting,
    )  # fmt: skip
    return _go(back)


@router.post("/tasks/{task_id}/done")
@allow(SIGNED_IN)
def finish_task(
    task_id: Number, session: SessionOfRequest, acting: Acts, back: Back = "/tasks"
) -> Response:
    """Mark a task as done."""
    tasks.complete(session, task_id, acting=acting)
    return _go(back)


@router.post("/notes")
@allow(SIGNED_IN)
def write_note(
    session: SessionOfRequest, acting: Acts, subject_kind: Annotated[Kind, Form()],
    subject_id: Annotated[str, Form(max_length=200)], body: Annotated[str, Form(max_length=10_000)],
    back: Back = "/",
) -> Response:  # fmt: skip
    """Write a note on a record."""
    notes.write(session, subject_kind=subject_kind, subject_id=subject_id, body=body, acting=acting)
    return _go(back)


@router.get("/alerts")
@allow(SIGNED_IN)
def alerts_page(frame: Framed, session: SessionOfRequest, viewer: SignedIn, now: Now) -> Response:
    """Show what the viewer should know, and how they want to be told."""
    found = alerts.listed(session, viewer.id, now=now)
    chosen = alerts.modes(session, viewer.id)
    return pages.render("alerts.html", frame, alerts=found, modes=chosen)


@router.post("/alerts/read")
@allow(SIGNED_IN)
def read_all(session: SessionOfRequest, viewer: SignedIn, now: Now) -> Response:
    """Mark everything shown as read."""
    alerts.read_all(session, user_id=viewer.id, now=now)
    return _go("/alerts")


@router.post("/alerts/{alert_id}/snooze")
@allow(SIGNED_IN)
def snooze(
    alert_id: Number, session: SessionOfRequest, viewer: SignedIn, now: Now,
    days: Annotated[int, Form(ge=1, le=90)] = 1,
) -> Response:  # fmt: skip
    """Hide an alert for some days."""
    until = now + dt.timedelta(days=days)
    alerts.snooze(session, alert_id, user_id=viewer.id, until=until, now=now)
    return _go("/alerts")


@router.post("/alerts/preferences")
@allow(SIGNED_IN)
def choose_mode(
    session: SessionOfRequest, viewer: SignedIn, kind: Annotated[str, Form(max_length=32)],
    mode: Annotated[Literal["now", "digest", "off"], Form()],
) -> Response:  # fmt: skip
    """Say how the viewer wants a kind of alert."""
    alerts.choose_mode(session, user_id=viewer.id, kind=kind, mode=mode)
    return _go("/alerts#preferences")


@router.get("/approvals")
@allow(SIGNED_IN)
def approvals_page(
    frame: Framed, session: SessionOfRequest, viewer: SignedIn, may: May, now: Now,
    show: Literal["waiting", "all"] = "waiting",
) -> Response:  # fmt: skip
    """Show the requests that the viewer may see."""
    found = approval_views.listed(
        session, viewer_id=viewer.id, visibility=may, pending_only=show == "waiting"
    )
    known = {person.id: person.name for person in people.staff(session, as_of=now)}
    return pages.render("approvals.html", frame, approvals=found, show=show, names=known)


@router.post("/approvals/{approval_id}")
@allow(SIGNED_IN)
def decide(
    approval_id: Number, session: SessionOfRequest, acting: Acts,
    decision: Annotated[Literal["approve", "reject", "delegate", "withdraw"], Form()],
    content_hash: Annotated[str, Form(max_length=64)],
    comment: Annotated[Annotated[str, Field(max_length=1000)] | None, Blank, Form()] = None,
    to: Annotated[Annotated[str, Field(max_length=200)] | None, Blank, Form()] = None,
) -> Response:  # fmt: skip
    """Decide a request as it was read, or hand it on."""
    operations.decide_approval(
        session, approval_id, decision, acting=acting, seen_hash=content_hash, comment=comment,
        to=to if decision == "delegate" else None,
    )  # fmt: skip
    return _go("/approvals?show=all")


@router.get("/customers/{account_id}")
@allow(SIGNED_IN)
def customer_page(
    account_id: TextId, frame: Framed, session: SessionOfRequest, viewer: SignedIn, may: May,
    now: Now,
) -> Response:  # fmt: skip
    """Show everything about a customer that the viewer may see."""
    view = customers.overview(session, account_id, viewer=viewer, visibility=may, as_of=now)
    return pages.render("customer.html", frame, view=view)


@router.get("/deals/{opportunity_id}/work")
@allow(SIGNED_IN)
def work_page(
    opportunity_id: TextId, frame: Framed, session: SessionOfRequest, acting: Acts,
    missed: Annotated[str | None, Query(max_length=200)] = None,
) -> Response:  # fmt: skip
    """Show the stages a deal could enter and what it misses, its tasks and its notes."""
    deal = views.deal(session, opportunity_id, visibility=acting.visibility)
    ways = operations.ways(session, opportunity_id, acting=acting)
    subject = ("opportunity", opportunity_id)
    found = tasks.listed(
        session, viewer_id=acting.user_id, visibility=acting.visibility, as_of=acting.now,
        subject=subject,
    )  # fmt: skip
    written = notes.listed(
        session, subject_kind=subject[0], subject_id=subject[1], visibility=acting.visibility,
        as_of=acting.now,
    )  # fmt: skip
    return pages.render(
        "deal_work.html", frame, deal=deal, ways=ways, tasks=found, notes=written, missed=missed
    )


@router.post("/deals/{opportunity_id}/stage")
@allow(SIGNED_IN)
def move_deal(
    opportunity_id: TextId, session: SessionOfRequest, acting: Acts,
    stage: Annotated[str, Form(max_length=200)],
    reason: Annotated[Annotated[str, Field(max_length=1000)] | None, Blank, Form()] = None,
    lost_reason: Annotated[Annotated[str, Field(max_length=1000)] | None, Blank, Form()] = None,
) -> Response:  # fmt: skip
    """Move a deal to a stage, or go back and show what it misses."""
    here = f"/deals/{segment(opportunity_id)}/work"
    try:
        operations.change_stage(
            session, opportunity_id, stage, acting=acting, reason=reason, lost_reason=lost_reason
        )
    except CriteriaMissing:
        return RedirectResponse(f"{here}?missed={segment(stage)}#stages", status_code=303)
    return RedirectResponse(here, status_code=303)


@router.get("/processes")
@allow(OPERATIONS)
def processes_page(
    frame: Framed, session: SessionOfRequest, acting: Acts,
    pipeline: Annotated[str | None, Query(max_length=200)] = None,
) -> Response:  # fmt: skip
    """Show what stages ask of deals, and the leads that nobody has."""
    known = operations.pipelines(session)
    chosen = pipeline or (known[0][0] if known else "default")
    return pages.render(
        "processes.html", frame, pipelines=known, chosen=chosen,
        criteria=operations.criteria(session, chosen),
        stranded=assignment.stranded(session, visibility=acting.visibility, as_of=acting.now),
    )  # fmt: skip


@router.post("/processes/criteria")
@allow(OPERATIONS)
def add_criterion(
    session: SessionOfRequest, acting: Acts, pipeline: Annotated[str, Form(max_length=200)],
    stage: Annotated[str, Form(max_length=200)],
    asks: Annotated[Literal["field", "contact_role", "activity", "min_days", "task"], Form()],
    value: Annotated[str, Form(max_length=300)],
) -> Response:  # fmt: skip
    """Let a stage ask for something before a deal may leave it."""
    given = int(value) if asks == "min_days" and value.isdigit() else value
    operations.add_criterion(
        session, pipeline=pipeline, stage=stage, moment="exit", kind=asks, value=given,
        acting=acting,
    )  # fmt: skip
    return _go(f"/processes?pipeline={segment(pipeline)}")


@router.post("/processes/criteria/{criterion_id}/retire")
@allow(OPERATIONS)
def retire_criterion(
    criterion_id: Number, session: SessionOfRequest, acting: Acts, back: Back = "/processes"
) -> Response:
    """Let a stage no longer ask for it."""
    operations.retire_criterion(session, criterion_id, acting=acting)
    return _go(back)
