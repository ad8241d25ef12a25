"""Goals for programs: the tree with progress, versions and states, passing goals down."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from crm_core.goals import operations, queries
from crm_core.goals.access import reach_of
from crm_core.goals.operations import Wanted
from serving import errors, goals
from serving.addresses import ByPart
from serving.api.goals_schemas import (
    Created,
    Level,
    Made,
    NewCommit,
    NewGoal,
    RecipeText,
    SplitView,
    Told,
    WantedAct,
    WantedSplit,
)
from serving.dependencies import May, Now, SessionOfRequest, SignedIn
from serving.goal_views import Asked, MetricName
from serving.security import SETS_GOALS, SIGNED_IN, allow

PROBLEMS: dict[int | str, dict[str, Any]] = {
    **errors.PROBLEMS,
    409: {"model": errors.Problem, "description": "Conflict"},
}
router = APIRouter(prefix="/api/v1", tags=["goals"], responses=PROBLEMS, route_class=ByPart)
Number = Annotated[int, Path(ge=1, le=2**63 - 1)]
PeriodName = Annotated[
    str | None,
    Query(max_length=24, description="2026, 2026-Q4, 2026-11, or 2026-04-01..2026-07-01."),
]


def _asked(
    session: SessionOfRequest, viewer: SignedIn, may: May, now: Now,
    metric: MetricName = "bookings", period: PeriodName = None,
) -> Asked:  # fmt: skip
    return Asked(viewer, may, metric, goals.named_period(session, period, as_of=now), now)


@router.get("/goals")
@allow(SIGNED_IN)
def read_goals(
    session: SessionOfRequest, viewer: SignedIn, may: May, now: Now,
    metric: MetricName = "bookings", period: PeriodName = None,
    unit: Annotated[str | None, Query(max_length=200)] = None,
) -> Level:  # fmt: skip
    """Return a unit's goals and who is below it; without a unit the top of what you see."""
    asked = _asked(session, viewer, may, now, metric, period)
    return Level.of(goals.board(session, asked, unit_id=unit))


@router.get("/goals/{goal_id}")
@allow(SIGNED_IN)
def read_goal(
    goal_id: Number, session: SessionOfRequest, viewer: SignedIn, may: May, now: Now
) -> Told:
    """Return a goal with every version, step and commit."""
    reach = reach_of(session, viewer, may, as_of=now)
    return Told.of(queries.detail(session, goal_id, reach=reach))


@router.post("/goals", status_code=201)
@allow(SETS_GOALS)
def propose_goal(
    given: NewGoal, session: SessionOfRequest, viewer: SignedIn, may: May, now: Now
) -> Created:
    """Make a goal, or its next version, as a draft. Nobody sets the goal they carry."""
    wanted = Wanted(
        subject_kind=given.subject_kind, subject_id=given.subject_id, metric=given.metric,
        period=goals.named_period(session, given.period, as_of=now), reason=given.reason,
        amount=goals.money_of(session, given.amount, given.currency),
        effective_on=given.effective_on, whole=given.whole,
    )  # fmt: skip
    reach = reach_of(session, viewer, may, as_of=now)
    return Created(id=operations.propose(session, wanted, reach=reach, now=now).id)


@router.post("/goals/{goal_id}/acts")
@allow(SIGNED_IN)
def act_on_goal(
    goal_id: Number, given: WantedAct, session: SessionOfRequest, viewer: SignedIn, may: May,
    now: Now,
) -> Told:  # fmt: skip
    """Submit, comment, send back, approve, lock or withdraw the version that was read."""
    asked = _asked(session, viewer, may, now)
    goals.act(session, [(goal_id, given.version)], given.act, note=given.note, asked=asked)
    return read_goal(goal_id, session, viewer, may, now)


@router.post("/goals/{goal_id}/commits", status_code=201)
@allow(SIGNED_IN)
def commit_to_goal(
    goal_id: Number, given: NewCommit, session: SessionOfRequest, viewer: SignedIn, may: May,
    now: Now,
) -> Told:  # fmt: skip
    """Say what will be reached: the bottom-up number of a goal you carry or set."""
    operations.commit_to(
        session, goal_id, goals.money_of(session, given.amount, given.currency),
        reach=reach_of(session, viewer, may, as_of=now), now=now, note=given.note,
    )  # fmt: skip
    return read_goal(goal_id, session, viewer, may, now)


@router.post("/goals/{goal_id}/preview")
@allow(SETS_GOALS)
def preview_split(
    goal_id: Number, given: RecipeText, session: SessionOfRequest, viewer: SignedIn, may: May,
    now: Now,
) -> SplitView:  # fmt: skip
    """Return what passing a goal down would make, with every weight; nothing is written."""
    asked = _asked(session, viewer, may, now)
    recipe = given.recipe(_currency(session, goal_id, viewer, may, now))
    return SplitView.of(goals.preview(session, goal_id, recipe, asked=asked))


@router.post("/goals/{goal_id}/pass-down", status_code=201)
@allow(SETS_GOALS)
def pass_goal_down(
    goal_id: Number, given: WantedSplit, session: SessionOfRequest, viewer: SignedIn, may: May,
    now: Now,
) -> Made:  # fmt: skip
    """Make a draft for each child, exactly as the preview shows them."""
    recipe = given.recipe(_currency(session, goal_id, viewer, may, now))
    drafts = goals.pass_down(
        session, goal_id, recipe, version=given.version, reason=given.reason,
        asked=_asked(session, viewer, may, now),
    )  # fmt: skip
    return Made(drafts=drafts)


def _currency(session: SessionOfRequest, goal_id: int, viewer: SignedIn, may: May, now: Now) -> str:
    reach = reach_of(session, viewer, may, as_of=now)
    return queries.detail(session, goal_id, reach=reach).goal.shown.amount.currency
