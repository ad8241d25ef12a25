"""The page behind a number: how it was computed, and its rows."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import Response

from serving import performance
from serving.dependencies import May, Now, SessionOfRequest
from serving.security import SIGNED_IN, allow
from serving.web import pages
from serving.web.pages import Framed

router = APIRouter(include_in_schema=False)
ROWS = 100


@router.get("/kpis/{metric}")
@allow(SIGNED_IN)
def kpi_page(
    metric: Annotated[str, Path(max_length=40)], frame: Framed, session: SessionOfRequest,
    may: May, now: Now, period: Annotated[str | None, Query(max_length=10)] = None,
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
) -> Response:  # fmt: skip
    """Show a number with its formula and the rows it was computed from."""
    behind = performance.metric_rows(
        session, metric, visibility=may, as_of=now, limit=ROWS, offset=offset,
        period=performance.period_named(session, period or None, as_of=now),
    )  # fmt: skip
    return pages.render(
        "kpi.html", frame, behind=behind, tile=behind.tile, offset=offset, step=ROWS
    )
