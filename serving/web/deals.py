"""The pages of deals: the day's list, one deal, and the answers to its advice."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Form, Path, Query
from fastapi.responses import RedirectResponse, Response
from pydantic import Field

from serving import deals, logins, workday
from serving.addresses import ByPart
from serving.coaching import recommend
from serving.deals import Blank, DealQuery
from serving.dependencies import (
    Configured,
    May,
    Models,
    Now,
    SessionOfRequest,
    SignedIn,
)
from serving.security import SIGNED_IN, allow
from serving.web import charts, pages
from serving.web.pages import Framed

router = APIRouter(include_in_schema=False, route_class=ByPart)


@router.get("/")
@allow(SIGNED_IN)
def start() -> Response:
    """Go to the deals, where every role begins."""
    return RedirectResponse("/deals", status_code=303)


@router.get("/deals")
@allow(SIGNED_IN)
def list_page(
    query: Annotated[DealQuery, Query()], frame: Framed, viewer: SignedIn,
    session: SessionOfRequest, may: May, now: Now,
) -> Response:  # fmt: skip
    """Show the day's numbers, where to start, and the deals the viewer may see."""
    day = workday.workday(session, viewer=viewer, visibility=may, query=query, now=now)
    return pages.render("deals.html", frame, query=query, view=day.view, day=day, may=may)


@router.get("/deals/{opportunity_id}")
@allow(SIGNED_IN)
def deal_page(
    opportunity_id: str, frame: Framed, session: SessionOfRequest, viewer: SignedIn,
    may: May, models: Models, settings: Configured, now: Now,
) -> Response:  # fmt: skip
    """Show one deal: its probability with reasons, what to do next, its history."""
    score = deals.score_of_open(
        session, opportunity_id, visibility=may, models=models, settings=settings, now=now
    )
    view = deals.with_hindsight(
        session,
        deals.one_deal(session, opportunity_id, viewer=viewer, visibility=may, as_of=now),
        models=models, settings=settings, now=now,
    )  # fmt: skip
    if score is not None:
        score = deals.as_seen(session, score, viewer=viewer, visibility=may)
    past = deals.over_time(session, view, score)
    advised = recommend.for_deal(session, opportunity_id, visibility=may, now=now)
    return pages.render(
        "deal.html", frame, view=view, score=score, advised=advised,
        waterfall=charts.waterfall(score) if score else None, line=charts.line(past), past=past,
    )  # fmt: skip


@router.post("/recommendations/{recommendation_id}")
@allow(SIGNED_IN)
def answer(
    recommendation_id: Annotated[int, Path(ge=1, le=2**63 - 1)],
    response: Annotated[Literal["done", "snoozed", "dismissed"], Form()],
    viewer: SignedIn, session: SessionOfRequest, may: May, now: Now,
    reason: Annotated[Annotated[str, Field(max_length=500)] | None, Blank, Form()] = None,
    snooze_days: Annotated[Annotated[int, Field(ge=1, le=90)] | None, Blank, Form()] = None,
    back: Annotated[str, Form(max_length=logins.LONGEST_PATH)] = "/",
) -> Response:  # fmt: skip
    """Write down what the viewer did with a recommendation and go back to where they were."""
    workday.answer(
        session, recommendation_id, viewer=viewer, visibility=may, response=response,
        reason=reason, snooze_days=snooze_days, now=now,
    )  # fmt: skip
    return RedirectResponse(logins.own_path(back), status_code=303)
