"""Tables of numbers as files: CSV, XLSX and PDF of what the pages show, under the same policy."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import Response
from pydantic import Field
from sqlalchemy.orm import Session

from crm_core.people.queries import Viewer
from serving import (
    cells,
    errors,
    exports,
    leadership,
    metric_documents,
    metrics,
    numbers,
    performance,
    row_documents,
)
from serving.api.kpis import Lang, PeriodName, PersonId
from serving.dependencies import May, Moment, Reads, SessionOfRequest, SignedIn
from serving.documents import MEDIA_TYPES, Document, Form
from serving.languages import Language
from serving.security import LEADS, SIGNED_IN, allow

FILES = {"content": {media: {} for media in MEDIA_TYPES.values()}, "description": "The file."}
router = APIRouter(
    prefix="/api/v1/exports", tags=["exports"], responses={**errors.PROBLEMS, 200: FILES},
    default_response_class=Response,
)  # fmt: skip
Dimensions = Annotated[
    tuple[Annotated[str, Field(max_length=60)], ...],
    Query(max_length=3, description="The dimensions of a cell, up to three."),
]
Key = Annotated[
    str | None, Query(max_length=2000, description="A JSON list with one value for each by.")
]
Ending = Annotated[Form, Path(description="csv, xlsx or pdf.")]


def send(
    session: Session, document: Document, form: Form, viewer: Viewer, language: Language
) -> Response:
    """Return a document as the answer to a download."""
    file = exports.deliver(session, document, form=form, viewer=viewer, language=language)
    heads = {"Content-Disposition": f'attachment; filename="{file.name}"'}
    return Response(file.content, media_type=file.media_type, headers=heads)


@router.get("/numbers.{form}")
@allow(SIGNED_IN)
def export_numbers(
    form: Ending, session: SessionOfRequest, viewer: SignedIn, may: May, asked: Moment,
    language: Reads, period: PeriodName = None, person: PersonId = None,
    lang: Lang = None,  # noqa: ARG001 - read by Reads
) -> Response:  # fmt: skip
    """Return the numbers of a person, of everybody you may see without one, with their trend."""
    found = numbers.numbers_page(
        session, viewer=viewer, visibility=may, person=person, as_of=asked,
        period=performance.period_named(session, period, as_of=asked),
    )  # fmt: skip
    document = numbers.document(session, found, viewer=viewer, language=language.tag)
    return send(session, document, form, viewer, language)


@router.get("/company.{form}")
@allow(LEADS)
def export_company(
    form: Ending, session: SessionOfRequest, viewer: SignedIn, may: May, asked: Moment,
    language: Reads, period: PeriodName = None,
    unit: Annotated[str | None, Query(max_length=200)] = None,
    lang: Lang = None,  # noqa: ARG001 - read by Reads
) -> Response:  # fmt: skip
    """Return an org unit with its parts: bookings, open forecast amounts, quota, attainment."""
    found = leadership.company_tree(
        session, visibility=may, unit=unit, as_of=asked,
        period=performance.period_named(session, period, as_of=asked),
    )  # fmt: skip
    document = leadership.document(session, found, viewer=viewer, language=language.tag)
    return send(session, document, form, viewer, language)


@router.get("/table.{form}")
@allow(LEADS)
def export_table(
    form: Ending, session: SessionOfRequest, viewer: SignedIn, may: May, asked: Moment,
    language: Reads, metric: Annotated[str, Query(max_length=40)] = "bookings",
    by: Dimensions = cells.DEFAULTS, period: PeriodName = None,
    lang: Lang = None,  # noqa: ARG001 - read by Reads
) -> Response:  # fmt: skip
    """Return a metric by three dimensions with all its sums."""
    found = cells.cross_table(
        session, metric, by=by, viewer=viewer, visibility=may, as_of=asked,
        period=performance.period_named(session, period, as_of=asked),
    )  # fmt: skip
    document = cells.document(session, found, viewer=viewer, language=language.tag)
    return send(session, document, form, viewer, language)


@router.get("/rows.{form}")
@allow(SIGNED_IN)
def export_rows(
    form: Ending, session: SessionOfRequest, viewer: SignedIn, may: May, asked: Moment,
    language: Reads, metric: Annotated[str, Query(max_length=40)], period: PeriodName = None,
    person: PersonId = None, by: Dimensions = (), key: Key = None,
    lang: Lang = None,  # noqa: ARG001 - read by Reads
) -> Response:  # fmt: skip
    """Return every row that a number, or one cell of it, was computed from; they sum to it."""
    document = row_documents.document(
        session, metric, viewer=viewer, visibility=may, person=person, form=form, as_of=asked,
        place=cells.place_named(by, key),
        period=performance.period_named(session, period, as_of=asked),
    )  # fmt: skip
    return send(session, document, form, viewer, language)


@router.get("/metrics.{form}")
@allow(SIGNED_IN)
def export_metrics(
    form: Ending, session: SessionOfRequest, viewer: SignedIn, asked: Moment, language: Reads,
    lang: Lang = None,  # noqa: ARG001 - read by Reads
) -> Response:  # fmt: skip
    """Return the definition of every metric you may see."""
    document = metric_documents.document(
        session, metrics.cards(session, viewer=viewer, as_of=asked), viewer=viewer,
        period=performance.period_named(session, None, as_of=asked), as_of=asked,
        language=language.tag,
    )  # fmt: skip
    return send(session, document, form, viewer, language)
