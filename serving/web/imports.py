"""The pages of imports: the list with the upload, one import with its roll back."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import RedirectResponse, Response

from crm_core.imports import mapping as mappings
from crm_core.imports import queries
from serving import import_jobs
from serving.dependencies import Configured, Now, SessionOfRequest, SignedIn
from serving.security import allow, only
from serving.uploads import Uploaded
from serving.web import pages
from serving.web.pages import Framed

router = APIRouter(include_in_schema=False)
IMPORTERS = only("admin", "sales_ops")
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]
PAGE = 50
SHOWN = 100


@router.get("/imports")
@allow(IMPORTERS)
def list_page(
    frame: Framed, session: SessionOfRequest,
    before: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
) -> Response:  # fmt: skip
    """Show the imports and the form that takes files."""
    found = queries.batches(session, limit=PAGE, before=before)
    return pages.render(
        "imports.html", frame, batches=found, mappings=mappings.shipped(),
        older=found[-1].id if len(found) == PAGE else None,
    )  # fmt: skip


@router.post("/imports")
@allow(IMPORTERS)
def upload(
    given: Uploaded, session: SessionOfRequest, viewer: SignedIn, now: Now, settings: Configured
) -> Response:
    """Take the files and go to the page of their import."""
    number = import_jobs.accept(
        session, given, by=viewer.id, at=now, settings=settings, channel="page"
    )
    return RedirectResponse(f"/imports/{number}", status_code=303)


@router.get("/imports/{number}")
@allow(IMPORTERS)
def batch_page(number: Number, frame: Framed, session: SessionOfRequest) -> Response:
    """Show one import; the page asks again by itself until nothing more happens."""
    found = queries.batch(session, number)
    response = pages.render(
        "import.html", frame, batch=found,
        rejections=queries.rejections(session, number, after=0, limit=SHOWN),
        kept=queries.kept(session, number, limit=SHOWN),
    )  # fmt: skip
    if not found.is_over:
        response.headers["refresh"] = "2"
    return response


@router.post("/imports/{number}/rollback")
@allow(IMPORTERS)
def roll_back(number: Number, session: SessionOfRequest, viewer: SignedIn, now: Now) -> Response:
    """Ask for a roll back and show the import."""
    import_jobs.ask_rollback(session, number, by=viewer.id, at=now, channel="page")
    return RedirectResponse(f"/imports/{number}", status_code=303)


@router.post("/imports/{number}/carry-out")
@allow(IMPORTERS)
def carry_out(number: Number, session: SessionOfRequest, viewer: SignedIn, now: Now) -> Response:
    """Write what a dry run judged."""
    import_jobs.carry_out(session, number, by=viewer.id, at=now, channel="page")
    return RedirectResponse(f"/imports/{number}", status_code=303)
