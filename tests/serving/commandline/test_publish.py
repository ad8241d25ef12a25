"""winward publish-kpis writes numbers down, replay-kpis finds what no longer comes out."""

from __future__ import annotations

import datetime as dt
import json

import pandas as pd
import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from crm_core import settings
from crm_core.database import transaction
from crm_core.kpis import operations
from crm_core.kpis.drafts import Draft
from crm_core.people.queries import Viewer
from serving.commandline.app import app
from serving.timetable import NIGHTLY
from tests import factories as make

AS_OF = "2026-06-10T09:00:00+00:00"
OPS = Viewer("ops", "Ops", "ops@x", "sales_ops", None, "")


@pytest.fixture
def store(engine, database_url, monkeypatch, tmp_path):
    """A company with a rep, an order and a metric of its own."""
    with transaction(engine) as session:
        make.a_company(session)
        make.a_user(session, key="rep")
        account = make.an_account(session)
        make.an_order(session, account=account, owner_id="rep", ordered_on=dt.date(2026, 5, 4))
        draft = Draft(id="x_big", name_zh="大单", name_en="Big", unit="money", way="sum",
                      direction="higher", fact="orders", value="amount / 2")  # fmt: skip
        operations.define(
            session, draft, valid_from=dt.date(2026, 1, 1), reason="why", owner_id=None,
            viewer=OPS, now=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        )  # fmt: skip
    monkeypatch.setenv("WINWARD_DATABASE_URL", database_url)
    monkeypatch.setenv("WINWARD_HOME", str(tmp_path))
    settings.load.cache_clear()
    yield engine
    settings.load.cache_clear()


def call(*arguments, code=0):
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=code != 0)
    assert result.exit_code == code, result.output
    return result.stdout


def test_publishes_once_a_night_and_comes_out_the_same(store):
    night = ("publish-kpis", "--cause", "nightly", "--as-of", AS_OF, "--json")
    first = json.loads(call(*night))
    assert first["values"] > 0
    assert first["left_out"] == []
    assert json.loads(call(*night)) == {**first, "values": 0}
    again = json.loads(call("replay-kpis", "--json"))
    assert (again["compared"], again["mismatches"]) == (first["values"], [])
    with transaction(store) as session:
        session.execute(text("delete from credits"))
        session.execute(text("update orders set amount_minor = 7"))
    said = call("replay-kpis", first["publication"], "--locale", "zh", code=1)
    assert "x_big v1 user rep 2026-Q2" in said
    assert "数值不同" in said


def test_publishes_the_periods_that_are_named(store):
    said = call("publish-kpis", "--period", "2026", "--period", "2026-05", "--as-of", AS_OF)
    assert "values published as number" in said
    with transaction(store) as session:
        found = set(session.scalars(text("select distinct period from kpi_values")))
    assert found == {"2026", "2026-05"}


def test_says_that_nothing_was_published(store):
    result = CliRunner().invoke(app, ["replay-kpis"])
    assert result.exit_code != 0
    assert "Nothing was published yet" in str(result.exception)


def test_is_a_job_of_the_night():
    assert NIGHTLY.index("publish_kpis") > NIGHTLY.index("refresh_scores")


def test_metrics_of_ones_own_are_in_the_table_of_kpis(store, tmp_path):
    out = tmp_path / "kpis.csv"
    call("kpis", "--period", "2026-Q2", "--as-of", AS_OF, "--out", out)
    table = pd.read_csv(out).set_index(["metric", "subject_id"])
    assert float(table.loc[("x_big", "rep"), "value"]) == 500
    assert float(table.loc[("x_big", "company"), "value"]) == 500
