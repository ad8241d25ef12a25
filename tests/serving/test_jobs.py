"""What is queued when, and that the jobs run commands that exist."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session
from typer.main import get_command

from crm_core.people.models import Company
from crm_core.settings import Settings
from serving import attending, job_queue, jobs, timetable
from serving.commandline.app import app


@pytest.fixture
def queue(database_url):
    """The URL of a database with the queue installed."""
    job_queue.prepare(database_url)
    return database_url


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
    for name in timetable.BY_HAND:
        asyncio.run(getattr(jobs, name).func(context, night="2026-06-30"))
    assert len(ran) == len(timetable.BY_HAND) + 1, "scoring is two commands"
    for arguments in ran:
        command, words = get_command(app), list(arguments)
        while words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        command.make_context(arguments[0], words)  # raises for unknown and for missing options
