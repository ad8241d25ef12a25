"""The pages of goals: the tree with progress, one goal with its history, passing a goal down."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Form, Path, Query
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, Field

from crm_core.exchange import QUOTA_METRICS
from crm_core.goals import operations, queries
from crm_core.goals.access import reach_of
from crm_core.goals.arithmetic import COMPONENTS, Component
from crm_core.goals.operations import Wanted
from crm_core.money import Money, from_major
from crm_core.quotas import operations as quotas
from crm_core.quotas.queries import COUNTED
from serving import goals, logins
from serving.addresses import ByPart
from serving.deals import Blank
from serving.dependencies import May, Now, SessionOfRequest, SignedIn
from serving.goal_views import Asked, MetricName, Recipe
from serving.goals import records_leave_of
from serving.security import SETS_GOALS, SIGNED_IN, allow
from serving.web import charts, pages
from serving.web.pages import Framed

router = APIRouter(include_in_schema=False, route_class=ByPart)
Number = Annotated[int, Path(ge=1, le=2**63 - 1)]
PeriodName = Annotated[Annotated[str, Field(max_length=24)] | None, Blank, Query()]
UnitId = Annotated[Annotated[str, Field(max_length=200)] | None, Blank, Query()]
Note = Annotated[Annotated[str, Field(max_length=1000)] | None, Blank, Form()]
Back = Annotated[str, Form(max_length=2000)]
Major = Annotated[Decimal, Form(ge=0, max_digits=18, decimal_places=4)]
Share = Annotated[Decimal, Field(ge=0, le=100, max_digits=6)]
_EVENLY: dict[Component, Decimal] = {"even": Decimal(1)}


@router.post("/leaves")
@allow(SETS_GOALS)
def record_leave(
    session: SessionOfRequest, viewer: SignedIn, may: May, now: Now,
    user_id: Annotated[str, Form(max_length=200)], starts_on: Annotated[dt.date, Form()],
    ends_on: Annotated[dt.date, Form()], back: Back = "/goals",
) -> Response:  # fmt: skip
    """Note that somebody carries no quota from a first to a last day."""
    quotas.record_leave(
        session, user_id=user_id, starts_on=starts_on, ends_on=ends_on + dt.timedelta(days=1),
        within=records_leave_of(viewer, may), by=viewer.id, now=now,
    )  # fmt: skip
    return _go(back)


@router.post("/leaves/{leave_id}/cancel")
@allow(SETS_GOALS)
def cancel_leave(
    leave_id: Number, session: SessionOfRequest, viewer: SignedIn, may: May, now: Now,
    back: Back = "/goals",
) -> Response:  # fmt: skip
    """Take a leave back."""
    within = records_leave_of(viewer, may)
    quotas.cancel_leave(session, leave_id, within=within, by=viewer.id, now=now)
    return _go(back)


def _go(back: str) -> Response:
    return RedirectResponse(logins.own_path(back), status_code=303)


@router.get("/goals")
@allow(SIGNED_IN)
def goals_page(
    frame: Framed, session: SessionOfRequest, viewer: SignedIn, may: May, now: Now,
    metric: MetricName = "bookings", period: PeriodName = None, unit: UnitId = None,
) -> Response:  # fmt: skip
    """Show a unit's goals and who is below it, or one's own goal."""
    chosen = goals.named_period(session, period, as_of=now)
    board = goals.board(session, Asked(viewer, may, metric, chosen, now), unit_id=unit)
    return pages.render(
        "goals.html", frame, board=board, metrics=QUOTA_METRICS, counted=board.counted,
        chosen=goals.link_of(session, chosen), worth=partial(from_major, currency=board.currency),
        links=[(goals.link_of(session, each), each) for each in board.periods],
        bar=charts.progress, from_minor=Money,
    )  # fmt: skip


@router.get("/goals/{goal_id}")
@allow(SIGNED_IN)
def goal_page(
    goal_id: Number, frame: Framed, session: SessionOfRequest, viewer: SignedIn, may: May, now: Now
) -> Response:
    """Show one goal with everything that was said about it."""
    quarter = goals.named_period(session, None, as_of=now)
    told, node = goals.one(session, goal_id, asked=Asked(viewer, may, "bookings", quarter, now))
    return pages.render(
        "goal.html", frame, told=told, node=node, counted=told.goal.metric in COUNTED,
        chosen=goals.link_of(session, told.goal.period), bar=charts.progress, from_minor=Money,
        names=goals.names_of(session, told),
        leaves=goals.leaves_of(session, told.goal.key, now=now),
        records_leave=records_leave_of(viewer, may).allows(told.goal.key[1]),
        worth=partial(goals.money_of, session, currency=None),
    )  # fmt: skip


@router.post("/goals")
@allow(SETS_GOALS)
def set_goal(
    session: SessionOfRequest, viewer: SignedIn, may: May, now: Now,
    subject_kind: Annotated[Literal["user", "org_unit"], Form()],
    subject_id: Annotated[str, Form(max_length=200)], metric: Annotated[MetricName, Form()],
    period: Annotated[str, Form(max_length=24)], amount: Major, reason: Note = None,
    effective_on: Annotated[dt.date | None, Blank, Form()] = None,
    whole: Annotated[bool, Form()] = False, back: Back = "/goals",
) -> Response:  # fmt: skip
    """Make a goal or its next version."""
    wanted = Wanted(
        subject_kind=subject_kind, subject_id=subject_id, metric=metric, reason=reason,
        period=goals.named_period(session, period, as_of=now), whole=whole,
        amount=goals.money_of(session, amount, None), effective_on=effective_on,
    )  # fmt: skip
    operations.propose(session, wanted, reach=reach_of(session, viewer, may, as_of=now), now=now)
    return _go(back)


@router.post("/goals/acts")
@allow(SIGNED_IN)
def act_on_goals(
    session: SessionOfRequest, viewer: SignedIn, may: May, now: Now,
    goal: Annotated[list[Annotated[str, Field(pattern=r"^\d{1,18}:\d{1,9}$")]], Form()],
    act: Annotated[
        Literal["submit", "comment", "send_back", "approve", "lock", "withdraw"], Form()
    ],
    note: Note = None, back: Back = "/goals",
) -> Response:  # fmt: skip
    """Move goals on, each named with the version that was read: all or none."""
    numbers = [each.split(":") for each in goal]
    quarter = goals.named_period(session, None, as_of=now)
    goals.act(
        session, [(int(number), int(version)) for number, version in numbers], act, note=note,
        asked=Asked(viewer, may, "bookings", quarter, now),
    )  # fmt: skip
    return _go(back)


@router.post("/goals/{goal_id}/commits")
@allow(SIGNED_IN)
def commit_to(
    goal_id: Number, session: SessionOfRequest, viewer: SignedIn, may: May, now: Now,
    amount: Major, note: Note = None, back: Back = "/goals",
) -> Response:  # fmt: skip
    """Say what will be reached."""
    operations.commit_to(
        session, goal_id, goals.money_of(session, amount, None), now=now, note=note,
        reach=reach_of(session, viewer, may, as_of=now),
    )  # fmt: skip
    return _go(back)


class RecipeForm(BaseModel):
    """How a goal is to be passed down, in percents as they are typed; a blank amount holds none."""

    history: Share = Decimal(50)
    potential: Share = Decimal(20)
    even: Share = Decimal(30)
    season: Share = Decimal(0)
    factor: Annotated[Decimal, Field(ge=10, le=300, max_digits=9)] = Decimal(100)
    trust: Share = Decimal(0)
    exact: bool = False
    over: Literal["people", "time"] = "people"
    held_id: list[Annotated[str, Field(max_length=200)]] = Field([], max_length=1000)
    held: list[Annotated[str, Field(max_length=30)]] = Field([], max_length=1000)

    @property
    def weights(self) -> dict[Component, Decimal]:
        """The weight of each component."""
        return {name: getattr(self, name) for name in COMPONENTS}

    def recipe(self, goal: queries.GoalView) -> Recipe:
        """Return the recipe, its amounts in the goal's currency. Raises NotAnAmount."""
        code = goal.shown.amount.currency
        typed = zip(self.held_id, self.held, strict=False)
        fixed = {key: from_major(text.strip(), code) for key, text in typed if text.strip()}
        mix = self.weights if any(self.weights.values()) else _EVENLY
        return Recipe(
            mix=mix, factor=self.factor / 100, held=fixed, trust=self.trust / 100,
            exact=self.exact, over=self.over,
        )  # fmt: skip


class PassDownForm(RecipeForm):
    """A recipe to carry out for the version that was read."""

    version: int = Field(ge=1, le=2**31 - 1)
    reason: Annotated[Annotated[str, Field(max_length=1000)] | None, Blank] = None
    back: str = Field("/goals", max_length=2000)


@router.get("/goals/{goal_id}/pass-down")
@allow(SETS_GOALS)
def pass_down_page(
    goal_id: Number, frame: Framed, session: SessionOfRequest, viewer: SignedIn, may: May,
    now: Now, form: Annotated[RecipeForm, Query()],
) -> Response:  # fmt: skip
    """Show what passing a goal down would make, with every weight."""
    reach = reach_of(session, viewer, may, as_of=now)
    goal = queries.detail(session, goal_id, reach=reach).goal
    asked = Asked(viewer, may, goal.metric, goal.period, now)
    found = goals.preview(session, goal_id, form.recipe(goal), asked=asked)
    return pages.render(
        "pass_down.html", frame, found=found, form=form, counted=goal.metric in COUNTED,
        chosen=goals.link_of(session, goal.period),
    )  # fmt: skip


@router.post("/goals/{goal_id}/pass-down")
@allow(SETS_GOALS)
def pass_down(
    goal_id: Number, session: SessionOfRequest, viewer: SignedIn, may: May, now: Now,
    form: Annotated[PassDownForm, Form()],
) -> Response:  # fmt: skip
    """Make a draft for each child, exactly as the preview showed them."""
    reach = reach_of(session, viewer, may, as_of=now)
    goal = queries.detail(session, goal_id, reach=reach).goal
    asked = Asked(viewer, may, goal.metric, goal.period, now)
    goals.pass_down(
        session, goal_id, form.recipe(goal), version=form.version, reason=form.reason, asked=asked
    )
    return _go(form.back)
