"""A firm behind the real application: people on clocks 26 hours apart, what each test adds.

The database and the application are made once for all complaints; each test begins without
facts. Facts are written as an import would, or come through the API by a test's own requests.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from urllib.parse import quote

import pytest
from argon2 import PasswordHasher
from fastapi.testclient import TestClient

from crm_core.accounts.models import Account
from crm_core.advice.models import Prediction
from crm_core.database import transaction
from crm_core.money import from_major
from crm_core.orders.models import FxRate
from crm_core.people import operations
from crm_core.people.models import OrgUnit, User
from serving import import_jobs
from tests.factories import a_company, a_user, an_opportunity, an_order
from tests.kept_stores import application_of, filled, kept_store, leave_empty

NOON = dt.datetime(2026, 6, 30, 12, tzinfo=dt.UTC)
PASSWORD = "correct horse"
EAST, WEST = "Pacific/Kiritimati", "Etc/GMT+12"
PEOPLE = {
    # id: (role, manager, org unit, where their clock stands: 26 hours apart)
    "boss": ("manager", None, "team", "America/New_York"),
    "ann": ("rep", "boss", "team", EAST),
    "bob": ("rep", "boss", "team", WEST),
    "zoe": ("rep", None, "elsewhere", "Asia/Kathmandu"),
    "ops": ("sales_ops", None, None, None),
    "root": ("admin", None, None, None),
}
HTML = {"accept": "text/html"}


class Firm:
    """The company of a test, its application and its people's browsers."""

    def __init__(self, engine, app):
        self.engine, self.app = engine, app
        self._clients = {}

    def opens(self, *, currency="EUR", time_zone="Europe/Berlin", fiscal_year_start_month=1):
        """Found the company with its people and one customer, ``acme``; return itself."""
        with transaction(self.engine) as session:
            a_company(
                session, currency=currency, time_zone=time_zone,
                fiscal_year_start_month=fiscal_year_start_month,
            )  # fmt: skip
            session.add(OrgUnit(id="firm", name="Firm"))
            session.flush()
            session.add_all(OrgUnit(id=u, name=u, parent_id="firm") for u in ("team", "elsewhere"))
            session.flush()
            for name, (role, manager, unit, zone) in PEOPLE.items():
                a_user(session, key=name, role=role, manager_id=manager, org_unit_id=unit,
                       time_zone=zone)  # fmt: skip
                operations.set_password(session, email=f"{name}@test.example", password=PASSWORD)
            session.add(Account(id="acme", name="Acme", owner_id="ann"))
        return self

    def facts(self):
        """A transaction that writes facts past the application, as an import does."""
        return transaction(self.engine)

    def rates(self, **quoted):
        """Record rates ``EUR_USD="1.10"``: units of the second per unit of the first."""
        with self.facts() as session:
            for pair, rate in quoted.items():
                base, _, quoting = pair.partition("_")
                session.add(FxRate(base=base, quote=quoting, valid_from=dt.date(2010, 1, 1),
                                   rate=Decimal(rate)))  # fmt: skip

    def deal(self, key, amount, currency, *, owner="ann", due=dt.date(2026, 6, 29), **fields):
        """Give somebody a deal with ``acme``, in stage Qualify since 5 January 2026."""
        with self.facts() as session:
            person = session.get(User, owner) if owner else None
            an_opportunity(
                session, key=key, owner=person, account=session.get(Account, "acme"),
                amount=amount, currency=currency, expected_close_on=due, **fields,
            )  # fmt: skip

    def order(self, key, amount, currency, *, owner="ann", on=dt.date(2026, 5, 12), **fields):
        """Book an order of ``acme``."""
        with self.facts() as session:
            an_order(
                session, key=key, account=session.get(Account, "acme"), owner_id=owner,
                ordered_on=on, amount_minor=from_major(amount, currency).minor,
                currency=currency, **fields,
            )  # fmt: skip

    def person(self, name):
        """Return a browser that is signed in as somebody."""
        if name not in self._clients:
            client = TestClient(self.app, raise_server_exceptions=False, follow_redirects=False)
            own = {"email": f"{name}@test.example", "password": PASSWORD}
            opened = client.post("/api/v1/session", json=own)
            assert opened.status_code == 201, opened.text
            client.headers["x-csrf-token"] = opened.json()["csrf_token"]
            self._clients[name] = client
        return self._clients[name]

    def gets(self, name, path, **query):
        """Return the JSON that somebody gets from a path of the API."""
        answer = self.person(name).get(f"/api/v1{path}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def sends(self, name, method, path, **options):
        """Return the answer to a request that somebody sends to the API."""
        return self.person(name).request(method, f"/api/v1{path}", **options)

    def makes(self, table, **fields):
        """Write a record through the API, as an administrator."""
        answer = self.sends("root", "POST", f"/records/{table}?allow_duplicate=true", json=fields)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def defines(self, table, **kinds):
        """Define custom fields."""
        for name, kind in kinds.items():
            answer = self.sends(
                "root", "PUT", f"/custom-fields/{table}/{name}", json={"kind": kind}
            )
            assert answer.status_code == 200, answer.text

    def changes(self, table, key, **fields):
        """Change a record through the API, as an administrator."""
        answer = self.sends("root", "PATCH", f"/records/{table}/{quote(key, safe='')}",
                            json=fields, headers={"if-match": "*"})  # fmt: skip
        assert answer.status_code == 200, answer.text
        return answer.json()

    def page(self, name, path, **query):
        """Return a page as somebody's browser shows it."""
        answer = self.person(name).get(path, params=query, headers=HTML)
        assert answer.status_code == 200, (path, answer.status_code)
        return answer.text

    def metric(self, name, metric, period=None, **query):
        """Return a metric with its rows as somebody reads them."""
        asked = query | ({} if period is None else {"period": period})
        return self.gets(name, f"/kpis/{metric}/rows", limit=500, **asked)

    def value(self, name, metric, period=None, **query):
        """Return a metric's value as somebody reads it, None where there is none."""
        found = self.metric(name, metric, period, **query)["kpi"]["value"]
        return None if found is None else Decimal(found)

    def is_at(self, moment):
        """Set the clock of the application, where logins end; return itself."""
        self.app.state.fixed_time = moment
        self._clients.clear()
        return self

    def uploads(self, **files):
        """Upload files as sales operations, let the worker import them; return the batch."""
        sent = [("files", (f"{name}.csv", data.encode(), "text/csv"))
                for name, data in files.items()]  # fmt: skip
        answer = self.sends("ops", "POST", "/imports", files=sent)
        assert answer.status_code == 202, answer.text
        self.works()
        return self.gets("ops", f"/imports/{answer.json()['id']}")

    def works(self):
        """Do what the worker does with imports that wait."""
        import_jobs.work(self.engine, self.app.state.settings, now=lambda: NOON)


@pytest.fixture(scope="session")
def _store(postgresql, template_database):
    with kept_store(postgresql, template_database) as engine:
        yield engine


@pytest.fixture(scope="session")
def _application(_store, tmp_path_factory):
    with application_of(_store, tmp_path_factory.mktemp("home")) as application:
        yield application


@pytest.fixture(scope="session")
def _seeded(_store):
    return set(filled(_store))


@pytest.fixture
def firm(_store, _application, _seeded, monkeypatch):
    """A firm without facts, at noon of 30 June 2026 (UTC)."""
    # what a hash costs is not what these tests are about
    monkeypatch.setattr(operations, "HASHER", PasswordHasher(1, 8, 1))
    _application.state.fixed_time = NOON
    yield Firm(_store, _application)
    leave_empty(_store, _seeded)


def predicted(session, opportunity_id, p_win, *, at=NOON):
    """Write down a probability as the nightly scoring does."""
    session.add(
        Prediction(opportunity_id=opportunity_id, model="win_rate", model_version="1", as_of=at,
                   scored_at=at, kind="model", p_win=p_win)
    )  # fmt: skip
    session.flush()
