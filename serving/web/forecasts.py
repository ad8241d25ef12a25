"""The forecast's pages: the roll-up with its bridge, calls and adjustments, and deals behind it."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from fastapi import APIRouter, Form, Query
from fastapi.responses import RedirectResponse, Response
from pydantic import AwareDatetime, Field

from crm_core.forecasts import operations
from crm_core.forecasts.catalogue import ADJUSTABLE, COLUMNS, PICKABLE
from serving import forecast_page as forecast_page_of
from serving import forecasting, logins, performance
from serving.addresses import ByPart
from serving.deals import Blank
from serving.dependencies import May, Now, SessionOfRequest, SignedIn
from serving.security import SIGNED_IN, allow, only
from serving.web import forecast_charts, pages
from serving.web.pages import Framed

router = APIRouter(include_in_schema=False, route_class=ByPart)
SELLERS = only("rep", "manager", "leader")
STEP = 100
PeriodName = Annotated[Annotated[str, Field(max_length=10)] | None, Blank]
SubjectId = Annotated[Annotated[str, Field(max_length=200)] | None, Blank]
Method = Literal["cumulative", "single"]
Column = Annotated[str, Field(max_length=16)]
Note = Annotated[str, Form(max_length=operations.LONGEST_NOTE)]
Back = Annotated[str, Form(max_length=logins.LONGEST_PATH)]
Major = Annotated[
    Annotated[Decimal, Field(max_digits=15, decimal_places=3, allow_inf_nan=False)] | None, Blank
]


@router.get("/forecast")
@allow(SIGNED_IN)
def forecast_page(
    frame: Framed, viewer: SignedIn, session: SessionOfRequest, may: May, now: Now,
    subject: Annotated[SubjectId, Query()] = None, period: Annotated[PeriodName, Query()] = None,
    roll_up: Annotated[Method, Query()] = "cumulative",
    column: Annotated[Column, Query()] = "commit",
) -> Response:  # fmt: skip
    """Show a forecast: against quota, person by person, what changed, what was called and set."""
    found = forecast_page_of.forecast_page(
        session, viewer=viewer, may=may, subject=forecasting.subject_of(viewer, subject),
        period=performance.period_named(session, period, as_of=now), method=roll_up,
        category=column, now=now,
    )  # fmt: skip
    quota = found.quota(found.board.subject_id)
    levels = [
        (name, found.board.cells[name].all_adjustments)
        for name in ("closed", "commit", "most_likely", "best_case")
    ]
    return pages.render(
        "forecast.html", frame, found=found, board=found.board, column=column,
        columns=tuple(COLUMNS[roll_up]), adjustable_columns=ADJUSTABLE, quota=quota,
        stack=forecast_charts.stack(levels, mark=quota.minor if quota else None)
        if roll_up == "cumulative" else None,
        falls=forecast_charts.falls(found.bridge),
    )  # fmt: skip


@router.get("/forecast/deals")
@allow(SIGNED_IN)
def deals_page(
    frame: Framed, viewer: SignedIn, session: SessionOfRequest, may: May, now: Now,
    subject: Annotated[SubjectId, Query()] = None, period: Annotated[PeriodName, Query()] = None,
    roll_up: Annotated[Method, Query()] = "cumulative",
    column: Annotated[Column, Query()] = "commit", own: Annotated[bool, Query()] = False,
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
) -> Response:  # fmt: skip
    """Show the deals behind a cell; their values sum to its amount."""
    chosen = performance.period_named(session, period, as_of=now)
    whom = forecasting.subject_of(viewer, subject)
    board = forecasting.board(
        session, viewer=viewer, may=may, subject=whom, period=chosen, method=roll_up, as_of=now
    )
    found = forecasting.deals_behind(
        session, viewer=viewer, may=may, subject=whom, period=chosen, method=roll_up,
        category=column, as_of=now, only_own=own, limit=STEP, offset=offset,
    )  # fmt: skip
    return pages.render(
        "forecast_deals.html", frame, board=board, deals=found, column=column, own=own,
        cell=board.cells[column], offset=offset, step=STEP, pickable=PICKABLE,
        may_pick=viewer.role in operations.PICKERS,
    )  # fmt: skip


def _back(back: str) -> Response:
    return RedirectResponse(logins.own_path(back), status_code=303)


@router.post("/forecast/adjustments")
@allow(SELLERS)
def adjust(
    viewer: SignedIn, session: SessionOfRequest, may: May, now: Now,
    subject: Annotated[str, Form(max_length=200)], period: Annotated[str, Form(max_length=10)],
    column: Annotated[Column, Form()], note: Note, looked_at: Annotated[AwareDatetime, Form()],
    roll_up: Annotated[Method, Form()] = "cumulative",
    amount: Annotated[Major, Form()] = None, back: Back = "/forecast",
) -> Response:  # fmt: skip
    """Set one's own or a direct report's amount; without an amount take one's own back."""
    forecasting.adjust_as_seen(
        session, viewer=viewer, may=may, subject=subject, method=roll_up, category=column,
        period=performance.period_named(session, period, as_of=now), amount=amount, note=note,
        now=now, looked_at=looked_at,
    )  # fmt: skip
    return _back(back)


@router.post("/forecast/submissions")
@allow(SELLERS)
def submit(
    viewer: SignedIn, session: SessionOfRequest, may: May, now: Now,
    period: Annotated[str, Form(max_length=10)],
    note: Annotated[str, Form(max_length=operations.LONGEST_NOTE)] = "", back: Back = "/forecast",
) -> Response:  # fmt: skip
    """Submit one's own forecast as it stands."""
    forecasting.submit(
        session, viewer=viewer, may=may, note=note, now=now,
        period=performance.period_named(session, period, as_of=now),
    )  # fmt: skip
    return _back(back)


@router.post("/forecast/deals/{opportunity_id}/category")
@allow(only(*sorted(operations.PICKERS)))
def pick(
    opportunity_id: str, viewer: SignedIn, session: SessionOfRequest, may: May, now: Now,
    category: Annotated[Annotated[str, Field(max_length=16)] | None, Blank, Form()] = None,
    back: Back = "/forecast/deals",
) -> Response:  # fmt: skip
    """Put a deal into a category, or leave it to its stage again."""
    operations.pick_category(
        session, opportunity_id, category=category, viewer=viewer, may=may, now=now
    )
    return _back(back)
