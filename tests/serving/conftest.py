"""A small company behind the real application: people in a tree, each with a deal.

Three currencies (of two, no and three decimals) and zones 26 hours apart are in it.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from argon2 import PasswordHasher
from fastapi.testclient import TestClient

from crm_core import row_security
from crm_core.accounts.models import Account, Contact
from crm_core.activities.models import Activity
from crm_core.advice.models import Prediction
from crm_core.database import WEB_ROLE, transaction, web_engine
from crm_core.money import from_major
from crm_core.opportunities.models import (
    Opportunity,
    OpportunityContact,
    OpportunityEvent,
    Stage,
)
from crm_core.orders.models import FxRate
from crm_core.people import operations
from crm_core.people.models import Company, OrgUnit, User
from crm_core.settings import Settings
from serving.app import create_app

NOON = dt.datetime(2026, 6, 30, 12, tzinfo=dt.UTC)
PASSWORD = "correct horse"
PEOPLE = {
    # id: (role, manager, org unit)
    "leader": ("leader", None, "company"),
    "manager": ("manager", "leader", "east"),
    "rep": ("rep", "manager", "east"),
    "colleague": ("rep", "manager", "east"),
    "stranger": ("rep", None, "west"),
    "admin": ("admin", None, None),
    "finance": ("finance", None, None),
}
SEES = {
    "leader": {"leader", "manager", "rep", "colleague", "stranger"},
    "manager": {"manager", "rep", "colleague"},
    "rep": {"rep"},
    "colleague": {"colleague"},
    "stranger": {"stranger"},
    "admin": {*PEOPLE, None},
    "finance": {*PEOPLE, None},
}
CURRENCIES = {"colleague": "JPY", "stranger": "BHD"}
"""In what the deals of these are counted; all others' in the company's USD."""
RATES = {"JPY": "0.0064", "BHD": "2.6525"}
ZONES = {
    "rep": "Pacific/Kiritimati", "colleague": "Etc/GMT+12", "manager": "America/New_York",
}  # fmt: skip
"""Where these people's clocks stand; the company's stands in Shanghai."""
OWNERS = ("leader", "manager", "rep", "colleague", "stranger", None)


def a_company(session):
    """Add the people, three stages, the rates and one deal with everything for each owner."""
    session.add(
        Company(id=1, name="Acme & Söhne", currency="USD", time_zone="Asia/Shanghai",
                is_simulated=True)
    )  # fmt: skip
    session.add(OrgUnit(id="company", name="Company"))
    session.flush()
    session.add_all(OrgUnit(id=u, name=u, parent_id="company") for u in ("east", "west"))
    session.flush()
    for user_id, (role, manager_id, unit) in PEOPLE.items():
        session.add(
            User(id=user_id, name=user_id.title(), email=f"{user_id}@acme.example", role=role,
                 manager_id=manager_id, org_unit_id=unit, time_zone=ZONES.get(user_id))
        )  # fmt: skip
        session.flush()
        operations.set_password(session, email=f"{user_id}@acme.example", password=PASSWORD)
    session.add_all(
        Stage(pipeline="default", stage=s, position=p, kind=k)
        for p, (s, k) in enumerate([("Qualify", "open"), ("Offer", "open"), ("Won", "won")])
    )
    session.add_all(
        FxRate(base=code, quote="USD", valid_from=dt.date(2026, 1, 1), rate=Decimal(rate))
        for code, rate in RATES.items()
    )
    session.add(Account(id="acme", name="<b>Halcyon</b>"))
    session.flush()
    session.add(Contact(id="c", account_id="acme", name="Li Wei", email="li@halcyon.example"))
    session.flush()
    for number, owner in enumerate(OWNERS):
        a_deal(session, f"deal of {owner or 'nobody'}", owner, number)


def a_deal(session, deal_id, owner, number):
    """Add a deal with history, an activity, a contact and two predictions."""
    created = NOON - dt.timedelta(days=20 + number)
    amount = from_major(str(100 * 10**number), CURRENCIES.get(owner, "USD"))
    session.add(
        Opportunity(
            id=deal_id, name=f"Secret {deal_id}", account_id="acme", owner_id=owner,
            created_at=created, recorded_at=created, currency=amount.currency, stage="Qualify",
            amount_minor=amount.minor, expected_close_on=dt.date(2026, 6, 29),
        )
    )  # fmt: skip
    session.flush()
    for field, value in (
        ("stage", "Qualify"), ("expected_close_on", "2026-06-29"),
        ("amount", str(100 * 10**number)), ("owner_id", owner),
    ):  # fmt: skip
        session.add(
            OpportunityEvent(opportunity_id=deal_id, field=field, new_value=value,
                             occurred_at=created, recorded_at=created)
        )  # fmt: skip
    session.add(
        Activity(id=f"call {deal_id}", kind="call", opportunity_id=deal_id, user_id=owner,
                 occurred_at=NOON - dt.timedelta(days=3), recorded_at=NOON - dt.timedelta(days=3))
    )  # fmt: skip
    session.add(
        OpportunityContact(opportunity_id=deal_id, contact_id="c", role="champion",
                           added_at=created)
    )  # fmt: skip
    for days_ago, p_win in ((7, 0.25), (0, 0.1 * (number + 1))):
        at = NOON - dt.timedelta(days=days_ago, hours=1)
        session.add(
            Prediction(opportunity_id=deal_id, model="win_rate", model_version="7", as_of=at,
                       scored_at=at, kind="model", p_win=p_win)
        )  # fmt: skip


@pytest.fixture
def cheap_hashes(monkeypatch):
    """Spend no time on the cost of a hash, which is not what these tests are about."""
    monkeypatch.setattr(operations, "HASHER", PasswordHasher(1, 8, 1))


@pytest.fixture
def bound_engine(engine):
    """An engine on this test's database as the web has it: its own login, bound by its scope."""
    row_security.let_in(engine)
    url = engine.url.set(username=WEB_ROLE).render_as_string(hide_password=False)
    bound = web_engine(url)
    yield bound
    bound.dispose()


@pytest.fixture
def app(engine, bound_engine, tmp_path, cheap_hashes):
    """The application on a small company, at noon of 30 June 2026."""
    with transaction(engine) as session:
        a_company(session)
    app = create_app(Settings(home=tmp_path), bound_engine)
    app.state.fixed_time = NOON
    return app


@pytest.fixture
def client(app):
    """A browser without a login."""
    return TestClient(app, raise_server_exceptions=False, follow_redirects=False)


@pytest.fixture
def signed_in(app):
    """Return a function that gives a client signed in as somebody, with the login's token."""

    def sign_in(user_id):
        client = TestClient(app, raise_server_exceptions=False, follow_redirects=False)
        credentials = {"email": f"{user_id}@acme.example", "password": PASSWORD}
        opened = client.post("/api/v1/session", json=credentials)
        assert opened.status_code == 201, opened.text
        client.headers["x-csrf-token"] = opened.json()["csrf_token"]
        return client

    return sign_in
