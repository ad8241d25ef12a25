"""Tasks about records: made, done, due and overdue; seen as the record is, and by who does them."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, aliased

from crm_core.database import run
from crm_core.errors import Conflict, Invalid, NotFound
from crm_core.people.models import User
from crm_core.people.queries import Visibility, company_day, visible_to
from crm_core.processes import alerts, subjects
from crm_core.processes.acting import Acting
from crm_core.processes.models import Task

LONGEST_TITLE = 300
MOST_SHOWN = 200
Status = Literal["open", "overdue", "done", "all"]


class NoSuchTask(NotFound):
    """No task has this number, or the asker may not know that it does."""


class BadTask(Invalid):
    """A task's title or assignee cannot be meant."""


class TaskEnded(Conflict):
    """The task is done or cancelled."""


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task as it is shown. ``is_overdue`` on the company's calendar day."""

    id: int
    subject_kind: str
    subject_id: str
    subject_title: str | None
    title: str
    assignee_id: str | None
    assignee: str | None
    due_on: dt.date | None
    remind_at: dt.datetime | None
    created_at: dt.datetime
    created_by: str | None
    done_at: dt.datetime | None
    cancelled_at: dt.datetime | None
    is_mandatory: bool
    is_overdue: bool


def create(
    session: Session,
    *,
    subject_kind: str,
    subject_id: str,
    title: str,
    assignee_id: str | None,
    due_on: dt.date | None,
    remind_at: dt.datetime | None = None,
    acting: Acting,
) -> int:
    """Make a task about a record that the maker may see; return its number.

    Without an assignee it is the maker's own. Raises NoSuchSubject and BadTask.
    """
    subjects.find(session, subject_kind, subject_id, visibility=acting.visibility)
    wanted = title.strip()
    if not 0 < len(wanted) <= LONGEST_TITLE:
        raise BadTask(f"A task needs a title of at most {LONGEST_TITLE} characters.")
    assignee = assignee_id or acting.user_id
    if assignee is not None:
        _require_sees(session, assignee, subject_kind, subject_id, acting=acting)
    number = _insert(
        session, subject_kind=subject_kind, subject_id=subject_id, title=wanted,
        assignee_id=assignee, due_on=due_on, remind_at=remind_at, created_at=acting.now,
        created_by=acting.user_id,
    )  # fmt: skip
    assert number is not None
    if assignee not in (None, acting.user_id):
        alerts.raise_alert(
            session, user_id=str(assignee), kind="assigned", dedupe_key=f"task:{number}:assigned",
            words={"title": wanted}, subject_kind=subject_kind, subject_id=subject_id,
            now=acting.now,
        )  # fmt: skip
    acting.log(session, "create", "tasks", number, {"title": (None, wanted)})
    return number


def _require_sees(
    session: Session, user_id: str, kind: str, subject_id: str, *, acting: Acting
) -> None:
    person = session.get(User, user_id)
    if person is None or person.left_on is not None:
        raise BadTask(f"{user_id} is nobody who works here.")
    sight = visible_to(session, person, as_of=acting.now)
    if not subjects.sees(session, kind, subject_id, visibility=sight):
        raise BadTask(f"{person.name} may not see this record; choose somebody who may.")


def make_once(
    session: Session,
    source_key: str,
    *,
    subject_kind: str,
    subject_id: str,
    title: str,
    assignee_id: str | None,
    due_on: dt.date | None,
    now: dt.datetime,
    criterion_id: int | None = None,
) -> int | None:
    """Make the task that a rule or a stage asks for; None when it was made before."""
    return _insert(
        session, subject_kind=subject_kind, subject_id=subject_id, title=title[:LONGEST_TITLE],
        assignee_id=assignee_id, due_on=due_on, created_at=now, criterion_id=criterion_id,
        source_key=source_key,
    )  # fmt: skip


def _insert(session: Session, **values: object) -> int | None:
    statement = insert(Task).values(**values).on_conflict_do_nothing(index_elements=["source_key"])
    return session.scalar(statement.returning(Task.id))


def visible(user_id: str | None, visibility: Visibility) -> ColumnElement[bool]:
    """Return the condition that a task may be seen: one's own, or of a record one may see."""
    of_record = subjects.condition(Task.subject_kind, Task.subject_id, visibility)
    return of_record if user_id is None else or_(Task.assignee_id == user_id, of_record)


def complete(session: Session, task_id: int, *, acting: Acting) -> None:
    """Mark a task as done; again is the same. Raises NoSuchTask and TaskEnded."""
    task = _locked(session, task_id, acting)
    if task.cancelled_at is not None:
        raise TaskEnded("The task was cancelled; make a new one.")
    if task.done_at is None:
        task.done_at, task.done_by = acting.now, acting.user_id
        _settle(session, task, "done", acting)


def cancel(session: Session, task_id: int, *, acting: Acting) -> None:
    """Cancel a task that nobody needs to do any more. Raises NoSuchTask and TaskEnded."""
    task = _locked(session, task_id, acting)
    if task.done_at is not None:
        raise TaskEnded("The task is done already.")
    if task.criterion_id is not None:
        acting.requires_operations()  # the stage asks for it
    if task.cancelled_at is None:
        task.cancelled_at = acting.now
        _settle(session, task, "cancel", acting)


def _settle(session: Session, task: Task, action: str, acting: Acting) -> None:
    session.flush()
    for key in (f"task:{task.id}:due", f"task:{task.id}:assigned", f"task:{task.id}:overdue"):
        alerts.resolve(session, key, now=acting.now)
    acting.log(session, action, "tasks", task.id, {})


def _locked(session: Session, task_id: int, acting: Acting) -> Task:
    task = session.scalar(
        select(Task)
        .where(Task.id == task_id, visible(acting.user_id, acting.visibility))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if task is None:
        raise NoSuchTask("There is no such task among those you may see.")
    return task


def listed(
    session: Session,
    *,
    viewer_id: str | None,
    visibility: Visibility,
    as_of: dt.datetime,
    status: Status = "open",
    assignee_id: str | None = None,
    subject: tuple[str, str] | None = None,
    limit: int = MOST_SHOWN,
) -> tuple[TaskView, ...]:
    """Return the tasks that may be seen, the most pressing first."""
    today = company_day(session, as_of)
    is_open = and_(Task.done_at.is_(None), Task.cancelled_at.is_(None))
    wanted = [visible(viewer_id, visibility), Task.created_at <= as_of]
    if status == "done":
        wanted.append(Task.done_at.is_not(None))
    elif status != "all":
        wanted.append(is_open)
        if status == "overdue":
            wanted.append(Task.due_on < today)
    if assignee_id is not None:
        wanted.append(Task.assignee_id == assignee_id)
    if subject is not None:
        wanted += [Task.subject_kind == subject[0], Task.subject_id == subject[1]]
    return _views(session, wanted, visibility, today=today, limit=limit)


def of_account(
    session: Session,
    account_id: str,
    *,
    deals: Any,  # noqa: ANN401 - a select of deal ids
    viewer_id: str | None,
    visibility: Visibility,
    as_of: dt.datetime,
    limit: int,
) -> tuple[TaskView, ...]:
    """Return the open tasks about a customer and about these deals with it."""
    about = or_(
        and_(Task.subject_kind == "account", Task.subject_id == account_id),
        and_(Task.subject_kind == "opportunity", Task.subject_id.in_(deals)),
    )
    is_open = and_(Task.done_at.is_(None), Task.cancelled_at.is_(None))
    wanted = [about, is_open, visible(viewer_id, visibility), Task.created_at <= as_of]
    return _views(session, wanted, visibility, today=company_day(session, as_of), limit=limit)


def _views(
    session: Session,
    wanted: list[ColumnElement[bool]],
    visibility: Visibility,
    *,
    today: dt.date,
    limit: int,
) -> tuple[TaskView, ...]:
    maker = aliased(User)
    rows = session.execute(
        select(Task, User.name, maker.name)
        .outerjoin(User, User.id == Task.assignee_id)
        .outerjoin(maker, maker.id == Task.created_by)
        .where(*wanted)
        .order_by(Task.done_at.desc().nulls_first(), Task.due_on.nulls_last(), Task.id)
        .limit(limit)
    ).all()
    pairs = {(r[0].subject_kind, r[0].subject_id) for r in rows}
    names = subjects.titles(session, pairs, visibility=visibility)
    return tuple(_view(task, assignee, by, names, today) for task, assignee, by in rows)


def _view(
    task: Task,
    assignee: str | None,
    by: str | None,
    names: dict[tuple[str, str], str],
    today: dt.date,
) -> TaskView:
    is_open = task.done_at is None and task.cancelled_at is None
    return TaskView(
        id=task.id, subject_kind=task.subject_kind, subject_id=task.subject_id,
        subject_title=names.get((task.subject_kind, task.subject_id)), title=task.title,
        assignee_id=task.assignee_id, assignee=assignee, due_on=task.due_on,
        remind_at=task.remind_at, created_at=task.created_at, created_by=by,
        done_at=task.done_at, cancelled_at=task.cancelled_at,
        is_mandatory=task.criterion_id is not None,
        is_overdue=is_open and task.due_on is not None and task.due_on < today,
    )  # fmt: skip


def remind(session: Session, *, now: dt.datetime) -> int:
    """Alert about tasks whose reminder is due and about overdue ones; return how many."""
    today = company_day(session, now)
    is_open = and_(
        Task.done_at.is_(None), Task.cancelled_at.is_(None), Task.assignee_id.is_not(None)
    )
    due = session.scalars(
        select(Task)
        .where(is_open, Task.remind_at <= now, Task.reminded_at.is_(None))
        .with_for_update(skip_locked=True)
        .limit(1000)
    ).all()
    for task in due:
        _alert(session, task, "task_due", now=now)
        task.reminded_at = now
    late = session.scalars(
        select(Task)
        .where(
            is_open,
            Task.due_on < today,
            ~alerts.is_raised("task_overdue", func.concat("task:", Task.id, ":overdue")),
        )
        .limit(1000)
    ).all()
    for task in late:
        _alert(session, task, "task_overdue", now=now)
    session.flush()
    return len(due) + len(late)


def _alert(session: Session, task: Task, kind: str, *, now: dt.datetime) -> None:
    assert task.assignee_id is not None
    alerts.raise_alert(
        session, user_id=task.assignee_id, kind=kind,
        dedupe_key=f"task:{task.id}:{kind.removeprefix('task_')}",
        severity="warning" if kind == "task_overdue" else "info",
        words={"title": task.title, "day": task.due_on.isoformat() if task.due_on else None},
        subject_kind=task.subject_kind, subject_id=task.subject_id, now=now,
    )  # fmt: skip


_STAGE_TASKS = """
insert into tasks (subject_kind, subject_id, title, assignee_id, created_at, criterion_id,
                   source_key)
select 'opportunity', o.id, c.value #>> '{}', o.owner_id, :now, c.id,
       'criterion:' || c.id || ':' || o.id || ':' || e.sequence
from stage_criteria c
join opportunities o on o.pipeline = c.pipeline and o.stage = c.stage and o.outcome is null
cross join lateral (
    select sequence, occurred_at from opportunity_events
    where opportunity_id = o.id and field = 'stage' and new_value = o.stage
    order by occurred_at desc, sequence desc limit 1
) e
where c.kind = 'task' and c.moment = 'exit' and c.retired_at is null
  and (cast(:deal as text) is null or o.id = :deal)
on conflict (source_key) do nothing
"""


def make_stage_tasks(session: Session, *, now: dt.datetime, deal: str | None = None) -> int:
    """Make the mandatory tasks of the stages that open deals are in; all deals, or one."""
    return run(session, _STAGE_TASKS, now=now, deal=deal)
