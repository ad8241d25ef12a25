"""The page of jobs: what is due, waits, runs, failed; try again, cancel, start."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import RedirectResponse, Response

from serving import job_board
from serving.dependencies import Now, SessionOfRequest
from serving.security import RUNS_JOBS, allow
from serving.web import pages
from serving.web.pages import Framed

router = APIRouter(include_in_schema=False)
JobId = Annotated[int, Path(ge=1, le=2**63 - 1)]
JobName = Annotated[str, Path(max_length=64)]


def _back() -> Response:
    return RedirectResponse("/jobs", status_code=303)


@router.get("/jobs")
@allow(RUNS_JOBS)
def jobs_page(frame: Framed, session: SessionOfRequest, now: Now) -> Response:
    """Show the jobs; the page asks again by itself while one runs."""
    found = job_board.board(session, now=now)
    response = pages.render("jobs.html", frame, board=found, tries=job_board.tries)
    if found.is_busy:
        response.headers["refresh"] = "10"
    return response


@router.post("/jobs/{job_id}/retry")
@allow(RUNS_JOBS)
def retry_job(job_id: JobId, session: SessionOfRequest) -> Response:
    """Queue a failed job again."""
    job_board.retry(session, job_id)
    return _back()


@router.post("/jobs/{job_id}/cancel")
@allow(RUNS_JOBS)
def cancel_job(job_id: JobId, session: SessionOfRequest) -> Response:
    """Take a waiting job out of the queue, or end a running one."""
    job_board.cancel(session, job_id)
    return _back()


@router.post("/jobs/{name}/run-now")
@allow(RUNS_JOBS)
def run_job_now(name: JobName, session: SessionOfRequest, now: Now) -> Response:
    """Queue a nightly or weekly job now."""
    job_board.start(session, name, now=now)
    return _back()
