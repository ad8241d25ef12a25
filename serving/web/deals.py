"""The pages of deals: the list, and one deal."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import RedirectResponse, Response

from serving import deals
from serving.deals import DealQuery
from serving.dependencies import (
    Configured,
    May,
    Now,
    Promoted,
    SessionOfRequest,
    SignedIn,
)
from serving.security import SIGNED_IN, allow
from serving.web import charts, pages
from serving.web.pages import Framed

router = APIRouter(include_in_schema=False)


@router.get("/")
@allow(SIGNED_IN)
def start() -> Response:
    """Go to the deals, where every role begins."""
    return RedirectResponse("/deals", status_code=303)


@router.get("/deals")
@allow(SIGNED_IN)
def list_page(
    query: Annotated[DealQuery, Query()], frame: Framed, _viewer: SignedIn,
    session: SessionOfRequest, may: May, now: Now,
) -> Response:  # fmt: skip
    """Show the deals the viewer may see."""
    view = deals.list_deals(session, visibility=may, query=query, as_of=now)
    return pages.render("deals.html", frame, query=query, view=view, may=may)


@router.get("/deals/{opportunity_id}")
@allow(SIGNED_IN)
def deal_page(
    opportunity_id: Annotated[str, Path(max_length=200)], frame: Framed, session: SessionOfRequest,
    may: May, champion: Promoted, settings: Configured, now: Now,
) -> Response:  # fmt: skip
    """Show one deal: its probability with reasons, what to do next, its history."""
    view = deals.one_deal(session, opportunity_id, visibility=may, as_of=now)
    score = deals.score_of_open(
        session, view, visibility=may, champion=champion, settings=settings, now=now
    )
    return pages.render(
        "deal.html", frame, view=view, score=score,
        waterfall=charts.waterfall(score) if score else None, line=charts.line(view.past_scores),
    )  # fmt: skip
