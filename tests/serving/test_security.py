"""Deny by default: policies, logins over HTTP, forged requests, headers, one error shape."""

from __future__ import annotations

import datetime as dt

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient
from starlette.responses import PlainTextResponse

from crm_core.database import create_engine, transaction
from crm_core.people import operations
from crm_core.people.models import ROLES, User
from crm_core.people.queries import Viewer
from crm_core.settings import Settings
from serving import app as app_module
from serving import logins, security
from tests.serving.conftest import NOON, PASSWORD

CREDENTIALS = {"email": "rep@acme.example", "password": PASSWORD}
HTML = {"accept": "text/html"}


class TestPolicies:
    def test_every_route_of_the_app_declares_one(self, app):
        security.require_policies(app.routes)

    def test_a_route_without_one_stops_the_start(self):
        router = APIRouter()

        @router.get("/forgotten")
        def forgotten():
            return {}

        app = FastAPI(openapi_url=None)
        app.include_router(router)
        with pytest.raises(security.UndeclaredRoute, match="forgotten declares no policy"):
            security.require_policies(app.routes)

    def test_a_route_that_bypasses_the_check_stops_the_start(self):
        app = FastAPI(openapi_url=None)
        app.add_route("/side-door", lambda request: PlainTextResponse("in"))
        with pytest.raises(security.UndeclaredRoute, match="would bypass"):
            security.require_policies(app.routes)

    def test_fastapi_s_own_docs_would_stop_the_start(self):
        with pytest.raises(security.UndeclaredRoute):
            security.require_policies(FastAPI().routes)

    @pytest.mark.parametrize("role", ROLES)
    def test_only_lets_in_the_named_roles(self, role):
        viewer = Viewer("u", "U", "u@x", role, None, "token")
        policy = security.only("admin", "finance")
        if role in ("admin", "finance"):
            policy.check(viewer)
        else:
            with pytest.raises(security.WrongRole):
                policy.check(viewer)

    def test_only_refuses_a_role_that_does_not_exist(self):
        with pytest.raises(ValueError, match="roles are some of"):
            security.only("superuser")


class TestLoggingIn:
    def test_sets_a_cookie_that_scripts_and_other_sites_cannot_use(self, client):
        answer = client.post("/api/v1/session", json=CREDENTIALS)
        cookie, known = answer.headers.get_list("set-cookie")
        assert answer.status_code == 201
        for each in (cookie, known):
            assert "HttpOnly" in each
            assert "SameSite=lax" in each
            assert "Secure" not in each
        assert "Max-Age=43200" in cookie
        assert known.startswith("winward_known=")

    def test_sends_the_cookie_over_https_only_when_set_so(self, app, client):
        app.state.settings = app.state.settings.model_copy(update={"secure_cookies": True})
        cookie = client.post("/api/v1/session", json=CREDENTIALS).headers["set-cookie"]
        assert "Secure" in cookie

    def test_refuses_a_wrong_password_and_then_brakes(self, client):
        wrong = {**CREDENTIALS, "password": "wrong"}
        for _ in range(operations.FAILURES_ALLOWED):
            assert client.post("/api/v1/session", json=wrong).status_code == 401
        stopped = client.post("/api/v1/session", json=CREDENTIALS)
        assert stopped.status_code == 429
        assert int(stopped.headers["retry-after"]) == 900

    def test_lets_a_known_browser_in_while_others_guess(self, app, client, monkeypatch):
        monkeypatch.setattr(operations, "FAILURES_ALLOWED_PER_EMAIL", 3)
        assert client.post("/api/v1/session", json=CREDENTIALS).status_code == 201
        for number in range(3):
            elsewhere = TestClient(app, client=(f"10.0.0.{number}", 1))
            wrong = {**CREDENTIALS, "password": "wrong"}
            assert elsewhere.post("/api/v1/session", json=wrong).status_code == 401
        assert elsewhere.post("/api/v1/session", json=CREDENTIALS).status_code == 429
        assert client.post("/api/v1/session", json=CREDENTIALS).status_code == 201

    def test_ends_at_once_on_logging_out(self, signed_in):
        client = signed_in("rep")
        assert client.get("/api/v1/me").status_code == 200
        token = client.cookies[security.SESSION_COOKIE]
        assert client.delete("/api/v1/session").status_code == 204
        client.cookies.set(security.SESSION_COOKIE, token)
        assert client.get("/api/v1/me").status_code == 401

    def test_a_changed_role_counts_from_the_next_request(self, signed_in, engine):
        client = signed_in("admin")
        assert client.get("/api/v1/opportunities").json()["total"] == 6
        with transaction(engine) as session:
            session.get(User, "admin").role = "rep"
        assert client.get("/api/v1/opportunities").json()["total"] == 0

    def test_a_departure_ends_every_login(self, signed_in, engine):
        client = signed_in("rep")
        with transaction(engine) as session:
            session.get(User, "rep").left_on = dt.date(2026, 6, 30)
        assert client.get("/api/v1/me").status_code == 401

    def test_expires(self, app, signed_in):
        client = signed_in("rep")
        app.state.fixed_time = NOON + dt.timedelta(hours=12)
        assert client.get("/api/v1/me").status_code == 401

    @pytest.mark.parametrize("token", ["", "x", "a" * 5000, "'; drop table users"])
    def test_an_invented_cookie_opens_nothing(self, client, token):
        client.cookies.set(security.SESSION_COOKIE, token)
        assert client.get("/api/v1/me").status_code == 401


class TestTheForm:
    def test_sends_a_visitor_to_the_form_and_back_to_where_they_wanted(self, client):
        sent = client.get("/deals?sort=name&q=a%20b", headers=HTML)
        assert sent.headers["location"] == "/login?next=/deals%3Fsort%3Dname%26q%3Da%2520b"
        form = client.get(sent.headers["location"], headers=HTML)
        assert 'name="next" value="/deals?sort=name&amp;q=a%20b"' in form.text
        back = client.post("/login", data={**CREDENTIALS, "next": "/deals?sort=name&q=a%20b"})
        assert (back.status_code, back.headers["location"]) == (303, "/deals?sort=name&q=a%20b")

    def test_shows_the_form_again_with_what_was_wrong(self, client):
        again = client.post("/login", data={**CREDENTIALS, "password": "no"}, headers=HTML)
        assert again.status_code == 401
        assert "do not belong together" in again.text
        assert 'value="rep@acme.example"' in again.text

    @pytest.mark.parametrize(
        "target", ["https://evil.example", "//evil.example", "/\\evil", "\\/evil", "javascript:x",
                   "/ok\r\nSet-Cookie: a=b", "", None],
    )  # fmt: skip
    def test_never_leads_to_another_site(self, target):
        assert logins.own_path(target) == "/"

    def test_logs_out_with_the_token_of_the_page(self, signed_in):
        client = signed_in("rep")
        token = client.headers.pop("x-csrf-token")
        assert client.post("/logout", data={}).status_code == 403
        assert client.post("/logout", data={"csrf_token": token}).status_code == 303
        assert client.get("/api/v1/me").status_code == 401


class TestForgedRequests:
    @pytest.mark.parametrize(
        "headers",
        [
            {"origin": "https://evil.example"},
            {"origin": "null"},
            {"origin": "http://["},
            {"origin": "http://[::1"},
            {"origin": "//\u00e9".encode()},
            {"origin": ""},
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site"},
            {"x-csrf-token": "wrong"},
            {"x-csrf-token": ""},
        ],
    )
    def test_are_refused_although_the_cookie_is_right(self, signed_in, headers):
        client = signed_in("rep")
        assert client.delete("/api/v1/session", headers=headers).status_code == 403
        assert client.get("/api/v1/me").status_code == 200

    def test_without_a_token_are_refused(self, signed_in):
        client = signed_in("rep")
        del client.headers["x-csrf-token"]
        assert client.delete("/api/v1/session").status_code == 403

    def test_cannot_log_a_visitor_in_from_another_site(self, client):
        answer = client.post("/login", data=CREDENTIALS, headers={"origin": "https://evil.example"})
        assert answer.status_code == 403

    def test_from_our_own_origin_pass(self, client):
        own = {"origin": "http://testserver", "sec-fetch-site": "same-origin"}
        assert client.post("/api/v1/session", json=CREDENTIALS, headers=own).status_code == 201


class TestHeaders:
    @pytest.mark.parametrize(
        "path", ["/login", "/healthz", "/nothing", "/api/v1/me", "/static/app.css", "/docs"]
    )
    def test_stand_on_every_answer(self, client, path):
        answer = client.get(path)
        for name, value in security.HEADERS.items():
            assert answer.headers[name] == value
        assert answer.headers["cache-control"] == "no-store"

    def test_allow_nothing_inline_and_nothing_from_elsewhere(self):
        policy = security.HEADERS["content-security-policy"]
        assert "unsafe" not in policy
        assert "http" not in policy
        assert policy.startswith("default-src 'none'")

    def test_let_versioned_static_files_be_cached(self, client):
        answer = client.get("/static/app.css?v=1")
        assert "immutable" in answer.headers["cache-control"]

    def test_stand_on_an_unanticipated_error_that_tells_nothing(self, app, client):
        app.state.champions = None
        answer = client.get("/readyz")
        assert answer.status_code == 500
        assert answer.headers["x-frame-options"] == "DENY"
        assert "NoneType" not in answer.text
        assert "Traceback" not in answer.text


class TestErrors:
    def problem(self, answer, status):
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        body = answer.json()
        assert set(body) == {"type", "title", "status", "detail", "instance", "errors"}
        assert body["status"] == status
        return body

    def test_have_one_shape(self, signed_in, client):
        rep = signed_in("rep")
        self.problem(client.get("/api/v1/me"), 401)
        self.problem(rep.get("/api/v1/opportunities/none"), 404)
        self.problem(rep.get("/api/v1/nothing"), 404)
        self.problem(client.patch("/api/v1/me"), 405)
        wrong = self.problem(rep.get("/api/v1/opportunities?limit=0&sort=x"), 422)
        assert {each["field"] for each in wrong["errors"]} == {"limit", "sort"}
        unfit = rep.get("/api/v1/opportunities", params={"q": "a\x00b"})
        self.problem(unfit, 422)
        unfit = {"id": "c", "name": "\0"}
        copied = signed_in("admin").post("/api/v1/records/campaigns", json=unfit)
        self.problem(copied, 422)

    def test_refuse_a_request_that_is_too_large(self, client):
        answer = client.post("/api/v1/session", content=b"x" * 1_000_001)
        self.problem(answer, 413)

    @pytest.mark.parametrize(
        ("path", "language", "words"),
        [("/nothing", "en", "There is nothing here"), ("/nothing", "zh-CN", "这里什么也没有")],
    )
    def test_are_pages_for_a_browser(self, client, path, language, words):
        answer = client.get(path, headers={**HTML, "accept-language": language})
        assert answer.status_code == 404
        assert words in answer.text

    def test_say_that_the_database_is_away(self, app, client):
        app.state.engine = create_engine("postgresql://nobody@127.0.0.1:1/none")
        answer = client.get("/login", headers=HTML)
        assert answer.status_code == 503
        assert client.get("/healthz").status_code == 200
        ready = client.get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["checks"][0]["detail"] == "The database cannot be reached."


class TestStartingFromTheEnvironment:
    def test_needs_the_address_of_a_database(self, monkeypatch):
        monkeypatch.setattr(app_module.configuration, "load", lambda: Settings(database_url=None))
        with pytest.raises(app_module.NoDatabase, match="WINWARD_DATABASE_URL"):
            app_module.from_environment()

    def test_opens_the_database_it_names(self, monkeypatch, database_url, tmp_path):
        settings = Settings(database_url=database_url, home=tmp_path)
        monkeypatch.setattr(app_module.configuration, "load", lambda: settings)
        app = app_module.from_environment()
        try:
            assert app.state.settings == settings
            assert app.state.engine.pool.checkedin() == 1  # it looked whether it is bound
        finally:
            app.state.engine.dispose()
