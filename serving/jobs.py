"""The jobs: what is queued when, and what each job runs.

A job is a ``winward`` command run in a process of its own: it can be ended at once when the
worker stops, it cannot take the worker down, and a person can run the same command by hand.
Every command is idempotent, so that a job that died half-way is simply run again.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from pathlib import Path
from zoneinfo import ZoneInfo

from procrastinate import App, BaseRetryStrategy, Blueprint, JobContext, RetryDecision
from procrastinate.exceptions import AlreadyEnqueued
from procrastinate.jobs import Job
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from crm_core import clock
from crm_core.advice.models import Prediction
from crm_core.people.models import Company
from serving import import_jobs, job_queue, turns, webhooks
from serving.attending import Context, run
from serving.job_queue import MOST_ATTEMPTS
from serving.timetable import NIGHT_HOUR, UPKEEP, cron, night_of, of_night

STALLED_SECONDS = 30.0
KEPT_HOURS = 24 * 30
KEPT_UPKEEP_HOURS = 24
_FIRST_WAIT = 30

tasks = Blueprint()


class BackOff(BaseRetryStrategy):
    """Tries again after half a minute, then each time four times as long, some times in all."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:  # noqa: ARG002
        """Return when to try again, None to give up."""
        if job.attempts + 1 >= MOST_ATTEMPTS:
            return None
        return RetryDecision(retry_in={"seconds": _FIRST_WAIT * 4**job.attempts})


_RETRY = BackOff()
_QUEUED_AT = """
select max(at) as at from procrastinate_events
where job_id = %(job_id)s and type in ('deferred', 'retried')
"""
_FORGET_UPKEEP = """
delete from procrastinate_jobs j using procrastinate_events e
where e.job_id = j.id and j.status = 'succeeded' and e.type = 'succeeded'
and j.task_name = any(%(tasks)s::text[]) and e.at < now() - make_interval(hours => %(hours)s)
"""


def application(url: str) -> App:
    """Return the queue in the database of this URL with our jobs; open it before use."""
    return job_queue.application(url, tasks)


@tasks.periodic(cron=cron("schedule_nightly"))
@tasks.task(name="schedule_nightly", queueing_lock="schedule_nightly", pass_context=True)
async def schedule_nightly(context: JobContext, timestamp: int) -> None:
    """Queue the night's jobs once, at 2 o'clock of the company or as soon as we run again."""
    ours: Context = context.additional_context["winward"]
    due = await asyncio.to_thread(night_due, ours.engine, clock.now())
    if due is None:
        return
    for name in of_night(due):
        queued = await context.app.job_manager.list_jobs_async(task=f"winward:{name}")
        if not any(job.task_kwargs.get("night") == due.isoformat() for job in queued):
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


@tasks.periodic(cron=cron("retry_stalled"))
@tasks.task(name="retry_stalled", queueing_lock="retry_stalled", pass_context=True)
async def retry_stalled(context: JobContext, timestamp: int) -> None:
    """Queue again the jobs of workers that died: killed, or their machine stopped."""
    manager = context.app.job_manager
    assert isinstance(manager, job_queue.FencedManager)
    seconds = context.additional_context.get("stalled_seconds", STALLED_SECONDS)
    await manager.take_from_the_dead(seconds)


@tasks.periodic(cron=cron("run_processes"))
@tasks.task(
    name="run_processes", queueing_lock="run_processes", lock="processes", pass_context=True
)
async def run_processes(context: JobContext, timestamp: int) -> None:
    """Carry out rules, assign leads, make and remind of tasks, escalate approvals."""
    ours: Context = context.additional_context["winward"]
    await asyncio.to_thread(turns.take_turn, ours.engine, now=clock.now())


@tasks.periodic(cron=cron("deliver_webhooks"))
@tasks.task(
    name="deliver_webhooks", queueing_lock="deliver_webhooks", lock="webhooks", pass_context=True
)
async def deliver_webhooks(context: JobContext, timestamp: int) -> None:
    """Send the webhooks that are due."""
    ours: Context = context.additional_context["winward"]
    hosts = webhooks.allowed_hosts(ours.settings.webhook_hosts)
    await asyncio.to_thread(turns.deliver, ours.engine, now=clock.now(), allowed_hosts=hosts)


@tasks.periodic(cron=cron("watch_deals"))
@tasks.task(name="watch_deals", queueing_lock="watch_deals", lock="processes", pass_context=True)
async def watch_deals(context: JobContext, timestamp: int) -> None:
    """Tell owners which of their deals slipped or stalled, once a company day."""
    ours: Context = context.additional_context["winward"]
    await asyncio.to_thread(turns.watch, ours.engine, now=clock.now())


@tasks.periodic(cron=cron("work_on_imports"))
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


@tasks.periodic(cron=cron("forget_old_jobs"))
@tasks.task(name="forget_old_jobs", queueing_lock="forget_old_jobs", pass_context=True)
async def forget_old_jobs(context: JobContext, timestamp: int) -> None:
    """Delete records and logs of jobs that ended a month ago (of upkeep, yesterday); uploads."""
    ours: Context = context.additional_context["winward"]
    await context.app.connector.execute_query_async(
        query=_FORGET_UPKEEP, tasks=[f"winward:{name}" for name in UPKEEP], hours=KEPT_UPKEEP_HOURS
    )
    await asyncio.to_thread(_forget_logs, ours.settings.logs_folder / "jobs", clock.now())
    await asyncio.to_thread(import_jobs.forget_uploads, ours.engine, ours.settings, now=clock.now())
    await context.app.job_manager.delete_old_jobs(
        nb_hours=KEPT_HOURS, include_failed=True, include_cancelled=True, include_aborted=True
    )


def _forget_logs(folder: Path, now: dt.datetime) -> None:
    oldest = (now - dt.timedelta(hours=KEPT_HOURS)).timestamp()
    for log in folder.glob("*.log"):
        if log.stat().st_mtime < oldest:
            log.unlink(missing_ok=True)


@tasks.task(name="check_health", retry=_RETRY, pass_context=True)
async def check_health(context: JobContext, night: str) -> None:
    """Run every rule of data health on what is known."""
    await run(context, "health", "--cause", "nightly")


@tasks.task(name="settle_outcomes", retry=_RETRY, pass_context=True)
async def settle_outcomes(context: JobContext, night: str) -> None:
    """Write what became of earlier advice beside it."""
    await run(context, "settle", "--as-of", await moment_of(context))


@tasks.task(name="snapshot_forecasts", retry=_RETRY, pass_context=True)
async def snapshot_forecasts(context: JobContext, night: str) -> None:
    """Freeze every open deal and every cell of the forecast."""
    await run(context, "forecast", "snapshot", "--as-of", await moment_of(context))


@tasks.task(name="refresh_scores", retry=_RETRY, pass_context=True)
async def refresh_scores(context: JobContext, night: str) -> None:
    """Build the features of every open deal and score it."""
    as_of = await moment_of(context)
    await run(context, "features", "build", "--as-of", as_of)
    await run(context, "score", "win-rate", "--as-of", as_of)


@tasks.task(name="advise", retry=_RETRY, pass_context=True)
async def advise(context: JobContext, night: str) -> None:
    """Rank the next best actions of every open deal; the day's list is kept as a file too."""
    ours: Context = context.additional_context["winward"]
    out = ours.settings.home / "advice.csv"
    await run(context, "advise", "--as-of", await moment_of(context), "--out", str(out))


@tasks.task(name="publish_kpis", retry=_RETRY, pass_context=True)
async def publish_kpis(context: JobContext, night: str) -> None:
    """Write down every metric of the company, its units and people as of the night."""
    await run(context, "publish-kpis", "--cause", "nightly", "--as-of", await moment_of(context))


@tasks.task(name="check_retraining", retry=_RETRY, pass_context=True)
async def check_retraining(context: JobContext, night: str) -> None:
    """Train a challenger and say what it would gain; nothing is promoted unless settings say so."""
    await run(context, "retrain", "--as-of", await moment_of(context))


async def moment_of(context: JobContext) -> str:
    """Return when the job was queued: its as-of, the same however often it is tried."""
    found = await context.app.connector.execute_query_one_async(
        query=_QUEUED_AT, job_id=context.job.id
    )
    return str(found["at"].astimezone(dt.UTC).isoformat())
