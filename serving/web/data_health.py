"""The page of data health: what fails, what to do, and how the month went."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from serving import data_health
from serving.dependencies import May, Now, SessionOfRequest
from serving.security import SIGNED_IN, allow
from serving.web import pages
from serving.web.pages import Framed

router = APIRouter(include_in_schema=False)


@router.get("/health")
@allow(SIGNED_IN)
def health_page(
    frame: Framed, session: SessionOfRequest, may: May, now: Now,
    month: Annotated[str | None, Query(pattern=r"^(\d{4}-\d{2})?$")] = None,
) -> Response:  # fmt: skip
    """Show a month of data health."""
    found = data_health.report(session, month=month or None, as_of=now, examples=may.everyone)
    return pages.render("health.html", frame, report=found)
