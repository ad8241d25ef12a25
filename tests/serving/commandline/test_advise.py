"""winward advise, kpis and settle write the tables of the exchange format."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal

import pandas as pd
import pytest
from sqlalchemy import func, select, text
from typer.testing import CliRunner

from crm_core import settings
from crm_core.advice.models import AdviceDecision, Recommendation, RecommendationOutcome
from crm_core.database import transaction
from crm_core.orders.models import Order
from serving.commandline.app import app
from serving.table_file import NotATableFile
from tests import factories as make
from tests.serving.coaching.test_recommend import NOW, a_neglected_deal

run = CliRunner()
AS_OF = NOW.isoformat()


@pytest.fixture
def store(engine, database_url, monkeypatch, tmp_path):
    """A store with two neglected deals of a rep and an order, reached as a command reaches it."""
    with transaction(engine) as session:
        make.a_company(session)
        rep = make.a_user(session, key="rep")
        for key in ("d1", "d2"):
            a_neglected_deal(session, key, owner=rep)
        account = make.an_account(session)
        make.an_order(session, account=account, owner_id="rep", ordered_on=dt.date(2026, 5, 4))
    monkeypatch.setenv("WINWARD_DATABASE_URL", database_url)
    monkeypatch.setenv("WINWARD_HOME", str(tmp_path))
    settings.load.cache_clear()
    yield engine
    settings.load.cache_clear()


def call(*arguments):
    result = run.invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def counted(engine, table):
    with transaction(engine) as session:
        return session.scalar(select(func.count()).select_from(table))


class TestAdvise:
    def test_writes_the_columns_of_the_exchange_format_and_logs(self, store, tmp_path):
        out = tmp_path / "advice.csv"
        told = json.loads(call("advise", "--as-of", AS_OF, "--out", out, "--json"))
        table = pd.read_csv(out)
        assert list(table.columns) == [
            "opportunity_id", "user_id", "rank", "action", "propensity", "expected_lift",
            "expected_value", "currency", "basis", "reason",
        ]  # fmt: skip
        assert told.pop("unrecorded") == [
            "Too few won deals with a stage history: nothing can be said of stalled stages."
        ]
        assert told == {
            "rows": 6, "deals": 2, "open_deals": 2, "held_out": 0, "out": str(out),
        }  # fmt: skip
        assert set(table["basis"]) == {"playbook"}
        assert set(table["user_id"]) == {"rep"}
        assert table.groupby("opportunity_id")["rank"].apply(list).tolist() == [[1, 2, 3]] * 2
        assert table["propensity"].between(0.05, 1).all()
        assert counted(store, AdviceDecision) == 2
        assert counted(store, Recommendation) == 6

    def test_writes_the_same_again_without_logging_twice(self, store, tmp_path):
        first, second = tmp_path / "a.csv", tmp_path / "b.csv"
        for out in (first, second):
            call("advise", "--as-of", AS_OF, "--out", out)
        assert first.read_bytes() == second.read_bytes()
        assert counted(store, Recommendation) == 6

    def test_speaks_chinese(self, store, tmp_path):
        out = tmp_path / "advice.parquet"
        call("advise", "--as-of", AS_OF, "--out", out, "--locale", "zh-CN")
        assert all("。" in reason for reason in pd.read_parquet(out)["reason"])

    def test_says_what_is_missing_where_it_has_nothing_to_say(self, engine, store, tmp_path):
        with transaction(store) as session:
            for table in ("activities", "opportunity_contacts"):
                session.execute(text(f"delete from {table}"))
            session.execute(
                text(
                    "delete from opportunity_events where field in ('expected_close_on', 'amount')"
                )
            )
        out = tmp_path / "advice.csv"
        said = call("advise", "--as-of", AS_OF, "--out", out)
        assert said.startswith("0 actions on 0 of 2 open deals written to")
        for missing in ("No activity", "No contact", "expected close date", "Too few won deals"):
            assert missing in said
        assert len(pd.read_csv(out)) == 0
        chinese = call("advise", "--as-of", AS_OF, "--out", out, "--locale", "zh")
        assert "没有任何商机活动记录" in chinese

    def test_refuses_a_language_it_does_not_speak(self, store, tmp_path):
        result = run.invoke(app, ["advise", "--out", str(tmp_path / "a.csv"), "--locale", "fr"])
        assert result.exit_code == 2
        assert "'fr'" in result.output

    def test_refuses_a_file_it_cannot_write_before_any_work(self, store, tmp_path):
        with pytest.raises(NotATableFile, match="csv or .parquet"):
            call("advise", "--out", tmp_path / "advice.xlsx")
        assert counted(store, AdviceDecision) == 0


class TestSettle:
    def test_writes_outcomes_beside_the_recommendations(self, store, tmp_path):
        call("advise", "--as-of", AS_OF, "--out", tmp_path / "a.csv")
        with transaction(store) as session:
            from crm_core.opportunities.models import Opportunity

            deal = session.get(Opportunity, "d1")
            make.moves(session, deal, to="Won", at=NOW + dt.timedelta(days=9))
        later = (NOW + dt.timedelta(days=10)).isoformat()
        told = json.loads(call("settle", "--as-of", later, "--json"))
        assert told == {"activity": 0, "stage_advanced": 0, "won": 3, "lost": 0}
        assert counted(store, RecommendationOutcome) == 3


class TestKpis:
    @pytest.mark.parametrize("ending", [".csv", ".parquet"])
    def test_writes_company_and_people(self, store, tmp_path, ending):
        out = tmp_path / f"kpis{ending}"
        call("kpis", "--period", "2026-Q2", "--as-of", AS_OF, "--out", out)
        table = pd.read_csv(out) if ending == ".csv" else pd.read_parquet(out)
        assert list(table.columns) == [
            "metric", "version", "subject_kind", "subject_id", "value", "unit", "currency",
            "reason_if_none",
        ]  # fmt: skip
        bookings = table[table["metric"] == "bookings"].set_index("subject_id")
        assert Decimal(str(bookings.loc["company", "value"])) == 1000
        assert Decimal(str(bookings.loc["rep", "value"])) == 1000
        missing = table[table["value"].isna()]
        assert missing["reason_if_none"].notna().all()
        assert "attainment" in set(missing["metric"])

    def test_says_why_there_is_no_number(self, store, tmp_path):
        with transaction(store) as session:
            session.execute(Order.__table__.delete())
        out = tmp_path / "kpis.csv"
        call("kpis", "--period", "2026-Q2", "--as-of", AS_OF, "--out", out)
        table = pd.read_csv(out).set_index(["metric", "subject_id"])
        row = table.loc[("bookings", "company")]
        assert pd.isna(row["value"])
        assert row["reason_if_none"] == "No order is recorded at all."
