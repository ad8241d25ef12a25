"""Alerts that nobody asked for: who is off pace, and data that fail their rules."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy import select

from crm_core.health.catalogue import CATALOGUE
from crm_core.health.queries import Checkup, Result
from crm_core.health.telling import tell
from crm_core.processes import alerts, pace
from crm_core.processes.models import Alert
from crm_core.quotas.models import Quota
from tests import factories as make

NOW = dt.datetime(2026, 5, 27, 12, tzinfo=dt.UTC)  # a Wednesday; 57 of 91 days of the quarter
DAY = dt.timedelta(days=1)


def open_alerts(session, kind):
    found = session.scalars(
        select(Alert).where(Alert.kind == kind, Alert.resolved_at.is_(None)).order_by(Alert.user_id)
    )
    return {alert.user_id: alert for alert in found}


@pytest.fixture
def team(session):
    """A manager with one rep on course and one far behind, and one who has left."""
    make.a_company(session)
    make.a_user(session, key="boss", role="manager", name="Boss")
    for name, left in (("fast", None), ("slow", None), ("gone", dt.date(2026, 5, 1))):
        make.a_user(session, key=name, name=name.title(), manager_id="boss", left_on=left)
        session.add(
            Quota(subject_kind="user", subject_id=name, metric="bookings", amount_minor=100_000,
                  period_start=dt.date(2026, 4, 1), period_end=dt.date(2026, 7, 1),
                  recorded_at=NOW - 90 * DAY, currency="EUR")
        )  # fmt: skip
    account = make.an_account(session, key="acme")
    for name, amount in (("fast", 90_000), ("slow", 10_000)):
        make.an_order(session, account=account, owner_id=name, amount_minor=amount,
                      ordered_on=dt.date(2026, 5, 20))  # fmt: skip
    return session


class TestOffPace:
    def test_is_told_to_the_person_and_their_manager_once_a_week(self, team):
        assert pace.watch(team, now=NOW) == 2
        assert pace.watch(team, now=NOW + dt.timedelta(hours=1)) == 0
        found = open_alerts(team, "off_pace")
        assert set(found) == {"boss", "slow"}
        assert found["slow"].times == 1
        assert 0.1 < float(found["slow"].words["pace"]) < 0.2
        assert found["slow"].words["below"] == str(pace.TOLD_BELOW)
        assert [each["name"] for each in found["boss"].words["people"]] == ["Slow"]
        assert pace.watch(team, now=NOW + 7 * DAY) == 2  # the next week
        assert len(open_alerts(team, "off_pace")) == 2

    def test_is_settled_by_who_catches_up(self, team):
        pace.watch(team, now=NOW)
        make.an_order(team, account=make.an_account(team), owner_id="slow", amount_minor=90_000,
                      ordered_on=NOW.date(), recorded_at=NOW)  # fmt: skip
        assert pace.watch(team, now=NOW + DAY) == 0
        assert open_alerts(team, "off_pace") == {}

    def test_says_nothing_early_in_a_quarter_nor_without_quotas(self, team):
        assert pace.watch(team, now=dt.datetime(2026, 4, 10, 12, tzinfo=dt.UTC)) == 0
        assert pace.watch(team, now=dt.datetime(2026, 8, 27, 12, tzinfo=dt.UTC)) == 0


def a_run(*failing, at=NOW):
    return Checkup(
        run_id=1, as_of=at, ran_at=at, cause="nightly",
        results=tuple(
            Result(rule=rule, status="failing" if rule.id in failing else "ok", checked=10,
                   failing=int(rule.id in failing))
            for rule in CATALOGUE
        ),
    )  # fmt: skip


class TestDataHealth:
    def test_is_news_when_another_set_of_rules_fails_and_only_then(self, session):
        make.a_user(session, key="ops", role="sales_ops")
        make.a_user(session, key="rep")
        one, two = CATALOGUE[0].id, CATALOGUE[1].id
        tell(session, a_run(one))
        alerts.read_all(session, user_id="ops", now=NOW)
        tell(session, a_run(one, at=NOW + DAY))
        (alert,) = open_alerts(session, "data_health").values()
        assert (alert.user_id, alert.times, alert.read_at) == ("ops", 2, NOW)
        tell(session, a_run(one, two, at=NOW + 2 * DAY))
        (alert,) = open_alerts(session, "data_health").values()
        assert (alert.times, alert.read_at, alert.words["count"]) == (1, None, 2)
        assert list(CATALOGUE[0].names) in alert.words["rules"]
        tell(session, a_run(at=NOW + 3 * DAY))
        assert open_alerts(session, "data_health") == {}

    def test_goes_to_administrators_where_nobody_runs_the_processes(self, session):
        make.a_user(session, key="admin", role="admin")
        tell(session, a_run(CATALOGUE[0].id))
        assert set(open_alerts(session, "data_health")) == {"admin"}
