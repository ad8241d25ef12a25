"""The audit log and the permissions, for programs."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from crm_core.people.permissions import EVERYBODY
from serving import errors, oversight
from serving.dependencies import SessionOfRequest, SignedIn
from serving.security import SIGNED_IN, allow

router = APIRouter(prefix="/api/v1", tags=["oversight"], responses=errors.PROBLEMS)
Id = Annotated[str | None, Query(max_length=200)]
Before = Annotated[int | None, Query(ge=1, le=2**63 - 1, description="next_before of a page.")]


class Entry(BaseModel):
    """One action. ``changes``: field → [old, new]; ``actor`` is null for the program itself."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    occurred_at: dt.datetime
    actor: str | None
    action: str
    table: str
    record_id: str | None
    changes: dict[str, Any]
    channel: str
    address: str | None
    request_id: str | None


class Entries(BaseModel):
    """A page of the log, newest first."""

    items: list[Entry]
    next_before: int | None


class TablePermissions(BaseModel):
    """What a role may do with a table; ``reach`` is none, own, team or all."""

    model_config = ConfigDict(from_attributes=True)

    table: str
    reach: dict[str, str]
    hidden: list[str] = Field(description="Fields that the role never sees.")
    fixed: list[str] = Field(description="Fields that the role sees but may not edit.")


class Permissions(BaseModel):
    """Everything a role may do."""

    role: str
    tables: list[TablePermissions]


@router.get("/audit")
@allow(oversight.READS_THE_LOG)
def read_audit(
    viewer: SignedIn, session: SessionOfRequest,
    table: Annotated[str | None, Query(max_length=48)] = None, record_id: Id = None,
    actor: Id = None, since: AwareDatetime | None = None, until: AwareDatetime | None = None,
    before: Before = None, limit: Annotated[int, Query(ge=1, le=500)] = oversight.PAGE,
) -> Entries:  # fmt: skip
    """Return who did what: everything for sales ops and admins, else what concerns your deals."""
    found = oversight.trail(
        session, viewer=viewer, table=table, record_id=record_id, actor=actor, since=since,
        until=until, before=before, limit=limit,
    )  # fmt: skip
    items = [Entry.model_validate(line) for line in found.lines]
    return Entries(items=items, next_before=found.before)


@router.get("/permissions")
@allow(SIGNED_IN)
def read_permissions(viewer: SignedIn, role: Literal[EVERYBODY] | None = None) -> Permissions:  # type: ignore[valid-type]
    """Return what a role may do with each table and its fields; by default your own role."""
    chosen = viewer.role if role is None else role
    tables = [TablePermissions.model_validate(each) for each in oversight.granted(chosen)]
    return Permissions(role=chosen, tables=tables)
