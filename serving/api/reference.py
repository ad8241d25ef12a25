"""The API's reference: OpenAPI as JSON, and as a page that loads nothing from elsewhere."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from serving.dependencies import Reads
from serving.security import PUBLIC, allow
from serving.web import pages
from serving.web.api_reference import operations

router = APIRouter(include_in_schema=False)


@router.get("/openapi.json")
@allow(PUBLIC)
def openapi(request: Request) -> dict[str, Any]:
    """Return the OpenAPI description."""
    description: dict[str, Any] = request.app.openapi()
    return description


@router.get("/docs")
@allow(PUBLIC)
def docs(request: Request, language: Reads) -> HTMLResponse:
    """Show every operation with its parameters and answers."""
    groups = operations(request.app.openapi())
    frame = pages.bare_frame(request.url.path, language)
    return pages.render("reference.html", frame, groups=groups)
