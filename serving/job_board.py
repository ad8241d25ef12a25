"""The jobs as people see them: what is due when, what waits, runs, failed and was done.

Read and acted on through the queue's views and functions (``queue_views``), which answer a
session whose viewer sees everybody's records; where no worker ever ran there is nothing yet.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Literal
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from crm_core.audit import operations as audit
from crm_core.errors import Conflict, NotFound
from crm_core.people.queries import company_or_none
from serving import timetable
from serving.explanations import Words
from serving.job_queue import MOST_ATTEMPTS
from serving.timetable import TIMETABLE

STALE_SECONDS = 30
"""A worker without a heartbeat for so long is believed dead."""
HISTORY_DAYS = 30
MOST_SHOWN = 200

State = Literal["waiting", "running", "done", "failed", "cancelled"]
_STATES: dict[str, State] = {
    "todo": "waiting", "doing": "running", "succeeded": "done", "failed": "failed",
    "cancelled": "cancelled", "aborting": "running", "aborted": "cancelled",
}  # fmt: skip


class NoSuchJob(NotFound):
    """There is no job with this number, or none of this name that a person may start."""


class WrongJobState(Conflict):
    """The job is not in a state in which this can be done to it."""


class NoQueue(Conflict):
    """No worker ever ran on this store, so there is no queue yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job in the queue. ``said`` are the last lines of its newest attempt's log."""

    id: int
    name: str
    words: Words
    state: State
    attempts: int
    queued_at: dt.datetime | None
    began_at: dt.datetime | None
    ended_at: dt.datetime | None
    next_try_at: dt.datetime | None
    worker: str | None
    heartbeat_at: dt.datetime | None
    is_stopping: bool
    lock: str | None
    outcome: str | None
    said: str

    @property
    def seconds(self) -> float | None:
        """How long the newest attempt took, None while it runs or waits."""
        if self.began_at is None or self.ended_at is None:
            return None
        return (self.ended_at - self.began_at).total_seconds()


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A job of the timetable: when it is due next and how it went last."""

    name: str
    words: Words
    rhythm: str
    next_at: dt.datetime
    last: Job | None
    may_start: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSeen:
    """A worker, by its last heartbeat; ``running`` jobs keep it busy."""

    id: int
    heartbeat_at: dt.datetime
    running: int
    is_alive: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """Everything about the jobs; upkeep that went well is not in the history."""

    schedule: tuple[Due, ...]
    workers: tuple[WorkerSeen, ...]
    running: tuple[Job, ...]
    waiting: tuple[Job, ...]
    failed: tuple[Job, ...]
    history: tuple[Job, ...]

    @property
    def is_busy(self) -> bool:
        """Whether a job runs that is worth watching."""
        return any(job.name not in timetable.UPKEEP for job in self.running)


_COLUMNS = """
select id, name, status, attempts, scheduled_at, lock, abort_requested, worker_id, worker,
  last_heartbeat, queued_at, started_at, ended_at, outcome, said
from procrastinate.winward_jobs
"""
_ACTIVE = f"{_COLUMNS} where status in ('todo', 'doing', 'aborting') order by id limit :most"
_ENDED = f"""{_COLUMNS}
where status not in ('todo', 'doing', 'aborting')
and (status = 'failed' or not (name = any(:upkeep)))
and ended_at > now() - make_interval(days => :days)
order by ended_at desc, id desc limit :most
"""
_LAST = f"""{_COLUMNS} where id in (
  select max(id) from procrastinate.winward_jobs where ended_at is not null group by name
)"""  # noqa: S608 - constants of ours
_WORKERS = """
select id, last_heartbeat, running,
  last_heartbeat > now() - make_interval(secs => :stale) as is_alive
from procrastinate.winward_workers order by id
"""


def board(session: Session, *, now: dt.datetime) -> Board:
    """Return how the jobs stand; the session's scope must be that of who sees everything."""
    if not is_installed(session):
        return Board(
            schedule=_schedule(session, {}, now=now), workers=(), running=(), waiting=(),
            failed=(), history=(),
        )  # fmt: skip
    active = _jobs(session, _ACTIVE, most=MOST_SHOWN)
    ended = _jobs(
        session, _ENDED, most=MOST_SHOWN, days=HISTORY_DAYS, upkeep=list(timetable.UPKEEP)
    )
    last = {job.name: job for job in _jobs(session, _LAST)}
    return Board(
        schedule=_schedule(session, last, now=now),
        workers=_workers(session),
        running=tuple(job for job in active if job.state == "running"),
        waiting=tuple(job for job in active if job.state == "waiting"),
        failed=tuple(job for job in ended if job.state == "failed"),
        history=tuple(job for job in ended if job.state != "failed"),
    )


def is_installed(session: Session) -> bool:
    """Return whether a worker has made the queue's tables."""
    found = "select 1 from pg_views where schemaname = 'procrastinate' and viewname = :name"
    return session.scalar(text(found), {"name": "winward_jobs"}) is not None


def _jobs(session: Session, query: str, **values: Any) -> tuple[Job, ...]:  # noqa: ANN401 - bound
    return tuple(_job(row) for row in session.execute(text(query), values))


def _job(row: Any) -> Job:  # noqa: ANN401 - a row of the view
    entry = TIMETABLE.get(row.name)
    state = _STATES[row.status]
    worker = row.worker or (None if row.worker_id is None else f"#{row.worker_id}")
    return Job(
        id=row.id, name=row.name, words=entry.words if entry else Words(row.name, row.name),
        state=state, attempts=row.attempts, queued_at=row.queued_at, began_at=row.started_at,
        ended_at=None if state in ("waiting", "running") else row.ended_at,
        next_try_at=row.scheduled_at if state == "waiting" else None,
        worker=worker if state != "waiting" else None,
        heartbeat_at=row.last_heartbeat if state == "running" else None,
        is_stopping=row.abort_requested, lock=row.lock, outcome=row.outcome, said=row.said,
    )  # fmt: skip


def _schedule(session: Session, last: dict[str, Job], *, now: dt.datetime) -> tuple[Due, ...]:
    company = company_or_none(session)
    zone = ZoneInfo(company.time_zone if company else "UTC")
    return tuple(
        Due(
            name=name, words=entry.words, may_start=name in timetable.BY_HAND,
            rhythm=entry.due if isinstance(entry.due, str) else str(entry.due),
            next_at=timetable.next_due(name, now=now, time_zone=zone), last=last.get(name),
        )
        for name, entry in TIMETABLE.items()
    )  # fmt: skip


def _workers(session: Session) -> tuple[WorkerSeen, ...]:
    found = session.execute(text(_WORKERS), {"stale": STALE_SECONDS})
    return tuple(
        WorkerSeen(id=row.id, heartbeat_at=row.last_heartbeat, running=row.running,
                   is_alive=row.is_alive)
        for row in found
    )  # fmt: skip


def retry(session: Session, job_id: int) -> None:
    """Queue a failed job again. Raises NoSuchJob, WrongJobState, NoQueue."""
    before = _find(session, job_id)
    if not _call(session, "winward_retry_job(:job)", job=job_id):
        raise WrongJobState(f"Job {job_id} is {before.state}; only a failed job is tried again.")
    _note(session, "retry", before)


def cancel(session: Session, job_id: int) -> None:
    """Take a waiting job out of the queue, or end a running one.

    Raises NoSuchJob, WrongJobState, NoQueue.
    """
    before = _find(session, job_id)
    if not _call(session, "winward_cancel_job(:job)", job=job_id):
        raise WrongJobState(f"Job {job_id} is {before.state}; it cannot be cancelled any more.")
    _note(session, "cancel", before)


def start(session: Session, name: str, *, now: dt.datetime) -> int:
    """Queue a job of the timetable now; return its number.

    Raises NoSuchJob, WrongJobState when it waits already, and NoQueue.
    """
    if name not in timetable.BY_HAND:
        raise NoSuchJob(f"No job {name!r} can be started; choose {', '.join(timetable.BY_HAND)}.")
    company = company_or_none(session)
    zone = ZoneInfo(company.time_zone if company else "UTC")
    night = timetable.night_of(now, zone)
    number = int(_call(session, "winward_run_job(:name, :night)", name=name, night=night))
    audit.record_here(
        session, action="start", table="jobs", record_id=str(number), changes={"name": (None, name)}
    )
    return number


def _find(session: Session, job_id: int) -> Job:
    if not is_installed(session):
        raise NoQueue("No worker ever ran on this store; start one with winward worker.")
    found = _jobs(session, f"{_COLUMNS} where id = :job", job=job_id)
    if not found:
        raise NoSuchJob(f"There is no job {job_id}; it may be older than {HISTORY_DAYS} days.")
    return found[0]


def _call(session: Session, function: str, **values: object) -> Any:  # noqa: ANN401 - its answer
    if not is_installed(session):
        raise NoQueue("No worker ever ran on this store; start one with winward worker.")
    try:
        with session.begin_nested():
            return session.scalar(text(f"select procrastinate.{function}"), values)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == "23505":  # the queueing lock
            raise WrongJobState("This job waits already; it will run as soon as it can.") from None
        raise


def _note(session: Session, action: str, job: Job) -> None:
    audit.record_here(
        session, action=action, table="jobs", record_id=str(job.id),
        changes={"name": (None, job.name), "state": (job.state, None)},
    )  # fmt: skip


def tries(job: Job) -> str:
    """Return which attempt a job is at, of how many."""
    done = job.attempts + (job.state in ("running", "waiting"))
    return f"{max(done, 1)}/{MOST_ATTEMPTS}"
