"""The pages of webhooks: where messages go, their secrets shown once, and what became of them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Path
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from crm_core.errors import Invalid
from crm_core.processes import webhooks
from serving import webhooks as sending
from serving.acting import Acts
from serving.addresses import ByPart
from serving.dependencies import Configured, SessionOfRequest
from serving.security import allow, only
from serving.web import pages
from serving.web.pages import Frame, Framed

router = APIRouter(include_in_schema=False, route_class=ByPart)
OPERATIONS = only("sales_ops", "admin")
Number = Annotated[int, Path(ge=1, le=2**63 - 1)]
HERE = "/processes/webhooks"


@router.get("/processes/webhooks")
@allow(OPERATIONS)
def webhooks_page(frame: Framed, session: SessionOfRequest) -> Response:
    """Show where webhooks go and the latest messages."""
    return _shown(frame, session)


@router.post("/processes/webhooks")
@allow(OPERATIONS)
def add_endpoint(
    frame: Framed, session: SessionOfRequest, acting: Acts, settings: Configured,
    name: Annotated[str, Form(max_length=200)], url: Annotated[str, Form(max_length=2000)],
) -> Response:  # fmt: skip
    """Add an endpoint and show its secret, this once."""
    try:
        sending.check_url(url, allowed=sending.allowed_hosts(settings.webhook_hosts))
        _, secret = webhooks.add_endpoint(session, name=name, url=url, acting=acting)
    except Invalid as error:
        return _shown(frame, session, wrong=str(error), name=name, url=url, status=422)
    return _shown(frame, session, secret=secret, of=name.strip())


@router.post("/processes/webhooks/{endpoint_id}/secret")
@allow(OPERATIONS)
def rotate(endpoint_id: Number, frame: Framed, session: SessionOfRequest, acting: Acts) -> Response:
    """Give an endpoint a new secret and show it, this once."""
    secret = webhooks.rotate_secret(session, endpoint_id, acting=acting)
    named = {each.id: each.name for each in webhooks.endpoints(session)}
    return _shown(frame, session, secret=secret, of=named[endpoint_id])


@router.post("/processes/webhooks/{endpoint_id}/active")
@allow(OPERATIONS)
def switch(
    endpoint_id: Number, session: SessionOfRequest, acting: Acts,
    is_active: Annotated[bool, Form()],
) -> Response:  # fmt: skip
    """Switch an endpoint on or off."""
    webhooks.set_active(session, endpoint_id, is_active, acting=acting)
    return RedirectResponse(HERE, status_code=303)


@router.post("/processes/webhooks/deliveries/{delivery_id}")
@allow(OPERATIONS)
def send_again(delivery_id: Number, session: SessionOfRequest, acting: Acts) -> Response:
    """Send a given-up message once more."""
    webhooks.retry(session, [delivery_id], acting=acting)
    return RedirectResponse(HERE, status_code=303)


def _shown(
    frame: Frame, session: Session, *, secret: str | None = None, of: str | None = None,
    wrong: str | None = None, name: str = "", url: str = "", status: int = 200,
) -> Response:  # fmt: skip
    endpoints = webhooks.endpoints(session)
    return pages.render(
        "webhooks.html", frame, status=status, endpoints=endpoints, secret=secret, of=of,
        wrong=wrong, name=name, url=url, deliveries=webhooks.deliveries(session, limit=50),
        names={each.id: each.name for each in endpoints},
    )  # fmt: skip
