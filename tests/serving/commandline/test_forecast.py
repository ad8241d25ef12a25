"""``winward forecast`` writes honest rows; its snapshot is the nightly job's and idempotent."""

from __future__ import annotations

import datetime as dt

import pytest

from crm_core.database import transaction
from crm_core.forecasts import frozen
from crm_core.people.queries import calendar
from serving import forecast_file, forecasting, timetable
from tests import factories

NOON = dt.datetime(2026, 5, 20, 10, tzinfo=dt.UTC)


@pytest.fixture
def small(session):
    """A manager with a rep in a unit, a deal open and a deal won."""
    from crm_core.people.models import OrgUnit

    factories.a_company(session)
    session.add(OrgUnit(id="east", name="East"))
    session.flush()
    boss = factories.a_user(session, key="boss", role="manager", org_unit_id="east")
    rep = factories.a_user(session, key="rep", manager_id=boss.id, org_unit_id="east")
    for amount, stage in (("100", "Negotiate"), ("40", "Qualify")):
        deal = factories.an_opportunity(
            session, owner=rep, amount=amount, stage=stage, created_at=NOON - dt.timedelta(days=30),
            expected_close_on=dt.date(2026, 6, 1),
        )  # fmt: skip
    factories.moves(session, deal, to="Won", at=NOON - dt.timedelta(days=3))
    return session


class TestTheFile:
    def test_has_the_exchange_columns_and_says_what_is_missing(self, small):
        table = forecast_file.forecast_table(
            small, period=calendar(small).parse("2026-Q2"), as_of=NOON, locale="en"
        )
        assert tuple(table.columns) == forecast_file.COLUMNS
        rows = table.set_index(["subject_kind", "subject_id"])
        assert list(rows.index) == [
            ("company", "company"), ("org_unit", "east"), ("user", "boss"), ("user", "rep"),
        ]  # fmt: skip
        assert {str(value) for value in rows.closed} == {"40.00"}
        for column in ("mean", "p10", "p50", "p90", "p_attain"):
            assert rows[column].isna().all(), column
        assert rows.abstained.str.contains("too short").all()


class TestTheSnapshot:
    def test_is_taken_every_night(self):
        assert "snapshot_forecasts" in timetable.NIGHTLY

    def test_freezes_once_a_day_and_says_what_it_did(self, small):
        first = forecasting.freeze(small, as_of=NOON, now=NOON)
        again = forecasting.freeze(small, as_of=NOON, now=NOON + dt.timedelta(hours=1))
        assert (first["is_new"], first["deals"], first["open_deals"]) == (True, 2, 1)
        assert (again["is_new"], again["deals"]) == (False, 0)
        assert [each.day for each in frozen.snapshots(small, until=NOON)] == [NOON.date()]
        assert first["baselines"] == 3 * 3

    def test_is_a_command(self, engine, monkeypatch):
        from contextlib import contextmanager

        from typer.testing import CliRunner

        from serving.commandline import store
        from serving.commandline.app import app

        with transaction(engine) as session:
            factories.a_company(session)

        @contextmanager
        def opened(_settings):
            yield engine

        monkeypatch.setattr(store, "store", opened)
        done = CliRunner().invoke(app, ["forecast", "snapshot", "--json"])
        assert done.exit_code == 0, done.output
        assert '"is_new": true' in done.output
        without = CliRunner().invoke(app, ["forecast", "--period", "2026-Q2"])
        assert without.exit_code != 0
