"""Webhook endpoints and the deliveries that wait for them; sending itself is serving's."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from crm_core.errors import Invalid, NotFound
from crm_core.processes import alerts
from crm_core.processes.acting import Acting
from crm_core.processes.arithmetic import next_wait
from crm_core.processes.models import WebhookDelivery, WebhookEndpoint, WebhookSecret

ROTATION = dt.timedelta(days=1)


class NoSuchEndpoint(NotFound):
    """No endpoint has this number."""


class BadEndpoint(Invalid):
    """The endpoint's name is taken or empty."""


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery to attempt, with what it needs; ``secrets`` sign it, the present one first."""

    id: int
    url: str
    secrets: tuple[str, ...]
    body: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint as it is shown, without its secret."""

    id: int
    name: str
    url: str
    is_active: bool
    created_at: dt.datetime


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery as it is shown."""

    id: int
    endpoint_id: int
    event_id: int
    state: str
    attempts: int
    created_at: dt.datetime
    next_attempt_at: dt.datetime
    last_status: int | None
    last_error: str | None


def add_endpoint(session: Session, *, name: str, url: str, acting: Acting) -> tuple[int, str]:
    """Add an endpoint, whose URL the caller has checked; return its number and its secret.

    The secret is shown this once. Raises BadEndpoint and MayNot.
    """
    acting.requires_operations()
    taken = session.scalar(select(WebhookEndpoint.id).where(WebhookEndpoint.name == name.strip()))
    if not name.strip() or len(name) > 200 or taken is not None:
        raise BadEndpoint("An endpoint needs a name of its own.")
    found = WebhookEndpoint(
        name=name.strip(), url=url, created_at=acting.now, created_by=acting.user_id
    )
    session.add(found)
    session.flush()
    secret = _new_secret(session, found.id, now=acting.now)
    acting.log(session, "create", "webhook_endpoints", found.id, {"url": (None, url)})
    return found.id, secret


def _new_secret(session: Session, endpoint_id: int, *, now: dt.datetime) -> str:
    secret = secrets.token_urlsafe(32)
    session.add(WebhookSecret(endpoint_id=endpoint_id, secret=secret, created_at=now))
    session.flush()
    return secret


def rotate_secret(session: Session, endpoint_id: int, *, acting: Acting) -> str:
    """Give an endpoint a new secret and return it; the former signs too for a day."""
    acting.requires_operations()
    _endpoint(session, endpoint_id)
    session.execute(
        update(WebhookSecret)
        .where(WebhookSecret.endpoint_id == endpoint_id, WebhookSecret.ends_at.is_(None))
        .values(ends_at=acting.now + ROTATION)
    )
    secret = _new_secret(session, endpoint_id, now=acting.now)
    acting.log(session, "rotate", "webhook_endpoints", endpoint_id, {"secret": (None, None)})
    return secret


def set_active(session: Session, endpoint_id: int, is_active: bool, *, acting: Acting) -> None:
    """Switch an endpoint on or off; what waits for it waits on."""
    acting.requires_operations()
    found = _endpoint(session, endpoint_id)
    before, found.is_active = found.is_active, is_active
    session.flush()
    acting.log(session, "update", "webhook_endpoints", endpoint_id,
               {"is_active": (before, is_active)})  # fmt: skip


def _endpoint(session: Session, endpoint_id: int) -> WebhookEndpoint:
    found = session.get(WebhookEndpoint, endpoint_id, with_for_update=True)
    if found is None:
        raise NoSuchEndpoint("There is no such endpoint.")
    return found


def endpoints(session: Session) -> tuple[Endpoint, ...]:
    """Return the endpoints by name."""
    found = session.scalars(select(WebhookEndpoint).order_by(WebhookEndpoint.name))
    return tuple(Endpoint(e.id, e.name, e.url, e.is_active, e.created_at) for e in found)


def deliveries(session: Session, *, limit: int = 100) -> tuple[Delivery, ...]:
    """Return the latest deliveries, newest first."""
    found = session.scalars(
        select(WebhookDelivery).order_by(WebhookDelivery.id.desc()).limit(limit)
    )
    return tuple(
        Delivery(each.id, each.endpoint_id, each.event_id, each.state, each.attempts,
                 each.created_at, each.next_attempt_at, each.last_status, each.last_error)
        for each in found
    )  # fmt: skip


def claim(session: Session, *, now: dt.datetime) -> Due | None:
    """Return the next delivery that is due, locked until the transaction ends.

    Only the worker may: the web's role cannot read a secret.
    """
    row = session.execute(
        select(WebhookDelivery, WebhookEndpoint)
        .join(WebhookEndpoint, WebhookEndpoint.id == WebhookDelivery.endpoint_id)
        .where(
            WebhookDelivery.state == "waiting",
            WebhookDelivery.next_attempt_at <= now,
            WebhookEndpoint.is_active,
        )
        .order_by(WebhookDelivery.next_attempt_at, WebhookDelivery.id)
        .limit(1)
        .with_for_update(skip_locked=True, of=WebhookDelivery)
        .execution_options(populate_existing=True)
    ).first()
    if row is None:
        return None
    delivery, endpoint = row
    keys = session.scalars(
        select(WebhookSecret.secret)
        .where(
            WebhookSecret.endpoint_id == endpoint.id,
            or_(WebhookSecret.ends_at.is_(None), WebhookSecret.ends_at > now),
        )
        .order_by(WebhookSecret.id.desc())
    )
    return Due(delivery.id, endpoint.url, tuple(keys), delivery.body, delivery.attempts)


def settle(
    session: Session,
    delivery_id: int,
    *,
    status: int | None,
    error: str | None,
    final: bool,
    now: dt.datetime,
) -> None:
    """Write an attempt down: done, to be tried again later, or given up and reported.

    ``final``: trying again is of no use.
    """
    delivery = session.get_one(WebhookDelivery, delivery_id)
    delivery.attempts += 1
    delivery.last_status, delivery.last_error = status, error
    wait = None if final else next_wait(delivery.attempts)
    if error is None:
        delivery.state, delivery.delivered_at = "delivered", now
    elif wait is None:
        delivery.state = "failed"
        for user_id in alerts.people_in(session, ["sales_ops", "admin"]):
            alerts.raise_alert(
                session, user_id=user_id, kind="webhook_failed", severity="warning",
                dedupe_key=f"webhook:{delivery.endpoint_id}", now=now,
                words={"endpoint": delivery.endpoint_id, "error": error},
            )  # fmt: skip
    else:
        delivery.next_attempt_at = now + wait
    session.flush()


def retry(session: Session, delivery_ids: Sequence[int], *, acting: Acting) -> int:
    """Queue given-up deliveries once more; return how many."""
    acting.requires_operations()
    found = session.scalars(
        select(WebhookDelivery).where(
            WebhookDelivery.id.in_(list(delivery_ids)), WebhookDelivery.state == "failed"
        )
    ).all()
    for each in found:
        each.state, each.attempts, each.next_attempt_at = "waiting", 0, acting.now
        acting.log(session, "retry", "webhook_deliveries", each.id, {})
    session.flush()
    return len(found)
