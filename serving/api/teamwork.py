"""Tasks, notes, alerts, approvals and the customer in one call, for programs."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from crm_core.processes import alerts, approval_views, approvals, notes, operations, tasks
from crm_core.processes import overview as customers
from crm_core.processes.alerts import Shown
from crm_core.processes.approval_views import ApprovalView
from crm_core.processes.notes import NoteView
from crm_core.processes.overview import (
    ActivityLine,
    Customer,
    Person,
    TicketLine,
)
from crm_core.processes.tasks import TaskView
from serving.acting import Acts
from serving.addresses import ByPart
from serving.api.processes import PROBLEMS, Created, Number, TextId
from serving.api.schemas import Money
from serving.dependencies import May, Now, SessionOfRequest, SignedIn
from serving.security import SIGNED_IN, allow, only

router = APIRouter(prefix="/api/v1", tags=["teamwork"], responses=PROBLEMS, route_class=ByPart)
Kind = Literal["opportunity", "account", "contact", "lead", "activity", "order", "ticket"]
SubjectId = Annotated[str, Query(max_length=200)]


class NewTask(BaseModel):
    """A task about a record; without an assignee it is your own."""

    subject_kind: Kind
    subject_id: str = Field(max_length=200)
    title: str = Field(max_length=300)
    assignee_id: str | None = Field(None, max_length=200)
    due_on: dt.date | None = None
    remind_at: AwareDatetime | None = None


class NewNote(BaseModel):
    """A note on a record; @name@company.example mentions a person by e-mail."""

    subject_kind: Kind
    subject_id: str = Field(max_length=200)
    body: str = Field(max_length=10_000)


class Snooze(BaseModel):
    """Until when an alert is hidden."""

    until: AwareDatetime


class Wish(BaseModel):
    """How you want a kind of alert."""

    mode: Literal["now", "digest", "off"]


class Counted(BaseModel):
    """How many."""

    count: int


class Request(BaseModel):
    """What is to be approved. ``content`` is hashed: exactly this is approved."""

    purpose: Literal["discount", "other"]
    subject_kind: Kind
    subject_id: str = Field(max_length=200)
    title: str = Field(min_length=1, max_length=300)
    content: dict[str, Any]


class Decided(BaseModel):
    """A decision. ``content_hash`` is that of the content you read."""

    decision: Literal["approve", "reject", "delegate", "withdraw"]
    content_hash: str | None = Field(None, max_length=64)
    comment: str | None = Field(None, max_length=1000)
    to: str | None = Field(None, max_length=200)


class Steps(BaseModel):
    """Who approves a purpose, step by step."""

    steps: list[dict[str, Any]] = Field(max_length=5)
    allows_self: bool = False


class _Plain(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class DealOfCustomer(_Plain):
    """A deal with the customer."""

    id: str
    name: str | None
    owner: str | None
    stage: str
    outcome: str | None
    amount: Money | None
    expected_close_on: dt.date | None
    closed_at: dt.datetime | None


class OrderOfCustomer(_Plain):
    """An order."""

    id: str
    ordered_on: dt.date
    amount: Money
    status: str
    owner: str | None


class SubscriptionOfCustomer(_Plain):
    """A recurring contract."""

    id: str
    started_on: dt.date
    ended_on: dt.date | None
    renews_on: dt.date | None
    monthly: Money
    is_running: bool


class SumsOfCustomer(_Plain):
    """Totals over everything you may see, by currency."""

    open_deals: int
    won_deals: int
    lost_deals: int
    open_tickets: int
    contacts: int
    open_amount: list[Money]
    won_amount: list[Money]
    ordered: list[Money]
    invoiced: list[Money]
    paid: list[Money]
    monthly: list[Money]


class Overview(_Plain):
    """A customer: the account, its sums, and the newest rows of each kind."""

    customer: Customer
    sums: SumsOfCustomer
    contacts: list[Person]
    deals: list[DealOfCustomer]
    activities: list[ActivityLine]
    orders: list[OrderOfCustomer]
    tickets: list[TicketLine]
    subscriptions: list[SubscriptionOfCustomer]
    notes: list[NoteView]
    tasks: list[TaskView]


@router.get("/accounts/{account_id}/overview")
@allow(SIGNED_IN)
def read_overview(
    account_id: TextId, session: SessionOfRequest, viewer: SignedIn, may: May, now: Now
) -> Overview:
    """Return everything about a customer that you may see, in one call."""
    found = customers.overview(session, account_id, viewer=viewer, visibility=may, as_of=now)
    return Overview.model_validate(found)


@router.get("/tasks")
@allow(SIGNED_IN)
def list_tasks(
    session: SessionOfRequest, viewer: SignedIn, may: May, now: Now,
    status: tasks.Status = "open", mine: bool = False,
) -> list[TaskView]:  # fmt: skip
    """Return the tasks you may see, the most pressing first."""
    return list(
        tasks.listed(
            session, viewer_id=viewer.id, visibility=may, as_of=now, status=status,
            assignee_id=viewer.id if mine else None,
        )
    )  # fmt: skip


@router.post("/tasks", status_code=201)
@allow(SIGNED_IN)
def create_task(given: NewTask, session: SessionOfRequest, acting: Acts) -> Created:
    """Make a task about a record that you and its assignee may see."""
    return Created(id=tasks.create(session, acting=acting, **given.model_dump()))


@router.post("/tasks/{task_id}/done", status_code=204)
@allow(SIGNED_IN)
def complete_task(task_id: Number, session: SessionOfRequest, acting: Acts) -> None:
    """Mark a task as done."""
    tasks.complete(session, task_id, acting=acting)


@router.delete("/tasks/{task_id}", status_code=204)
@allow(SIGNED_IN)
def cancel_task(task_id: Number, session: SessionOfRequest, acting: Acts) -> None:
    """Cancel a task; a stage's mandatory one only by sales operations."""
    tasks.cancel(session, task_id, acting=acting)


@router.get("/notes")
@allow(SIGNED_IN)
def list_notes(
    subject_kind: Kind, subject_id: SubjectId, session: SessionOfRequest, may: May, now: Now
) -> list[NoteView]:
    """Return the notes on a record, newest first. Bodies are plain text: escape them."""
    return list(
        notes.listed(
            session, subject_kind=subject_kind, subject_id=subject_id, visibility=may, as_of=now
        )
    )


@router.post("/notes", status_code=201)
@allow(SIGNED_IN)
def write_note(given: NewNote, session: SessionOfRequest, acting: Acts) -> Created:
    """Write a note on a record; who is mentioned is told, if they may see the record."""
    return Created(id=notes.write(session, acting=acting, **given.model_dump()))


@router.delete("/notes/{note_id}", status_code=204)
@allow(SIGNED_IN)
def withdraw_note(note_id: Number, session: SessionOfRequest, acting: Acts) -> None:
    """Withdraw your note."""
    notes.withdraw(session, note_id, acting=acting)


@router.get("/alerts")
@allow(SIGNED_IN)
def list_alerts(session: SessionOfRequest, viewer: SignedIn, now: Now) -> list[Shown]:
    """Return your open alerts, unread ones first."""
    return list(alerts.listed(session, viewer.id, now=now))


@router.get("/alerts/unread")
@allow(SIGNED_IN)
def count_alerts(session: SessionOfRequest, viewer: SignedIn, now: Now) -> Counted:
    """Return how many alerts wait for you."""
    return Counted(count=alerts.count_unread(session, viewer.id, now=now))


@router.post("/alerts/read", status_code=200)
@allow(SIGNED_IN)
def read_all_alerts(session: SessionOfRequest, viewer: SignedIn, now: Now) -> Counted:
    """Mark everything shown as read."""
    return Counted(count=alerts.read_all(session, user_id=viewer.id, now=now))


@router.post("/alerts/{alert_id}/read")
@allow(SIGNED_IN)
def read_alert(alert_id: Number, session: SessionOfRequest, viewer: SignedIn, now: Now) -> Shown:
    """Mark an alert as read."""
    return alerts.read(session, alert_id, user_id=viewer.id, now=now)


@router.post("/alerts/{alert_id}/snooze")
@allow(SIGNED_IN)
def snooze_alert(
    alert_id: Number, given: Snooze, session: SessionOfRequest, viewer: SignedIn, now: Now
) -> Shown:
    """Hide an alert until a time."""
    return alerts.snooze(session, alert_id, user_id=viewer.id, until=given.until, now=now)


@router.put("/alert-preferences/{kind}", status_code=204)
@allow(SIGNED_IN)
def choose_alerts(
    kind: Annotated[str, Path(max_length=32)], given: Wish, session: SessionOfRequest,
    viewer: SignedIn,
) -> None:  # fmt: skip
    """Say how you want a kind of alert: at once, in the day's digest, or not at all."""
    alerts.choose_mode(session, user_id=viewer.id, kind=kind, mode=given.mode)


@router.get("/approvals")
@allow(SIGNED_IN)
def list_approvals(
    session: SessionOfRequest, viewer: SignedIn, may: May, pending_only: bool = True
) -> list[ApprovalView]:
    """Return the requests you may see, those that wait for you first."""
    return list(
        approval_views.listed(
            session, viewer_id=viewer.id, visibility=may, pending_only=pending_only
        )
    )


@router.get("/approvals/{approval_id}")
@allow(SIGNED_IN)
def read_approval(
    approval_id: Number, session: SessionOfRequest, viewer: SignedIn, may: May
) -> ApprovalView:
    """Return a request, what exactly is asked, and every decision."""
    return approval_views.one(session, approval_id, viewer_id=viewer.id, visibility=may)


@router.post("/approvals", status_code=201)
@allow(SIGNED_IN)
def request_approval(given: Request, session: SessionOfRequest, acting: Acts) -> Created:
    """Ask for an approval about a record that you may see."""
    return Created(id=operations.ask(session, acting=acting, **given.model_dump()))


@router.post("/approvals/{approval_id}/decision")
@allow(SIGNED_IN)
def decide(
    approval_id: Number, given: Decided, session: SessionOfRequest, acting: Acts, may: May
) -> ApprovalView:
    """Approve, reject, hand on or withdraw; nobody decides their own request."""
    operations.decide_approval(
        session, approval_id, given.decision, acting=acting, seen_hash=given.content_hash,
        comment=given.comment, to=given.to,
    )  # fmt: skip
    return approval_views.one(session, approval_id, viewer_id=acting.user_id or "", visibility=may)


@router.put("/approval-policies/{purpose}", status_code=201)
@allow(only("sales_ops", "admin"))
def set_steps(
    purpose: Annotated[str, Path(max_length=32)], given: Steps, session: SessionOfRequest,
    acting: Acts,
) -> Created:  # fmt: skip
    """Set who approves a purpose from now on; return the version."""
    version = approvals.set_policy(
        session, purpose=purpose, steps=given.steps, allows_self=given.allows_self, acting=acting
    )
    return Created(id=version)
