"""Published numbers equal those from the rows, never change, and come out the same again."""

from __future__ import annotations

import datetime as dt
import random

import pytest
from sqlalchemy import select, text

from crm_core.kpis import operations, published, publishing, queries, rollups
from crm_core.kpis.definitions import all_metrics, resolve
from crm_core.kpis.drafts import Draft
from crm_core.kpis.models import DailyCell, PublishedValue
from crm_core.people.queries import Viewer, Visibility, calendar
from tests.oracles import companies, customers_and_products

EVERYONE = Visibility(everyone=True)
AS_OF = dt.datetime(2026, 5, 20, 12, tzinfo=dt.UTC)
NIGHT = dt.datetime(2026, 5, 21, 2, tzinfo=dt.UTC)
LATER = dt.datetime(2026, 6, 30, tzinfo=dt.UTC)
OPS = Viewer("ops", "Ops", "ops@x", "sales_ops", None, "")


def define(session, at=dt.datetime(2025, 7, 1, tzinfo=dt.UTC), **changed):
    given = {
        "id": "x_big", "name_zh": "大单", "name_en": "Big", "unit": "money", "direction": "higher",
        "way": "sum", "fact": "orders", "value": "amount", "filter": "tier = 'A'",
    }  # fmt: skip
    operations.define(
        session, Draft(**{**given, **changed}), valid_from=dt.date(2025, 6, 1), reason="why",
        owner_id=None, viewer=OPS, now=at,
    )  # fmt: skip


@pytest.fixture(params=range(2))
def made(request, session):
    companies.write(session, request.param)
    customers_and_products.add(session, request.param)
    define(session)
    define(session, id="x_part", way="ratio", fact=None, value=None, filter=None, unit="ratio",
           numerator="x_big", denominator="bookings")  # fmt: skip
    return session


def publish(session, as_of=AS_OF, **changed):
    return publishing.publish(session, as_of=as_of, published_at=NIGHT, cause="nightly", **changed)


def corrected_later(session, seed):
    """What is learnt after the publication: cancelled orders, moved deals, another rate."""
    rng = random.Random(seed)
    late = {"at": dt.datetime(2026, 6, 1, 0, 0, 7, tzinfo=dt.UTC)}
    session.execute(
        text("insert into orders (id, recorded_at, account_id, ordered_on, owner_id, amount_minor,"
             " currency, status, custom) select distinct on (id) id, :at, account_id, ordered_on,"
             " owner_id, amount_minor * 2, currency, 'signed', custom from orders order by id"),
        late,
    )  # fmt: skip
    session.execute(
        text("insert into opportunity_events (opportunity_id, field, occurred_at, recorded_at,"
             " new_value) select id, 'stage', created_at + interval '1 hour', :at, :stage"
             " from opportunities"),
        {**late, "stage": rng.choice(["won", "lost"])},
    )  # fmt: skip
    session.execute(
        text("insert into fx_rates (base, quote, valid_from, rate, recorded_at) "
             "select base, quote, valid_from, 5 * rate, :at from fx_rates"),
        late,
    )  # fmt: skip
    session.execute(text("select set_config('winward.recorded_at', '2026-06-01', true)"))
    session.execute(text("update accounts set tier = 'A', region = 'Later'"))
    session.execute(text("update products set family = 'Later'"))


class TestPublishing:
    def test_writes_every_number_as_the_rows_give_it(self, made):
        done = publish(made)
        periods = publishing.periods_of(calendar(made), AS_OF)
        assert [each.name for each in periods] == ["2026-05", "2027-Q1"]
        ids = [item.id for item in all_metrics(made, as_of=AS_OF)]
        stored = made.scalars(select(PublishedValue).where(PublishedValue.slice == "")).all()
        found = {(v.period, v.subject_kind, v.subject_id, v.metric): v for v in stored}
        expected = 0
        for period in periods:
            asked = {"scope": EVERYONE, "period": period, "as_of": AS_OF}
            by_kind = {"company": {"company": queries.values(made, ids, **asked)}}
            for kind in ("user", "org_unit"):
                by_kind[kind] = queries.by_subject(made, ids, grouping=kind, **asked)
            for kind, subjects in by_kind.items():
                for subject, values in subjects.items():
                    for value in values.values():
                        row = found[period.name, kind, subject, value.metric]
                        expected += 1
                        assert (row.value, row.numerator, row.denominator, row.rows) == (
                            value.value, value.numerator, value.denominator, value.rows
                        ), (kind, subject, value)  # fmt: skip
                        assert row.version == value.version
                        assert (row.reason_zh, row.reason_en) == (value.reasons or (None, None))
        assert expected == len(stored)
        assert done.values >= expected
        assert done.left_out == ()
        assert found[periods[0].name, "company", "company", "x_part"].parts == {"x_big": 1}
        assert done.publication.newest_fact_at <= AS_OF

    def test_sums_of_days_equal_the_rows_of_any_period(self, made):
        """The same definitions, added up from days: months, quarters and weeks alike."""
        year = calendar(made).parse("2026")
        done = publish(made, periods=[year])
        chosen = resolve(made, [m.id for m in all_metrics(made, as_of=AS_OF)], as_of=AS_OF)
        rolled = [item for item in chosen.metrics if rollups.can_be_rolled(item, chosen)]
        assert {"bookings", "win_rate_closed", "average_deal", "activities", "x_big"} <= {
            item.id for item in rolled
        }
        for name in ("2026-Q2", "2025-11", "2026-W06", "2026"):
            period = calendar(made).parse(name)
            asked = queries.question(
                made, scope=EVERYONE, period=period, as_of=AS_OF, chosen=chosen
            )
            for grouping in (None, "user", "org_unit"):
                rows = queries.aggregates(made, asked, rolled, grouping=grouping)
                days = rollups.added_up(
                    made, done.publication.id, rolled, period, grouping=grouping
                )
                for subject, sums in rows.items():
                    for metric_id, whole in sums.items():
                        if whole.rows:
                            assert days[subject][metric_id] == whole, (name, subject, metric_id)
                for subject, sums in days.items():
                    assert sums.keys() <= rows[subject].keys()

    def test_keeps_values_and_drops_the_days_of_before(self, made):
        month = {"periods": [calendar(made).parse("2026-05")]}
        first = publish(made, **month)
        before = published.series(made, "bookings", period="2026-05", as_of=NIGHT)
        second = publish(made, as_of=AS_OF + dt.timedelta(days=1), **month)
        assert len(published.series(made, "bookings", period="2026-05", as_of=LATER)) == 2
        assert published.series(made, "bookings", period="2026-05", as_of=AS_OF) == before
        left = set(made.scalars(select(DailyCell.publication_id)))
        assert left <= {second.publication.id}
        again = publish(made, as_of=AS_OF + dt.timedelta(days=1), **month)
        assert (again.publication.id, again.values) == (second.publication.id, 0)
        found = published.publications(made, as_of=LATER)
        assert [each.id for each in found] == [second.publication.id, first.publication.id]


class TestReplay:
    def test_comes_out_the_same_whatever_was_learnt_later(self, made):
        done = publish(made, periods=[calendar(made).parse("2027-Q1")])
        corrected_later(made, 1)
        define(made, at=NIGHT, filter="tier = 'B'")
        again = published.replay(made, done.publication.id)
        assert again.compared == done.values
        assert again.mismatches == ()
        asked = {"scope": EVERYONE, "period": calendar(made).parse("2027-Q1")}
        late = dt.datetime(2026, 6, 20, tzinfo=dt.UTC)
        now = queries.value(made, "bookings", **asked, as_of=late)
        assert now.numerator != queries.value(made, "bookings", **asked, as_of=AS_OF).numerator

    def test_names_what_differs(self, session):
        companies.write(session, 4)
        done = publish(session, periods=[calendar(session).parse("2026-05")])
        session.execute(text("delete from activities"))
        session.execute(text("update kpi_values set version = 9 where metric = 'bookings'"))
        found = published.replay(session, done.publication.id).mismatches
        kinds = {(each.metric, each.kind) for each in found}
        assert ("bookings", "version") in kinds
        assert {kind for metric, kind in kinds if metric == "activities"} & {"value", "gone"}
        one = next(each for each in found if each.kind == "version")
        assert one.sentence("zh-CN") != one.sentence("en")
        with pytest.raises(published.NoPublication, match="no publication 0"):
            published.replay(session, 0)

    def test_needs_a_period(self, session):
        companies.write(session, 4)
        with pytest.raises(publishing.NothingToPublish):
            publish(session, periods=[])
