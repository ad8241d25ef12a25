"""Tables of numbers as files: CSV, XLSX and PDF of what the pages show, under the same policy."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import Response
from sqlalchemy.orm import Session

from crm_core.people.queries import Viewer
from serving import errors, exports, numbers, performance, row_documents
from serving.api.kpis import Lang, PeriodName, PersonId
from serving.dependencies import May, Moment, Reads, SessionOfRequest, SignedIn
from serving.documents import MEDIA_TYPES, Document, Form
from serving.languages import Language
from serving.security import SIGNED_IN, allow

FILES = {"content": {media: {} for media in MEDIA_TYPES.values()}, "description": "The file."}
router = APIRouter(
    prefix="/api/v1/exports", tags=["exports"], responses={**errors.PROBLEMS, 200: FILES},
    default_response_class=Response,
)  # fmt: skip
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


@router.get("/rows.{form}")
@allow(SIGNED_IN)
def export_rows(
    form: Ending, session: SessionOfRequest, viewer: SignedIn, may: May, asked: Moment,
    language: Reads, metric: Annotated[str, Query(max_length=40)], period: PeriodName = None,
    person: PersonId = None, lang: Lang = None,  # noqa: ARG001 - read by Reads
) -> Response:  # fmt: skip
    """Return every row that a number was computed from; they sum to it."""
    document = row_documents.document(
        session, metric, viewer=viewer, visibility=may, person=person, form=form, as_of=asked,
        period=performance.period_named(session, period, as_of=asked),
    )  # fmt: skip
    return send(session, document, form, viewer, language)
