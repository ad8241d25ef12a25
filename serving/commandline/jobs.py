"""``winward jobs``: what runs by itself, and starting, retrying and cancelling it by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from serving.commandline.languages import parse_locale

if TYPE_CHECKING:
    import datetime as dt
    from zoneinfo import ZoneInfo

    from sqlalchemy.orm import Session

    from serving.job_board import Board, Job

LOCALE = typer.Option("en", callback=parse_locale, help="Language: en or zh-CN (zh for short).")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="The scheduled jobs.", invoke_without_command=True)
    group.callback()(jobs)
    group.command("run")(run)
    group.command("retry")(retry)
    group.command("cancel")(cancel)
    app.add_typer(group, name="jobs")


@contextmanager
def _opened() -> Iterator[tuple[Session, dt.datetime]]:
    """Yield a session that may see and do everything to the jobs, and the time."""
    from crm_core import clock
    from crm_core.audit.operations import Origin, set_origin
    from crm_core.database import set_scope, transaction
    from crm_core.settings import load
    from serving import job_queue
    from serving.commandline.store import store

    now = clock.now()
    with store(load()) as engine:
        job_queue.prepare(engine.url.render_as_string(hide_password=False))
        with transaction(engine) as session:
            set_scope(session, user_id=None, everyone=True, user_ids=())
            set_origin(session, Origin(actor=None, at=now, channel="cli"))
            yield session, now


def jobs(
    context: typer.Context,
    locale: str = LOCALE,
    as_json: bool = typer.Option(False, "--json", help="Print everything as JSON."),
) -> None:
    """List what is due when, what waits, runs and failed. Times are the company's."""
    if context.invoked_subcommand is not None:
        return
    from zoneinfo import ZoneInfo

    from crm_core.people.queries import company_or_none
    from serving import job_board

    with _opened() as (session, now):
        found = job_board.board(session, now=now)
        company = company_or_none(session)
    if as_json:
        print(json.dumps(_as_json(found, locale), ensure_ascii=False, indent=1))
        return
    zone = ZoneInfo(company.time_zone if company else "UTC")
    print("\n".join(_lines(found, locale, zone)))


def run(
    name: str = typer.Argument(help="A nightly or weekly job, such as refresh_scores."),
) -> None:
    """Queue a job now; a running worker takes it up at once."""
    from serving import job_board

    with _opened() as (session, now):
        number = job_board.start(session, name, now=now)
    print(f"Job {number} ({name}) waits for a worker; winward jobs shows how it goes.")


def retry(job: int = typer.Argument(help="The number of a failed job.")) -> None:
    """Queue a failed job again, now."""
    from serving import job_board

    with _opened() as (session, _):
        job_board.retry(session, job)
    print(f"Job {job} waits for a worker.")


def cancel(job: int = typer.Argument(help="The number of a waiting or running job.")) -> None:
    """Take a waiting job out of the queue, or end a running one."""
    from serving import job_board

    with _opened() as (session, _):
        job_board.cancel(session, job)
    print(f"Job {job} is cancelled.")


def _lines(board: Board, locale: str, zone: ZoneInfo) -> Iterator[str]:
    """Yield the board as text."""

    def at(moment: dt.datetime | None) -> str:
        return "–" if moment is None else f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S}"

    alive = [worker for worker in board.workers if worker.is_alive]
    busy = sum(worker.running > 0 for worker in alive)
    yield f"{len(alive)} workers, {busy} busy. Times in {zone.key}."
    for title, jobs_there in (
        ("running", board.running), ("waiting", board.waiting), ("failed", board.failed),
        ("ended", board.history[:20]),
    ):  # fmt: skip
        for job in jobs_there:
            when = job.next_try_at or job.ended_at or job.began_at or job.queued_at
            yield f"{job.state if title == 'ended' else title:9} {job.id:6}  {at(when)}  {job.name}"
            yield from _said(job)
    yield ""
    for due in board.schedule:
        last = "never ran" if due.last is None else f"{due.last.state} {at(due.last.ended_at)}"
        yield f"next {at(due.next_at)}  {due.name:17} {last}  {due.words.text(locale)}"


def _said(job: Job) -> Iterator[str]:
    if job.state in ("failed", "waiting", "running"):
        yield from (f"{'':18}{line}" for line in job.said.splitlines()[-5:])


def _as_json(board: Board, locale: str) -> dict[str, object]:
    def plain(job: Job) -> dict[str, object]:
        return {
            "id": job.id, "name": job.name, "state": job.state, "attempts": job.attempts,
            "queued_at": _iso(job.queued_at), "began_at": _iso(job.began_at),
            "ended_at": _iso(job.ended_at), "next_try_at": _iso(job.next_try_at),
            "worker": job.worker, "heartbeat_at": _iso(job.heartbeat_at), "said": job.said,
        }  # fmt: skip

    return {
        "schedule": [
            {
                "name": due.name,
                "title": due.words.text(locale),
                "rhythm": due.rhythm,
                "next_at": _iso(due.next_at),
                "last": None if due.last is None else plain(due.last),
            }
            for due in board.schedule
        ],
        "workers": [
            {
                "id": worker.id,
                "heartbeat_at": _iso(worker.heartbeat_at),
                "running": worker.running,
                "is_alive": worker.is_alive,
            }
            for worker in board.workers
        ],
        **{
            name: [plain(job) for job in getattr(board, name)]
            for name in ("running", "waiting", "failed", "history")
        },
    }


def _iso(moment: dt.datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
