"""A job's effect is had once, whatever becomes of the worker that had begun it."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from procrastinate.jobs import Job
from sqlalchemy import text

from crm_core.database import transaction
from serving import job_queue, jobs, leases
from serving.leases import Lease, LeaseLost

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def queue(database_url, engine):
    """The URL of a database with the queue installed and a table for effects."""
    job_queue.prepare(database_url)
    with engine.begin() as connection:
        connection.execute(text("create table effects (n integer)"))
    return database_url


def _in_queue(url, work):
    async def opened():
        app = jobs.application(url)
        async with app.open_async():
            return await work(app)

    return asyncio.run(opened())


def _defer(url, name, **arguments):
    _in_queue(
        url, lambda app: app.configure_task(name, allow_unknown=True).defer_async(**arguments)
    )


def _rows(engine, statement):
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def _start_worker(url, folder):
    arguments = [sys.executable, "-m", "tests.serving.queue_worker", url, str(folder)]
    return subprocess.Popen(arguments, cwd=REPOSITORY)


def _wait_until(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def _marks(folder, name):
    path = folder / name
    return path.read_text() if path.exists() else ""


def _wait_for_workers(engine, wanted):
    count = "select count(*) from procrastinate.procrastinate_workers"
    _wait_until(lambda: _rows(engine, count)[0][0] >= wanted)


EFFECTS = "select count(*) from effects"
STATE = (
    "select status::text, attempts from procrastinate.procrastinate_jobs"
    " where task_name = 'winward:effect'"
)
RUNS = (
    "select attempt, outcome from procrastinate.winward_runs r join"
    " procrastinate.procrastinate_jobs j on j.id = r.job_id"
    " where task_name = 'winward:effect' order by attempt"
)


class TestTwoWorkers:
    @pytest.fixture
    def workers(self, queue, engine, tmp_path):
        """Two workers that wait for jobs, ended after the test."""
        started = [_start_worker(queue, tmp_path) for _ in range(2)]
        try:
            _wait_for_workers(engine, 2)  # before, a signal would just end the process
            yield started
        finally:
            for worker in started:
                worker.kill()  # a stopped one too
                worker.wait()

    def _begun_by(self, engine, workers):
        """Return the worker that has the job, and the other."""
        _wait_until(lambda: _rows(engine, RUNS))
        (pid,) = _rows(engine, "select split_part(worker, ':', 2) from procrastinate.winward_runs")
        first, second = sorted(workers, key=lambda worker: worker.pid != int(pid[0]))
        return first, second

    def test_run_a_job_once(self, queue, workers, tmp_path):
        _defer(queue, "winward:test")
        _wait_until(lambda: _marks(tmp_path, "done"))
        time.sleep(0.5)
        for worker in workers:
            worker.send_signal(signal.SIGTERM)
        assert [worker.wait(20) for worker in workers] == [0, 0]
        assert _marks(tmp_path, "done") == "x"

    def test_do_once_what_a_killed_one_had_begun(self, queue, engine, workers, tmp_path):
        _defer(queue, "winward:effect")
        first, _ = self._begun_by(engine, workers)
        _wait_until(lambda: _marks(tmp_path, "began"))
        first.kill()
        first.wait()
        (tmp_path / "go-2").touch()
        time.sleep(1.2)  # until its heartbeat counts as stopped
        _defer(queue, "winward:retry_stalled", timestamp=0)
        _wait_until(lambda: _rows(engine, STATE) == [("succeeded", 2)])
        assert _rows(engine, EFFECTS) == [(1,)]
        assert _rows(engine, RUNS) == [(0, "lost"), (1, "done")]

    def test_keep_nothing_of_one_that_wakes_up_too_late(self, queue, engine, workers, tmp_path):
        """Stopped past its lease, it wakes while the second is at work, and does no harm."""
        _defer(queue, "winward:effect")
        first, _ = self._begun_by(engine, workers)
        _wait_until(lambda: _marks(tmp_path, "began"))
        first.send_signal(signal.SIGSTOP)
        time.sleep(1.2)
        _defer(queue, "winward:retry_stalled", timestamp=0)
        _wait_until(lambda: _marks(tmp_path, "began") == "xx")
        (tmp_path / "go-1").touch()
        first.send_signal(signal.SIGCONT)
        _wait_until(lambda: _marks(tmp_path, "refused"))
        time.sleep(0.5)  # until it would have ended the other's attempt
        assert _rows(engine, STATE) == [("doing", 1)]
        (tmp_path / "go-2").touch()
        _wait_until(lambda: _rows(engine, STATE) == [("succeeded", 2)])
        assert _rows(engine, EFFECTS) == [(1,)]
        assert _rows(engine, RUNS) == [(0, "lost"), (1, "done")]


def _add(engine, *, status, name="winward:advise", waits_as=None, attempts=0):
    statement = text(
        "insert into procrastinate.procrastinate_jobs"
        " (queue_name, task_name, status, queueing_lock, attempts)"
        " values ('default', :name, cast(:status as procrastinate.procrastinate_job_status),"
        " :waits_as, :attempts) returning id"
    )
    with engine.begin() as connection:
        connection.exec_driver_sql("set local search_path = procrastinate")
        values = {"name": name, "status": status, "waits_as": waits_as, "attempts": attempts}
        return connection.execute(statement, values).scalar_one()


def _states(engine):
    return dict(
        _rows(engine, "select id, status::text from procrastinate.procrastinate_jobs order by id")
    )


class TestTakingOver:
    def _take(self, url):
        _in_queue(url, lambda app: app.job_manager.take_from_the_dead(30))

    def test_is_not_held_up_by_a_job_whose_successor_waits(self, queue, engine):
        dead = _add(engine, status="doing", waits_as="run_processes")
        waiting = _add(engine, status="todo", waits_as="run_processes")
        another = _add(engine, status="doing", waits_as="advise")
        self._take(queue)
        assert _states(engine) == {dead: "failed", waiting: "todo", another: "todo"}

    def test_gives_up_a_job_that_kills_its_workers(self, queue, engine):
        last = _add(engine, status="doing", attempts=job_queue.MOST_ATTEMPTS - 1)
        again = _add(engine, status="doing", attempts=job_queue.MOST_ATTEMPTS - 2)
        self._take(queue)
        assert _states(engine) == {last: "failed", again: "todo"}

    def test_leaves_the_jobs_of_the_living_alone(self, queue, engine):
        job = _add(engine, status="doing")
        with engine.begin() as connection:
            connection.exec_driver_sql("set local search_path = procrastinate")
            connection.execute(text("select * from procrastinate_register_worker_v1()"))
            connection.execute(text("update procrastinate_jobs set worker_id = 1"))
        self._take(queue)
        assert _states(engine) == {job: "doing"}


class TestALease:
    def _take_away(self, engine, job):
        with engine.begin() as connection:
            connection.exec_driver_sql("set local search_path = procrastinate")
            connection.execute(
                text("update procrastinate_jobs set attempts = attempts + 1 where id = :job"),
                {"job": job},
            )

    def test_lets_its_holder_commit(self, queue, engine):
        with leases.held(Lease(_add(engine, status="doing"), 0)), transaction(engine) as session:
            session.execute(text("insert into effects values (1)"))
        assert _rows(engine, EFFECTS) == [(1,)]

    def test_that_is_lost_lets_nothing_be_committed(self, queue, engine):
        job = _add(engine, status="doing")
        self._take_away(engine, job)
        with leases.held(Lease(job, 0)), pytest.raises(LeaseLost), transaction(engine) as session:
            session.execute(text("insert into effects values (1)"))
        assert _rows(engine, EFFECTS) == [(0,)]
        with transaction(engine) as session:  # outside of the job nothing is asked
            session.execute(text("insert into effects values (2)"))
        assert _rows(engine, EFFECTS) == [(1,)]

    def test_that_is_lost_ends_the_command_that_works_for_it(self, queue, engine):
        job = _add(engine, status="doing")
        script = (
            "import sys, time\n"
            "from crm_core.database import create_engine\n"
            "from serving import leases\n"
            "lease = leases.Lease.from_text(sys.argv[2])\n"
            "with leases.held(lease), leases.watched(create_engine(sys.argv[1]), 0.1):\n"
            "    print('working', flush=True)\n"
            "    time.sleep(60)\n"
        )
        command = subprocess.Popen(
            [sys.executable, "-c", script, queue, f"{job}:0"], stdout=subprocess.PIPE
        )
        assert command.stdout.readline() == b"working\n"
        time.sleep(0.5)
        assert command.poll() is None
        self._take_away(engine, job)
        assert command.wait(20) == -signal.SIGTERM
        command.stdout.close()


def test_a_failed_job_is_tried_again_ever_later_and_then_given_up():
    waits = []
    for attempts in range(job_queue.MOST_ATTEMPTS):
        job = Job(id=1, queue="default", lock=None, queueing_lock=None, task_name="x",
                  attempts=attempts)  # fmt: skip
        found = jobs.BackOff().get_retry_decision(exception=RuntimeError(), job=job)
        waits.append(None if found is None else found.retry_at)
    assert [wait is None for wait in waits] == [False, False, False, False, True]
    between = [later - earlier for earlier, later in zip(waits[:3], waits[1:4], strict=True)]
    assert [round(each.total_seconds()) for each in between] == [90, 360, 1440]
