"""The queue of jobs in PostgreSQL: its tables, and a worker's hold on the job it has taken."""

from __future__ import annotations

import datetime as dt
import logging
from importlib import metadata, resources

from procrastinate import App, Blueprint, PsycopgConnector
from procrastinate.exceptions import UniqueViolation
from procrastinate.jobs import Job, Status
from procrastinate.manager import JobManager
from sqlalchemy import Connection, make_url, text

from crm_core import row_security
from crm_core.database import create_engine
from serving import queue_views
from serving.leases import SCHEMA

LOG = logging.getLogger(__name__)
MOST_ATTEMPTS = 5
"""Attempts at one job, those counted that ended with their worker."""
_FORGOTTEN_SECONDS = 600.0
"""A worker is shown as silent for so long; then it is forgotten."""
_PREPARING = 7_246_913_002  # any number of ours: two programs must not install the queue at once

_MINE = """
with mine as (
  select id from procrastinate_jobs
  where id = %(job_id)s and attempts = %(attempts)s and status = 'doing'
  and worker_id is not distinct from %(worker_id)s for update
)
"""
_FINISH = (
    f"{_MINE} select procrastinate_finish_job_v1(id, %(status)s, %(delete_job)s)"  # noqa: S608 - constants of ours
    " from mine"
)
_RETRY = (
    f"{_MINE} select procrastinate_retry_job_v2(id, %(retry_at)s, %(new_priority)s,"  # noqa: S608 - constants of ours
    " %(new_queue_name)s, %(new_lock)s) from mine"
)
_END_RUN = """
update winward_runs set ended_at = now(), outcome = %(outcome)s
where job_id = %(job_id)s and ended_at is null
"""


class FencedManager(JobManager):
    """Ends or queues again only the attempt it is told of.

    A worker that was believed dead and wakes up must not end the attempt of the worker that
    took over; procrastinate's own functions go by the job's number alone.
    """

    async def finish_job(self, job: Job, status: Status, delete_job: bool) -> None:
        """End an attempt, unless another worker has the job by now."""
        await self.connector.execute_query_async(
            query=_FINISH, **_attempt(job), status=status.value, delete_job=delete_job
        )

    async def retry_job(
        self,
        job: Job,
        retry_at: dt.datetime | None = None,
        priority: int | None = None,
        queue: str | None = None,
        lock: str | None = None,
    ) -> None:
        """Queue a job again, unless another worker has it by now.

        Where the same work waits already, that will do it and this one is done with.
        """
        try:
            await self.connector.execute_query_async(
                query=_RETRY, **_attempt(job), retry_at=retry_at, new_priority=priority,
                new_queue_name=queue, new_lock=lock,
            )  # fmt: skip
        except UniqueViolation:
            await self.finish_job(job, Status.FAILED, delete_job=False)

    async def take_from_the_dead(self, seconds_since_heartbeat: float) -> None:
        """Queue again the jobs of workers without a heartbeat; give up what kills its workers."""
        for job in await self.get_stalled_jobs(seconds_since_heartbeat=seconds_since_heartbeat):
            LOG.warning("the worker of job %s is gone", job.call_string)
            await self.connector.execute_query_async(query=_END_RUN, job_id=job.id, outcome="lost")
            if job.attempts + 1 >= MOST_ATTEMPTS:
                await self.finish_job(job, Status.FAILED, delete_job=False)
            else:
                await self.retry_job(job)
        await self.prune_stalled_workers(max(seconds_since_heartbeat, _FORGOTTEN_SECONDS))


def _attempt(job: Job) -> dict[str, object]:
    return {"job_id": job.id, "attempts": job.attempts, "worker_id": job.worker_id}


def application(url: str, tasks: Blueprint) -> App:
    """Return the queue in the database of this URL with these tasks; open it before use."""
    conninfo = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    options = {"options": f"-c search_path={SCHEMA} -c timezone=UTC"}
    app = App(connector=PsycopgConnector(conninfo=conninfo, kwargs=options, min_size=1, max_size=4))
    app.job_manager = FencedManager(connector=app.connector)
    app.add_tasks_from(tasks, namespace="winward")
    return app


def prepare(url: str) -> None:
    """Install the queue's tables, or bring them to the installed release of procrastinate."""
    newest = metadata.version("procrastinate")
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _PREPARING})
            connection.exec_driver_sql(f"create schema if not exists {SCHEMA}")
            connection.exec_driver_sql(f"set local search_path = {SCHEMA}")
            present = connection.execute(
                text("select obj_description(to_regnamespace(:schema), 'pg_namespace')"),
                {"schema": SCHEMA},
            ).scalar()
            wanted = f"{newest} {queue_views.digest()}"
            if present != wanted:
                _install(connection, present, newest)
                connection.exec_driver_sql(f"comment on schema {SCHEMA} is '{wanted}'")
    finally:
        engine.dispose()


def _install(connection: Connection, present: str | None, newest: str) -> None:
    row_security.ensure_role(connection)
    scripts = _scripts(None if present is None else present.split()[0], newest)
    for script in (*queue_views.REMOVED, *scripts, *queue_views.MADE):
        # the driver itself, without parameters: it then takes many statements at once
        connection.connection.cursor().execute(script)


def _scripts(present: str | None, newest: str) -> list[str]:
    """Return the SQL that leads from one release of procrastinate to another."""
    folder = resources.files("procrastinate.sql")
    if present is None:
        return [(folder / "schema.sql").read_text(encoding="utf-8")]
    if present == newest:
        return []
    files = sorted((folder / "migrations").iterdir(), key=lambda file: file.name)
    return [
        file.read_text(encoding="utf-8")
        for file in files
        if file.name.endswith(".sql") and _release(file.name.split("_")[0]) > _release(present)
    ]


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
