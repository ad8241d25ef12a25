"""Each rule finds what is planted, names it, and is silent on sound data."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from sqlalchemy import text

from crm_core.health import operations, queries
from crm_core.health.catalogue import BY_ID, CATALOGUE, DIMENSIONS, resting_on
from crm_core.health.queries import UnfitData
from crm_core.kpis.catalogue import CATALOGUE as METRICS
from crm_core.kpis.definitions import Resolved
from crm_core.kpis.sources import SOURCES
from crm_core.people.queries import calendar
from tests import factories as make

NOW = dt.datetime(2026, 6, 17, 12, tzinfo=dt.UTC)  # a Wednesday
DAY = dt.timedelta(days=1)


@pytest.fixture
def sound(session):
    """Thirteen weeks of a small company in which nothing is wrong."""
    make.a_company(session)
    session.execute(text("insert into org_units (id, name, kind) values ('team', 'Team', 'team')"))
    rep = make.a_user(session, key="rep", org_unit_id="team")
    account = make.an_account(session, key="acme", owner_id="rep")
    make.a_contact(session, account=account, key="anna", email="anna@acme.example")
    for week in range(15):
        for number in range(4):
            at = NOW - (7 * week + number) * DAY
            deal = make.an_opportunity(
                session, key=f"d{week}-{number}", account=account, owner=rep, created_at=at,
                amount=str(1000 + 10 * week + number), expected_close_on=(NOW + 20 * DAY).date(),
            )  # fmt: skip
            make.an_activity(session, opportunity=deal, at=at, key=f"a{week}-{number}")
            if week > 6:
                make.moves(session, deal, to="Won", at=at + 3 * DAY)
    for number in range(3):
        make.an_order(
            session, account=account, owner_id="rep", key=f"o{number}",
            ordered_on=(NOW - number * DAY).date(), recorded_at=NOW - number * DAY,
        )  # fmt: skip
    session.execute(
        text("insert into credits (order_id, user_id, kind, share) values ('o1','rep','revenue',1)")
    )
    return session


def check(session, **more):
    operations.run(session, as_of=NOW, ran_at=NOW, cause="by_hand", **more)
    found = queries.newest(session, as_of=NOW, examples=True)
    return {result.rule.id: result for result in found.results}


PLANTS = {
    "open_deal_has_owner": (
        "update opportunities set owner_id = null where id like 'd0-%'", "d0-0"),
    "open_deal_has_amount": (
        "update opportunities set amount_minor = null where id like 'd0-%' or id like 'd1-%'",
        "d0-0",
    ),
    "open_deal_has_close_date": (
        "update opportunities set expected_close_on = null"
        " where id like 'd0-%' or id like 'd1-%'",
        "d0-0",
    ),
    "won_deal_has_amount": (
        "update opportunities set amount_minor = null where outcome = 'won'", "d10-0"),
    "order_is_credited": ("update orders set owner_id = null where id = 'o0'", "o0"),
    "activity_belongs_somewhere": (
        "update activities set opportunity_id = null, account_id = null where id like 'a1%'",
        "a1-0",
    ),
    "person_has_a_place": ("update users set org_unit_id = null", "rep"),
    "deal_closes_after_creation": (
        "update opportunities set closed_at = created_at - interval '1 day' where id = 'd8-1'",
        "d8-1",
    ),
    "deal_agrees_with_its_history": (
        "update opportunities set stage = 'Negotiate' where id = 'd2-2'", "d2-2"),
    "stage_is_known": ("delete from stages where stage = 'Qualify'", "d0-0"),
    "nothing_happened_later_than_now": (
        "update opportunity_events set occurred_at = '2027-01-01' where opportunity_id = 'd3-3'"
        " and field = 'amount'",
        "d3-3",
    ),
    "close_date_is_kept": (
        "update opportunities set expected_close_on = '2026-01-01' where outcome is null", "d0-0"),
    "shares_sum_to_one": ("update credits set share = 0.9", "o1"),
    "foreign_order_has_a_rate": ("update orders set currency = 'USD' where id = 'o2'", "o2"),
    "deals_are_fresh": (
        "update opportunity_events set occurred_at = occurred_at - interval '30 days',"
        " recorded_at = recorded_at - interval '30 days'",
        "opportunity_events",
    ),
    "activities_are_fresh": (
        "update activities set occurred_at = occurred_at - interval '30 days'", "activities"),
    "orders_are_fresh": ("update orders set ordered_on = ordered_on - 60", "orders"),
    "scores_are_fresh": (
        "insert into predictions (opportunity_id, as_of, scored_at, model, model_version,"
        " kind, p_win, base_value, contributions, reasons)"
        " select 'd0-0', t, t, 'win_rate', '1', 'base_rate', 0.5, 0, '{}', '[]'"
        " from (select timestamptz '2026-06-10') x(t)",
        "predictions",
    ),
    "account_is_unique": ("insert into accounts (id, name) values ('acme2', 'ACME.')", "acme2"),
    "contact_is_unique": (
        "insert into contacts (id, account_id, name, email)"
        " values ('bert', 'acme', 'Bert', 'ANNA@acme.example')",
        "bert",
    ),
    "order_is_unique": ("update orders set ordered_on = '2026-06-16'", "o1"),
    "new_deals_are_usual": (
        "update opportunities set created_at = created_at - interval '7 days'"
        " where created_at >= '2026-06-08' and created_at < '2026-06-15'",
        "opportunities",
    ),
    "activities_are_usual": (
        "delete from activities where occurred_at >= '2026-06-08' and occurred_at < '2026-06-15'",
        "activities",
    ),
    "amount_is_plausible": (
        "update opportunities set amount_minor = 1000000000 where id = 'd5-0'", "d5-0"),
}  # fmt: skip


class TestRules:
    def test_are_silent_on_sound_data(self, sound):
        found = check(sound)
        assert {name for name, result in found.items() if result.status == "failing"} == set()
        assert set(found) == set(BY_ID)

    def test_all_have_a_planted_fault(self):
        assert set(PLANTS) == set(BY_ID)

    @pytest.mark.parametrize("rule", CATALOGUE, ids=lambda rule: rule.id)
    def test_find_what_is_planted_and_name_it(self, sound, rule):
        before = check(sound, rules=[rule])[rule.id]
        assert before.status in ("ok", "nothing")
        statement, key = PLANTS[rule.id]
        sound.execute(text(statement))
        found = check(sound, rules=[rule])[rule.id]
        assert found.status == "failing"
        assert found.failing > before.failing
        assert key in [example for example, _ in found.examples]
        assert all(detail for _, detail in found.examples)

    def test_speak_both_languages_and_belong_to_a_dimension(self):
        for rule in CATALOGUE:
            assert rule.name("zh-CN") != rule.name("en")
            assert rule.remedy("zh-CN").endswith("。")
            assert rule.remedy("en").endswith(".")
            assert rule.dimension in DIMENSIONS
            assert set(rule.sources) <= set(SOURCES)

    def test_stop_something_only_when_critical(self):
        assert all(rule.severity == "critical" for rule in CATALOGUE if rule.blocks)
        assert all(rule.blocks for rule in CATALOGUE if rule.severity == "critical")

    def test_say_nothing_where_there_is_nothing(self, session):
        make.a_company(session)
        found = check(session)
        assert {result.status for result in found.values()} == {"nothing"}
        assert all(result.share is None for result in found.values())


class TestWhatRestsOnIt:
    def test_a_number_carries_the_rules_that_fail_under_it(self, sound):
        sound.execute(text(PLANTS["shares_sum_to_one"][0]))
        check(sound)
        ids = [item.id for item in METRICS]
        told = queries.failing_under(sound, ids, as_of=NOW)
        names = {metric_id: [rule.id for rule in rules] for metric_id, rules in told.items()}
        assert names["bookings"] == names["attainment"] == ["shares_sum_to_one"]
        assert names["pipeline"] == names["activities"] == []

    def test_nothing_is_known_before_the_first_run(self, sound):
        assert queries.failing_under(sound, ["bookings"], as_of=NOW) == {"bookings": ()}
        assert queries.newest(sound, as_of=NOW) is None

    def test_every_metric_rests_on_some_rule(self):
        """No rule looks at leads, contracts, frozen forecasts and the checks themselves yet."""
        unchecked = {"new_leads", "qualified_leads", "lead_cohort", "customers_lost",
                     "revenue_lost", "revenue_kept", "revenue_now", "complete_records",
                     "valid_records", "fresh_records", "market", "forecast_misses",
                     "forecast_leanings", "forecast_gains"}  # fmt: skip
        for item in METRICS:
            sources = Resolved(tuple(METRICS)).sources_of(item.id)
            assert bool(resting_on(sources)) != bool(unchecked & set(sources)), item.id


class TestTheGate:
    @pytest.mark.parametrize(
        ("rule", "stopped", "goes_on"),
        [
            ("deal_closes_after_creation", "training", "pay"),
            ("shares_sum_to_one", "pay", "training"),
        ],
    )
    def test_stops_what_a_critical_rule_names(self, sound, rule, stopped, goes_on):
        sound.execute(text(PLANTS[rule][0]))
        check(sound)
        queries.require_fit(sound, goes_on, as_of=NOW)
        with pytest.raises(UnfitData, match=rule) as caught:
            queries.require_fit(sound, stopped, as_of=NOW)
        assert PLANTS[rule][1] in caught.value.message

    def test_lets_warnings_pass(self, sound):
        sound.execute(text(PLANTS["open_deal_has_amount"][0]))
        assert check(sound)["open_deal_has_amount"].status == "failing"
        queries.require_fit(sound, "training", as_of=NOW)


class TestTheMonth:
    def test_tells_first_and_last_and_how_often_it_failed(self, sound):
        period = calendar(sound).parse("2026-06")
        for day in range(3):
            at = NOW - (3 - day) * dt.timedelta(hours=1)
            operations.run(sound, as_of=at, ran_at=at, cause="nightly")
            if day == 0:
                sound.execute(text(PLANTS["shares_sum_to_one"][0]))
        told = queries.month(sound, period, as_of=NOW)
        assert told.runs == 3
        row = next(row for row in told.rules if row.rule.id == "shares_sum_to_one")
        assert (row.first, row.last, row.failed_runs) == (Decimal(1), Decimal(0), 2)
        assert told.scores["freshness"] == 1
        assert 0 < told.scores["validity"] < 1

    def test_of_no_run_is_empty(self, sound):
        told = queries.month(sound, calendar(sound).parse("2025-01"), as_of=NOW)
        assert (told.runs, told.last, told.rules) == (0, None, ())
