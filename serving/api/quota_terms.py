"""What quotas are prorated by, for programs: leaves, the ramp of newcomers, the year's season."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from crm_core.quotas import operations, queries
from serving import errors
from serving.dependencies import May, Moment, Now, SessionOfRequest, SignedIn
from serving.goals import records_leave_of
from serving.security import SETS_GOALS, SIGNED_IN, allow, only

PROBLEMS: dict[int | str, dict[str, Any]] = {
    **errors.PROBLEMS,
    409: {"model": errors.Problem, "description": "Conflict"},
}
router = APIRouter(prefix="/api/v1", tags=["goals"], responses=PROBLEMS)
SETS_POLICIES = only("sales_ops", "admin")
Number = Annotated[int, Path(ge=1, le=2**63 - 1)]
Reason = Annotated[str, Field(min_length=1, max_length=1000)]


class LeaveLine(BaseModel):
    """Days on which a person carries no quota, the last one exclusive."""

    id: int
    user_id: str
    starts_on: dt.date
    ends_on: dt.date
    recorded_at: dt.datetime


class NewLeave(BaseModel):
    """Days ``[starts_on, ends_on)``; why is not asked."""

    user_id: str = Field(max_length=200)
    starts_on: dt.date
    ends_on: dt.date


class Ramp(BaseModel):
    """Percent of a quota in each month after hiring, for who is hired on or after a day."""

    percents: list[Annotated[int, Field(ge=0, le=100)]] = Field(max_length=24)
    hired_from: dt.date | None = None
    reason: Reason


class Season(BaseModel):
    """How a year's sales fall into its months, January first; only proportions count."""

    weights: list[Annotated[Decimal, Field(ge=0, max_digits=12)]] = Field(
        min_length=12, max_length=12
    )
    reason: Reason


class PolicyLine(BaseModel):
    """The newest version of a policy."""

    kind: str
    version: int
    content: dict[str, Any]
    reason: str
    created_at: dt.datetime


class Created(BaseModel):
    """The number of what was made."""

    id: int


@router.get("/leaves")
@allow(SIGNED_IN)
def list_leaves(session: SessionOfRequest, may: May, asked: Moment) -> list[LeaveLine]:
    """Return the leaves of the people you may see, latest first."""
    found = queries.leaves(session, may, as_of=asked)
    return [LeaveLine.model_validate(each, from_attributes=True) for each in found]


@router.post("/leaves", status_code=201)
@allow(SETS_GOALS)
def record_leave(
    given: NewLeave, session: SessionOfRequest, viewer: SignedIn, may: May, now: Now
) -> Created:
    """Note that somebody carries no quota on some days."""
    number = operations.record_leave(
        session, within=records_leave_of(viewer, may), by=viewer.id, now=now, **given.model_dump()
    )
    return Created(id=number)


@router.delete("/leaves/{leave_id}", status_code=204)
@allow(SETS_GOALS)
def cancel_leave(
    leave_id: Number, session: SessionOfRequest, viewer: SignedIn, may: May, now: Now
) -> None:
    """Take a leave back; what was known before stays known."""
    operations.cancel_leave(
        session, leave_id, within=records_leave_of(viewer, may), by=viewer.id, now=now
    )


@router.get("/quota-policies/{kind}")
@allow(SIGNED_IN)
def read_policy(
    kind: Literal["ramp", "season"], session: SessionOfRequest, asked: Moment
) -> PolicyLine | None:
    """Return how newcomers ramp, or how the year falls into months; null without one."""
    found = queries.policy(session, kind, as_of=asked)
    return None if found is None else PolicyLine.model_validate(found, from_attributes=True)


@router.put("/quota-policies/ramp")
@allow(SETS_POLICIES)
def set_ramp(given: Ramp, session: SessionOfRequest, viewer: SignedIn, now: Now) -> Created:
    """Set how newcomers ramp from now on, as a version more."""
    return Created(id=operations.set_ramp(session, by=viewer.id, now=now, **given.model_dump()))


@router.put("/quota-policies/season")
@allow(SETS_POLICIES)
def set_season(given: Season, session: SessionOfRequest, viewer: SignedIn, now: Now) -> Created:
    """Set how a year's sales fall into its months from now on, as a version more."""
    return Created(id=operations.set_season(session, by=viewer.id, now=now, **given.model_dump()))
