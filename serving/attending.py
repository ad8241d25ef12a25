"""What a worker does around each job: holds its lease, watches that it keeps it, notes the run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from procrastinate import JobContext
from procrastinate.jobs import Job
from procrastinate.worker import Worker
from sqlalchemy import Engine

from crm_core.errors import CrmError, printable
from crm_core.settings import Settings
from serving import leases
from serving.leases import Lease, LeaseLost
from serving.timetable import UPKEEP

LONGEST_SAID = 4000
"""Characters kept of what a run printed: its last ones."""

_BEGAN = """
insert into winward_runs (job_id, attempt, worker)
values (%(job)s, %(attempt)s, %(worker)s) on conflict do nothing
"""
_SAID = """
update winward_runs set said = %(said)s
where job_id = %(job)s and attempt = %(attempt)s and ended_at is null
"""
_ENDED = """
insert into winward_runs (job_id, attempt, worker, ended_at, outcome, said)
values (%(job)s, %(attempt)s, %(worker)s, now(), %(outcome)s, %(said)s)
on conflict (job_id, attempt) do update
set ended_at = excluded.ended_at, outcome = excluded.outcome, said = excluded.said
where winward_runs.ended_at is null
"""
_HELD = """
select exists (select 1 from procrastinate_jobs where id = %(job)s and attempts = %(attempt)s
and worker_id = %(worker_id)s and status = 'doing') as mine
"""


class CommandFailed(RuntimeError):
    """The command behind a job ended with an error; its log says why."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a job may use: the settings and an engine on the facts."""

    settings: Settings
    engine: Engine


def log_of(settings: Settings, job: Job) -> Path:
    """Return the file with what an attempt at a job printed."""
    return settings.logs_folder / "jobs" / f"{job.id}-{job.attempts}.log"


async def attend(
    call_next: Callable[[], Awaitable[Any]],
    context: JobContext,
    worker: Worker,  # noqa: ARG001 - the queue gives it
) -> Any:  # noqa: ANN401 - whatever the job returns
    """Run a job while it is ours, and write down how that went."""
    lease = _lease(context.job)
    notes = _Notes(context)
    await notes.begin()
    outcome, error = "failed", ""
    try:
        with leases.held(lease):
            result = await _while_ours(call_next, context, notes)
        outcome = "done"
    except asyncio.CancelledError:
        outcome = "stopped"
        raise
    except LeaseLost:
        outcome = "lost"
        raise
    except BaseException as problem:
        error = _sentence(problem)
        raise
    finally:
        await asyncio.shield(notes.end(outcome, error))
    return result


def _lease(job: Job) -> Lease:
    assert job.id is not None
    return Lease(job.id, job.attempts)


async def _while_ours(
    call_next: Callable[[], Awaitable[Any]], context: JobContext, notes: _Notes
) -> Any:  # noqa: ANN401 - whatever the job returns
    seconds = context.additional_context.get("look_seconds", leases.LOOK_SECONDS)
    work = asyncio.ensure_future(call_next())
    try:
        while not (await asyncio.wait({work}, timeout=seconds))[0]:
            if not await _is_ours(context):
                raise LeaseLost(f"Job {context.job.id} was taken over by another worker.")
            await notes.tell()
        return work.result()
    finally:
        if not work.done():
            work.cancel()
            await asyncio.wait({work})


async def _is_ours(context: JobContext) -> bool:
    job = context.job
    found = await context.app.connector.execute_query_one_async(
        query=_HELD, job=job.id, attempt=job.attempts, worker_id=job.worker_id
    )
    return bool(found["mine"])


def _sentence(problem: BaseException) -> str:
    return (
        problem.message if isinstance(problem, CrmError) else f"{type(problem).__name__}: {problem}"
    )


class _Notes:
    """Writes down the run of one attempt; upkeep jobs leave a trace only when they fail."""

    def __init__(self, context: JobContext) -> None:
        self._context = context
        self._known = {"job": context.job.id, "attempt": context.job.attempts}
        self._worker = f"{socket.gethostname()}:{os.getpid()}"
        self._quiet = context.job.task_name.removeprefix("winward:") in UPKEEP

    async def begin(self) -> None:
        """Note that the attempt began here."""
        if not self._quiet:
            await self._write(_BEGAN, worker=self._worker)

    async def tell(self) -> None:
        """Note what it printed so far."""
        if not self._quiet:
            await self._write(_SAID, said=self._printed())

    async def end(self, outcome: str, error: str) -> None:
        """Note how it ended."""
        if self._quiet and outcome == "done":
            return
        said = "\n".join(part for part in (self._printed(), printable(error)) if part)
        await self._write(_ENDED, worker=self._worker, outcome=outcome, said=said[-LONGEST_SAID:])

    def _printed(self) -> str:
        ours: Context | None = self._context.additional_context.get("winward")
        if ours is None:
            return ""
        log = log_of(ours.settings, self._context.job)
        with contextlib.suppress(FileNotFoundError), log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LONGEST_SAID))
            return printable(file.read().decode(errors="replace")).strip()[-LONGEST_SAID:]
        return ""

    async def _write(self, query: str, **values: object) -> None:
        await self._context.app.connector.execute_query_async(query=query, **self._known, **values)


async def run(context: JobContext, *arguments: str) -> None:
    """Run ``winward …`` and wait; end it when the job is aborted. Raises CommandFailed."""
    ours: Context = context.additional_context["winward"]
    log = log_of(ours.settings, context.job)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "serving.commandline", "--with-parent", str(os.getpid()),
            "--for-job", str(_lease(context.job)), *arguments,
            stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output,
            env=ours.settings.environment(), process_group=0,
        )  # fmt: skip
    try:
        code = await process.wait()
    except asyncio.CancelledError:
        _end_group(process.pid)
        await process.wait()
        raise
    if code != 0:
        raise CommandFailed(f"'winward {' '.join(arguments)}' ended with code {code}")


def _end_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGTERM)
