"""Jobs run once, at the company's night, and are taken over when their worker is killed."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session
from typer.main import get_command

from crm_core.people.models import Company
from crm_core.settings import Settings
from serving import attending, job_queue, jobs, timetable
from serving.commandline.app import app

_WORKER = """
import asyncio, sys, time
from pathlib import Path
from serving import attending, jobs

url, folder = sys.argv[1], Path(sys.argv[2])
app = jobs.application(url)

@app.task(name="winward:test", queueing_lock="test")
async def work(seconds: float):
    with (folder / "began").open("a") as file:
        file.write("x")
    await asyncio.sleep(seconds if (folder / "began").read_text() == "x" else 0)
    with (folder / "done").open("a") as file:
        file.write("x")

async def main():
    async with app.open_async():
        await app.run_worker_async(
            additional_context={"stalled_seconds": 1.0, "look_seconds": 0.2}, concurrency=2,
            worker_middleware=[attending.attend],
            update_heartbeat_interval=0.2, stalled_worker_timeout=1.0,
            fetch_job_polling_interval=0.2, shutdown_graceful_timeout=0.5,
        )

asyncio.run(main())
"""


@pytest.fixture
def queue(database_url):
    """The URL of a database with the queue installed."""
    job_queue.prepare(database_url)
    return database_url


def _defer(url: str, name: str, **arguments: object) -> None:
    async def defer() -> None:
        app = jobs.application(url)
        async with app.open_async():
            await app.configure_task(name, allow_unknown=True).defer_async(**arguments)

    asyncio.run(defer())


def _start_worker(url: str, folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", _WORKER, url, folder])


def _wait_for(path: Path, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path.name} did not happen"
        time.sleep(0.05)


def _wait_for_workers(engine: Engine, wanted: int, seconds: float = 60) -> None:
    count = text("select count(*) from procrastinate.procrastinate_workers")
    deadline = time.monotonic() + seconds
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while connection.scalar(count) < wanted:
            assert time.monotonic() < deadline, "the workers did not start"
            time.sleep(0.1)


def test_installing_the_queue_twice_changes_nothing(queue, engine):
    count = text("select count(*) from pg_class where relnamespace = 'procrastinate'::regnamespace")
    with engine.connect() as connection:
        before = connection.scalar(count)
    job_queue.prepare(queue)
    with engine.connect() as connection:
        assert connection.scalar(count) == before > 0


def test_the_tables_of_the_queue_do_not_mix_with_the_facts(queue, engine):
    with engine.connect() as connection:
        assert connection.scalar(text("select to_regclass('public.procrastinate_jobs')")) is None


def test_a_job_runs_once_although_two_workers_wait_for_it(queue, engine, tmp_path):
    workers = [_start_worker(queue, tmp_path) for _ in range(2)]
    try:
        _wait_for_workers(engine, len(workers))  # before, a signal would just end the process
        _defer(queue, "winward:test", seconds=0)
        _wait_for(tmp_path / "done")
        time.sleep(0.5)
    finally:
        for worker in workers:
            worker.send_signal(signal.SIGTERM)
    assert [worker.wait(10) for worker in workers] == [0, 0]
    assert (tmp_path / "done").read_text() == "x"


def test_the_job_of_a_killed_worker_is_done_by_the_next(queue, tmp_path):
    _defer(queue, "winward:test", seconds=60)
    first = _start_worker(queue, tmp_path)
    _wait_for(tmp_path / "began")
    first.kill()
    first.wait()
    time.sleep(1.2)  # until its heartbeat counts as stopped
    second = _start_worker(queue, tmp_path)
    try:
        _defer(queue, "winward:retry_stalled", timestamp=0)
        _wait_for(tmp_path / "done")
    finally:
        second.send_signal(signal.SIGTERM)
        assert second.wait(10) == 0
    assert (tmp_path / "began").read_text() == "xx"
    assert (tmp_path / "done").read_text() == "x"


@pytest.mark.parametrize(
    ("moment", "zone", "night"),
    [
        ("2026-06-30T01:59:00+00:00", "UTC", "2026-06-29"),
        ("2026-06-30T02:00:00+00:00", "UTC", "2026-06-30"),
        ("2026-06-29T18:00:00+00:00", "Asia/Shanghai", "2026-06-30"),
        ("2026-06-30T08:59:00+00:00", "America/Los_Angeles", "2026-06-29"),
    ],
)
def test_the_night_is_the_companys(moment, zone, night):
    found = timetable.night_of(dt.datetime.fromisoformat(moment), ZoneInfo(zone))
    assert found.isoformat() == night


def test_a_night_is_due_only_when_there_is_a_company(engine, as_of):
    assert jobs.night_due(engine, as_of) is None
    with Session(engine) as session, session.begin():
        session.add(Company(name="Test", currency="EUR", time_zone="UTC"))
    assert jobs.night_due(engine, as_of) == dt.date(2026, 6, 29)


def test_a_waiting_job_is_not_queued_twice(queue, engine):
    async def twice() -> None:
        app = jobs.application(queue)
        async with app.open_async():
            for _ in range(2):
                for name in timetable.NIGHTLY:
                    await jobs.queue(app, name, night=dt.date(2026, 6, 30))

    asyncio.run(twice())
    with engine.connect() as connection:
        found = connection.execute(
            text("select task_name, lock, args from procrastinate.procrastinate_jobs order by id")
        ).all()
    assert [row.task_name for row in found] == [f"winward:{name}" for name in timetable.NIGHTLY]
    assert {row.lock for row in found} == {"facts"}  # one after another
    assert all(json.dumps(row.args) == '{"night": "2026-06-30"}' for row in found)


def test_every_job_runs_commands_that_exist_with_what_they_require(monkeypatch, tmp_path):
    ran: list[tuple[str, ...]] = []

    async def record(_context: object, *arguments: str) -> None:
        ran.append(arguments)

    async def moment(_context: object) -> str:
        return "2026-06-30T00:00:00+00:00"

    monkeypatch.setattr(jobs, "run", record)
    monkeypatch.setattr(jobs, "moment_of", moment)
    ours = attending.Context(Settings(home=tmp_path), engine=None)
    context = SimpleNamespace(additional_context={"winward": ours})
    for name in timetable.NIGHTLY:
        asyncio.run(getattr(jobs, name).func(context, night="2026-06-30"))
    assert len(ran) == 5
    for arguments in ran:
        command, words = get_command(app), list(arguments)
        while words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        command.make_context(arguments[0], words)  # raises for unknown and for missing options
