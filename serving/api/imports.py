"""Imports for programs: upload files, follow an import, read its rejected rows, take it back."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from crm_core.imports import queries
from serving import errors, import_jobs
from serving.dependencies import Configured, Now, SessionOfRequest, SignedIn
from serving.security import allow, only
from serving.uploads import FORM, Uploaded

router = APIRouter(prefix="/api/v1/imports", tags=["imports"], responses=errors.PROBLEMS)
IMPORTERS = only("admin", "sales_ops")
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]


class Batch(BaseModel):
    """An import. ``counts`` has, by table, the fate of every row; ``doing`` what goes on now."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    source: str
    mapping: str | None
    status: str = Field(description="queued, running, checked, committed, failed, rolled_back")
    dry_run: bool
    only: list[str]
    pilot: str | None
    since: int | None
    started_by: str | None
    started_at: dt.datetime
    finished_at: dt.datetime | None
    seconds: Decimal | None
    rows_per_second: int | None
    doing: dict[str, Any] | None
    error: str | None
    counts: dict[str, dict[str, int]]
    findings: list[dict[str, Any]]
    delta: dict[str, Any] | None
    reconciliation: dict[str, Any] | None
    undone: dict[str, Any] | None
    rolled_back_at: dt.datetime | None


class Batches(BaseModel):
    """Imports, newest first; the next page is asked for with ``before``."""

    items: list[Batch]
    next_before: int | None


class Rejected(BaseModel):
    """A row that was not taken: where it stands and why."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    table: str | None
    file: str
    line: int
    column: str | None
    value: str | None
    reason: str


class Rejections(BaseModel):
    """Rejected rows in order; the next page is asked for with ``after``."""

    items: list[Rejected]
    next_after: int | None


@router.post("", status_code=202, openapi_extra=FORM)
@allow(IMPORTERS)
def upload(
    given: Uploaded, session: SessionOfRequest, viewer: SignedIn, now: Now, settings: Configured,
    response: Response,
) -> Batch:  # fmt: skip
    """Take files and import them soon (multipart: files, mapping, dry_run, only, pilot)."""
    number = import_jobs.accept(
        session, given, by=viewer.id, at=now, settings=settings, channel="api"
    )
    response.headers["location"] = f"/api/v1/imports/{number}"
    return Batch.model_validate(queries.batch(session, number))


@router.get("")
@allow(IMPORTERS)
def list_batches(
    session: SessionOfRequest, limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
) -> Batches:  # fmt: skip
    """Return the imports, newest first."""
    found = [Batch.model_validate(b) for b in queries.batches(session, limit=limit, before=before)]
    return Batches(items=found, next_before=found[-1].id if len(found) == limit else None)


@router.get("/{number}")
@allow(IMPORTERS)
def read_batch(number: Number, session: SessionOfRequest) -> Batch:
    """Return one import."""
    return Batch.model_validate(queries.batch(session, number))


@router.get("/{number}/rejections")
@allow(IMPORTERS)
def read_rejections(
    number: Number, session: SessionOfRequest, limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: Annotated[int, Query(ge=0, le=2**62)] = 0,
) -> Rejections:  # fmt: skip
    """Return the rows that an import did not take."""
    queries.batch(session, number)
    rows = queries.rejections(session, number, after=after, limit=limit)
    found = [Rejected.model_validate(row) for row in rows]
    return Rejections(items=found, next_after=found[-1].id if len(found) == limit else None)


@router.post("/{number}/rollback", status_code=202)
@allow(IMPORTERS)
def roll_back(number: Number, session: SessionOfRequest, viewer: SignedIn, now: Now) -> Batch:
    """Take an import back soon, sparing rows edited since; its ``undone`` then says what."""
    import_jobs.ask_rollback(session, number, by=viewer.id, at=now, channel="api")
    session.flush()
    return Batch.model_validate(queries.batch(session, number))
