"""Cells from facts: which deals count where, who may see and set what, and what is kept."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from crm_core.database import set_scope
from crm_core.forecasts import judgement, operations, queries
from crm_core.forecasts.models import ForecastAdjustment
from crm_core.forecasts.queries import NoSuchForecast
from crm_core.kpis import queries as kpis
from crm_core.money import Money
from crm_core.opportunities.models import Opportunity
from crm_core.orders.models import FxRate
from tests import factories
from tests.crm_core.forecasts.conftest import NOON, QUARTER

DAY = dt.timedelta(days=1)
IN = dt.date(2026, 6, 10)


def a_deal(session, team, owner, stage, amount, *, due=IN, **columns):
    return factories.an_opportunity(
        session,
        owner=team.people[owner] if owner else None,
        stage=stage,
        amount=amount,
        expected_close_on=due,
        **columns,
    )


def cells(session, subject, asker, *, as_of=NOON, method="cumulative"):
    return queries.board_of(
        session, subject=subject, period=QUARTER, method=method, asker=asker, as_of=as_of
    )


def raw(board):
    return {column: cell.raw for column, cell in board.cells.items()}


@pytest.fixture
def example(session, team):
    """MONEY.md §3 spread over a team: closed 50, commit 100, best case 150, pipeline 200."""
    won = a_deal(session, team, "rosa", "Negotiate", "50")
    factories.moves(session, won, to="Won", at=NOON - 3 * DAY)
    a_deal(session, team, "rosa", "Negotiate", "100")
    a_deal(session, team, "rolf", "Propose", "150")
    a_deal(session, team, "mara", "Qualify", "200")
    lost = a_deal(session, team, "rolf", "Negotiate", "7000")
    factories.moves(session, lost, to="Lost", at=NOON - DAY)
    a_deal(session, team, "rolf", "Negotiate", "7000", due=dt.date(2026, 7, 1))
    a_deal(session, team, "rolf", "Negotiate", "7000", due=None)
    return team


class TestACell:
    def test_of_the_worked_example_has_its_numbers(self, session, example):
        board = cells(session, "mara", example.asker("mara"))
        assert raw(board) == {
            "open_pipeline": 450_00, "best_case": 300_00, "most_likely": 150_00,
            "commit": 150_00, "closed": 50_00,
        }  # fmt: skip
        single = cells(session, "mara", example.asker("mara"), method="single")
        assert raw(single) == {
            "pipeline": 200_00, "best_case": 150_00, "most_likely": 0, "commit": 100_00,
            "closed": 50_00,
        }  # fmt: skip

    def test_shows_each_report_and_what_is_one_s_own(self, session, example):
        board = cells(session, "mara", example.asker("mara"))
        assert {line.subject_id: line.cells["best_case"].raw for line in board.lines} == {
            "rolf": 150_00,
            "rosa": 150_00,
        }
        assert board.cells["open_pipeline"].own.minor == 200_00

    def test_is_the_sum_of_the_deals_behind_it(self, session, example):
        for method in ("cumulative", "single"):
            for column, amount in raw(
                cells(session, "lena", example.asker("lena"), method=method)
            ).items():
                behind = queries.deals_behind(
                    session, subject="lena", period=QUARTER, category=column, method=method,
                    asker=example.asker("lena"), as_of=NOON,
                )  # fmt: skip
                assert sum(deal.minor for deal in behind) == amount, column

    def test_agrees_with_the_metrics_of_the_same_facts(self, session, example, everyone):
        board = cells(session, None, everyone)
        metrics = kpis.values(
            session, ["won_amount", "pipeline_in_period"], scope=everyone.may, period=QUARTER,
            as_of=NOON,
        )  # fmt: skip
        assert board.cells["closed"].raw == metrics["won_amount"].numerator
        assert board.cells["open_pipeline"].raw == metrics["pipeline_in_period"].numerator

    def test_takes_a_fixed_number_of_statements(self, session, example, statements):
        with statements() as few:
            cells(session, "mara", example.asker("mara"))
        for number in range(20):
            rep = factories.a_user(session, manager_id="mara")
            example.people[rep.id] = rep
            a_deal(session, example, rep.id, "Negotiate", str(number))
        with statements() as many:
            cells(session, "mara", example.asker("mara"))
        assert len(many) == len(few) <= 9

    def test_counts_a_deal_without_a_value_apart(self, session, team):
        a_deal(session, team, "rosa", "Negotiate", None)
        a_deal(session, team, "rosa", "Negotiate", "10", currency="CHF")
        a_deal(session, team, "rosa", "Negotiate", "10")
        found = cells(session, "rosa", team.asker("rosa")).cells["commit"].deals
        assert (found.minor, found.deals, found.unpriced, found.without_amount) == (10_00, 3, 1, 1)

    def test_converts_an_open_deal_at_today_s_rate_and_a_won_one_at_its_day_s(self, session, team):
        for day, rate in ((dt.date(2026, 4, 1), "0.5"), (dt.date(2026, 5, 19), "0.8")):
            session.add(FxRate(base="USD", quote="EUR", valid_from=day, rate=rate))
        session.flush()
        won = a_deal(session, team, "rosa", "Negotiate", "100", currency="USD")
        factories.moves(session, won, to="Won", at=NOON - 5 * DAY)
        a_deal(session, team, "rosa", "Negotiate", "100", currency="USD")
        board = cells(session, "rosa", team.asker("rosa"))
        assert (board.cells["closed"].raw, board.cells["commit"].raw) == (50_00, 130_00)


class TestThePlaceOfADeal:
    def test_with_its_owner_without_a_place_is_reported_and_counted(self, session, team, everyone):
        a_deal(session, team, "lone", "Negotiate", "70")
        a_deal(session, team, None, "Negotiate", "5")
        a_deal(session, team, "rosa", "Negotiate", "1")
        board = cells(session, None, everyone)
        assert board.cells["commit"].raw == 76_00
        assert {each.subject_id: each.cells["commit"].raw for each in board.unplaced} == {
            "lone": 70_00
        }
        assert board.unowned["commit"].minor == 5_00
        lines = sum(line.cells["commit"].raw for line in (*board.lines, *board.unplaced))
        assert lines + board.unowned["commit"].minor == board.cells["commit"].raw

    def test_stays_with_the_team_of_an_owner_who_left(self, session, team):
        a_deal(session, team, "rolf", "Negotiate", "9")
        team.people["rolf"].left_on = dt.date(2026, 5, 1)
        session.flush()
        assert cells(session, "mara", team.asker("mara")).cells["commit"].raw == 9_00

    def test_has_lines_that_sum_to_the_whole_whoever_has_left(self, session, team):
        a_deal(session, team, "rosa", "Negotiate", "5")
        adjust(session, team, "mara", "rolf", 7_00)
        team.people["rolf"].left_on = team.people["rosa"].left_on = dt.date(2026, 5, 1)
        session.flush()
        board = cells(session, "mara", team.asker("mara"))
        lines = {line.subject_id: line.cells["commit"].all_adjustments for line in board.lines}
        assert lines == {"rosa": 5_00, "rolf": 7_00}
        assert board.cells["commit"].without_owner == 12_00

    def test_is_by_the_tree_of_the_day(self, session, team, everyone):
        a_deal(session, team, "rolf", "Negotiate", "9")
        session.execute(text("select set_config('winward.now', '2026-05-10T00:00:00Z', true)"))
        team.people["rolf"].manager_id = "max"
        session.flush()
        before = NOON - 15 * DAY
        assert cells(session, "mara", everyone).cells["commit"].raw == 0
        assert cells(session, "max", everyone).cells["commit"].raw == 9_00
        assert cells(session, "mara", everyone, as_of=before).cells["commit"].raw == 9_00
        assert cells(session, "max", everyone, as_of=before).cells["commit"].raw == 0

    def test_of_a_former_team_is_no_news_for_a_later_superior(self, session, team):
        """Max leads Mara now; what Mara's people sold before is not Max's to see."""
        a_deal(session, team, "rolf", "Negotiate", "9")
        a_deal(session, team, "mara", "Negotiate", "1")
        session.execute(text("select set_config('winward.now', '2026-05-10T00:00:00Z', true)"))
        team.people["rolf"].manager_id = team.people["rosa"].manager_id = "lena"
        team.people["mara"].manager_id = "max"
        session.flush()
        before = NOON - 15 * DAY
        assert cells(session, "mara", team.asker("max"), as_of=before).cells["commit"].raw == 1_00
        assert cells(session, "mara", team.asker("mara"), as_of=before).cells["commit"].raw == 10_00

    def test_is_hidden_from_who_may_not_see_the_owner(self, session, team):
        for subject, asker in (("max", "mara"), ("lena", "mara"), ("rosa", "rolf"), (None, "mara")):
            with pytest.raises(NoSuchForecast):
                cells(session, subject, team.asker(asker))


class TestAPickedCategory:
    def category(self, session, deal, asker, as_of=NOON):
        behind = queries.deals_behind(
            session, subject="rosa", period=QUARTER, category="open_pipeline",
            method="cumulative", asker=asker, as_of=as_of,
        )  # fmt: skip
        return next(
            ((d.category, d.is_picked) for d in behind if d.opportunity_id == deal.id), None
        )

    def test_survives_a_stage_change_and_can_be_taken_back(self, session, team):
        deal = a_deal(session, team, "rosa", "Propose", "10")
        me = team.asker("rosa")
        assert self.category(session, deal, me) == ("best_case", False)
        operations.pick_category(
            session, deal.id, category="best_case", now=NOON, **team.by("rosa")
        )
        factories.moves(session, deal, to="Negotiate", at=NOON + DAY)
        assert self.category(session, deal, me, NOON + 2 * DAY) == ("best_case", True)
        operations.pick_category(
            session, deal.id, category=None, now=NOON + 3 * DAY, **team.by("rosa")
        )
        assert self.category(session, deal, me, NOON + 4 * DAY) == ("commit", False)
        assert self.category(session, deal, me, NOON + 2 * DAY) == ("best_case", True)
        assert session.get(Opportunity, deal.id).forecast_category == "commit"

    def test_is_the_owner_s_or_a_superior_s_to_pick(self, session, team):
        deal = a_deal(session, team, "rosa", "Propose", "10")
        operations.pick_category(session, deal.id, category="commit", now=NOON, **team.by("lena"))
        with pytest.raises(operations.NoSuchDeal):
            operations.pick_category(
                session, deal.id, category="commit", now=NOON, **team.by("rolf")
            )

    def test_of_a_closed_deal_is_its_outcome_s(self, session, team):
        deal = a_deal(session, team, "rosa", "Propose", "10")
        factories.moves(session, deal, to="Won", at=NOON - DAY)
        with pytest.raises(operations.DealIsClosed):
            operations.pick_category(
                session, deal.id, category="omitted", now=NOON, **team.by("rosa")
            )
        with pytest.raises(operations.NotACategory, match="best_case"):
            operations.pick_category(
                session, deal.id, category="closed", now=NOON, **team.by("rosa")
            )


def adjust(session, team, author, subject, amount, *, at=NOON, category="commit", **more):
    return operations.adjust(
        session, subject=subject, period=QUARTER, category=category, now=at,
        **{"method": "cumulative", "note": "felt so", **more, **team.by(author)},
        amount=None if amount is None else Money(amount, "EUR"),
    )  # fmt: skip


def four(session, subject, asker, as_of=NOON):
    cell = cells(session, subject, asker, as_of=as_of).cells["commit"]
    return cell.raw, cell.without_owner, cell.owner_view, cell.all_adjustments


class TestAnAdjustment:
    def test_by_the_manager_shows_to_those_above_and_never_below(self, session, example):
        adjust(session, example, "rosa", "rosa", 160_00)
        adjust(session, example, "mara", "rosa", 120_00)
        assert four(session, "rosa", example.asker("rosa")) == (150_00, 150_00, 160_00, 160_00)
        assert four(session, "rosa", example.asker("mara")) == (150_00, 150_00, 160_00, 120_00)
        assert four(session, "rosa", example.asker("lena")) == (150_00, 150_00, 160_00, 120_00)
        assert four(session, "mara", example.asker("mara")) == (150_00, 120_00, 120_00, 120_00)
        adjust(session, example, "lena", "mara", 90_00)
        assert four(session, "mara", example.asker("mara")) == (150_00, 120_00, 120_00, 120_00)
        assert four(session, "mara", example.asker("lena")) == (150_00, 120_00, 120_00, 90_00)
        assert four(session, "lena", example.asker("lena")) == (150_00, 90_00, 90_00, 90_00)

    @pytest.mark.parametrize(
        ("author", "subject", "error", "words"),
        [
            ("lena", "rosa", operations.SkipsALevel, "rosa reports to mara"),
            ("rosa", "mara", NoSuchForecast, "among those you may see"),
            ("mara", "rita", NoSuchForecast, "among those you may see"),
            ("olga", "rosa", operations.permissions.MayNot, "may not edit forecasts"),
        ],
    )
    def test_is_for_oneself_and_direct_reports(
        self, session, example, author, subject, error, words
    ):
        with pytest.raises(error, match=words):
            adjust(session, example, author, subject, 1)

    @pytest.mark.parametrize(
        ("more", "error"),
        [
            ({"category": "closed"}, operations.NotAdjustable),
            ({"category": "open_pipeline"}, operations.NotAdjustable),
            ({"note": "  "}, operations.NoNote),
            ({"at": NOON + 60 * DAY}, operations.PeriodIsOver),
            ({"seen_minor": 1}, operations.ChangedUnderneath),
        ],
    )
    def test_is_refused(self, session, example, more, error):
        with pytest.raises(error):
            adjust(session, example, "rosa", "rosa", 1, **more)

    def test_that_changed_underneath_is_stale_and_stays(self, session, example):
        adjust(session, example, "rosa", "rosa", 160_00)
        adjust(session, example, "mara", "rosa", 120_00)
        later = NOON + DAY
        assert not cells(session, "rosa", example.asker("mara")).cells["commit"].stale
        a_deal(session, example, "rosa", "Negotiate", "30", created_at=later)
        cell = cells(session, "rosa", example.asker("mara"), as_of=later).cells["commit"]
        assert (cell.owner_is_stale, cell.superior_is_stale) == (True, False)
        assert (cell.raw, cell.owner_view, cell.all_adjustments) == (180_00, 160_00, 120_00)
        adjust(session, example, "rosa", "rosa", 200_00, at=later)
        cell = cells(session, "rosa", example.asker("mara"), as_of=later).cells["commit"]
        assert (cell.owner_is_stale, cell.superior_is_stale) == (False, True)

    def test_taken_back_keeps_its_history(self, session, example):
        adjust(session, example, "mara", "rosa", 120_00)
        adjust(session, example, "mara", "rosa", None, at=NOON + DAY, note="told me otherwise")
        assert four(session, "rosa", example.asker("mara"), NOON + DAY)[3] == 150_00
        assert four(session, "rosa", example.asker("mara"))[3] == 120_00
        found = judgement.history(
            session, subjects=frozenset({"rosa"}), period=QUARTER,
            seen=example.asker("mara").may, as_of=NOON + DAY,
        )  # fmt: skip
        assert [(line.minor, line.note) for line in found] == [
            (None, "told me otherwise"),
            (120_00, "felt so"),
        ]
        hidden = judgement.history(
            session, subjects=frozenset({"rosa"}), period=QUARTER,
            seen=example.asker("rosa").may, as_of=NOON + DAY,
        )  # fmt: skip
        assert hidden == ()
        with pytest.raises(operations.NothingSet):
            adjust(session, example, "mara", "rosa", None, at=NOON + 2 * DAY)

    def test_of_one_roll_up_is_not_lost_by_looking_at_the_other(self, session, example):
        adjust(session, example, "rosa", "rosa", 160_00)
        single = cells(session, "rosa", example.asker("rosa"), method="single").cells["commit"]
        assert single.owner_view == 100_00
        assert four(session, "rosa", example.asker("rosa"))[2] == 160_00

    def test_by_a_former_manager_counts_no_longer(self, session, example, everyone):
        adjust(session, example, "mara", "rosa", 120_00)
        session.execute(text("select set_config('winward.now', '2026-05-21T00:00:00Z', true)"))
        example.people["rosa"].manager_id = "max"
        session.flush()
        assert four(session, "rosa", everyone, NOON + 2 * DAY)[3] == 150_00
        assert four(session, "rosa", everyone)[3] == 120_00

    def test_is_never_changed_or_removed(self, session, example):
        adjust(session, example, "rosa", "rosa", 160_00)
        for statement in (
            "update forecast_adjustments set amount_minor = 1",
            "delete from forecast_adjustments",
        ):
            with pytest.raises(DBAPIError, match="append-only"), session.begin_nested():
                session.execute(text(statement))

    def test_of_a_superior_is_hidden_by_the_database_too(self, session, example):
        adjust(session, example, "rosa", "rosa", 160_00)
        adjust(session, example, "mara", "rosa", 120_00)
        session.execute(text("set local role winward_app"))
        seen = {}
        for name in ("rosa", "mara"):
            may = example.asker(name).may
            set_scope(session, user_id=name, everyone=may.everyone, user_ids=may.user_ids)
            seen[name] = session.scalar(select(func.count()).select_from(ForecastAdjustment))
        session.execute(text("reset role"))
        assert seen == {"rosa": 1, "mara": 2}


class TestASubmission:
    def submit(self, session, team, author, at):
        return operations.submit(session, period=QUARTER, note="my call", now=at, **team.by(author))

    def test_freezes_every_column_with_its_author_and_time(self, session, example):
        adjust(session, example, "mara", "rosa", 120_00)
        adjust(session, example, "mara", "mara", 140_00)
        adjust(session, example, "lena", "mara", 90_00)
        made = self.submit(session, example, "mara", NOON)
        assert (made.author_id, made.recorded_at, made.leads) == ("mara", NOON, True)
        assert len(made.items) == 10
        commit = made.items["cumulative", "commit"]
        assert (commit.raw, commit.without_owner, commit.amount) == (150_00, 120_00, 140_00)
        a_deal(session, example, "rosa", "Negotiate", "30", created_at=NOON + DAY)
        again = judgement.submissions(
            session, authors=frozenset({"mara"}), period=QUARTER,
            seen=example.asker("lena").may, as_of=NOON + 2 * DAY,
        )  # fmt: skip
        assert again == (made,)

    def test_answers_the_deadline_missed_else_the_next(self, session, example):
        """Mondays at noon in Berlin: 18 May is 10:00 UTC."""
        monday = dt.datetime(2026, 5, 18, 10, tzinfo=dt.UTC)
        late = self.submit(session, example, "rosa", monday + DAY)
        assert (late.due_at, late.is_late) == (monday, True)
        early = self.submit(session, example, "rosa", monday + 2 * DAY)
        assert (early.due_at, early.is_late) == (monday + 7 * DAY, False)
        operations.set_cadence(
            session, viewer=example.viewer("olga"), weekday=5, hour=9, now=NOON + DAY
        )
        friday = dt.datetime(2026, 5, 22, 7, tzinfo=dt.UTC)
        assert self.submit(session, example, "rolf", NOON + DAY + DAY / 24).due_at in (
            friday, friday - 7 * DAY,
        )  # fmt: skip

    def test_is_for_who_stands_in_a_roll_up(self, session, example):
        with pytest.raises(operations.NobodysForecast):
            self.submit(session, example, "lone", NOON)

    def test_is_hidden_from_those_below(self, session, example):
        self.submit(session, example, "mara", NOON)
        for name, count in (("rosa", 0), ("max", 0), ("lena", 1)):
            found = judgement.submissions(
                session, authors=frozenset({"mara"}), period=QUARTER,
                seen=example.asker(name).may, as_of=NOON,
            )  # fmt: skip
            assert len(found) == count
