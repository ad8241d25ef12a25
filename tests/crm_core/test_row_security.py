"""The second net: what the database itself hides, whatever the application asks."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from crm_core import migrations, row_security
from crm_core.audit import operations as audit
from crm_core.database import (
    UnboundRole,
    company_wide,
    create_engine,
    require_bound,
    set_scope,
    transaction,
    web_engine,
)
from crm_core.people.models import User
from crm_core.people.queries import Visibility
from crm_core.processes import alerts, approvals, outbox, webhooks
from crm_core.processes.acting import Acting
from crm_core.row_security import CLASSES, Scoped
from tests import factories

NOON = dt.datetime(2026, 6, 30, 12, tzinfo=dt.UTC)


@pytest.fixture
def company(engine):
    """Two reps with a deal each and everything beside it."""
    with transaction(engine) as session:
        for name in ("anna", "bo"):
            owner = factories.a_user(session, key=name)
            account = factories.an_account(session, key=f"customer of {name}")
            deal = factories.an_opportunity(
                session, key=f"deal of {name}", account=account, owner=owner
            )
            contact = factories.a_contact(session, account=account)
            factories.an_engagement(session, opportunity=deal, contact=contact)
            factories.an_activity(session, opportunity=deal, user_id=name)
            factories.an_order(session, account=account, ordered_on=dt.date(2026, 6, 1),
                               owner_id=name, opportunity_id=deal.id)  # fmt: skip
            audit.record(session, actor=name, action="update", table="opportunities",
                         record_id=deal.id, changes={}, occurred_at=NOON, channel="api",
                         address=None)  # fmt: skip
    return engine


@pytest.fixture
def web(company, database_url):
    """The web's engine with a single connection, so that everybody comes after somebody."""
    bound = web_engine(database_url, pool_size=1, max_overflow=0)
    yield bound
    bound.dispose()


def seen(session, table="opportunities", column="id"):
    return set(session.execute(text(f"select {column} from {table}")).scalars())


def as_anna(session):
    set_scope(session, user_id="anna", everyone=False, user_ids={"anna"})


def run(engine, scope, statement):
    """Run a statement in a transaction of its own, in somebody's scope."""
    with transaction(engine) as session:
        scope(session)
        session.execute(text(statement))


def as_admin(session):
    set_scope(session, user_id="admin", everyone=True, user_ids=())


class TestWithoutAFilter:
    """Raw SQL, as an endpoint would run it that forgot the one door."""

    @pytest.mark.parametrize(
        ("table", "column", "mine"),
        [
            ("opportunities", "id", {"deal of anna"}),
            ("opportunity_events", "opportunity_id", {"deal of anna"}),
            ("opportunity_contacts", "opportunity_id", {"deal of anna"}),
            ("activities", "opportunity_id", {"deal of anna"}),
            ("orders", "opportunity_id", {"deal of anna"}),
            ("accounts", "id", {"customer of anna"}),
            ("contacts", "account_id", {"customer of anna"}),
            ("audit_log", "record_id", {"deal of anna"}),
        ],
    )
    def test_shows_exactly_what_is_in_scope(self, web, table, column, mine):
        with transaction(web) as session:
            assert seen(session, table, column) == set()
            as_anna(session)
            assert seen(session, table, column) == mine
            set_scope(session, user_id="admin", everyone=True, user_ids=())
            assert len(seen(session, table, column)) == 2

    def test_shows_nothing_of_any_scoped_table_without_a_scope(self, web):
        with transaction(web) as session:
            for table, kind in CLASSES.items():
                exists = session.scalar(text("select to_regclass(:t)"), {"t": table})
                if isinstance(kind, Scoped) and exists:
                    count = session.scalar(text(f"select count(*) from {table}"))
                    assert count == 0, table

    def test_adds_up_only_what_is_in_scope(self, web):
        with transaction(web) as session:
            as_anna(session)
            found = session.execute(text("select count(*), sum(amount_minor) from opportunities"))
            assert tuple(found.one()) == (1, 100_000)

    def test_writes_only_in_scope(self, web):
        with transaction(web) as session:
            as_anna(session)
            changed = session.execute(text("update opportunities set name = 'mine now'"))
            assert changed.rowcount == 1
            removed = session.execute(
                text("delete from activities where opportunity_id = 'deal of bo'")
            )
            assert removed.rowcount == 0
        statement = (
            "insert into predictions (opportunity_id, model, model_version, as_of, scored_at,"
            " kind, contributions, reasons)"
            " values ('deal of bo', 'win_rate', '1', now(), now(), 'none', '{}', '[]')"
        )
        with pytest.raises(DBAPIError, match="row-level security"):
            run(web, as_anna, statement)

    def test_appends_to_the_audit_log_and_does_nothing_else_to_it(self, web):
        with transaction(web) as session:
            audit.record(session, actor="anna", action="login", table="users", record_id="anna",
                         changes={}, occurred_at=NOON, channel="page", address=None)  # fmt: skip
        for statement in ("update audit_log set actor = 'bo'", "delete from audit_log",
                          "truncate audit_log", "alter table audit_log disable trigger all",
                          "drop policy winward_scope_select on audit_log"):  # fmt: skip
            with pytest.raises(DBAPIError, match="denied|owner"):
                run(web, as_admin, statement)

    def test_reaches_no_table_that_is_not_declared(self, company, web):
        with company.begin() as connection:
            connection.execute(text("create table undeclared as select 1 as secret"))
        with pytest.raises(DBAPIError, match="permission denied"):
            run(web, as_admin, "select secret from undeclared")


def acting(session, person):
    own = Visibility(everyone=False, user_ids=frozenset({person}))
    return Acting(viewer=session.get(User, person), visibility=own, now=NOON, channel="api")


def at_work(session, person):
    set_scope(session, user_id=person, everyone=False, user_ids={person})
    return acting(session, person)


def tell_bo(session):
    alerts.raise_alert(session, user_id="bo", kind="mention", dedupe_key="note:1", words={},
                       now=NOON)  # fmt: skip


class TestProcesses:
    """What people tell, ask and decide, by raw SQL in each one's scope."""

    @pytest.fixture
    def asked(self, company, web):
        """Anna asked; bo decides; carl has nothing to do with it."""
        with transaction(company) as session:
            factories.a_user(session, key="carl", role="rep")
            session.get(User, "anna").manager_id = "bo"
        with transaction(web) as session:
            return approvals.request(
                session, purpose="other", subject_kind="opportunity", subject_id="deal of anna",
                title="May I?", content={"why": "x"}, acting=at_work(session, "anna"),
            )  # fmt: skip

    def sees(self, web, person, *tables):
        with transaction(web) as session:
            at_work(session, person)
            return [session.scalar(text(f"select count(*) from {table}")) for table in tables]

    def test_show_an_alert_to_its_person_only(self, web):
        with transaction(web) as session:
            at_work(session, "anna")
            tell_bo(session)
            tell_bo(session)  # the same cause counts up, though the teller cannot see it
        assert self.sees(web, "anna", "alerts") == [0]
        assert self.sees(web, "bo", "alerts") == [1]
        with transaction(web) as session:
            at_work(session, "anna")
            assert session.execute(text("update alerts set read_at = now()")).rowcount == 0
            alerts.resolve(session, "note:1", now=NOON)
        with transaction(web) as session:
            at_work(session, "bo")
            assert session.execute(text("select times, resolved_at from alerts")).one() == (2, NOON)

    def test_heed_how_another_person_wants_alerts(self, web):
        with transaction(web) as session:
            at_work(session, "bo")
            alerts.choose_mode(session, user_id="bo", kind="mention", mode="off")
        with transaction(web) as session:
            at_work(session, "anna")
            assert seen(session, "alert_preferences", "user_id") == set()
            tell_bo(session)
        assert self.sees(web, "bo", "alerts", "alert_preferences") == [0, 1]

    def test_show_a_request_to_who_asks_and_decides(self, web, asked):
        tables = ("approvals", "approval_decisions")
        assert self.sees(web, "anna", *tables) == [1, 0]
        assert self.sees(web, "bo", *tables) == [1, 0]
        assert self.sees(web, "carl", *tables) == [0, 0]
        with transaction(web) as session:
            approvals.act(session, asked, "approve", acting=at_work(session, "bo"))
        assert self.sees(web, "anna", *tables) == [1, 1]
        assert self.sees(web, "bo", *tables) == [1, 1]  # nobody's to decide any more
        assert self.sees(web, "carl", *tables) == [0, 0]

    def test_let_nobody_decide_what_is_not_theirs(self, web, asked):
        decided = (
            "insert into approval_decisions (approval_id, step, decision, user_id, content_hash,"
            f" occurred_at) values ({asked}, 0, 'approve', 'bo', 'x', now())"
        )
        with pytest.raises(DBAPIError, match="row-level security"):
            run(web, lambda session: at_work(session, "carl"), decided)

    def test_keep_the_secrets_of_webhooks(self, company, web):
        """Who runs the processes writes them, nobody reads them back, others see no endpoint."""
        with transaction(company) as session:
            for name, role in (("ops", "sales_ops"), ("fin", "finance"), ("ds", "data_scientist")):
                factories.a_user(session, key=name, role=role)
        tables = ("webhook_endpoints", "webhook_secrets", "webhook_deliveries")

        def as_role(name):
            return lambda session: set_scope(session, user_id=name, everyone=True, user_ids=())

        with transaction(web) as session:
            as_role("ops")(session)
            doer = Acting(viewer=session.get(User, "ops"), visibility=Visibility(everyone=True),
                          now=NOON, channel="api")  # fmt: skip
            number, first = webhooks.add_endpoint(
                session, name="n", url="https://x.example", acting=doer
            )
            second = webhooks.rotate_secret(session, number, acting=doer)
        with transaction(company) as session:
            kept = session.execute(text("select secret, ends_at from webhook_secrets order by id"))
            assert kept.all() == [(first, NOON + dt.timedelta(days=1)), (second, None)]
        for name, rows in (("ops", [1, 2, 0]), ("fin", [0, 0, 0]), ("ds", [0, 0, 0])):
            with transaction(web) as session:
                as_role(name)(session)
                counts = [session.scalar(text(f"select count(id) from {t}")) for t in tables]
                assert counts == rows, name
            for read in ("select secret from webhook_secrets", "table webhook_secrets",
                         "update webhook_secrets set ends_at = now() where secret like 'a%'",
                         "delete from webhook_secrets"):  # fmt: skip
                with pytest.raises(DBAPIError, match="permission denied"):
                    run(web, as_role(name), read)
        endpoint = (
            "insert into webhook_endpoints (name, url, created_at)"
            " values ('m', 'https://x.example', now())"
        )
        for scope in (as_role("fin"), as_anna):
            with pytest.raises(DBAPIError, match="row-level security"):
                run(web, scope, endpoint)

    def test_show_an_event_beside_its_record(self, web, company):
        for deal in ("deal of anna", "deal of bo"):
            with transaction(web) as session:
                at_work(session, "anna")  # she may hand a deal on and lose sight of it
                assert outbox.emit(session, "opportunity.changed", deal, actor_id="anna",
                                   occurred_at=NOON, recorded_at=NOON) is not None  # fmt: skip
        with transaction(company) as session:
            session.execute(text("update process_events set actor_id = null"))
            session.execute(text("insert into rules (name) values ('r')"))
            session.execute(text(
                "insert into rule_runs (rule_id, version, event_id, outcome, effects, occurred_at,"
                " recorded_at) select rules.id, 1, e.id, 'done', '[]', now(), now()"
                " from rules, process_events e"
            ))  # fmt: skip
        assert self.sees(web, "anna", "process_events", "rule_runs") == [1, 1]
        with transaction(web) as session:
            as_admin(session)
            assert len(seen(session, "rule_runs", "event_id")) == 2


class TestTheScope:
    def test_is_forgotten_when_the_transaction_ends(self, web):
        with transaction(web) as session:
            set_scope(session, user_id="admin", everyone=True, user_ids={"anna", "bo"})
            assert len(seen(session)) == 2
        with transaction(web) as session:
            assert seen(session) == set()

    @pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt, GeneratorExit])
    def test_is_forgotten_after_an_exception_and_a_cancel(self, web, fault):
        def stop(session):
            as_admin(session)
            raise fault

        with pytest.raises(fault):
            run(web, stop, "select 1")
        with transaction(web) as session:
            assert seen(session) == set()

    def test_is_forgotten_after_an_error_of_the_database(self, web):
        with pytest.raises(DBAPIError):
            run(web, as_admin, "select 1 / 0")
        with transaction(web) as session:
            assert seen(session) == set()

    def test_is_forgotten_when_a_session_is_abandoned(self, web):
        session = Session(web)
        set_scope(session, user_id="admin", everyone=True, user_ids=())
        session.close()  # the client went away in the middle
        with transaction(web) as session:
            assert seen(session) == set()

    def test_takes_any_id_as_text(self, web, company):
        odd = "o\"d{d},\\ 'id"
        with transaction(company) as session:
            owner = factories.a_user(session, key=odd, email="odd@test.example")
            factories.an_opportunity(session, key="odd deal", owner=owner)
        with transaction(web) as session:
            set_scope(session, user_id=odd, everyone=False, user_ids={odd})
            assert seen(session) == {"odd deal"}

    def test_is_lifted_for_a_block_only_also_when_the_block_fails(self, web):
        with transaction(web) as session:
            as_anna(session)
            with company_wide(session, reason="a test"):
                assert len(seen(session)) == 2
            assert seen(session) == {"deal of anna"}
            with pytest.raises(ValueError, match="no"), company_wide(session, reason="a test"):
                raise ValueError("no")
            assert seen(session) == {"deal of anna"}


class TestTheRole:
    def test_of_a_superuser_who_owns_the_tables_is_refused(self, engine):
        with pytest.raises(UnboundRole, match="superuser"):
            require_bound(engine)

    @pytest.mark.parametrize(
        ("make", "why"),
        [
            ("create role {0} login bypassrls", "bypasses row-level security"),
            ("create role {0} login; alter table stages owner to {0}", "owns tables"),
            ("create role {0} login; create role {0}_group; grant {0}_group to {0};"
             " alter table stages owner to {0}_group", "owns tables"),
        ],
    )  # fmt: skip
    def test_that_is_not_bound_is_refused(self, engine, database_url, make, why):
        name = f"tester_{abs(hash(make)) % 10**8}"
        with engine.begin() as connection:
            for statement in make.format(name).split(";"):
                connection.execute(text(statement))
        other = create_engine(engine.url.set(username=name).render_as_string(hide_password=False))
        try:
            with pytest.raises(UnboundRole, match=why):
                require_bound(other)
        finally:
            other.dispose()
            with engine.begin() as connection:
                connection.execute(text("alter table stages owner to postgres"))
                for role in (name, f"{name}_group"):
                    connection.execute(text(f"drop role if exists {role}"))

    def test_that_may_not_work_as_the_web_role_is_told_what_to_do(self, engine):
        with engine.begin() as connection:
            connection.execute(text("create role outsider login bypassrls"))
        url = engine.url.set(username="outsider").render_as_string(hide_password=False)
        try:
            with pytest.raises(UnboundRole, match="Grant winward_app"):
                web_engine(url)
        finally:
            with engine.begin() as connection:
                connection.execute(text("drop role outsider"))

    def test_stays_after_a_reset(self, web):
        with web.connect() as connection:
            connection.execute(text("reset role"))
            assert connection.scalar(text("select current_user")) == "winward_app"


class TestTheDeclaration:
    def test_is_in_the_database_that_the_migrations_made(self, engine):
        assert migrations.is_current(engine)

    def test_is_made_anew_when_it_changed(self, engine):
        with engine.begin() as connection:
            connection.execute(text("comment on function winward_sees_everyone() is 'older'"))
        assert not migrations.is_current(engine)
        migrations.upgrade(engine)
        assert migrations.is_current(engine)

    def test_closes_the_tables_while_a_migration_runs(self, engine, web):
        with engine.connect() as connection:
            row_security.lift(connection)
            connection.commit()
        with transaction(web) as session:
            set_scope(session, user_id="admin", everyone=True, user_ids=())
            assert seen(session) == set()
