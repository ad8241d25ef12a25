"""A fold never sees the future, in either time, whatever the order of its events."""

from __future__ import annotations

import datetime as dt

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from crm_core.imports import tracking
from crm_core.opportunities import history as deals
from crm_core.records import history
from crm_core.records.history import Change
from crm_core.records.tables import shape
from tests import factories

EVER = dt.datetime(9000, 1, 1, tzinfo=dt.UTC)
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
moments = st.integers(0, 12).map(lambda hours: START + dt.timedelta(hours=hours))
FIELDS = ("owner_id", "tier", "industry")
changes = st.lists(
    st.builds(
        Change,
        moments,
        moments,
        st.just(0),
        st.dictionaries(st.sampled_from(FIELDS), st.sampled_from(["a", "b", None]), min_size=1),
    ),
    max_size=12,
).map(
    lambda found: [
        Change(each.occurred_at, each.recorded_at, number, each.values)
        for number, each in enumerate(found)
    ]
)


def slow_oracle(found, as_of):
    """Field by field, compare every pair of events."""
    state = {}
    known = [each for each in found if max(each.occurred_at, each.recorded_at) <= as_of]
    for field in FIELDS:
        best = None
        for each in known:
            if field not in each.values:
                continue
            if best is None or (each.occurred_at, each.recorded_at, each.sequence) > (
                best.occurred_at, best.recorded_at, best.sequence,
            ):  # fmt: skip
                best = each
        if best is not None:
            state[field] = best.values[field]
    return state if known else None


@given(changes, moments)
def test_equals_a_slow_oracle(found, as_of):
    assert history.fold(found, as_of=as_of) == slow_oracle(found, as_of)


@given(changes, moments, st.randoms(use_true_random=False))
def test_does_not_depend_on_the_order_of_the_events(found, as_of, random):
    shuffled = list(found)
    random.shuffle(shuffled)
    assert history.fold(shuffled, as_of=as_of) == history.fold(found, as_of=as_of)


@given(changes, changes, moments)
def test_is_blind_to_what_happens_or_is_learnt_later(found, more, as_of):
    later = [each for each in more if max(each.occurred_at, each.recorded_at) > as_of]
    assert history.fold([*found, *later], as_of=as_of) == history.fold(found, as_of=as_of)


deal_events = st.lists(
    st.builds(
        lambda field, number, occurred, recorded: deals.Event(
            field, _value(field, number), occurred, recorded
        ),
        st.sampled_from(["stage", "amount", "expected_close_on", "owner_id", "forecast_category",
                         "product_id", "custom"]),
        st.integers(0, 4),
        moments,
        moments,
    ),
    max_size=14,
).map(
    lambda found: [
        deals.Event(each.field, each.new_value, each.occurred_at, each.recorded_at, number)
        for number, each in enumerate(found)
    ]
)  # fmt: skip


def _value(field, number):
    if field == "expected_close_on":
        return f"2026-0{number + 1}-01"
    if field == "custom":
        return f'{{"x_{number % 2}": {number}}}'
    return str(number)


@given(deal_events, deal_events, moments, st.randoms(use_true_random=False))
def test_a_deals_fold_never_sees_the_future_in_either_time(found, more, as_of, random):
    later = [each for each in more if max(each.occurred_at, each.recorded_at) > as_of]
    mixed = [*found, *later]
    random.shuffle(mixed)
    assert deals.state(mixed, as_of=as_of) == deals.state(found, as_of=as_of)


class TestTheStore:
    def test_keeps_what_every_writer_changes(self, session):
        factories.a_company(session)
        factories.an_account(session, key="a", name="Old", tier="gold")
        session.execute(text("select set_config('winward.recorded_at', :t, true)"),
                        {"t": "2026-03-01T00:00:00Z"})  # fmt: skip
        session.execute(text("update accounts set name = 'New' where id = 'a'"))
        session.execute(text("update accounts set name = 'New' where id = 'a'"))  # no change
        accounts = shape("accounts")
        day = dt.datetime(2026, 2, 1, tzinfo=dt.UTC)
        assert history.state(session, accounts, "a", as_of=day)["name"] == "Old"
        day = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
        assert history.state(session, accounts, "a", as_of=day)["name"] == "New"
        before = dt.datetime(2025, 3, 1, tzinfo=dt.UTC)
        assert history.state(session, accounts, "a", as_of=before) is None
        assert len(history.changes(session, accounts, "a", as_of=day)) == 2

    def test_never_keeps_a_password(self, session):
        factories.a_user(session, key="u", password_hash="secret")
        session.execute(text("update users set password_hash = 'other' where id = 'u'"))
        session.execute(text("update users set name = 'Else', password_hash = 'x' where id = 'u'"))
        kept = session.scalars(text("select changes::text from record_events")).all()
        assert any("Else" in each for each in kept)
        assert not any("password" in each for each in kept)

    def test_writes_nothing_of_a_record_that_nobody_changed(self, session):
        factories.an_account(session, key="a", name="Only")
        assert session.scalars(text("select 1 from record_events where key = 'a'")).all() == []
        born = history.changes(session, shape("accounts"), "a", as_of=EVER)
        assert [each.values["name"] for each in born] == ["Only"]
        created = born[0].occurred_at
        too_early = created - dt.timedelta(microseconds=1)
        assert history.changes(session, shape("accounts"), "a", as_of=too_early) == []
        session.execute(text("update accounts set name = 'New' where id = 'a'"))
        first, second = history.changes(session, shape("accounts"), "a", as_of=EVER)
        assert (first.values, first.occurred_at) == (born[0].values, created)
        assert second.values == {"name": "New"}
        assert history.changes(session, shape("accounts"), "a", as_of=too_early) == []

    def test_marks_when_it_learnt_of_a_row_that_does_not_say(self, session):
        at = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
        tracking.keep_as(session, 7, recorded_at=at)
        session.execute(text("insert into stages (pipeline, stage, position, kind) "
                             "values ('a|b', 'c~', 1, 'open')"))  # fmt: skip
        stages, key = shape("stages"), "a~1b|c~0"
        assert history.state(session, stages, key, as_of=at - dt.timedelta(seconds=1)) is None
        assert history.state(session, stages, key, as_of=at)["position"] == 1
        assert session.scalar(text("select changes from record_events where key = :k"),
                              {"k": key}) == {}  # fmt: skip
        tracking.keep_as(session, 8, recorded_at=at + dt.timedelta(days=1))
        session.execute(text("update stages set position = 2 where stage = 'c~'"))
        assert history.state(session, stages, key, as_of=at)["position"] == 1
        assert history.state(session, stages, key, as_of=EVER)["position"] == 2

    def test_keeps_nothing_of_a_record_that_is_rolled_back(self, session):
        factories.an_account(session, key="gone")
        session.execute(text("delete from accounts where id = 'gone'"))
        assert session.scalars(text("select 1 from record_events where key = 'gone'")).all() == []

    @settings(
        max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(changes, moments)
    def test_folds_rows_as_the_pure_function_does(self, session, found, as_of):
        session.execute(text("delete from record_events where key = 'p'"))
        from crm_core.records.models import RecordEvent

        session.add_all(
            RecordEvent(table_name="accounts", key="p", occurred_at=each.occurred_at,
                        recorded_at=each.recorded_at, changes=each.values)
            for each in found
        )  # fmt: skip
        session.flush()
        stored = history.state(session, shape("accounts"), "p", as_of=as_of)
        assert stored == slow_oracle(found, as_of)
