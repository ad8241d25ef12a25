"""The API against its own description: whatever fits it, or just misses it, gets a fair answer.

Schemathesis makes the requests from the OpenAPI document, from a fixed seed.
"""

from __future__ import annotations

import contextlib
import re

import pytest
import schemathesis
from fastapi.testclient import TestClient
from httpx2 import InvalidURL
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from tests.serving.conftest import PASSWORD

TABLES = ("accounts", "opportunities", "quotas")
STACK = re.compile(r"Traceback|psycopg|sqlalchemy|File \"/|select .* from ", re.IGNORECASE)
KNOWN = st.sampled_from(["deal of rep", "acme", "rep", "1", "c", "pipeline", "a/b", ".."])


@pytest.fixture
def api(app):
    """The description of the API, read from the running application."""
    return schemathesis.openapi.from_asgi("/openapi.json", app)


def sender(app, user):
    """Return a function that sends one made request as a person, who logs in when needed."""
    client = TestClient(app, raise_server_exceptions=False, follow_redirects=False)

    def send(case):
        if user is not None and "winward_session" not in client.cookies:
            own = {"email": f"{user}@acme.example", "password": PASSWORD}
            opened = client.post("/api/v1/session", json=own)
            client.headers["x-csrf-token"] = opened.json()["csrf_token"]
        made = case.as_transport_kwargs(base_url="http://testserver")
        made.pop("cookies", None)
        if isinstance(made.get("data"), bytes):
            made["content"] = made.pop("data")
        if not is_sendable(made.get("files")):
            return None
        headers = {
            name: value
            for name, value in (made.pop("headers", None) or {}).items()
            if name.lower() not in ("x-csrf-token", "cookie")
        }
        try:
            return client.request(headers=headers, **made)
        except (UnicodeError, InvalidURL):
            return None  # no client could send it

    return send


def is_sendable(files):
    """Return whether a client could send these parts of a form: text or bytes each."""
    parts = files.values() if isinstance(files, dict) else [part for _, part in files or ()]
    contents = [part[1] if isinstance(part, tuple) else part for part in parts]
    return all(isinstance(each, str | bytes) for each in contents)


def what_is_wrong(case, answer):
    """Return what is wrong with an answer, None for one that was promised.

    An error has our one shape and tells nothing of our insides.
    """
    told = f"{case.method} {case.formatted_path} {case.query} → {answer.status_code}: "
    if answer.status_code >= 500:
        return told + answer.text[:300]
    if answer.status_code >= 400:
        if answer.headers["content-type"] != "application/problem+json":
            return told + answer.headers["content-type"]
        if STACK.search(answer.json()["detail"]):
            return told + answer.json()["detail"]
    return None


def operations(api):
    """Return every operation of the API's description."""
    return [each.ok() for each in api.get_all_operations()]


def attempted(operation, mode, send, *, examples):
    """Send some made requests to an operation; return what is wrong with the answers."""
    found = []

    @settings(
        max_examples=examples, derandomize=True, database=None, deadline=None,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(operation.as_strategy(generation_mode=mode), st.data())
    def attempt(case, data):
        for name in case.path_parameters or {}:
            if data.draw(st.booleans(), label="known"):
                case.path_parameters[name] = data.draw(KNOWN, label=name)
        answer = send(case)
        if answer is not None and (wrong := what_is_wrong(case, answer)):
            found.append(wrong)

    with contextlib.suppress(Unsatisfiable):  # it takes nothing that could be wrong
        attempt()
    return found


USERS = pytest.mark.parametrize("user", ["rep", "admin"])
MODES = pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=str)


@USERS
@MODES
def test_no_request_that_can_be_described_breaks_the_server(app, api, user, mode):
    send, found = sender(app, user), []
    for operation in operations(api):
        # the tables' routes are made from one declaration; three stand for all
        table = operation.path.removeprefix("/api/v1/records/").split("/")[0]
        if operation.path.startswith("/api/v1/records/") and table not in TABLES:
            continue
        found += attempted(operation, mode, send, examples=2)
    assert found == []


@pytest.mark.slow
@USERS
@MODES
def test_no_request_breaks_any_table_s_routes(app, api, user, mode):
    send, found = sender(app, user), []
    for operation in operations(api):
        found += attempted(operation, mode, send, examples=12)
    assert found == []
