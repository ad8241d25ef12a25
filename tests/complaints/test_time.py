"""The company's calendar and zone decide a period for everybody; a date is not an instant.

Each test is a thread of another product's users, with its own numbers.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from crm_core.accounts.models import Account
from crm_core.people.models import User
from crm_core.periods import FiscalCalendar
from serving import timetable
from tests.complaints.conftest import NOON
from tests.factories import an_activity, an_opportunity

VIEWERS = ("ann", "bob", "boss", "ops")  # whose clocks are 26 hours apart
MIDNIGHT = dt.time()


def calls(firm, *moments, owner="ann"):
    """Record calls of somebody at these times."""
    with firm.facts() as session:
        for number, moment in enumerate(moments):
            an_activity(session, key=f"call {number}", at=moment, user_id=owner, account_id="acme")


def closes(firm, *moments, owner="ann"):
    """Record deals of 100 euro that were won at these times."""
    with firm.facts() as session:
        for number, moment in enumerate(moments):
            an_opportunity(
                session, key=f"won {number}", owner=session.get(User, owner), amount="100",
                account=session.get(Account, "acme"), currency="EUR", stages={moment: "Won"},
                created_at=moment - dt.timedelta(days=40),
            )  # fmt: skip


class TestSuiteCrm:
    def test_suitecrm_9551_a_call_of_31_january_23_00_is_not_of_february(self, firm):
        firm.opens(time_zone="America/Phoenix")
        phoenix = ZoneInfo("America/Phoenix")
        calls(firm, dt.datetime(2026, 1, 31, 23, tzinfo=phoenix),
              dt.datetime(2026, 2, 1, 0, tzinfo=phoenix))  # fmt: skip
        january = firm.metric("ann", "activities", "2026-01")
        assert [(row["row_id"], row["day"]) for row in january["rows"]] == [
            ("call 0", "2026-01-31")
        ]
        february = firm.metric("ann", "activities", "2026-02")
        assert [(row["row_id"], row["day"]) for row in february["rows"]] == [
            ("call 1", "2026-02-01")
        ]

    def test_suitecrm_9552_people_in_other_zones_read_the_same_numbers(self, firm):
        firm.opens(time_zone="America/Phoenix")
        phoenix = ZoneInfo("America/Phoenix")
        edge = dt.datetime(2026, 2, 1, tzinfo=phoenix)
        closes(firm, edge - dt.timedelta(microseconds=1), edge, edge + dt.timedelta(hours=13))
        calls(firm, edge - dt.timedelta(hours=11), edge + dt.timedelta(hours=6))
        for period in ("2026-01", "2026-02", "2026-Q1", "2026-W05", "2026-W06"):
            read = {
                (firm.value(who, "won_amount", period), firm.value(who, "activities", period))
                for who in ("ann", "boss", "ops")
            }
            assert len(read) == 1, period
        assert firm.value("boss", "won_amount", "2026-01") == 100
        assert firm.value("ann", "won_amount", "2026-02") == 200
        with firm.facts() as session:  # the same person on another clock reads the same
            session.get(User, "ann").time_zone = "Pacific/Pago_Pago"
        assert firm.value("ann", "won_amount", "2026-01") == 100

    @pytest.mark.parametrize("zone", ["America/Chicago", "Pacific/Kiritimati", "Etc/GMT+12"])
    def test_suitecrm_9805_a_date_stays_what_was_entered(self, firm, zone):
        firm.opens(time_zone=zone)
        firm.makes("opportunities", id="d", account_id="acme", owner_id="ann", stage="Qualify",
                   created_at="2026-01-31T23:30:00Z", amount="10", currency="EUR",
                   expected_close_on="2026-01-31")  # fmt: skip
        firm.makes("orders", id="o", account_id="acme", owner_id="ann", ordered_on="2026-01-31",
                   amount="10", currency="EUR")  # fmt: skip
        for who in ("ann", "boss", "ops"):
            assert firm.gets(who, "/opportunities/d")["expected_close_on"] == "2026-01-31"
            listed = firm.gets(who, "/records/orders")["items"]
            assert [item["record"]["ordered_on"] for item in listed] == ["2026-01-31"]
            assert firm.value(who, "bookings", "2026-01") == 10
            assert firm.value(who, "bookings", "2026-02") == 0
            assert "31 Jan 2026" in firm.page(who, "/deals/d")
        back = firm.sends("ops", "GET", "/opportunities", params={"closes_before": "2026-02-01"})
        assert [item["id"] for item in back.json()["items"]] == ["d"]


class TestOthers:
    def test_metabase_4048_the_100000_of_october_2016_are_not_of_september(self, firm):
        firm.opens(time_zone="America/Bogota")
        firm.order("first", "60000", "EUR", on=dt.date(2016, 10, 1))
        firm.order("last", "40000", "EUR", on=dt.date(2016, 10, 31))
        for who in VIEWERS[2:]:
            by_month = [
                firm.value(who, "bookings", f"2016-{month}") for month in ("09", "10", "11")
            ]
            assert by_month == [0, 100_000, 0]
        firm.changes("company", "company", time_zone="Pacific/Kiritimati")
        assert firm.value("ops", "bookings", "2016-10") == 100_000

    def test_betterangels_2403_at_midnight_utc_on_1_january_it_is_still_december(self, firm):
        firm.opens(time_zone="America/Los_Angeles")
        firm.is_at(dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
        assert firm.gets("boss", "/kpis")["period"] == "2025-Q4"
        assert firm.gets("boss", "/data-health")["month"] == "2025-12"
        firm.is_at(dt.datetime(2026, 1, 1, 8, tzinfo=dt.UTC))
        assert firm.gets("boss", "/kpis")["period"] == "2026-Q1"
        assert firm.gets("boss", "/data-health")["month"] == "2026-01"

    def test_betterangels_2403_a_nightly_job_is_of_the_company_s_night(self):
        zone = ZoneInfo("America/Los_Angeles")
        at_midnight_utc = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
        assert timetable.night_of(at_midnight_utc, zone) == dt.date(2025, 12, 31)
        due = timetable.next_due("check_health", now=at_midnight_utc, time_zone=zone)
        assert due == dt.datetime(2026, 1, 1, 2, tzinfo=zone)

    @pytest.mark.parametrize(
        ("zone", "day"),
        [("America/New_York", "2026-03-08"), ("America/New_York", "2026-11-01"),
         ("Europe/Berlin", "2026-03-29"), ("Europe/Berlin", "2026-10-25"),
         ("Australia/Lord_Howe", "2026-04-05"), ("Australia/Lord_Howe", "2026-10-04"),
         ("America/Santiago", "2026-09-06"), ("America/Santiago", "2026-04-05"),
         ("Africa/Cairo", "2026-04-24"), ("America/Havana", "2026-11-01")],
    )  # fmt: skip
    def test_betterangels_2403_each_night_is_due_once_also_when_clocks_change(self, zone, day):
        """Walking over the change by minutes, every night's jobs become due exactly once."""
        zone = ZoneInfo(zone)
        start = dt.datetime.combine(dt.date.fromisoformat(day), MIDNIGHT, tzinfo=dt.UTC)
        moment, nights = start - dt.timedelta(days=2), []
        while moment < start + dt.timedelta(days=2):
            night = timetable.night_of(moment, zone)
            if not nights or nights[-1] != night:
                nights.append(night)
            due = timetable.next_due("check_health", now=moment, time_zone=zone)
            assert moment < due
            assert timetable.night_of(due, zone) == night + dt.timedelta(days=1), moment
            moment += dt.timedelta(minutes=30)
        assert nights == sorted(set(nights))


class TestClockChanges:
    @pytest.mark.parametrize(
        ("zone", "day", "hours"),
        [("America/New_York", "2026-03-08", 23), ("America/New_York", "2026-11-01", 25),
         ("Europe/Berlin", "2026-03-29", 23), ("Australia/Lord_Howe", "2026-10-04", 23.5),
         ("America/Santiago", "2026-09-06", 23)],
    )  # fmt: skip
    def test_of_a_day_leave_every_deal_in_exactly_one_week(self, firm, zone, day, hours):
        firm.opens(time_zone=zone).is_at(NOON + dt.timedelta(days=150))
        calendar = FiscalCalendar(ZoneInfo(zone))
        sunday = dt.date.fromisoformat(day)
        start, end = calendar.midnight(sunday), calendar.midnight(sunday + dt.timedelta(days=1))
        assert (end - start).total_seconds() == hours * 3600
        closes(firm, start, *(start + dt.timedelta(hours=h) for h in (1, 2, 3, 22)),
               end - dt.timedelta(microseconds=1), end)  # fmt: skip
        year, week, _ = sunday.isocalendar()
        this = firm.metric("ann", "won_amount", f"{year}-W{week:02d}")
        assert {row["day"] for row in this["rows"]} == {day}
        assert Decimal(this["kpi"]["value"]) == 600
        assert firm.value("ann", "won_amount", f"{year}-W{week + 1:02d}") == 100


class TestTimesWithoutAnOffset:
    @pytest.mark.parametrize(
        ("zone", "given", "meant"),
        [("America/New_York", "2026-03-08T02:30", "2026-03-08T07:30Z"),  # the clock skips it
         ("America/New_York", "2025-11-02T01:30", "2025-11-02T06:30Z"),  # the clock shows it twice
         ("Australia/Lord_Howe", "2026-04-05T01:45", "2026-04-04T15:15Z"),
         ("Pacific/Kiritimati", "2026-04-05T01:45", "2026-04-04T11:45Z")],
    )  # fmt: skip
    def test_mean_the_same_instant_in_a_file_and_in_a_question(self, firm, zone, given, meant):
        """Of a time that the clock shows twice it is the later one, as the databases read it."""
        firm.opens(time_zone=zone)
        meant = dt.datetime.fromisoformat(meant)
        firm.uploads(accounts=f"id,name,created_at\nfile,File,{given.replace('T', ' ')}\n")
        with firm.facts() as session:
            assert session.get(Account, "file").created_at == meant
        told = firm.gets("ann", "/kpis", as_of=given)["as_of"]
        assert dt.datetime.fromisoformat(told) == meant


class TestFourteenHours:
    @pytest.mark.parametrize(
        ("zone", "first_month", "quarter_start"),
        [("Pacific/Kiritimati", 1, "2026-04-01"), ("Etc/GMT+12", 1, "2026-04-01"),
         ("Pacific/Kiritimati", 4, "2026-04-01"), ("Etc/GMT+12", 7, "2026-01-01"),
         ("Asia/Kathmandu", 2, "2026-05-01"), ("Pacific/Chatham", 11, "2026-02-01")],
    )  # fmt: skip
    def test_around_the_world_a_quarter_ends_at_the_company_s_midnight(
        self, firm, zone, first_month, quarter_start
    ):
        firm.opens(time_zone=zone, fiscal_year_start_month=first_month)
        calendar = FiscalCalendar(ZoneInfo(zone), first_month)
        this = calendar.quarter_of(dt.date.fromisoformat(quarter_start))
        before = calendar.quarter_of(this.start - dt.timedelta(days=1))
        edge = calendar.midnight(this.start)
        closes(firm, edge - dt.timedelta(milliseconds=1), edge, edge + dt.timedelta(milliseconds=1))
        for who in ("ann", "boss"):
            assert firm.value(who, "won_amount", before.name) == 100
            assert firm.value(who, "won_amount", this.name) == 200
        firm.is_at(edge - dt.timedelta(milliseconds=1))
        assert firm.gets("ann", "/kpis")["period"] == before.name
        firm.is_at(edge)
        assert firm.gets("ann", "/kpis")["period"] == this.name
        assert edge < NOON
