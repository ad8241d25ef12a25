"""The jobs, for programs: what is due, waits, runs, failed; try again, cancel, start."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from serving import errors, job_board
from serving.dependencies import Now, Reads, SessionOfRequest
from serving.languages import Language
from serving.security import RUNS_JOBS, allow

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"], responses=errors.PROBLEMS)
JobId = Annotated[int, Path(ge=1, le=2**63 - 1)]
JobName = Annotated[str, Path(max_length=64, description="A name of the schedule.")]
Lang = Annotated[str | None, Query(max_length=10, description="Language of the words.")]


class Job(BaseModel):
    """A job in the queue."""

    id: int
    name: str
    title: str
    state: job_board.State
    attempts: int = Field(description="Attempts that have ended.")
    queued_at: dt.datetime | None
    began_at: dt.datetime | None
    ended_at: dt.datetime | None
    next_try_at: dt.datetime | None = Field(description="Of a job that failed and waits.")
    worker: str | None
    heartbeat_at: dt.datetime | None = Field(description="Of the worker that runs it.")
    said: str = Field(description="The last lines of its newest attempt's log.")


class Due(BaseModel):
    """A job of the timetable."""

    name: str
    title: str
    rhythm: str = Field(description="nightly, weekly or a cron line (UTC).")
    next_at: dt.datetime
    last_state: job_board.State | None
    last_ended_at: dt.datetime | None
    may_start: bool


class Worker(BaseModel):
    """A worker by its last heartbeat."""

    id: int
    heartbeat_at: dt.datetime
    running: int
    is_alive: bool


class Jobs(BaseModel):
    """Everything about the jobs of the last 30 days."""

    schedule: list[Due]
    workers: list[Worker]
    running: list[Job]
    waiting: list[Job]
    failed: list[Job]
    history: list[Job]


class Started(BaseModel):
    """The number of the job that was queued."""

    id: int


def _job(job: job_board.Job, language: Language) -> Job:
    return Job(
        id=job.id, name=job.name, title=job.words.text(language.tag), state=job.state,
        attempts=job.attempts, queued_at=job.queued_at, began_at=job.began_at,
        ended_at=job.ended_at, next_try_at=job.next_try_at, worker=job.worker,
        heartbeat_at=job.heartbeat_at, said=job.said,
    )  # fmt: skip


def _due(due: job_board.Due, language: Language) -> Due:
    return Due(
        name=due.name, title=due.words.text(language.tag), rhythm=due.rhythm, next_at=due.next_at,
        last_state=due.last.state if due.last else None,
        last_ended_at=due.last.ended_at if due.last else None, may_start=due.may_start,
    )  # fmt: skip


@router.get("")
@allow(RUNS_JOBS)
def read_jobs(
    session: SessionOfRequest, now: Now, language: Reads,
    lang: Lang = None,  # noqa: ARG001 - read by Reads
) -> Jobs:  # fmt: skip
    """Return what is due when, what waits, runs, failed and was done."""
    found = job_board.board(session, now=now)
    return Jobs(
        schedule=[_due(due, language) for due in found.schedule],
        workers=[Worker.model_validate(each, from_attributes=True) for each in found.workers],
        running=[_job(job, language) for job in found.running],
        waiting=[_job(job, language) for job in found.waiting],
        failed=[_job(job, language) for job in found.failed],
        history=[_job(job, language) for job in found.history],
    )


@router.post("/{job_id}/retry", status_code=204)
@allow(RUNS_JOBS)
def retry_job(job_id: JobId, session: SessionOfRequest) -> None:
    """Queue a failed job again, now."""
    job_board.retry(session, job_id)


@router.post("/{job_id}/cancel", status_code=204)
@allow(RUNS_JOBS)
def cancel_job(job_id: JobId, session: SessionOfRequest) -> None:
    """Take a waiting job out of the queue, or end a running one."""
    job_board.cancel(session, job_id)


@router.post("/{name}/run-now", status_code=202)
@allow(RUNS_JOBS)
def run_job_now(name: JobName, session: SessionOfRequest, now: Now) -> Started:
    """Queue a nightly or weekly job now."""
    return Started(id=job_board.start(session, name, now=now))
