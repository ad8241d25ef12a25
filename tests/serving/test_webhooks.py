"""Webhooks are signed, retried with patience, and never reach a private address."""

from __future__ import annotations

import datetime as dt
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from sqlalchemy import select

from crm_core.database import transaction
from crm_core.processes import rules, webhooks
from crm_core.processes.acting import program
from crm_core.processes.arithmetic import MOST_ATTEMPTS
from crm_core.processes.models import Alert, WebhookDelivery, WebhookSecret
from crm_core.processes.outbox import emit
from serving import turns
from serving.webhooks import BadTarget, is_public, signature, target
from tests import factories
from tests.serving.conftest import NOON


class Receiver(BaseHTTPRequestHandler):
    """Keeps what it gets and answers as told."""

    got: list[tuple[dict[str, str], bytes]] = []
    answers: list[int] = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        type(self).got.append((dict(self.headers), body))
        status = type(self).answers.pop(0) if type(self).answers else 204
        self.send_response(status)
        if status == 302:
            self.send_header("location", "http://127.0.0.1:1/stolen")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def receiver():
    Receiver.got, Receiver.answers = [], []
    server = HTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def waiting(engine, receiver):
    """One delivery to the receiver; the hosts that the setting allows."""
    with transaction(engine) as session:
        factories.a_company(session)
        factories.a_user(session, key="ops", role="sales_ops")
        deal = factories.an_opportunity(session)
        number, _ = webhooks.add_endpoint(
            session, name="us", url=f"http://127.0.0.1:{receiver}/hook?a=1", acting=program(NOON)
        )
        draft = rules.Draft(
            name="tell", event_kind="opportunity.changed", condition={},
            actions=[{"kind": "webhook", "endpoint": number}],
        )  # fmt: skip
        rules.write(session, draft, acting=program(NOON))
        emit(session, "opportunity.changed", deal.id, actor_id=None, occurred_at=NOON,
             recorded_at=NOON)  # fmt: skip
    turns.take_turn(engine, now=NOON)
    return frozenset({f"127.0.0.1:{receiver}"})


def _delivery(engine):
    with transaction(engine) as session:
        return session.scalars(select(WebhookDelivery)).one()


def test_a_message_is_signed_with_its_time_and_sent_once(engine, waiting):
    assert turns.deliver(engine, now=NOON, allowed_hosts=waiting) == 1
    assert turns.deliver(engine, now=NOON, allowed_hosts=waiting) == 0
    ((headers, body),) = Receiver.got
    stamp, given = headers["Winward-Signature"].split(",")
    with transaction(engine) as session:
        secret = session.scalars(select(WebhookSecret.secret)).one()
    seconds = int(stamp.removeprefix("t="))
    assert given == f"v1={signature(secret, timestamp=seconds, body=body)}"
    assert seconds == int(NOON.timestamp())
    assert headers["Winward-Delivery"] == str(_delivery(engine).id)
    assert b'"event": "opportunity.changed"' in body


def test_both_secrets_sign_while_one_replaces_the_other(engine, waiting):
    with transaction(engine) as session:
        former = session.scalars(select(WebhookSecret.secret)).one()
        secret = webhooks.rotate_secret(session, 1, acting=program(NOON))
    turns.deliver(engine, now=NOON, allowed_hosts=waiting)
    ((headers, body),) = Receiver.got
    stamp = int(NOON.timestamp())
    expected = [f"v1={signature(key, timestamp=stamp, body=body)}" for key in (secret, former)]
    assert headers["Winward-Signature"].split(",")[1:] == expected


def test_a_failure_is_tried_again_later_and_given_up_at_last(engine, waiting):
    Receiver.answers = [500] * MOST_ATTEMPTS
    now = NOON
    for attempt in range(1, MOST_ATTEMPTS + 1):
        turns.deliver(engine, now=now, allowed_hosts=waiting)
        found = _delivery(engine)
        assert (found.attempts, found.last_status) == (attempt, 500)
        turns.deliver(engine, now=now, allowed_hosts=waiting)
        assert len(Receiver.got) == attempt  # not before its time
        now = max(now, found.next_attempt_at)
    assert found.state == "failed"
    with transaction(engine) as session:
        told = session.scalars(select(Alert).where(Alert.kind == "webhook_failed")).all()
    assert [alert.user_id for alert in told] == ["ops"]


def test_a_redirect_is_not_followed(engine, waiting):
    Receiver.answers = [302]
    assert turns.deliver(engine, now=NOON, allowed_hosts=waiting) == 0
    assert _delivery(engine).last_error == "the receiver answered 302"
    assert len(Receiver.got) == 1


def test_a_private_address_is_never_connected_to(engine, waiting, monkeypatch):
    asked = []
    monkeypatch.setattr(socket, "create_connection", lambda *a, **k: asked.append(a))
    assert turns.deliver(engine, now=NOON, allowed_hosts=frozenset()) == 0
    assert asked == []
    assert Receiver.got == []
    assert "https" in _delivery(engine).last_error


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.5.5", "169.254.169.254", "0.0.0.0", "::1",
     "100.64.0.1", "fe80::1", "fc00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1",
     "2002:7f00:1::", "224.0.0.1", "255.255.255.255", "fe80::1%eth0", "nonsense"],
)  # fmt: skip
def test_private_addresses_are_known(address):
    assert not is_public(address)
    with pytest.raises(BadTarget, match="not public"):
        target("https://a.example/", allowed=frozenset(), resolve=lambda *_: [address])


def test_one_private_address_among_several_is_enough():
    with pytest.raises(BadTarget):
        target(
            "https://a.example/", allowed=frozenset(), resolve=lambda *_: ["8.8.8.8", "127.0.0.1"]
        )


def test_the_address_that_was_checked_is_the_one_that_is_used():
    answers = iter([["8.8.8.8"], ["127.0.0.1"]])  # a name that points elsewhere a moment later
    goal = target("https://a.example/x?y=1", allowed=frozenset(), resolve=lambda *_: next(answers))
    assert (goal.address, goal.host, goal.path, goal.port) == (
        "8.8.8.8",
        "a.example",
        "/x?y=1",
        443,
    )


@pytest.mark.parametrize(
    "url",
    ["http://a.example/", "file:///etc/passwd", "gopher://a.example", "https://", "https://a:b@c.d/",
     "https://a.example:99999/", "https://a.example/#x", "https://2130706433/", "https://0x7f.1/",
     "https://[::1]/", "https://localhost/"],
)  # fmt: skip
def test_other_forms_of_addresses_are_refused(url):
    with pytest.raises(BadTarget):
        target(url, allowed=frozenset())


def test_waits_and_ends_are_those_of_the_clock(engine, waiting):
    Receiver.answers = [410]
    turns.deliver(engine, now=NOON + dt.timedelta(seconds=1), allowed_hosts=waiting)
    assert _delivery(engine).state == "failed"  # gone for good: trying again is of no use
