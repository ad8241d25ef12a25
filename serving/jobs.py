"""The jobs: a queue in the same PostgreSQL, what is queued when, and what each job runs.

A job is a ``winward`` command run in a process of its own: it can be ended at once when the
worker stops, it cannot take the worker down, and a person can run the same command by hand.
Every command is idempotent, so that a job that died half-way is simply run again.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import os
import signal
import sys
from dataclasses import dataclass
from importlib import metadata, resources
from zoneinfo import ZoneInfo

from procrastinate import App, Blueprint, JobContext, PsycopgConnector, RetryStrategy
from procrastinate.exceptions import AlreadyEnqueued
from sqlalchemy import Engine, func, make_url, select, text
from sqlalchemy.orm import Session

from crm_core import clock
from crm_core.advice.models import Prediction
from crm_core.database import create_engine
from crm_core.people.models import Company
from crm_core.settings import Settings
from serving import import_jobs, turns, webhooks

SCHEMA = "procrastinate"
NIGHT_HOUR = 2
STALLED_SECONDS = 30.0
KEPT_HOURS = 24 * 30
_PREPARING = 7_246_913_002  # any number of ours: two programs must not install the queue at once
_RETRY = RetryStrategy(max_attempts=4, exponential_wait=30)

NIGHTLY = ("settle_outcomes", "refresh_scores", "advise")
"""What is queued each night, in this order; they share a lock and so run one after another."""

tasks = Blueprint()


class CommandFailed(RuntimeError):
    """The command behind a job ended with an error; its log says why."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a job may use: the settings and an engine on the facts."""

    settings: Settings
    engine: Engine


def application(url: str) -> App:
    """Return the queue in the database of this URL; open it before use."""
    conninfo = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    options = {"options": f"-c search_path={SCHEMA} -c timezone=UTC"}
    app = App(connector=PsycopgConnector(conninfo=conninfo, kwargs=options, min_size=1, max_size=4))
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
            for script in _scripts(present, newest):
                # the driver itself, without parameters: it then takes many statements at once
                connection.connection.cursor().execute(script)
            connection.exec_driver_sql(f"comment on schema {SCHEMA} is '{newest}'")
    finally:
        engine.dispose()


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


def night_of(moment: dt.datetime, time_zone: ZoneInfo) -> dt.date:
    """Return the day whose nightly jobs are the last that were due at a moment."""
    return (moment.astimezone(time_zone) - dt.timedelta(hours=NIGHT_HOUR)).date()


@tasks.periodic(cron="*/10 * * * *")
@tasks.task(name="schedule_nightly", queueing_lock="schedule_nightly", pass_context=True)
async def schedule_nightly(context: JobContext, timestamp: int) -> None:
    """Queue the night's jobs once, at 2 o'clock of the company or as soon as we run again."""
    ours: Context = context.additional_context["winward"]
    due = await asyncio.to_thread(night_due, ours.engine, clock.now())
    if due is None:
        return
    queued = await context.app.job_manager.list_jobs_async(task="winward:refresh_scores")
    if any(job.task_kwargs.get("night") == due.isoformat() for job in queued):
        return
    for name in NIGHTLY:
        await queue(context.app, name, night=due)


async def queue(app: App, name: str, *, night: dt.date) -> None:
    """Queue one of our jobs unless it already waits."""
    task = app.configure_task(f"winward:{name}", lock="facts", queueing_lock=name)
    with contextlib.suppress(AlreadyEnqueued):
        await task.defer_async(night=night.isoformat())


def night_due(engine: Engine, moment: dt.datetime) -> dt.date | None:
    """Return the night whose jobs are due, None if there is no company or they have been done."""
    with Session(engine) as session:
        zone = session.scalar(select(Company.time_zone))
        if zone is None:
            return None
        night = night_of(moment, ZoneInfo(zone))
        began = dt.datetime.combine(night, dt.time(NIGHT_HOUR), tzinfo=ZoneInfo(zone))
        latest = session.scalar(select(func.max(Prediction.scored_at)))
    return None if latest is not None and latest >= began else night


@tasks.periodic(cron="* * * * *")
@tasks.task(name="retry_stalled", queueing_lock="retry_stalled", pass_context=True)
async def retry_stalled(context: JobContext, timestamp: int) -> None:
    """Queue again the jobs of workers that died: killed, or their machine stopped."""
    manager = context.app.job_manager
    seconds = context.additional_context.get("stalled_seconds", STALLED_SECONDS)
    for job in await manager.get_stalled_jobs(seconds_since_heartbeat=seconds):
        await manager.retry_job(job)


@tasks.periodic(cron="* * * * *")
@tasks.task(
    name="run_processes", queueing_lock="run_processes", lock="processes", pass_context=True
)
async def run_processes(context: JobContext, timestamp: int) -> None:
    """Carry out rules, assign leads, make and remind of tasks, escalate approvals."""
    ours: Context = context.additional_context["winward"]
    await asyncio.to_thread(turns.take_turn, ours.engine, now=clock.now())


@tasks.periodic(cron="* * * * *")
@tasks.task(
    name="deliver_webhooks", queueing_lock="deliver_webhooks", lock="webhooks", pass_context=True
)
async def deliver_webhooks(context: JobContext, timestamp: int) -> None:
    """Send the webhooks that are due."""
    ours: Context = context.additional_context["winward"]
    hosts = webhooks.allowed_hosts(ours.settings.webhook_hosts)
    await asyncio.to_thread(turns.deliver, ours.engine, now=clock.now(), allowed_hosts=hosts)


@tasks.periodic(cron="20 * * * *")
@tasks.task(name="watch_deals", queueing_lock="watch_deals", lock="processes", pass_context=True)
async def watch_deals(context: JobContext, timestamp: int) -> None:
    """Tell owners which of their deals slipped or stalled, once a company day."""
    ours: Context = context.additional_context["winward"]
    await asyncio.to_thread(turns.watch, ours.engine, now=clock.now())


@tasks.periodic(cron="* * * * *")
@tasks.task(
    name="work_on_imports",
    queueing_lock="work_on_imports",
    lock="imports",
    retry=_RETRY,
    pass_context=True,
)
async def work_on_imports(context: JobContext, timestamp: int) -> None:
    """Import what was uploaded and roll back what was asked for."""
    ours: Context = context.additional_context["winward"]
    if await asyncio.to_thread(import_jobs.is_waiting, ours.engine):
        await run(context, "imports", "work")


@tasks.periodic(cron="40 3 * * *")
@tasks.task(name="forget_old_jobs", queueing_lock="forget_old_jobs", pass_context=True)
async def forget_old_jobs(context: JobContext, timestamp: int) -> None:
    """Delete the records of jobs that ended a month ago."""
    await context.app.job_manager.delete_old_jobs(
        nb_hours=KEPT_HOURS, include_failed=True, include_cancelled=True, include_aborted=True
    )


@tasks.task(name="refresh_scores", retry=_RETRY, pass_context=True)
async def refresh_scores(context: JobContext, night: str) -> None:
    """Build the features of every open deal and score it."""
    as_of = clock.now().isoformat()
    await run(context, "features", "build", "--as-of", as_of)
    await run(context, "score", "win-rate", "--as-of", as_of)


@tasks.task(name="advise", retry=_RETRY, pass_context=True)
async def advise(context: JobContext, night: str) -> None:
    """Rank the next best actions of every open deal; the day's list is kept as a file too."""
    ours: Context = context.additional_context["winward"]
    out = ours.settings.home / "advice.csv"
    await run(context, "advise", "--as-of", clock.now().isoformat(), "--out", str(out))


@tasks.task(name="settle_outcomes", retry=_RETRY, pass_context=True)
async def settle_outcomes(context: JobContext, night: str) -> None:
    """Write what became of earlier advice beside it."""
    await run(context, "settle", "--as-of", clock.now().isoformat())


async def run(context: JobContext, *arguments: str) -> None:
    """Run ``winward …`` and wait; end it when the job is aborted. Raises CommandFailed."""
    ours: Context = context.additional_context["winward"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "serving.commandline", "--with-parent", str(os.getpid()), *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        env=ours.settings.environment(),
        process_group=0,
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
