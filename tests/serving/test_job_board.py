"""The jobs on page, API and command: who sees them, what they say, what may be done to them."""

from __future__ import annotations

import datetime as dt
import json
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from typer.testing import CliRunner

from crm_core import settings as configuration
from crm_core.database import set_scope, transaction
from crm_core.people.models import User
from crm_core.settings import Settings
from serving import job_queue, timetable
from serving.commandline.app import app as commands
from tests.serving.conftest import NOON

HTML = {"accept": "text/html"}


@pytest.fixture
def queue(app, engine):
    """The queue beside the small company, with a worker that runs one of three jobs."""
    job_queue.prepare(engine.url.render_as_string(hide_password=False))
    _run(
        engine,
        "insert into procrastinate_workers default values",
        "select winward_run_job(name, '2026-06-30') from"
        " unnest(array['check_health', 'settle_outcomes', 'refresh_scores']) name",
        "update procrastinate_jobs set status = 'doing', worker_id = 1 where id = 1",
        "insert into winward_runs (job_id, attempt, worker, said)"
        " values (1, 0, 'host:12', '26 rules <b>')",
        "update procrastinate_jobs set status = 'doing', worker_id = 1 where id = 2",
        "select procrastinate_finish_job_v1(2, 'failed', false)",
        "insert into winward_runs (job_id, attempt, worker, ended_at, outcome, said)"
        " values (2, 0, 'host:12', now(), 'failed', 'The disk is full.')",
    )
    return engine


def _run(engine, *statements):
    with engine.begin() as connection:
        connection.exec_driver_sql("set local search_path = procrastinate, public")
        connection.exec_driver_sql("set local winward.everyone = 'on'")
        for statement in statements:
            # one job at a time holds the lock of the facts; here it does not matter
            connection.exec_driver_sql("update procrastinate_jobs set lock = null")
            connection.exec_driver_sql(statement)


def _state(engine, job):
    with engine.connect() as connection:
        asked = text("select status::text from procrastinate.procrastinate_jobs where id = :job")
        return connection.scalar(asked, {"job": job})


class TestTheApi:
    def test_tells_what_is_due_waits_runs_and_failed(self, queue, signed_in):
        told = signed_in("admin").get("/api/v1/jobs").json()
        assert [due["name"] for due in told["schedule"]] == list(timetable.TIMETABLE)
        nightly = told["schedule"][0]
        # 2 o'clock in Shanghai, after 20:00 there
        assert (nightly["rhythm"], nightly["next_at"]) == ("nightly", "2026-06-30T18:00:00Z")
        (running,) = told["running"]
        assert (running["name"], running["worker"], running["said"]) == (
            "check_health", "host:12", "26 rules <b>",
        )  # fmt: skip
        assert running["heartbeat_at"] is not None
        assert [job["name"] for job in told["waiting"]] == ["refresh_scores"]
        (failed,) = told["failed"]
        assert (failed["id"], failed["attempts"], failed["said"]) == (2, 1, "The disk is full.")
        assert told["workers"] == [
            {"id": 1, "heartbeat_at": told["workers"][0]["heartbeat_at"], "running": 1,
             "is_alive": True}
        ]  # fmt: skip

    def test_speaks_chinese(self, queue, signed_in):
        told = signed_in("admin").get("/api/v1/jobs?lang=zh").json()
        assert told["schedule"][0]["title"] == "检查数据健康"

    def test_has_a_timetable_before_any_worker_ran(self, app, signed_in):
        client = signed_in("admin")
        told = client.get("/api/v1/jobs").json()
        assert (len(told["schedule"]), told["workers"]) == (len(timetable.TIMETABLE), [])
        assert client.post("/api/v1/jobs/advise/run-now").status_code == 409
        assert client.get("/jobs", headers=HTML).status_code == 200

    def test_tries_a_failed_job_again(self, queue, signed_in):
        client = signed_in("admin")
        assert client.post("/api/v1/jobs/2/retry").status_code == 204
        assert _state(queue, 2) == "todo"
        refused = client.post("/api/v1/jobs/2/retry")
        assert (refused.status_code, "only a failed job" in refused.text) == (409, True)
        assert client.post("/api/v1/jobs/99/retry").status_code == 404
        (entry,) = client.get("/api/v1/audit?table=jobs").json()["items"]
        assert (entry["actor"], entry["action"], entry["record_id"]) == ("admin", "retry", "2")

    def test_cancels_what_waits_and_asks_what_runs_to_stop(self, queue, signed_in):
        client = signed_in("admin")
        assert client.post("/api/v1/jobs/3/cancel").status_code == 204
        assert client.post("/api/v1/jobs/1/cancel").status_code == 204
        assert (_state(queue, 3), _state(queue, 1)) == ("cancelled", "doing")
        page = client.get("/jobs", headers=HTML).text
        assert "is being stopped" in page
        assert client.post("/api/v1/jobs/3/cancel").status_code == 409

    def test_starts_a_job_once(self, queue, signed_in):
        client = signed_in("admin")
        started = client.post("/api/v1/jobs/advise/run-now")
        assert started.status_code == 202
        assert _state(queue, started.json()["id"]) == "todo"
        again = client.post("/api/v1/jobs/advise/run-now")
        assert (again.status_code, "waits already" in again.text) == (409, True)

    @pytest.mark.parametrize("name", ["retry_stalled", "nothing", "forget_old_jobs"])
    def test_starts_nothing_but_nightly_and_weekly_jobs(self, queue, signed_in, name):
        assert signed_in("admin").post(f"/api/v1/jobs/{name}/run-now").status_code == 404

    @pytest.mark.parametrize("user", ["rep", "manager", "leader", "finance"])
    def test_is_not_for_everybody(self, queue, signed_in, user):
        client = signed_in(user)
        assert client.get("/api/v1/jobs").status_code == 403
        assert client.get("/jobs").status_code == 403
        assert client.post("/api/v1/jobs/2/retry").status_code == 403
        assert "/jobs" not in client.get("/deals", headers=HTML).text

    def test_is_for_a_data_scientist(self, queue, signed_in):
        with transaction(queue) as session:
            session.get(User, "finance").role = "data_scientist"
        client = signed_in("finance")
        assert client.get("/api/v1/jobs").json()["failed"]
        assert client.post("/api/v1/jobs/2/retry").status_code == 204


class TestThePage:
    def test_shows_everything_and_runs_nothing_that_was_printed(self, queue, signed_in):
        page = signed_in("admin").get("/jobs", headers=HTML)
        assert page.headers["refresh"] == "10"
        assert "26 rules &lt;b&gt;" in page.text
        for word in ("The disk is full.", "busy", "host:12", "Try again", "Run now"):
            assert word in page.text

    def test_speaks_chinese(self, queue, signed_in):
        page = signed_in("admin").get("/jobs?lang=zh", headers=HTML).text
        for word in ("任务调度", "忙碌", "重试", "构建特征并为商机评分"):
            assert word in page

    def test_tries_again_and_starts_by_its_buttons(self, queue, signed_in):
        client = signed_in("admin")
        assert client.post("/jobs/2/retry").headers["location"] == "/jobs"
        assert client.post("/jobs/advise/run-now").headers["location"] == "/jobs"
        assert client.post("/jobs/3/cancel").headers["location"] == "/jobs"
        assert (_state(queue, 2), _state(queue, 3)) == ("todo", "cancelled")


class TestTheSecondNet:
    """The web's role reaches the queue by the views and functions alone."""

    def test_lets_the_web_read_and_write_no_table_of_the_queue(self, queue, bound_engine):
        for statement in (
            "select 1 from procrastinate.procrastinate_jobs",
            "delete from procrastinate.winward_runs",
            "select procrastinate.procrastinate_defer_jobs_v1('{}')",
            "delete from procrastinate.winward_workers",
        ):
            with bound_engine.connect() as connection, pytest.raises(ProgrammingError):
                connection.execute(text(statement))

    def test_shows_nothing_without_the_scope_of_everybody(self, queue, bound_engine):
        with transaction(bound_engine) as session:
            set_scope(session, user_id="rep", everyone=False, user_ids=["rep"])
            for view in ("winward_jobs", "winward_workers"):
                assert session.execute(text(f"select * from procrastinate.{view}")).all() == []

    @pytest.mark.parametrize(
        "call",
        [
            "winward_retry_job(2)",
            "winward_cancel_job(3)",
            "winward_run_job('advise', '2026-06-30')",
        ],
    )
    def test_does_nothing_without_the_scope_of_everybody(self, queue, bound_engine, call):
        with transaction(bound_engine) as session:
            set_scope(session, user_id="rep", everyone=False, user_ids=["rep"])
            with pytest.raises(ProgrammingError), session.begin_nested():
                session.execute(text(f"select procrastinate.{call}"))

    def test_queues_no_other_task(self, queue, bound_engine):
        call = "select procrastinate.winward_run_job('forget_old_jobs', '2026-06-30')"
        with transaction(bound_engine) as session:
            set_scope(session, user_id="admin", everyone=True, user_ids=())
            with pytest.raises(ProgrammingError), session.begin_nested():
                session.execute(text(call))


class TestTheCommand:
    @pytest.fixture
    def call(self, queue, tmp_path, monkeypatch):
        """A function that runs ``winward jobs …`` on this test's database."""
        url = queue.url.render_as_string(hide_password=False)
        chosen = Settings(home=tmp_path, database_url=url)
        monkeypatch.setattr(configuration, "load", lambda: chosen)
        return lambda *arguments: CliRunner().invoke(commands, ["jobs", *arguments])

    def test_lists_the_same(self, call):
        listed = call()
        assert listed.exit_code == 0, listed.output
        assert "1 workers, 1 busy. Times in Asia/Shanghai." in listed.output
        assert "The disk is full." in listed.output
        told = json.loads(call("--json").output)
        assert [job["id"] for job in told["failed"]] == [2]
        assert [due["name"] for due in told["schedule"]] == list(timetable.TIMETABLE)

    def test_queues_retries_and_cancels(self, call, queue):
        assert call("run", "advise").exit_code == 0
        assert call("retry", "2").exit_code == 0
        assert call("cancel", "3").exit_code == 0
        assert (_state(queue, 2), _state(queue, 3)) == ("todo", "cancelled")


class TestTheTimetable:
    SHANGHAI = ZoneInfo("Asia/Shanghai")

    @pytest.mark.parametrize(
        ("name", "now", "then"),
        [
            ("advise", "2026-06-30T17:59:00+00:00", "2026-06-30T18:00:00+00:00"),
            ("advise", "2026-06-30T18:00:00+00:00", "2026-07-01T18:00:00+00:00"),
            ("check_retraining", "2026-06-30T12:00:00+00:00", "2026-07-05T18:00:00+00:00"),
            ("check_retraining", "2026-07-05T18:00:00+00:00", "2026-07-12T18:00:00+00:00"),
            ("watch_deals", "2026-06-30T12:20:00+00:00", "2026-06-30T13:20:00+00:00"),
            ("schedule_nightly", "2026-06-30T12:59:59+00:00", "2026-06-30T13:00:00+00:00"),
            ("forget_old_jobs", "2026-06-30T12:00:00+00:00", "2026-07-01T03:40:00+00:00"),
        ],
    )
    def test_says_when_a_job_is_due_next(self, name, now, then):
        found = timetable.next_due(
            name, now=dt.datetime.fromisoformat(now), time_zone=self.SHANGHAI
        )
        assert found == dt.datetime.fromisoformat(then)

    def test_checks_retraining_in_the_night_to_monday_only(self):
        days = [dt.date(2026, 6, 29) + dt.timedelta(days=n) for n in range(7)]
        assert [len(timetable.of_night(day)) for day in days] == [7, 6, 6, 6, 6, 6, 6]

    def test_is_asked_at_noon_of_the_tests(self):
        assert timetable.night_of(NOON, self.SHANGHAI) == dt.date(2026, 6, 30)
