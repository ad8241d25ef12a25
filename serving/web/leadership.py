"""The pages of those who lead: the company by unit, and a number by three dimensions."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import Field

from serving import cells, leadership, performance
from serving.deals import Blank
from serving.dependencies import May, Now, SessionOfRequest, SignedIn
from serving.security import LEADS, allow
from serving.web import charts, pages
from serving.web.pages import Framed

router = APIRouter(include_in_schema=False)
PeriodName = Annotated[Annotated[str, Field(max_length=10)] | None, Blank, Query()]
Name = Annotated[str, Field(max_length=60)]


@router.get("/company")
@allow(LEADS)
def company_page(
    frame: Framed, session: SessionOfRequest, may: May, now: Now, period: PeriodName = None,
    unit: Annotated[Annotated[str, Field(max_length=200)] | None, Blank, Query()] = None,
) -> Response:  # fmt: skip
    """Show a unit with its parts: bookings against quota, and what is open by category."""
    found = leadership.company_tree(
        session, visibility=may, unit=unit, as_of=now,
        period=performance.period_named(session, period, as_of=now),
    )  # fmt: skip
    top = [part for part in found.parts if part.depth == 1]
    return pages.render(
        "company.html", frame, found=found, top=top, categories=leadership.OPEN,
        kinds=leadership.KINDS,
        bars=charts.bars(
            [part.amounts["bookings"].major for part in top],
            [part.quota.major if part.quota else None for part in top],
        ),
    )  # fmt: skip


@router.get("/company/table")
@allow(LEADS)
def table_page(
    frame: Framed, viewer: SignedIn, session: SessionOfRequest, may: May, now: Now,
    period: PeriodName = None, metric: Annotated[Name, Query()] = "bookings",
    by: Annotated[tuple[Name, ...], Query(max_length=3)] = cells.DEFAULTS,
) -> Response:  # fmt: skip
    """Show a sum of money by three dimensions; each cell opens its rows."""
    found = cells.cross_table(
        session, metric, by=by, viewer=viewer, visibility=may, as_of=now,
        period=performance.period_named(session, period, as_of=now),
    )  # fmt: skip
    return pages.render("company_table.html", frame, found=found)
