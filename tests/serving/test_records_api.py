"""Every table through the API: read, write, repeat, collide, refuse."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from crm_core import exchange
from crm_core.database import transaction
from crm_core.records.tables import SHAPES
from tests.kept_stores import application_of, filled, kept_store, leave_empty
from tests.serving.conftest import NOON, OWNERS, PEOPLE, SEES, a_company

URL = "/api/v1/records"
FIFTY = 50


def made(client, table, **fields):
    answer = client.post(f"{URL}/{table}?allow_duplicate=true", json=fields)
    assert answer.status_code == 201, answer.text
    return answer.json()


def changed(client, table, key, fields, *, etag="*", **headers):
    return client.patch(
        f"{URL}/{table}/{quote(key, safe='')}", json=fields, headers={"if-match": etag, **headers}
    )


def rows(engine, sql, **values):
    with engine.connect() as connection:
        return connection.execute(text(sql), values).all()


@pytest.fixture(scope="module")
def store(postgresql, template_database):
    """One database for the whole file; every test begins with the same rows."""
    with kept_store(postgresql, template_database) as engine:
        yield engine


@pytest.fixture(scope="module")
def application(store, tmp_path_factory):
    """One application for the whole file, with as many connections as a small server has."""
    with application_of(store, tmp_path_factory.mktemp("home")) as made:
        yield made


@pytest.fixture(scope="module")
def seeded(store):
    """The tables that the migrations themselves fill."""
    return set(filled(store))


@pytest.fixture
def engine(store, seeded):
    """The file's database, emptied again after each test."""
    yield store
    leave_empty(store, seeded)


@pytest.fixture
def app(engine, application, cheap_hashes):
    """The application on a small company, at noon of 30 June 2026."""
    with transaction(engine) as session:
        a_company(session)
    application.state.fixed_time = NOON
    return application


@pytest.fixture
def ops(signed_in):
    return signed_in("admin")


class TestReading:
    def test_serves_every_table_of_the_exchange_format(self, ops):
        for table in exchange.TABLES:
            answer = ops.get(f"{URL}/{table.name}")
            assert answer.status_code == 200, (table.name, answer.text)
            for item in answer.json()["items"]:
                one = ops.get(f"{URL}/{table.name}/{quote(item['key'], safe='')}")
                assert one.status_code == 200, (table.name, item, one.text)
                assert one.json() == item
                assert one.headers["etag"] == item["etag"]

    def test_pages_stay_whole_when_rows_are_added_meanwhile(self, ops):
        for number in range(9):
            made(ops, "accounts", id=f"n{number}", name=f"name {number % 3}",
                 tier=None if number % 2 else "gold")  # fmt: skip
        for order in ("name", "-tier", "annual_revenue", None):
            seen, cursor, extra = [], None, 0
            while True:
                asked = {"limit": 4, **({"sort": order} if order else {})}
                asked |= {"cursor": cursor} if cursor else {}
                page = ops.get(f"{URL}/accounts", params=asked).json()
                seen += [item["key"] for item in page["items"]]
                cursor = page["next_cursor"]
                if cursor is None:
                    break
                extra += 1
                made(ops, "accounts", id=f"!{order}{extra}", name="!", tier="aaa")
            assert len(seen) == len(set(seen)), order
            assert {f"n{number}" for number in range(9)} <= set(seen), order

    def test_filters_by_a_closed_grammar(self, ops):
        made(ops, "accounts", id="a", name="Größe 50%", employees=5, annual_revenue="10.50",
             currency="USD", created_at="2026-01-01T00:00:00Z")  # fmt: skip
        made(ops, "accounts", id="b", name="other", employees=50, annual_revenue="1000",
             currency="JPY")  # fmt: skip

        def keys(*filters):
            answer = ops.get(f"{URL}/accounts", params={"filter": list(filters)})
            assert answer.status_code == 200, answer.text
            return [item["key"] for item in answer.json()["items"]]

        assert keys("name:contains:50%") == ["a"]
        assert keys("name:contains:größe") == ["a"]
        assert keys("employees:gt:5") == ["b"]
        assert keys("annual_revenue:le:10.5") == ["a"]
        assert keys("annual_revenue:eq:1000", "currency:eq:JPY") == ["b"]
        assert keys("id:in:a,b", "created_at:lt:2026-02-01T00:00:00Z") == ["a"]
        assert keys("employees:empty:true") == ["acme"]
        assert set(keys("name:ne:other")) == {"a", "acme"}

    UNKNOWN = [
            {"filter": "password_hash:eq:x"},
            {"filter": "name;drop table:eq:x"},
            {"filter": "name:like:x"},
            {"filter": "name"},
            {"filter": "employees:gt:many"},
            {"filter": "employees:gt:99999999999999999999"},
            {"filter": "created_at:gt:2026-01-01"},
            {"filter": "created_at:gt:2026-01-01T00:00:00"},
            {"filter": "annual_revenue:gt:NaN"},
            {"filter": "name:empty:perhaps"},
            {"filter": "custom:eq:1"},
            {"filter": "x_a' or '1'='1:eq:1"},
            {"sort": "custom"},
            {"sort": "--name"},
            {"fields": "password_hash"},
            {"cursor": "!!!"},
            {"cursor": "bm9uc2Vuc2U"},
        ]  # fmt: skip

    def test_refuses_what_the_grammar_does_not_know(self, ops):
        for asked in self.UNKNOWN:
            answer = ops.get(f"{URL}/accounts", params=asked)
            assert answer.status_code == 422, answer.text
            assert answer.json()["detail"]

    def test_refuses_a_cursor_of_another_question(self, ops):
        for name in "abc":
            made(ops, "accounts", name=name)
        cursor = ops.get(f"{URL}/accounts?limit=1&sort=name").json()["next_cursor"]
        answer = ops.get(f"{URL}/accounts", params={"limit": 1, "cursor": cursor})
        assert answer.status_code == 422

    def test_opens_keys_with_any_character(self, ops):
        for key in ("a/b", "a b?c#d", "ü|~ 100 %", "../x", "长" * 80):
            made(ops, "accounts", id=key, name="odd")
            answer = ops.get(f"{URL}/accounts/{quote(key, safe='')}")
            assert answer.status_code == 200, key
            assert answer.json()["record"]["id"] == key
        found = made(ops, "stages", pipeline="a|b~", stage="c/d", position=1, kind="open")
        answer = ops.get(f"{URL}/stages/{quote(found['key'], safe='')}")
        assert answer.json()["record"]["pipeline"] == "a|b~"

    def test_never_shows_a_password(self, ops, app):
        assert "password" not in ops.get(f"{URL}/users").text
        schema = app.openapi()["components"]["schemas"]
        assert "password_hash" not in schema["UsersRecord"]["properties"]

    def test_describes_every_table_by_itself(self, app):
        paths = app.openapi()["paths"]
        for table in exchange.TABLES:
            listed = paths[f"{URL}/{table.name}"]["get"]["responses"]["200"]
            title = "".join(part.title() for part in table.name.split("_"))
            assert title + "Page" in str(listed)
        created = app.openapi()["components"]["schemas"]["AccountsNew"]
        assert created["required"] == ["name"]
        assert created["additionalProperties"] is False


class TestCreating:
    def test_writes_a_deal_with_its_history(self, signed_in, engine):
        found = made(signed_in("rep"), "opportunities", name="New", account_id=None,
                     stage="Offer", amount="1200.50", expected_close_on="2026-09-30")  # fmt: skip
        assert found["record"]["owner_id"] == "rep"
        assert found["record"]["created_at"] == "2026-06-30T12:00:00Z"
        events = rows(
            engine,
            "select field, new_value, recorded_at from opportunity_events "
            "where opportunity_id = :id order by sequence",
            id=found["key"],
        )
        assert [(field, value) for field, value, _ in events] == [
            ("stage", "Qualify"), ("stage", "Offer"), ("owner_id", "rep"),
            ("amount", "1200.5"), ("expected_close_on", "2026-09-30"),
        ]  # fmt: skip
        assert {at for *_, at in events} == {NOON}

    def test_makes_an_id_where_none_is_given(self, ops):
        one, other = made(ops, "accounts", name="x"), made(ops, "accounts", name="x y z")
        assert one["key"] != other["key"]

    def test_refuses_a_key_that_is_taken(self, signed_in):
        for user in ("admin", "rep"):
            answer = signed_in(user).post(f"{URL}/accounts", json={"id": "acme", "name": "again"})
            assert answer.status_code == 409
        answer = signed_in("rep").post(
            f"{URL}/opportunities", json={"id": "deal of stranger", "stage": "Offer"}
        )
        assert answer.status_code == 409

    WRONG = [
            ("accounts", {"name": "x", "owner_id": "nobody"}, "owner_id"),
            ("accounts", {"name": ""}, "name"),
            ("accounts", {"name": "x", "currency": "ABC"}, "currency"),
            ("accounts", {"name": "x", "x_unheard": 1}, "x_unheard"),
            ("contacts", {"name": "x", "account_id": "none"}, "account_id"),
            ("opportunities", {"stage": "Nowhere"}, "stage"),
            ("opportunities", {"stage": "Won", "closed_at": None}, "closed_at"),
            ("quotas", {"subject_kind": "user", "subject_id": "none", "metric": "bookings",
                        "period_start": "2026-01-01", "period_end": "2026-02-01",
                        "amount": "5"}, "subject_id"),
            ("quotas", {"subject_kind": "user", "subject_id": "rep", "metric": "bookings",
                        "period_start": "2026-02-01", "period_end": "2026-01-01",
                        "amount": "5"}, "period_end"),
            ("tickets", {"account_id": "acme", "opened_at": "2026-02-01T00:00:00Z",
                         "closed_at": "2026-01-01T00:00:00Z"}, "closed_at"),
            ("fx_rates", {"base": "EUR", "quote": "USD", "valid_from": "2026-01-01",
                          "rate": "0"}, "rate"),
            ("users", {"name": "x", "email": "rep@acme.example", "role": "rep"}, "email"),
        ]  # fmt: skip

    def test_names_the_field_that_is_wrong(self, ops):
        for table, body, field in self.WRONG:
            answer = ops.post(f"{URL}/{table}", json=body)
            assert answer.status_code == 422, answer.text
            assert field in [each["field"] for each in answer.json()["errors"]], answer.text
            assert answer.headers["content-type"] == "application/problem+json"

    NO_RECORDS = [
            {"name": "x", "password_hash": "y"},
            {"name": "x", "custom": {}},
            {"name": 5},
            {"name": "x", "employees": "many"},
            {"name": "x", "employees": True},
            {"name": "x", "annual_revenue": "1e400"},
            {"name": "x", "annual_revenue": "NaN"},
            {"name": "x", "created_at": "2026-01-01T00:00:00"},
            {"name": "x", "y_field": 1},
            [],
            None,
        ]  # fmt: skip

    def test_refuses_bodies_that_are_not_a_record(self, ops):
        for body in self.NO_RECORDS:
            answer = ops.post(f"{URL}/accounts", json=body)
            assert answer.status_code == 422, answer.text


class TestChanging:
    def test_needs_the_version_that_was_read(self, ops):
        answer = ops.patch(f"{URL}/accounts/acme", json={"tier": "gold"})
        assert answer.status_code == 428
        assert "If-Match" in answer.json()["detail"]

    def test_loses_no_edit_of_fifty_at_once(self, app, signed_in, engine):
        first = signed_in("admin")
        clients = [
            TestClient(app, headers=first.headers, cookies=first.cookies) for _ in range(FIFTY)
        ]
        start = first.get(f"{URL}/accounts/acme").json()["etag"]
        together = Barrier(FIFTY)

        def edit(number):
            together.wait()
            return changed(clients[number], "accounts", "acme", {"tier": f"t{number}"}, etag=start)

        with ThreadPoolExecutor(FIFTY) as pool:  # ten times the connections
            answers = list(pool.map(edit, range(FIFTY)))
        codes = sorted(answer.status_code for answer in answers)
        assert codes == [200] + [409] * (FIFTY - 1)
        winner = next(answer for answer in answers if answer.status_code == 200)
        assert rows(engine, "select tier from accounts where id = 'acme'") == [
            (winner.json()["record"]["tier"],)
        ]
        assert len(rows(engine, "select 1 from audit_log where record_id = 'acme'")) == 1

    def test_counts_up_without_losing_one(self, signed_in):
        clients = [signed_in("admin") for _ in range(4)]
        changed(clients[0], "accounts", "acme", {"employees": 0})

        def add(number):
            client = clients[number % 4]
            while True:
                one = client.get(f"{URL}/accounts/acme").json()
                more = {"employees": one["record"]["employees"] + 1}
                answer = changed(client, "accounts", "acme", more, etag=one["etag"])
                if answer.status_code == 200:
                    return
                assert answer.status_code == 409

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(add, range(8)))
        assert clients[0].get(f"{URL}/accounts/acme").json()["record"]["employees"] == 8

    def test_appends_a_deals_change_as_events(self, signed_in, engine):
        client = signed_in("manager")
        answer = changed(
            client, "opportunities", "deal of rep", {"stage": "Won", "closed_at": None}
        )
        assert answer.status_code == 422
        answer = changed(client, "opportunities", "deal of rep", {"amount": "7.25"})
        assert answer.status_code == 200, answer.text
        events = rows(
            engine,
            "select new_value, occurred_at, recorded_at from opportunity_events where "
            "opportunity_id = 'deal of rep' and field = 'amount' order by sequence",
        )
        assert events[-1] == ("7.25", NOON, NOON)
        assert len(events) == 2

    def test_corrects_an_order_by_a_new_version(self, signed_in, engine):
        client = signed_in("finance")
        body = {"account_id": "acme", "ordered_on": "2026-06-01", "amount": "10", "id": "o"}
        one = made(client, "orders", **body)
        answer = changed(client, "orders", "o", {"amount": "12"}, etag=one["etag"])
        assert answer.json()["record"]["amount"] == "12.00"
        assert rows(engine, "select amount_minor from orders order by recorded_at") == [
            (1000,), (1200,),
        ]  # fmt: skip
        assert len(client.get(f"{URL}/orders").json()["items"]) == 1

    def test_keeps_what_an_account_was(self, ops, engine):
        one = made(ops, "accounts", id="a", name="Old", tier="gold")
        changed(ops, "accounts", "a", {"name": "New"}, etag=one["etag"])
        history = rows(
            engine, "select changes, recorded_at, user_id from record_events "
            "where table_name = 'accounts' and key = 'a' order by sequence",
        )  # fmt: skip
        assert history[0].changes["name"] == "Old"
        assert history[1] == ({"name": "New"}, NOON, "admin")

    def test_never_changes_an_event(self, ops):
        event = ops.get(f"{URL}/opportunity_events").json()["items"][0]
        assert ops.patch(f"{URL}/opportunity_events/{event['key']}", json={}).status_code == 405


class TestWhoMay:
    def test_sees_exactly_the_deals_within_reach(self, signed_in):
        for user in PEOPLE:
            client = signed_in(user)
            items = client.get(f"{URL}/opportunities?limit=500").json()["items"]
            owners = {item["record"]["owner_id"] for item in items}
            assert owners == SEES[user] & set(OWNERS), user

    def test_hides_a_hidden_record_like_a_missing_one(self, signed_in):
        client = signed_in("rep")
        for method, key in (("get", "deal of stranger"), ("patch", "deal of stranger")):
            send = getattr(client, method)
            extra = {} if method == "get" else {"json": {"name": "x"}, "headers": {"if-match": "*"}}
            hidden = send(f"{URL}/opportunities/{key}", **extra)
            missing = send(f"{URL}/opportunities/none", **extra)
            assert (hidden.status_code, missing.status_code) == (404, 404)
            assert hidden.json()["detail"].replace(key, "none") == missing.json()["detail"]

    def test_refuses_another_owners_name_on_a_new_record(self, signed_in):
        client = signed_in("rep")
        for table, body in (
            ("accounts", {"name": "x", "owner_id": "stranger"}),
            ("opportunities", {"stage": "Offer", "owner_id": "stranger"}),
            ("leads", {"owner_id": "colleague"}),
            ("activities", {"kind": "call", "occurred_at": "2026-06-01T00:00:00Z",
                            "user_id": "stranger"}),
        ):  # fmt: skip
            answer = client.post(f"{URL}/{table}", json=body)
            assert answer.status_code == 422, (table, answer.text)

    def test_refuses_a_hand_over_out_of_ones_reach(self, signed_in):
        answer = changed(
            signed_in("manager"), "opportunities", "deal of rep", {"owner_id": "stranger"}
        )
        assert answer.status_code == 422
        answer = changed(
            signed_in("manager"), "opportunities", "deal of rep", {"owner_id": "colleague"}
        )
        assert answer.status_code == 200, answer.text

    def test_refuses_references_to_what_one_may_not_see(self, signed_in, ops):
        made(ops, "accounts", id="secret", name="Secret")
        body = {"stage": "Offer", "account_id": "secret"}
        hidden = signed_in("rep").post(f"{URL}/opportunities", json=body)
        missing = signed_in("rep").post(
            f"{URL}/opportunities", json={**body, "account_id": "absent"}
        )
        assert hidden.status_code == missing.status_code == 422
        assert hidden.json()["detail"].replace("secret", "absent") == missing.json()["detail"]

    def test_a_rep_writes_only_what_sellers_write(self, signed_in):
        may = {"accounts", "contacts", "leads", "opportunities", "opportunity_contacts",
               "activities"}  # fmt: skip
        client = signed_in("rep")
        for table in SHAPES.keys() - {"opportunity_events"}:
            answer = client.put(f"{URL}/{table}", json={"rows": [{}]})
            assert (answer.status_code == 403) == (table not in may), answer.text

    def test_a_rep_does_not_see_costs(self, signed_in, ops):
        made(ops, "products", id="p", name="P", cost="5", list_price="9")
        client = signed_in("rep")
        assert "cost" not in client.get(f"{URL}/products/p").json()["record"]
        assert client.get(f"{URL}/products?filter=cost:gt:1").status_code == 422
        assert client.get(f"{URL}/products?sort=cost").status_code == 422


class TestMany:
    ROWS = [
        {"id": "1", "name": "one"},
        {"id": "2", "name": "two", "owner_id": "nobody"},
        {"id": "acme", "tier": "gold"},
        {"id": "3"},
    ]

    def test_writes_all_or_nothing(self, ops):
        done = ops.put(f"{URL}/accounts", json={"rows": self.ROWS}).json()
        assert [row["verdict"] for row in done["rows"]] == [
            "withheld", "rejected", "withheld", "rejected",
        ]  # fmt: skip
        assert done["rows"][3]["field"] == "name"
        assert ops.get(f"{URL}/accounts/1").status_code == 404

    def test_writes_the_sound_rows_if_asked(self, ops):
        done = ops.put(f"{URL}/accounts", json={"rows": self.ROWS, "partial": True}).json()
        assert [row["verdict"] for row in done["rows"]] == [
            "inserted", "rejected", "updated", "rejected",
        ]  # fmt: skip
        assert (done["inserted"], done["updated"], done["rejected"]) == (1, 1, 2)
        acme = ops.get(f"{URL}/accounts/acme").json()["record"]
        assert (acme["name"], acme["tier"]) == ("<b>Halcyon</b>", "gold")

    def test_twice_changes_nothing(self, ops):
        rows_ = [{"id": str(n), "name": f"n {n}"} for n in range(300)]
        first = ops.put(f"{URL}/accounts", json={"rows": rows_}).json()
        again = ops.put(f"{URL}/accounts", json={"rows": rows_}).json()
        assert (first["inserted"], again["unchanged"]) == (300, 300)

    def test_rejects_only_the_rows_out_of_reach(self, signed_in):
        done = (
            signed_in("manager")
            .put(
                f"{URL}/opportunities",
                json={
                    "partial": True,
                    "rows": [
                        {"id": "deal of rep", "name": "mine"},
                        {"id": "deal of stranger", "name": "not mine"},
                        {"id": "deal of colleague", "owner_id": "stranger"},
                        {"id": "deal of manager", "amount": "5"},
                    ],
                },
            )
            .json()
        )
        assert [row["verdict"] for row in done["rows"]] == [
            "updated", "rejected", "rejected", "updated",
        ]  # fmt: skip


class TestRepeating:
    def test_takes_effect_once(self, ops, engine):
        headers = {"idempotency-key": "k1"}
        first = ops.post(f"{URL}/accounts", json={"name": "Once"}, headers=headers)
        again = ops.post(f"{URL}/accounts", json={"name": "Once"}, headers=headers)
        assert (first.status_code, first.text) == (again.status_code, again.text)
        assert first.headers["etag"] == again.headers["etag"]
        assert again.headers["idempotent-replayed"] == "true"
        assert rows(engine, "select count(*) from accounts where name = 'Once'") == [(1,)]

    def test_keeps_a_refusal_too(self, ops):
        headers = {"idempotency-key": "k2"}
        body = {"id": "later", "name": "x", "owner_id": "late"}
        first = ops.post(f"{URL}/accounts", json=body, headers=headers)
        assert first.status_code == 422
        made(ops, "users", id="late", name="Late", email="late@acme.example", role="rep")
        again = ops.post(f"{URL}/accounts", json=body, headers=headers)
        assert (again.status_code, again.text) == (422, first.text)

    def test_refuses_the_key_for_another_request(self, ops, signed_in):
        headers = {"idempotency-key": "k3"}
        assert ops.post(f"{URL}/accounts", json={"name": "a"}, headers=headers).status_code == 201
        answer = ops.post(f"{URL}/accounts", json={"name": "b"}, headers=headers)
        assert answer.status_code == 422
        other = signed_in("manager").post(f"{URL}/accounts", json={"name": "b"}, headers=headers)
        assert other.status_code == 201, other.text

    def test_lets_the_second_of_two_at_once_wait(self, signed_in, engine):
        clients = [signed_in("admin") for _ in range(4)]

        def send(client):
            return client.post(
                f"{URL}/accounts", json={"name": "Together"}, headers={"idempotency-key": "k4"}
            )

        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(send, clients))
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.text for answer in answers}) == 1
        assert rows(engine, "select count(*) from accounts where name = 'Together'") == [(1,)]

    def test_forgets_a_key_after_a_day(self, app, ops):
        headers = {"idempotency-key": "k5"}
        ops.post(f"{URL}/accounts", json={"name": "a"}, headers=headers)
        app.state.fixed_time = NOON + dt.timedelta(hours=24, seconds=1)
        later = TestClient(app, raise_server_exceptions=False)
        from tests.serving.conftest import PASSWORD

        login = {"email": "admin@acme.example", "password": PASSWORD}
        opened = later.post("/api/v1/session", json=login).json()
        later.headers["x-csrf-token"] = opened["csrf_token"]
        answer = later.post(f"{URL}/accounts", json={"name": "b"}, headers=headers)
        assert answer.status_code == 201

    @pytest.mark.parametrize("key", [" ", "x" * 201])
    def test_refuses_keys_that_are_none(self, ops, key):
        answer = ops.post(f"{URL}/accounts", json={"name": "a"}, headers={"idempotency-key": key})
        assert answer.status_code == 422


def test_every_write_is_in_the_audit_log(ops, engine):
    one = made(ops, "accounts", id="a", name="A")
    changed(ops, "accounts", "a", {"name": "B"}, etag=one["etag"])
    changed(ops, "accounts", "a", {"name": "B"})
    log = rows(engine, "select actor, action, changes, channel from audit_log "
               "where record_id = 'a' order by id")  # fmt: skip
    assert log == [
        ("admin", "create", {"id": [None, "a"], "name": [None, "A"]}, "api"),
        ("admin", "edit", {"name": ["A", "B"]}, "api"),
    ]


def test_the_session_ends_clean(engine):
    with transaction(engine) as session:
        assert session.scalar(text("select count(*) from idempotency_keys")) == 0
