"""Metrics equal their independent twins, and their rows add up to them."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from sqlalchemy import event, text

from crm_core.kpis import queries
from crm_core.kpis.catalogue import CATALOGUE, UnknownMetric, metric
from crm_core.kpis.membership import WITHOUT_A_PLACE
from crm_core.kpis.quota_metrics import GOALS
from crm_core.money import minor_digits, round_half_even
from crm_core.opportunities.projection import project
from crm_core.people.queries import Visibility, calendar, company
from tests.oracles import customers as companies
from tests.oracles.all_kpis import ROUNDED, Twin

EVERYONE = Visibility(everyone=True)
PEOPLE = ["u0", "u1", "u2", "u3", "u4", "boss"]
SIMPLE = [item.id for item in CATALOGUE if item.aggregation != "derived"]
ALL = [item.id for item in CATALOGUE]
SEEDS = (1, 2, 3, 4)
QUESTIONS = [
    ("2027-Q1", dt.datetime(2026, 5, 20, 12, tzinfo=dt.UTC)),  # April 2026 on: the year starts then
    ("2026-Q4", dt.datetime(2026, 5, 20, 12, tzinfo=dt.UTC)),
    ("2026", dt.datetime(2026, 2, 1, tzinfo=dt.UTC)),
    ("2025-11", dt.datetime(2026, 8, 1, tzinfo=dt.UTC)),
]


CASES = [(seed, *QUESTIONS[place % 4]) for seed in SEEDS for place in (seed, seed + 1)]
"""Each company is asked two of the questions, each question of two companies."""
SOME = CASES[::3]


@pytest.fixture(params=SEEDS)
def made(request, session):
    companies.write(session, request.param)
    corrected = dt.datetime(2026, 4, 1, tzinfo=dt.UTC)  # known to some of the questions only
    session.execute(
        text("insert into fx_rates (base, quote, valid_from, rate, recorded_at) "
             "select base, quote, valid_from, 3 * rate, :at from fx_rates"),
        {"at": corrected},
    )  # fmt: skip
    return session


def natural(session, metric_id, minor):
    """Return a twin's minor units as the major units of the company's currency."""
    if minor is None or metric(metric_id).unit != "money":
        return minor
    return Decimal(minor).scaleb(-minor_digits(company(session).currency))


def same(ours, theirs):
    if ours is None or theirs is None:
        return ours is theirs
    return abs(Decimal(ours) - Decimal(theirs)) <= Decimal("1e-12")


class TestValues:
    @pytest.mark.parametrize(("made", "name", "as_of"), CASES, indirect=["made"])
    def test_equal_their_twins(self, made, name, as_of):
        period = calendar(made).parse(name)
        twin = Twin(made, period, as_of)
        for scope, users in ((EVERYONE, None), (Visibility(False, frozenset({"u0", "u1"})),) * 2):
            chosen = None if users is None else users.user_ids
            found = queries.values(made, SIMPLE, scope=scope, period=period, as_of=as_of)
            for metric_id in SIMPLE:
                value = found[metric_id]
                if value.value is None:
                    self.check_reason(value, twin, chosen)
                elif metric_id in ROUNDED:
                    exact = twin.value(metric_id, chosen)
                    rounded = natural(made, metric_id, round_half_even(exact))
                    assert value.value == rounded, metric_id
                else:
                    expected = natural(made, metric_id, twin.value(metric_id, chosen))
                    assert same(value.value, expected), (metric_id, value, expected)

    @staticmethod
    def check_reason(value, twin, chosen):
        """A missing number is missing for a reason the twin can see."""
        rows = twin.rows(value.metric, chosen)
        assert value.reason_if_none
        assert value.reason("zh-CN") != value.reason("en")
        if "exchange rate" in value.reason_if_none:
            assert any(v is None for v, _ in rows)
        elif twin.value(value.metric, chosen) is None:
            assert value.reasons == metric(value.metric).none_when
        elif rows:
            assert {v for v, _ in rows} == {None}
        else:
            never = ("recorded at all", "ever been given")
            assert any(phrase in value.reason_if_none for phrase in never)

    @pytest.mark.parametrize(
        ("emptied", "silent"),
        [
            ("delete from orders", {"bookings"}),
            ("delete from activities", {"activities"}),
            (
                "delete from opportunity_events where field = 'expected_close_on'",
                {"pipeline_in_period", "weighted_pipeline"},
            ),
        ],
    )
    def test_are_none_for_everybody_where_the_fact_was_never_recorded(
        self, session, emptied, silent
    ):
        companies.write(session, 3)
        session.flush()
        asked = {"period": calendar(session).parse("2026"), "as_of": QUESTIONS[1][1]}
        parts = [*PEOPLE, None]
        before = self.read(session, asked, parts)
        session.execute(text(emptied))
        project(session, "opportunities")
        after = self.read(session, asked, parts)
        for metric_id in silent:
            for person in parts:
                if person in after:
                    assert after[person][metric_id].value is None, (person, metric_id)
                    assert after[person][metric_id].reason_if_none
            reasons = before[None][metric_id].reason_if_none or ""
            assert "recorded at all" not in reasons, metric_id
            assert "ever been given" not in reasons, metric_id
            assert "exchange rate" not in after[None][metric_id].reason_if_none

    @staticmethod
    def read(session, asked, parts):
        found = {
            **queries.by_subject(session, SIMPLE, grouping="user", scope=EVERYONE, **asked),
            None: queries.values(session, SIMPLE, scope=EVERYONE, **asked),
        }
        return {person: found[person] for person in parts if person in found}

    @pytest.mark.parametrize(("made", "name", "as_of"), SOME, indirect=["made"])
    def test_are_the_sums_of_their_rows(self, made, name, as_of):
        period = calendar(made).parse(name)
        for scope in (EVERYONE, Visibility(False, frozenset({"u0", "u3"}))):
            asked = {"scope": scope, "period": period, "as_of": as_of}
            found = queries.values(made, ALL, **asked)
            for metric_id, value in found.items():
                rows = queries.rows(made, metric_id, **asked)
                assert len(rows) == value.rows
                assert sum(row.value is None for row in rows) == value.excluded
                assert all(scope.allows(row.user_id) for row in rows)
                digits = (
                    minor_digits(company(made).currency)
                    if metric((metric(metric_id).parts or (metric_id,))[0]).unit == "money"
                    else 0
                )
                added = sum((r.value for r in rows if r.value is not None), Decimal(0))
                assert added.scaleb(digits) == (value.numerator or 0), metric_id

    @pytest.mark.parametrize(("made", "name", "as_of"), CASES, indirect=["made"])
    def test_of_the_parts_sum_to_the_whole(self, made, name, as_of):
        asked = {"period": calendar(made).parse(name), "as_of": as_of}
        additive = [m for m in SIMPLE if metric(m).aggregation in ("sum", "count")]
        whole = queries.values(made, additive, scope=EVERYONE, **asked)
        parts = queries.by_subject(made, additive, grouping="user", scope=EVERYONE, **asked)
        for metric_id in additive:
            nobodys = [
                row.value
                for row in queries.rows(made, metric_id, scope=EVERYONE, **asked)
                if row.user_id is None and row.value is not None
            ]
            digits = (
                minor_digits(company(made).currency) if metric(metric_id).unit == "money" else 0
            )
            added = sum((part[metric_id].numerator or 0) for part in parts.values())
            added += sum(nobodys, Decimal(0)).scaleb(digits)
            assert added == (whole[metric_id].numerator or 0)

    def test_of_a_viewer_are_the_sums_over_whom_they_see(self, made):
        as_of = QUESTIONS[1][1]
        asked = {"period": calendar(made).parse("2026"), "as_of": as_of}
        parts = queries.by_subject(made, SIMPLE, grouping="user", scope=EVERYONE, **asked)
        for seen in ({"u0"}, {"u1", "u4", "boss"}):
            scope = Visibility(False, frozenset(seen))
            found = queries.values(made, SIMPLE, scope=scope, **asked)
            for metric_id in SIMPLE:
                added = sum((parts[p][metric_id].numerator or 0) for p in seen & parts.keys())
                assert (found[metric_id].numerator or 0) == added

    def test_against_a_quota_equal_their_twins(self, made):
        as_of = QUESTIONS[0][1]
        period = calendar(made).parse("2027-Q1")
        twin = Twin(made, period, as_of)
        asked = {"period": period, "as_of": as_of}
        found = queries.by_subject(made, ["attainment"], grouping="user", scope=EVERYONE, **asked)
        holders = []
        for person in PEOPLE:
            target = twin.target(person)
            rows = [v for u, v, _ in twin.bookings() if u == person]
            if target is None or None in rows:
                assert person not in found or found[person]["attainment"].value is None
            elif found[person]["attainment"].value is not None:
                assert found[person]["attainment"].value == Decimal(sum(rows)) / Decimal(target)
            if target is not None and person != "boss":
                holders.append((person, target))
        whole = queries.value(made, "attainment", scope=EVERYONE, **asked)
        if whole.value is not None:
            names = {person for person, _ in holders} or {"boss"}
            booked = twin.value("bookings", names)
            if holders:
                assert whole.value == Decimal(booked) / Decimal(sum(t for _, t in holders))

    @pytest.mark.parametrize("goal", GOALS)
    def test_against_any_quota_equal_their_twins(self, made, goal):
        as_of = QUESTIONS[0][1]
        period = calendar(made).parse("2027-Q1")
        twin = Twin(made, period, as_of)
        suffix = "" if goal == "bookings" else f"_{goal}"
        forms = [f"{form}{suffix}" for form in ("attainment", "gap", "coverage", "pipeline_needed")]
        asked = {"period": period, "as_of": as_of}
        found = queries.by_subject(made, forms, grouping="user", scope=EVERYONE, **asked)
        for person in PEOPLE:
            expected = twin.against(goal, person)
            for form, theirs in zip(forms, expected or (None,) * 4, strict=True):
                ours = found[person][form] if person in found else None
                if ours is None or ours.value is None:
                    is_unpriced = "exchange rate" in ((ours and ours.reason_if_none) or "")
                    is_silent = "at all" in ((ours and ours.reason_if_none) or "")
                    assert theirs is None or is_unpriced or is_silent or not ours.rows, form
                elif metric(form).unit == "money":
                    assert ours.value == natural(made, form, round_half_even(theirs)), form
                else:
                    assert same(ours.value, theirs), (form, ours, theirs)

    def test_cost_the_same_number_of_queries_whatever_the_size(self, session):
        counts = []
        for deals in (3, 30):
            outer = session.begin_nested()
            companies.write(session, 5, deals=deals, orders=deals)
            session.expunge_all()
            counts.append(self.count(session))
            outer.rollback()
            session.expunge_all()
        assert counts[0] == counts[1]
        assert max(counts) <= 38

    @staticmethod
    def count(session):
        statements = []

        def note(connection, cursor, statement, *_):
            statements.append(statement)

        event.listen(session.get_bind(), "before_cursor_execute", note)
        try:
            period = calendar(session).parse("2027-Q1")
            queries.values(session, ALL, scope=EVERYONE, period=period, as_of=QUESTIONS[0][1])
        finally:
            event.remove(session.get_bind(), "before_cursor_execute", note)
        return len([s for s in statements if not s.startswith(("SAVEPOINT", "RELEASE"))])


class TestBySubject:
    def test_counts_a_row_in_the_team_of_its_day_and_every_unit_above_once(self, made):
        as_of = QUESTIONS[1][1]
        period = calendar(made).parse("2026")
        asked = {"period": period, "as_of": as_of}
        units = queries.by_subject(
            made, ["activities", "bookings"], grouping="org_unit", scope=EVERYONE, **asked
        )
        people = queries.by_subject(
            made, ["activities", "bookings"], grouping="user", scope=EVERYONE, **asked
        )
        for metric_id in ("activities", "bookings"):
            in_root = sum((p[metric_id].numerator or 0) for p in people.values())
            assert (units["root"][metric_id].numerator or 0) == in_root
            in_teams = sum((units[t][metric_id].numerator or 0) for t in ("t1", "t2") if t in units)
            boss = people["boss"][metric_id].numerator or 0 if "boss" in people else 0
            assert in_teams + boss == in_root

    @pytest.mark.parametrize(("made", "name", "as_of"), CASES, indirect=["made"])
    def test_puts_what_has_no_unit_last_so_that_the_whole_is_kept(self, made, name, as_of):
        """A unit and its teams overlap; only the units at the top and it are a partition."""
        made.execute(text("update users set org_unit_id = null where id = 'u3'"))
        period = calendar(made).parse(name)
        asked = {"scope": EVERYONE, "period": period, "as_of": as_of}
        additive = [m for m in SIMPLE if metric(m).aggregation in ("sum", "count")]
        whole = queries.values(made, additive, **asked)
        units = queries.by_subject(made, additive, grouping="org_unit", **asked)
        assert list(units)[-1] == WITHOUT_A_PLACE
        twin = Twin(made, period, as_of)
        for metric_id in additive:
            outside, top = units[WITHOUT_A_PLACE][metric_id], units["root"][metric_id]
            for part in ("numerator", "excluded"):
                told = [getattr(each, part) or 0 for each in (outside, top, whole[metric_id])]
                assert told[0] + told[1] == told[2], (metric_id, part)
            if outside.value is not None:
                expected = natural(made, metric_id, twin.value(metric_id, {None, "u3"}))
                assert same(outside.value, expected), metric_id

    def test_takes_a_person_out_of_every_unit_once_the_last_assignment_ended(self, made):
        last = dt.date(2026, 1, 10)
        for change in ("delete from assignments where user_id = 'u0' and org_unit_id = 't2'",
                       "update assignments set valid_to = :day where user_id = 'u0'"):  # fmt: skip
            made.execute(text(change), {"day": last} if ":day" in change else {})
        asked = {"period": calendar(made).parse("2026"), "as_of": QUESTIONS[1][1]}
        own = Visibility(everyone=False, user_ids=frozenset({"u0"}))
        rows = queries.rows(made, "activities", scope=own, **asked)
        units = queries.by_subject(made, ["activities"], grouping="org_unit", scope=own, **asked)
        after = sum(row.day >= last for row in rows)
        assert {key: each["activities"].rows for key, each in units.items()} == {
            name: count
            for name, count in (("root", len(rows) - after), ("t1", len(rows) - after),
                                (WITHOUT_A_PLACE, after)) if count
        }  # fmt: skip


class TestMetric:
    def test_that_is_unknown_is_named(self, session):
        with pytest.raises(UnknownMetric, match="no metric 'happiness'"):
            metric("happiness")
