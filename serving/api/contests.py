"""Leaderboards for programs: the rule, what you are told of the ranking, and freezing it."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from crm_core.contests import operations, queries
from crm_core.contests.queries import Rule
from serving import contests, errors
from serving.contests import Standings
from serving.dependencies import May, Now, SessionOfRequest, SignedIn
from serving.security import RUNS_CONTESTS, SIGNED_IN, allow

PROBLEMS: dict[int | str, dict[str, Any]] = {
    **errors.PROBLEMS,
    409: {"model": errors.Problem, "description": "Conflict"},
}
router = APIRouter(prefix="/api/v1/leaderboards", tags=["leaderboards"], responses=PROBLEMS)
Number = Annotated[int, Path(ge=1, le=2**63 - 1)]


class RuleLine(BaseModel):
    """Who is ranked by what over which days; ``ends_on`` is exclusive."""

    id: int
    title: str
    metric: str
    metric_version: int
    grouping: str
    starts_on: dt.date
    ends_on: dt.date
    roles: list[str]
    org_unit_id: str | None
    least_days: int
    ties: str
    names: str
    frozen_at: dt.datetime | None

    @classmethod
    def of(cls, rule: Rule) -> RuleLine:
        """Return the JSON of a rule."""
        return cls.model_validate(rule, from_attributes=True)


class Line(BaseModel):
    """One place; without a name and a value where the rule does not tell them."""

    rank: int | None
    subject_id: str | None
    name: str | None
    value: Decimal | None
    tied: bool
    is_own: bool


class Ranking(BaseModel):
    """A leaderboard as you are told it, best first."""

    rule: RuleLine
    direction: str
    unit: str
    currency: str | None
    participants: int
    without_value: int
    lines: list[Line]

    @classmethod
    def of(cls, found: Standings) -> Ranking:
        """Return the JSON of standings."""
        lines = [
            Line(
                rank=line.rank, subject_id=line.subject_id, value=line.value, tied=line.tied,
                name=found.names.get(line.subject_id) if line.subject_id else None,
                is_own=line.is_own,
            )
            for line in found.lines
        ]  # fmt: skip
        return cls(
            rule=RuleLine.of(found.rule), direction=found.metric.direction,
            unit=found.metric.unit, lines=lines, participants=found.participants,
            currency=found.currency if found.metric.unit == "money" else None,
            without_value=found.without,
        )  # fmt: skip


class NewLeaderboard(BaseModel):
    """A rule; it never changes once it is open."""

    title: str = Field(min_length=1, max_length=200)
    metric: str = Field(max_length=60)
    grouping: Literal["user", "org_unit"] = "user"
    starts_on: dt.date
    ends_on: dt.date
    roles: list[Annotated[str, Field(max_length=20)]] = Field(default_factory=list, max_length=10)
    org_unit_id: str | None = Field(None, max_length=200)
    least_days: int = Field(0, ge=0, le=3660)
    ties: Literal["shared", "dense"] = "shared"
    names: Literal["own", "top", "all"] = "own"


class Created(BaseModel):
    """The number of what was made."""

    id: int


class Frozen(BaseModel):
    """How many took part."""

    participants: int


@router.get("")
@allow(SIGNED_IN)
def list_leaderboards(session: SessionOfRequest) -> list[RuleLine]:
    """Return the rules of every leaderboard."""
    return [RuleLine.of(rule) for rule in queries.rules(session)]


@router.post("", status_code=201)
@allow(RUNS_CONTESTS)
def open_leaderboard(
    given: NewLeaderboard, session: SessionOfRequest, viewer: SignedIn, now: Now
) -> Created:
    """Open a leaderboard; it ranks in the metric's own direction."""
    number = operations.open_leaderboard(session, by=viewer.id, now=now, **given.model_dump())
    return Created(id=number)


@router.get("/{leaderboard_id}")
@allow(SIGNED_IN)
def read_leaderboard(
    leaderboard_id: Number, session: SessionOfRequest, viewer: SignedIn, may: May, now: Now
) -> Ranking:
    """Return the ranking as you are told it: your own place, and what the rule says of others."""
    found = contests.standings(session, leaderboard_id, viewer=viewer, visibility=may, now=now)
    return Ranking.of(found)


@router.post("/{leaderboard_id}/freeze")
@allow(RUNS_CONTESTS)
def freeze_leaderboard(leaderboard_id: Number, session: SessionOfRequest, now: Now) -> Frozen:
    """Write the result down for good, after the last day."""
    return Frozen(participants=contests.freeze(session, leaderboard_id, now=now))
