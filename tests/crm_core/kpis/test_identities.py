"""One number, wherever it is asked for: on a simulated company, for viewers and random scopes."""

from __future__ import annotations

import datetime as dt
import random
from decimal import Decimal

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from crm_core.database import create_engine
from crm_core.imports.operations import import_path
from crm_core.kpis import queries
from crm_core.kpis.catalogue import CATALOGUE, metric
from crm_core.money import minor_digits
from crm_core.people.models import User
from crm_core.people.queries import Visibility, calendar, company, visible_to
from crm_core.simulation import generate

UNTIL = dt.date(2026, 6, 20)
AS_OF = dt.datetime(2026, 6, 20, 12, tzinfo=dt.UTC)
EVERYONE = Visibility(everyone=True)
SIMPLE = [item.id for item in CATALOGUE if item.aggregation not in ("derived", "quotient")]
ADDITIVE = [name for name in SIMPLE if metric(name).aggregation in ("sum", "count")]


@pytest.fixture(scope="module")
def store(postgresql, template_database, tmp_path_factory):
    """A session on a small simulated company."""
    folder = tmp_path_factory.mktemp("simulated")
    generate(folder / "facts", seed=4, size="small", until=UNTIL, truth=folder / "truth")
    admin = create_engine(postgresql.url("postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"create database identities template {template_database}"))
    engine = create_engine(postgresql.url("identities"))
    import_path(
        engine, folder / "facts", mapping=None, recorded_at=AS_OF, dry_run=False,
        rejected_folder=None, progress=None,
    )  # fmt: skip
    with engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("analyze"))
    with Session(engine) as session:
        yield session
    engine.dispose()
    with admin.connect() as connection:
        connection.execute(text("drop database identities with (force)"))
    admin.dispose()


def scopes(store):
    """Return what a rep, a manager and a leader may see, and two random sets of people."""
    people = store.query(User).order_by(User.id).all()
    rng = random.Random(11)
    found = [
        visible_to(store, rng.choice([u for u in people if u.role == role]), as_of=AS_OF)
        for role in ("rep", "manager", "leader")
    ]
    ids = [user.id for user in people]
    found += [Visibility(False, frozenset(rng.sample(ids, size))) for size in (2, 7)]
    return found


def asked(store, name="2026-Q2"):
    return {"period": calendar(store).parse(name), "as_of": AS_OF}


def minor(store, name, rows):
    digits = minor_digits(company(store).currency) if metric(name).unit == "money" else 0
    return sum((row.value for row in rows if row.value is not None), Decimal(0)).scaleb(digits)


class TestRows:
    def test_of_every_metric_add_up_to_its_number_and_are_those_a_viewer_may_see(self, store):
        """The same period gives the same rows to every viewer: their own part of the whole."""
        told = {
            scope: queries.values(store, SIMPLE, scope=scope, **asked(store))
            for scope in (EVERYONE, *scopes(store))
        }
        for name in SIMPLE:
            whole = queries.rows(store, name, scope=EVERYONE, **asked(store))
            for scope, found in told.items():
                own = [row for row in whole if scope.allows(row.user_id)]
                assert found[name].rows == len(own), (name, scope)
                assert (found[name].numerator or 0) == minor(store, name, own), (name, scope)

    @pytest.mark.parametrize("name", ["pipeline_new_customers", "effective_follow_ups",
                                      "stage_conversion", "win_rate_cohort_90"])  # fmt: skip
    def test_are_the_same_rows_for_whoever_looks(self, store, name):
        whole = queries.rows(store, name, scope=EVERYONE, **asked(store))
        assert whole
        for scope in scopes(store):
            own = queries.rows(store, name, scope=scope, **asked(store))
            assert own == [row for row in whole if scope.allows(row.user_id)]


class TestParts:
    @pytest.mark.parametrize("period", ["2026-Q2", "2026-06", "2025"])
    def test_of_people_and_of_units_sum_to_the_whole(self, store, period):
        whole = queries.values(store, ADDITIVE, scope=EVERYONE, **asked(store, period))
        people = queries.by_subject(
            store, ADDITIVE, grouping="user", scope=EVERYONE, **asked(store, period)
        )
        for name in ADDITIVE:
            nobodys = [
                row
                for row in queries.rows(store, name, scope=EVERYONE, **asked(store, period))
                if row.user_id is None
            ]
            parts = sum(each[name].numerator or 0 for each in people.values())
            assert parts + minor(store, name, nobodys) == (whole[name].numerator or 0), name


class TestPast:
    def test_is_told_alike_after_more_was_recorded(self, store):
        """A value at its own time is the same whenever it is computed."""
        then = {"period": calendar(store).parse("2026-Q1"),
                "as_of": dt.datetime(2026, 3, 20, tzinfo=dt.UTC)}  # fmt: skip
        before = queries.values(store, SIMPLE, scope=EVERYONE, **then)
        store.execute(
            text("insert into orders (id, recorded_at, account_id, ordered_on, amount_minor,"
                 " currency) select 'late', :now, min(id), date '2026-02-02', 777, 'EUR'"
                 " from accounts"),
            {"now": AS_OF},
        )  # fmt: skip
        assert queries.values(store, SIMPLE, scope=EVERYONE, **then) == before
        store.rollback()
