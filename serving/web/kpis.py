"""The page behind a number: how it was computed, and its rows."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import Response
from pydantic import Field

from crm_core.kpis import rights
from serving import cells, metric_words, metrics, performance, row_documents
from serving.deals import Blank
from serving.dependencies import May, Now, SessionOfRequest, SignedIn
from serving.security import SIGNED_IN, allow
from serving.web import pages
from serving.web.pages import Framed

PersonId = Annotated[Annotated[str, Field(max_length=200)] | None, Blank, Query()]
router = APIRouter(include_in_schema=False)
ROWS = 100


@router.get("/kpis/{metric}")
@allow(SIGNED_IN)
def kpi_page(
    metric: Annotated[str, Path(max_length=40)], frame: Framed, viewer: SignedIn,
    session: SessionOfRequest, may: May, now: Now,
    period: Annotated[str | None, Query(max_length=10)] = None,
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0, person: PersonId = None,
    by: Annotated[tuple[Annotated[str, Field(max_length=60)], ...], Query(max_length=3)] = (),
    key: Annotated[str | None, Query(max_length=2000)] = None,
) -> Response:  # fmt: skip
    """Show a number with its formula and the rows it was computed from."""
    item = rights.require(session, viewer, metric, as_of=now)
    scope = performance.of_person(may, person)
    place = cells.place_named(by, key)
    behind = cells.rows_behind(
        session, metric, place, viewer=viewer, visibility=scope, person=person, as_of=now,
        period=performance.period_named(session, period or None, as_of=now), offset=offset,
        limit=ROWS,
    )  # fmt: skip
    return pages.render(
        "kpi.html", frame, place=place, behind=behind, tile=behind.tile, offset=offset,
        step=ROWS, item=item, words=metric_words, person=performance.named(session, person),
        checked=performance.checked_at(session, as_of=now),
        names={} if len(scope.user_ids) == 1 else performance.credited(session, behind.rows),
        fresh=metrics.newest_fact_at(session, [metric], as_of=now),
        may_export=row_documents.may_export(
            viewer, {row.kind for row in behind.rows}, visibility=scope
        ),
    )  # fmt: skip
