"""The pages of who did what and of who may do what."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import Field

from crm_core.people.permissions import ACTIONS, EVERYBODY
from serving import oversight
from serving.deals import Blank
from serving.dependencies import SessionOfRequest, SignedIn
from serving.security import SIGNED_IN, allow
from serving.web import pages
from serving.web.pages import Framed

router = APIRouter(include_in_schema=False)
Text = Annotated[Annotated[str, Field(max_length=200)] | None, Blank, Query()]


@router.get("/audit")
@allow(oversight.READS_THE_LOG)
def audit_page(
    frame: Framed, viewer: SignedIn, session: SessionOfRequest, table: Text = None,
    record_id: Text = None, actor: Text = None,
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
) -> Response:  # fmt: skip
    """Show who did what, newest first."""
    found = oversight.trail(
        session, viewer=viewer, table=table, record_id=record_id, actor=actor, since=None,
        until=None, before=before,
    )  # fmt: skip
    return pages.render(
        "audit.html", frame, trail=found, table=table, record_id=record_id, actor=actor
    )


@router.get("/permissions")
@allow(SIGNED_IN)
def permissions_page(frame: Framed, viewer: SignedIn, role: Text = None) -> Response:
    """Show what a role may do with each table and its fields."""
    chosen = role if role in EVERYBODY else viewer.role
    return pages.render(
        "permissions.html", frame, role=chosen, roles=EVERYBODY, actions=ACTIONS,
        tables=oversight.granted(chosen),
    )  # fmt: skip
