"""Daily snapshots hold what was known, and a bridge between any two sums exactly."""

from __future__ import annotations

import datetime as dt
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, select, text

from crm_core.forecasts import bridges, frozen, operations, queries, snapshots
from crm_core.forecasts.attribution import worth
from crm_core.forecasts.catalogue import COLUMNS, category_of
from crm_core.forecasts.models import ForecastSnapshotCell, ForecastSnapshotDeal
from crm_core.money import Money
from crm_core.opportunities import queries as facts
from crm_core.opportunities.history import outcome
from crm_core.opportunities.models import Opportunity, OpportunityEvent, Stage
from crm_core.orders.conversion import rates
from crm_core.orders.models import FxRate
from crm_core.people.queries import visible_to
from tests import factories
from tests.crm_core.forecasts.conftest import NOON, QUARTER

DAY = dt.timedelta(days=1)
IN, OUT = dt.date(2026, 6, 10), dt.date(2026, 8, 10)
LATER = NOON + 7 * DAY


def a_deal(session, team, owner, stage, amount, *, due=IN, **columns):
    return factories.an_opportunity(
        session, owner=team.people[owner] if owner else None, stage=stage, amount=amount,
        expected_close_on=due, **columns,
    )  # fmt: skip


def change(session, deal, field, value, at):
    factories.an_event(session, deal, field=field, value=value, at=at)


def bridge(session, subject, asker, *, earlier=NOON, later=LATER, **more):
    return bridges.bridge(
        session, subject=subject, period=QUARTER, earlier=earlier, later=later, asker=asker, **more
    )


def spans(found):
    return {span.term: span.minor for span in found.spans}


def a_week(session, team):
    """One deal for each thing that can happen to Mara's commit between two Wednesdays."""
    at = NOON + 2 * DAY
    for day, rate in ((dt.date(2026, 4, 1), "0.5"), (at.date(), "0.6")):
        session.add(FxRate(base="USD", quote="EUR", valid_from=day, rate=rate))
    deals = {
        name: a_deal(session, team, "rosa", stage, amount, due=due, key=name, **columns)
        for name, stage, amount, due, columns in (
            ("won", "Propose", "1", IN, {}),
            ("lost", "Negotiate", "2", IN, {}),
            ("pulled", "Negotiate", "4", OUT, {}),
            ("pushed", "Negotiate", "8", IN, {}),
            ("up", "Negotiate", "16", IN, {}),
            ("down", "Negotiate", "32", IN, {}),
            ("category", "Propose", "64", IN, {}),
            ("in", "Negotiate", "128", IN, {}),
            ("out", "Negotiate", "256", IN, {}),
            ("dollars", "Negotiate", "512", IN, {"currency": "USD"}),
            ("still", "Negotiate", "1024", IN, {}),
        )
    }
    session.flush()
    change(session, deals["in"], "owner_id", "rita", NOON - DAY)
    factories.moves(session, deals["won"], to="Won", at=at)
    factories.moves(session, deals["lost"], to="Lost", at=at)
    change(session, deals["pulled"], "expected_close_on", IN.isoformat(), at)
    change(session, deals["pushed"], "expected_close_on", OUT.isoformat(), at)
    change(session, deals["up"], "amount", "17", at)
    change(session, deals["down"], "amount", "30", at)
    change(session, deals["category"], "forecast_category", "commit", at)
    change(session, deals["in"], "owner_id", "rolf", at)
    change(session, deals["out"], "owner_id", "rita", at)
    a_deal(session, team, "rolf", "Negotiate", "2048", key="new", created_at=at)
    return {
        "new": 2048_00, "won": 1_00, "lost": -2_00, "pulled_in": 4_00, "pushed_out": -8_00,
        "amount_up": 1_00, "amount_down": -2_00, "category_change": 64_00, "owner_in": 128_00,
        "owner_out": -256_00, "exchange_rate": 51_20,
    }  # fmt: skip


class TestABridge:
    def test_names_each_thing_that_happened(self, session, team):
        expected = a_week(session, team)
        found = bridge(session, "mara", team.asker("mara"))
        assert spans(found) == expected
        cells = [
            queries.cell(
                session, subject="mara", period=QUARTER, category="commit",
                viewer=team.asker("mara"), as_of=at,
            ).raw
            for at in (NOON, LATER)
        ]  # fmt: skip
        assert [found.opening, found.closing] == cells
        assert found.change == sum(expected.values())

    def test_has_the_deals_of_each_term_which_sum_to_it(self, session, team):
        a_week(session, team)
        found = bridge(session, "mara", team.asker("mara"))
        for span in found.spans:
            assert sum(part for _, part in span.deals) == span.minor
        won = next(span for span in found.spans if span.term == "won")
        assert won.deals == (("won", 1_00),)

    def test_names_no_deal_that_the_asker_may_not_see_now(self, session, team):
        a_week(session, team)
        session.get(Opportunity, "out").owner_id = "rita"
        session.flush()
        found = bridge(session, "mara", team.asker("mara"))
        assert "out" not in found.names
        assert "won" in found.names

    def test_between_two_snapshots_is_the_one_between_their_times(self, session, team, everyone):
        expected = a_week(session, team)
        for at in (NOON, LATER):
            snapshots.take_snapshot(session, as_of=at, recorded_at=at)
        found = bridge(session, "mara", team.asker("mara"))
        assert found.is_frozen == (True, True)
        assert spans(found) == expected
        company = bridge(session, None, everyone)
        assert spans(company) == {
            term: amount for term, amount in expected.items() if not term.startswith("owner")
        }

    def test_tells_what_people_set_as_one_more_term(self, session, team):
        a_week(session, team)
        operations.adjust(
            session, subject="rosa", period=QUARTER, method="cumulative", category="commit",
            amount=Money(5_000_00, "EUR"), note="felt so", now=NOON + DAY, **team.by("mara"),
        )  # fmt: skip
        plain = bridge(session, "mara", team.asker("mara"))
        found = bridge(session, "mara", team.asker("mara"), adjusted=True)
        assert found.opening == plain.opening
        assert found.change == sum(spans(found).values())
        assert spans(found)["adjustments"] == found.closing - plain.closing != 0

    def test_follows_a_person_who_changes_teams(self, session, team, everyone):
        a_deal(session, team, "rolf", "Negotiate", "9")
        session.execute(text("select set_config('winward.now', '2026-05-22T00:00:00Z', true)"))
        team.people["rolf"].manager_id = "max"
        session.flush()
        assert spans(bridge(session, "mara", team.asker("mara"))) == {"owner_out": -9_00}
        assert spans(bridge(session, "max", team.asker("max"))) == {"owner_in": 9_00}
        assert spans(bridge(session, "lena", team.asker("lena"))) == {}

    def test_leads_from_earlier_to_later(self, session, team):
        with pytest.raises(bridges.NotInOrder):
            bridge(session, "mara", team.asker("mara"), earlier=LATER, later=NOON)


class TestASnapshot:
    def test_holds_what_was_known_whatever_is_recorded_later(self, session, team):
        deal = a_deal(session, team, "rosa", "Negotiate", "10")
        snapshots.take_snapshot(session, as_of=NOON, recorded_at=NOON)
        change(session, deal, "amount", "99", NOON - DAY)
        held = frozen.positions(session, day=NOON.date(), ids=[deal.id], currency="EUR")
        assert held[deal.id].amount == 10

    def test_writes_only_what_changed(self, session, team):
        for number in range(5):
            a_deal(session, team, "rosa", "Negotiate", "10", key=f"d{number}")
        session.add(FxRate(base="USD", quote="EUR", valid_from=NOON.date(), rate="0.5"))
        tomorrow = NOON.date() + DAY
        session.add(FxRate(base="USD", quote="EUR", valid_from=tomorrow, rate="0.6"))
        dollars = a_deal(session, team, "rolf", "Negotiate", "10", currency="USD")
        first = snapshots.take_snapshot(session, as_of=NOON, recorded_at=NOON)
        assert first.deals == 6
        change(session, session.get(Opportunity, "d1"), "amount", "11", NOON + DAY)
        second = snapshots.take_snapshot(session, as_of=NOON + DAY, recorded_at=NOON + DAY)
        assert second.deals == 1
        held = frozen.positions(session, day=tomorrow, ids=["d0", "d1", dollars.id], currency="EUR")
        assert {each.opportunity_id: each.amount for each in held.values()} == {
            "d0": 10, "d1": 11, dollars.id: 10,
        }  # fmt: skip
        assert held[dollars.id].rate == Fraction(6, 10)

    def test_of_a_day_is_taken_once_and_forward(self, session, team):
        a_deal(session, team, "rosa", "Negotiate", "10")
        first = snapshots.take_snapshot(session, as_of=NOON, recorded_at=NOON)
        hour = dt.timedelta(hours=1)
        again = snapshots.take_snapshot(session, as_of=NOON + hour, recorded_at=NOON + hour)
        assert (again.snapshot, again.is_new) == (first.snapshot, False)
        with pytest.raises(snapshots.OutOfOrder):
            snapshots.take_snapshot(session, as_of=NOON - 3 * DAY, recorded_at=NOON)

    def test_marks_a_deal_whose_record_is_gone(self, session, team):
        deal = a_deal(session, team, "rosa", "Negotiate", "10")
        snapshots.take_snapshot(session, as_of=NOON, recorded_at=NOON)
        session.execute(delete(OpportunityEvent).where(OpportunityEvent.opportunity_id == deal.id))
        session.execute(delete(Opportunity).where(Opportunity.id == deal.id))
        snapshots.take_snapshot(session, as_of=LATER, recorded_at=LATER)
        assert spans(bridge(session, "rosa", team.asker("rosa"))) == {"removed": -10_00}

    def test_holds_every_cell_as_each_may_know_it(self, session, team):
        a_deal(session, team, "rosa", "Negotiate", "10")
        for author, subject, amount in (("rosa", "rosa", 12), ("mara", "rosa", 11)):
            operations.adjust(
                session, subject=subject, period=QUARTER, method="cumulative", category="commit",
                amount=Money(amount * 100, "EUR"), note="felt so", now=NOON, **team.by(author),
            )  # fmt: skip
        snapshots.take_snapshot(session, as_of=NOON, recorded_at=NOON)

        def held(name, at=NOON):
            return frozen.cells(
                session, day=at.date(), subjects=["rosa", "mara"], period=QUARTER,
                roll_up="cumulative", seen=visible_to(session, team.people[name], as_of=at),
            )  # fmt: skip

        assert held("rosa")["rosa", "commit"].all_adjustments == 12_00
        assert ("mara", "commit") not in held("rosa")
        assert held("mara")["rosa", "commit"].all_adjustments == 11_00
        assert held("mara")["mara", "commit"].owner_view == 11_00
        operations.adjust(
            session, subject="rosa", period=QUARTER, method="cumulative", category="commit",
            amount=None, note="no", now=NOON + DAY, **team.by("mara"),
        )  # fmt: skip
        snapshots.take_snapshot(session, as_of=NOON + DAY, recorded_at=NOON + DAY)
        assert held("mara", NOON + DAY)["rosa", "commit"].all_adjustments == 12_00
        assert held("mara")["rosa", "commit"].all_adjustments == 11_00

    def test_holds_the_cells_that_the_same_time_s_roll_up_has(self, session, team, everyone):
        a_week(session, team)
        for at in (NOON, LATER):
            snapshots.take_snapshot(session, as_of=at, recorded_at=at)
        for at in (NOON, LATER):
            for method in COLUMNS:
                held = frozen.cells(
                    session, day=at.date(), subjects=list(team.people), period=QUARTER,
                    roll_up=method, seen=everyone.may,
                )  # fmt: skip
                for name in team.people:
                    board = queries.board_of(
                        session, subject=name, period=QUARTER, method=method, asker=everyone,
                        as_of=at,
                    )  # fmt: skip
                    for column, cell in board.cells.items():
                        found = held.get((name, column))
                        assert (found.raw if found else 0) == cell.raw, (name, column)

    def test_cannot_be_changed(self, session, team):
        a_deal(session, team, "rosa", "Negotiate", "10")
        snapshots.take_snapshot(session, as_of=NOON, recorded_at=NOON)
        for table in (ForecastSnapshotDeal, ForecastSnapshotCell):
            assert session.scalar(select(func.count()).select_from(table)) > 0
            with pytest.raises(Exception, match="append-only"), session.begin_nested():
                session.execute(delete(table))


VALUES = {
    "stage": st.sampled_from(["Qualify", "Propose", "Negotiate", "Won", "Lost"]),
    "amount": st.integers(0, 10**5).map(str),
    "expected_close_on": st.sampled_from([IN.isoformat(), OUT.isoformat(), None]),
    "owner_id": st.sampled_from(["mara", "rosa", "rolf", "rita", "lone", None]),
    "forecast_category": st.sampled_from(["pipeline", "commit", "best_case", "omitted", None]),
}
a_change = st.sampled_from(sorted(VALUES)).flatmap(
    lambda field: st.tuples(st.just(field), VALUES[field])
)
histories = st.lists(
    st.tuples(
        st.sampled_from(["EUR", "USD", "JPY"]),
        st.lists(st.tuples(st.integers(-10, 12), a_change), max_size=6),
        st.integers(-12, 6),
    ),
    min_size=1,
    max_size=5,
)


def by_the_events(session, moment, people, categories):
    """The cell's value deal by deal, from each deal's events alone: the slow twin."""
    stages = {stage.stage: stage for stage in session.scalars(select(Stage))}
    kinds = {name: stage.kind for name, stage in stages.items()}
    ids = session.scalars(select(Opportunity.id)).all()
    result = {}
    for deal, found in facts.states(session, ids, as_of=moment).items():
        currency = session.get(Opportunity, deal).currency
        over = outcome(found, kinds)
        kind = kinds[found.stage]
        day, owner = found.expected_close_on, found.owner_id
        if over is not None:
            day = (over[1] + dt.timedelta(hours=2)).date()  # summer in Berlin
            at_close = facts.states(session, [deal], as_of=moment)[deal]
            events = [
                e
                for e in facts.events(session, [deal], as_of=moment)[deal]
                if e.field == "owner_id" and e.occurred_at <= over[1]
            ]
            last = max(events, key=lambda e: (e.occurred_at, e.recorded_at, e.sequence))
            owner = last.new_value if events else at_close.owner_id
        category = category_of(
            kind=kind, of_stage=stages[found.stage].forecast_category,
            picked=found.forecast_category,
        )  # fmt: skip
        counts = (
            owner in people and day is not None and QUARTER.contains(day) and category in categories
        )
        rate_day = day if over is not None else (moment + dt.timedelta(hours=2)).date()
        if not counts or found.amount is None:
            continue
        table = rates(session, to="EUR", day=rate_day, known_at=moment)
        rate = Fraction(1) if currency == "EUR" else Fraction(table.by_currency[currency])
        result[deal] = worth(Fraction(found.amount), rate, "EUR")
    return result


@pytest.fixture
def rated(session, team):
    for day, dollar, yen in (("2025-01-01", "0.5", "0.25"), ("2026-05-24", "0.75", "0.125")):
        for base, rate in (("USD", dollar), ("JPY", yen)):
            session.add(FxRate(base=base, quote="EUR", valid_from=day, rate=rate))
    session.flush()
    return team


class TestOnRandomHistories:
    @settings(
        max_examples=12, deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )  # fmt: skip
    @given(made=histories, column=st.sampled_from(sorted(COLUMNS["cumulative"])))
    def test_the_bridge_sums_to_the_change_that_the_events_tell(self, session, rated, made, column):
        with session.begin_nested() as savepoint:
            for number, (currency, changes, born) in enumerate(made):
                deal = a_deal(
                    session, rated, "rosa", "Propose", "100", key=f"h{number}",
                    currency=currency, created_at=NOON + born * DAY,
                )  # fmt: skip
                for turn, (day, (field, value)) in enumerate(changes):
                    if day >= born:
                        at = NOON + day * DAY + turn * dt.timedelta(minutes=1)
                        change(session, deal, field, value, at)
            categories = COLUMNS["cumulative"][column]
            asker = rated.asker("mara")
            people = {"mara", "rosa", "rolf"}
            ends = [by_the_events(session, at, people, categories) for at in (NOON, LATER)]
            live = bridge(session, "mara", asker, category=column)
            for at in (NOON, LATER):
                snapshots.take_snapshot(session, as_of=at, recorded_at=at)
            still = bridge(session, "mara", asker, category=column)
            savepoint.rollback()
        assert [live.opening, live.closing] == [sum(end.values()) for end in ends]
        assert live.change == sum(span.minor for span in live.spans)
        per_deal = {}
        for span in live.spans:
            for deal, part in span.deals:
                per_deal[deal] = per_deal.get(deal, 0) + part
        for deal in per_deal.keys() | ends[0].keys() | ends[1].keys():
            assert per_deal.get(deal, 0) == ends[1].get(deal, 0) - ends[0].get(deal, 0)
        assert still.is_frozen == (True, True)
        assert still.spans == live.spans
