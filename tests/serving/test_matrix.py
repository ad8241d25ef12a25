"""Every route × role by itself: new routes are walked too, without being named here.

tests/serving/test_access.py declares the matrix by hand; here the routes come from the program.
"""

from __future__ import annotations

import datetime as dt
import importlib.util
import re
from pathlib import Path

import pytest
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient

from crm_core.accounts.models import Account, Contact
from crm_core.database import set_now, transaction
from crm_core.leads.models import Lead
from crm_core.orders.models import Order
from crm_core.people.models import ROLES, Assignment, User
from crm_core.quotas.models import Quota
from serving.security import policy_of
from tests.serving.conftest import NOON, OWNERS, PEOPLE, a_deal

_SPEC = importlib.util.spec_from_file_location(
    "visibility_twin", Path(__file__).parents[1] / "oracles" / "visibility.py"
)
twin = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(twin)

UNITS = {"company": None, "east": "company", "west": "company"}
USERS = [
    {"id": name, "role": role, "manager_id": manager, "org_unit_id": unit, "left_on": None}
    for name, (role, manager, unit) in PEOPLE.items()
]
ONE_OF_EACH_ROLE = {role: name for name, (role, _, _) in reversed(PEOPLE.items())}


def routes(app):
    for context in iter_route_contexts(app.routes):
        endpoint = getattr(context.original_route, "endpoint", None)
        for method in (context.methods or ()) if endpoint else ():
            if method != "HEAD":
                yield method, context.path, policy_of(endpoint)


def filled(path):
    return re.sub(r"\{[^}]+\}", "1", path)


def lists(app):
    """The addresses that take no parameter in their path and only read."""
    return sorted(
        path
        for method, path, policy in routes(app)
        if method == "GET" and "{" not in path and not policy.public
    )


def facts_of(session, owners, name):
    """Facts of people, of every kind that belongs to somebody."""
    for place, owner in enumerate(owners):
        number = f"{name} {place}"
        a_deal(session, f"hidden {number}", owner, place)
        session.add(Account(id=f"hidden {number}", name="Hidden", owner_id=owner or "stranger",
                            annual_revenue_minor=7, currency="USD"))  # fmt: skip
        session.flush()
        session.add_all(
            [
                Contact(id=f"hidden {number}", account_id=f"hidden {number}", name="Hidden"),
                Lead(id=f"hidden {number}", created_at=NOON, owner_id=owner, status="new"),
                Order(id=f"hidden {number}", account_id=f"hidden {number}", recorded_at=NOON,
                      ordered_on=NOON.date(), owner_id=owner or "stranger", amount_minor=10**9,
                      currency="USD"),
            ]
        )  # fmt: skip
        session.add(
            Quota(subject_kind="user", subject_id=owner or "finance", metric="bookings",
                  period_start=dt.date(2026, 4, 1), period_end=dt.date(2026, 7, 1),
                  recorded_at=NOON - dt.timedelta(days=1), amount_minor=10**9, currency="USD")
        )  # fmt: skip


class TestEveryRoute:
    def test_refuses_the_roles_it_does_not_name(self, app, signed_in):
        clients = {role: signed_in(name) for role, name in ONE_OF_EACH_ROLE.items()}
        walked = 0
        for method, path, policy in routes(app):
            if policy.public:
                continue
            for role, client in clients.items():
                if role not in policy.roles:
                    answer = client.request(method, filled(path))
                    assert answer.status_code == 403, (role, method, path, answer.text[:200])
                    walked += 1
        assert walked > 0

    def test_names_only_roles_there_are(self, app):
        for method, path, policy in routes(app):
            assert policy.public or policy.roles <= set(ROLES), (method, path)

    def test_lets_nobody_in_without_a_login(self, app):
        client = TestClient(app, follow_redirects=False)
        for method, path, policy in routes(app):
            if not policy.public:
                assert client.request(method, filled(path)).status_code == 401, (method, path)

    def test_of_a_list_tells_nothing_of_hidden_rows(self, app, signed_in, engine):
        client = signed_in("rep")
        # what is recorded at all is said to everybody: nothing may be the first of its kind
        with transaction(engine) as session:
            facts_of(session, ["rep"], "own")
        addresses = lists(app)
        assert len(addresses) > 20
        for path in addresses:
            client.get(path)  # the first look may write down what it shows
        before = {path: client.get(path) for path in addresses}
        assert sum(answer.status_code == 200 for answer in before.values()) > 20
        with transaction(engine) as session:
            facts_of(session, ["stranger", "colleague", None, "manager"], "hidden")
        for path in addresses:
            after = client.get(path)
            assert (after.status_code, after.content) == (
                before[path].status_code, before[path].content), path  # fmt: skip


class TestRecords:
    @pytest.mark.parametrize("user", PEOPLE)
    def test_are_exactly_those_the_twin_shows(self, signed_in, user):
        mine = twin.visible(user, USERS, UNITS, [], NOON.date())
        everything = PEOPLE[user][0] in ("admin", "finance")
        deals = {
            f"deal of {owner or 'nobody'}"
            for owner in OWNERS
            if everything or (owner is not None and owner in mine)
        }
        client = signed_in(user)
        listed = client.get("/api/v1/records/opportunities?limit=200").json()["items"]
        assert {item["key"] for item in listed} == deals
        events = client.get("/api/v1/records/opportunity_events?limit=200").json()["items"]
        assert {item["record"]["opportunity_id"] for item in events} == deals
        summary = client.get("/api/v1/opportunities?limit=200").json()
        assert summary["total"] == len(deals)
        assert sum(float(each["amount"]) for each in summary["amounts"]) == sum(
            float(item["record"]["amount"]) for item in listed
        )


class TestRevocation:
    """What was allowed a moment ago is refused at the next request (ASVS 8.3.2)."""

    def total(self, client):
        return client.get("/api/v1/opportunities").json().get("total")

    def change(self, engine, user_id, **fields):
        with transaction(engine) as session:
            set_now(session, NOON)
            user = session.get(User, user_id)
            for name, value in fields.items():
                setattr(user, name, value)

    def test_of_a_role(self, signed_in, engine):
        manager, admin = signed_in("manager"), signed_in("admin")
        assert (self.total(manager), self.total(admin)) == (3, len(OWNERS))
        self.change(engine, "manager", role="rep")
        self.change(engine, "admin", role="rep")
        assert (self.total(manager), self.total(admin)) == (1, 0)
        assert admin.get("/api/v1/audit").json()["items"][0]["actor"] == "admin"

    def test_of_a_place_in_the_tree(self, signed_in, engine):
        manager = signed_in("manager")
        assert self.total(manager) == 3
        self.change(engine, "colleague", manager_id=None, org_unit_id="west")
        assert self.total(manager) == 2
        self.change(engine, "rep", manager_id=None)
        with transaction(engine) as session:
            session.add(Assignment(user_id="rep", org_unit_id="west", valid_from=NOON.date()))
        assert self.total(manager) == 1

    def test_of_somebody_who_left(self, signed_in, engine):
        rep = signed_in("rep")
        assert self.total(rep) == 1
        self.change(engine, "rep", left_on=NOON.date())
        assert rep.get("/api/v1/opportunities").status_code == 401

    def test_in_the_middle_of_a_long_read(self, signed_in, engine):
        """A list read page by page, as an export does, stops at what is no longer theirs."""
        leader = signed_in("leader")
        first = leader.get("/api/v1/records/opportunities?limit=1&sort=id").json()
        assert first["next_cursor"]
        self.change(engine, "leader", role="rep")
        seen, cursor = [], first["next_cursor"]
        while cursor:
            page = leader.get(
                "/api/v1/records/opportunities",
                params={"limit": 1, "sort": "id", "cursor": cursor},
            ).json()
            seen += [item["key"] for item in page.get("items", ())]
            cursor = page.get("next_cursor")
        assert set(seen) <= {"deal of leader"}
