"""The pages of leaderboards: the rules, and a ranking as the viewer is told it."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

from fastapi import APIRouter, Form, Path
from fastapi.responses import RedirectResponse, Response
from pydantic import Field

from crm_core.contests import operations, queries
from crm_core.kpis.definitions import all_metrics
from serving import contests
from serving.dependencies import May, Now, SessionOfRequest, SignedIn
from serving.security import RUNS_CONTESTS, SIGNED_IN, allow
from serving.web import pages
from serving.web.pages import Framed

router = APIRouter(include_in_schema=False)
Number = Annotated[int, Path(ge=1, le=2**63 - 1)]


@router.get("/leaderboards")
@allow(SIGNED_IN)
def leaderboards_page(
    frame: Framed, session: SessionOfRequest, viewer: SignedIn, now: Now
) -> Response:
    """Show every leaderboard's rule, and open one."""
    rankable = [item for item in all_metrics(session, as_of=now) if item.direction != "neither"]
    return pages.render(
        "leaderboards.html", frame, rules=queries.rules(session), metrics=rankable,
        may_open=viewer.role in RUNS_CONTESTS.roles,
    )  # fmt: skip


@router.post("/leaderboards")
@allow(RUNS_CONTESTS)
def open_leaderboard(
    session: SessionOfRequest, viewer: SignedIn, now: Now,
    title: Annotated[str, Form(min_length=1, max_length=200)],
    metric: Annotated[str, Form(max_length=60)],
    starts_on: Annotated[dt.date, Form()], ends_on: Annotated[dt.date, Form()],
    grouping: Annotated[Literal["user", "org_unit"], Form()] = "user",
    roles: Annotated[list[Annotated[str, Field(max_length=20)]], Form(max_length=10)] = [],  # noqa: B006 - FastAPI copies it
    least_days: Annotated[int, Form(ge=0, le=3660)] = 0,
    ties: Annotated[Literal["shared", "dense"], Form()] = "shared",
    names: Annotated[Literal["own", "top", "all"], Form()] = "own",
) -> Response:  # fmt: skip
    """Open a leaderboard; the last day typed is the last that counts."""
    number = operations.open_leaderboard(
        session, title=title, metric=metric, grouping=grouping, starts_on=starts_on,
        ends_on=ends_on + dt.timedelta(days=1), roles=roles, least_days=least_days, ties=ties,
        names=names, by=viewer.id, now=now,
    )  # fmt: skip
    return RedirectResponse(f"/leaderboards/{number}", status_code=303)


@router.get("/leaderboards/{leaderboard_id}")
@allow(SIGNED_IN)
def leaderboard_page(
    leaderboard_id: Number, frame: Framed, session: SessionOfRequest, viewer: SignedIn, may: May,
    now: Now,
) -> Response:  # fmt: skip
    """Show a ranking as the viewer is told it."""
    found = contests.standings(session, leaderboard_id, viewer=viewer, visibility=may, now=now)
    may_freeze = (
        viewer.role in RUNS_CONTESTS.roles and found.is_over and found.rule.frozen_at is None
    )
    return pages.render("leaderboard.html", frame, found=found, may_freeze=may_freeze)


@router.post("/leaderboards/{leaderboard_id}/freeze")
@allow(RUNS_CONTESTS)
def freeze_leaderboard(leaderboard_id: Number, session: SessionOfRequest, now: Now) -> Response:
    """Write the result down for good."""
    contests.freeze(session, leaderboard_id, now=now)
    return RedirectResponse(f"/leaderboards/{leaderboard_id}", status_code=303)
