"""The page of one's numbers: against quota, over time, among peers, each with its rows."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import Field

from serving import numbers, performance
from serving.deals import Blank
from serving.dependencies import May, Now, SessionOfRequest, SignedIn
from serving.security import SIGNED_IN, allow
from serving.web import charts, pages
from serving.web.pages import Framed

router = APIRouter(include_in_schema=False)
PeriodName = Annotated[Annotated[str, Field(max_length=10)] | None, Blank, Query()]
PersonId = Annotated[Annotated[str, Field(max_length=200)] | None, Blank, Query()]


@router.get("/numbers")
@allow(SIGNED_IN)
def numbers_page(
    frame: Framed, viewer: SignedIn, session: SessionOfRequest, may: May, now: Now,
    period: PeriodName = None, person: PersonId = None,
) -> Response:  # fmt: skip
    """Show the numbers of a person, or of everybody the viewer may see."""
    found = numbers.numbers_page(
        session, viewer=viewer, visibility=may, person=person, as_of=now,
        period=performance.period_named(session, period, as_of=now),
    )  # fmt: skip
    attained = found.now.tile("attainment").value
    aims = [point.target.major if point.target else None for point in found.trend]
    return pages.render(
        "numbers.html", frame, found=found,
        progress=charts.progress(attained, found.elapsed),
        trend=charts.bars([point.bookings.value for point in found.trend], aims),
        strip=None if found.place is None or attained is None
        else charts.strip(found.place.low, found.place.high, attained),
    )  # fmt: skip
