"""From errors to answers: one status per kind, one JSON shape (RFC 9457), one page for people."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from psycopg.errors import DataError as DriverDataError
from pydantic import BaseModel, Field
from sqlalchemy.exc import DataError, IntegrityError, OperationalError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from crm_core.errors import CrmError
from crm_core.people.operations import TooManyAttempts
from serving import languages, security
from serving.addresses import path_of
from serving.statuses import status_of
from serving.web import pages

LOG = logging.getLogger(__name__)
UNAVAILABLE = "The database cannot be reached; try again in a moment."
UNFIT_VALUE = "A value holds a character or a size that cannot be stored; leave it out."
WRITTEN_AT_ONCE = "Somebody else wrote the same thing at this moment; repeat the request."
BROKEN = "Something went wrong on our side. It was written to the log; please try again."


class FieldProblem(BaseModel):
    """What is wrong with one field of the request."""

    field: str
    message: str


class Problem(BaseModel):
    """Every error of the API, as ``application/problem+json`` (RFC 9457)."""

    type: str = Field(default="about:blank", description="The status says the kind.")
    title: str
    status: int
    detail: str
    instance: str
    errors: list[FieldProblem] = Field(default_factory=list)


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": HTTPStatus(status).phrase}
    for status in (401, 403, 404, 422, 429)
}
"""What every route of the API may answer besides its own result."""


def install(app: FastAPI) -> None:
    """Give the app the one answer for each kind of error."""
    app.add_exception_handler(CrmError, _anticipated)
    app.add_exception_handler(HTTPException, _routing)
    app.add_exception_handler(RequestValidationError, _unreadable)
    app.add_exception_handler(DataError, _unfit_value)
    app.add_exception_handler(DriverDataError, _unfit_value)  # from COPY, past SQLAlchemy
    app.add_exception_handler(IntegrityError, _written_at_once)
    app.add_exception_handler(StatementError, _statement)
    app.add_exception_handler(OverflowError, _unfit_value)  # the days before year 1, after 9999
    app.add_exception_handler(UnicodeEncodeError, _unfit_value)  # half a surrogate pair
    app.add_exception_handler(OperationalError, _unavailable)
    app.add_exception_handler(PoolTimeout, _unavailable)
    app.add_exception_handler(Exception, _bug)


def _anticipated(request: Request, error: Exception) -> Response:
    assert isinstance(error, CrmError)
    return refusal(request, error)


def refusal(request: Request, error: CrmError) -> Response:
    """Return the answer to an anticipated error; it names the fields if the error does."""
    headers = {}
    if isinstance(error, TooManyAttempts):
        headers["retry-after"] = str(error.retry_after)
    found = [
        FieldProblem(field=field, message=message)
        for field, message in getattr(error, "problems", ())
    ]
    return answer(request, status_of(error), error.message, headers=headers, errors=found)


def _written_at_once(request: Request, error: Exception) -> Response:
    LOG.warning("two writers met: %s", error)
    return answer(request, 409, WRITTEN_AT_ONCE)


def _routing(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = {
        404: "There is nothing at this address.",
        405: "This address does not take this method.",
        413: "The request is too large.",
    }.get(error.status_code, str(error.detail))
    return answer(request, error.status_code, detail, headers=dict(error.headers or {}))


def _unreadable(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = [
        FieldProblem(
            field=".".join(str(part) for part in each["loc"][1:]) or str(each["loc"][0]),
            message=str(each["msg"]),
        )
        for each in error.errors()
    ]
    names = ", ".join(problem.field for problem in found)
    return answer(request, 422, f"The request has wrong values: {names}.", errors=found)


def _unfit_value(request: Request, error: Exception) -> Response:
    LOG.warning("a value that cannot be used: %s", error)
    return answer(request, 422, UNFIT_VALUE)


def _statement(request: Request, error: Exception) -> Response:
    """Answer for a value that never reached the database: it could not be written down."""
    cause = getattr(error, "orig", None)
    if isinstance(cause, (OverflowError, UnicodeEncodeError)):
        return _unfit_value(request, error)
    return _bug(request, error)


def _unavailable(request: Request, error: Exception) -> Response:
    LOG.error("the database cannot be reached: %s", error)
    return answer(request, 503, UNAVAILABLE, headers={"retry-after": "5"})


def _bug(request: Request, error: Exception) -> Response:
    LOG.error("unanticipated error at %s", path_of(request), exc_info=error)
    # answered outside the middleware that adds these
    return answer(request, 500, BROKEN, headers={**security.HEADERS, "cache-control": "no-store"})


def answer(
    request: Request,
    status: int,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    errors: list[FieldProblem] | None = None,
) -> Response:
    """Return the problem as JSON, or as a page where a browser asked for one."""
    path = path_of(request)
    if security.wants_page(request.headers, path):
        return _page(request, status, detail, headers)
    problem = Problem(
        title=HTTPStatus(status).phrase, status=status, detail=detail, instance=path,
        errors=errors or [],
    )  # fmt: skip
    return JSONResponse(
        jsonable_encoder(problem),
        status_code=status,
        headers=dict(headers or {}),
        media_type="application/problem+json",
    )


def _page(
    request: Request, status: int, detail: str, headers: Mapping[str, str] | None
) -> Response:
    path = path_of(request)
    if status == 401 and request.method == "GET":
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"/login?next={quote(path + query, safe='/')}", status_code=303)
    language = languages.choose(
        asked=None,
        chosen=request.cookies.get(languages.COOKIE),
        personal=None,
        accepted=request.headers.get("accept-language"),
    )
    frame = pages.bare_frame(path, language)
    response = pages.render("error.html", frame, status=status, code=status, detail=detail)
    response.headers.update(headers or {})
    return response
