"""Forecasts for programs: roll-ups, the deals behind them, bridges, calls and adjustments."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from crm_core.forecasts import operations
from crm_core.forecasts.catalogue import Category
from serving import errors, forecasting, performance
from serving.api import forecast_schemas as schemas
from serving.dependencies import May, Moment, Now, SessionOfRequest, SignedIn
from serving.security import SIGNED_IN, allow, only

router = APIRouter(prefix="/api/v1/forecasts", tags=["forecasts"], responses=errors.PROBLEMS)
SELLERS = only("rep", "manager", "leader")
Subject = Annotated[
    str | None,
    Query(max_length=200, description="A user's id, or * for the company; default: yours."),
]
PeriodName = Annotated[
    str | None,
    Query(max_length=10, description="2026, 2026-Q4, 2026-11 or 2026-W47; default: this quarter."),
]
Method = Literal["cumulative", "single"]
RollUp = Annotated[Method, Query(description="Whether a column holds the surer ones too.")]
Column = Annotated[
    str, Query(max_length=16, description="open_pipeline (or pipeline), best_case, …, closed.")
]


class Adjust(BaseModel):
    """An amount to set, in major units of the company's currency; null takes yours back."""

    model_config = ConfigDict(extra="forbid")

    subject: str = Field(max_length=200)
    period: str | None = Field(None, max_length=10)
    roll_up: Method = "cumulative"
    category: str = Field(max_length=16)
    amount: Decimal | None = Field(max_digits=15, decimal_places=3, allow_inf_nan=False)
    note: str = Field(max_length=operations.LONGEST_NOTE)
    looked_at: AwareDatetime | None = Field(
        None, description="When you read the cell: refused if what it rests on changed since."
    )


class Submit(BaseModel):
    """A call to submit."""

    model_config = ConfigDict(extra="forbid")

    period: str | None = Field(None, max_length=10)
    note: str | None = Field(None, max_length=operations.LONGEST_NOTE)


class Pick(BaseModel):
    """The category to put a deal into; null leaves it to its stage again."""

    model_config = ConfigDict(extra="forbid")

    category: Category | None


class Cadence(BaseModel):
    """When forecasts are due each week, on the company's clock; weekday 1 is Monday."""

    model_config = ConfigDict(extra="forbid")

    weekday: int = Field(ge=1, le=7)
    hour: int = Field(ge=0, le=23)


@router.get("")
@allow(SIGNED_IN)
def read_forecast(
    viewer: SignedIn, session: SessionOfRequest, may: May, asked: Moment,
    subject: Subject = None, period: PeriodName = None, roll_up: RollUp = "cumulative",
) -> schemas.Forecast:  # fmt: skip
    """Return a roll-up: the cells of a person (or the company) and of everybody directly below."""
    board = forecasting.board(
        session, viewer=viewer, may=may, subject=forecasting.subject_of(viewer, subject),
        period=performance.period_named(session, period, as_of=asked), method=roll_up, as_of=asked,
    )  # fmt: skip
    return schemas.forecast(board)


@router.get("/deals")
@allow(SIGNED_IN)
def read_deals(
    viewer: SignedIn, session: SessionOfRequest, may: May, asked: Moment,
    subject: Subject = None, period: PeriodName = None, roll_up: RollUp = "cumulative",
    category: Column = "commit", own: bool = False,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
) -> schemas.Deals:  # fmt: skip
    """Return the deals behind a cell, the largest first; their values sum to its raw amount."""
    chosen = performance.period_named(session, period, as_of=asked)
    whom = forecasting.subject_of(viewer, subject)
    board = forecasting.board(
        session, viewer=viewer, may=may, subject=whom, period=chosen, method=roll_up, as_of=asked
    )
    found = forecasting.deals_behind(
        session, viewer=viewer, may=may, subject=whom, period=chosen, method=roll_up,
        category=category, as_of=asked, only_own=own, limit=limit, offset=offset,
    )  # fmt: skip
    return schemas.deals(board, found, category=category, own=own)


@router.get("/bridge")
@allow(SIGNED_IN)
def read_bridge(
    viewer: SignedIn, session: SessionOfRequest, may: May, asked: Moment,
    since: Annotated[AwareDatetime | None, Query(description="Default: a week before.")] = None,
    subject: Subject = None, period: PeriodName = None, roll_up: RollUp = "cumulative",
    category: Column = "commit", adjusted: bool = False,
) -> schemas.Bridge:  # fmt: skip
    """Return why a cell changed: the terms sum exactly to the change, each with its deals."""
    found = forecasting.bridge_since(
        session, viewer=viewer, may=may, subject=forecasting.subject_of(viewer, subject),
        period=performance.period_named(session, period, as_of=asked), method=roll_up,
        category=category, since=since, later=asked, adjusted=adjusted,
    )  # fmt: skip
    return schemas.bridge(found)


@router.get("/history")
@allow(SIGNED_IN)
def read_history(
    viewer: SignedIn, session: SessionOfRequest, may: May, asked: Moment,
    subject: Subject = None, period: PeriodName = None,
) -> schemas.History:  # fmt: skip
    """Return what was submitted and set for a person and those below, as far as you may know."""
    chosen = performance.period_named(session, period, as_of=asked)
    found = forecasting.history(
        session, viewer=viewer, may=may, subject=forecasting.subject_of(viewer, subject),
        period=chosen, as_of=asked,
    )  # fmt: skip
    return schemas.history(chosen, *found)


@router.get("/snapshots")
@allow(SIGNED_IN)
def read_snapshots(session: SessionOfRequest, asked: Moment) -> list[schemas.Snapshot]:
    """Return the days whose snapshot was taken, newest first; a bridge may lead from any."""
    return schemas.snapshots(forecasting.snapshots(session, until=asked))


@router.get("/accuracy")
@allow(SIGNED_IN)
def read_accuracy(
    viewer: SignedIn, session: SessionOfRequest, may: May, asked: Moment,
    subject: Subject = None, period: PeriodName = None,
) -> schemas.Accuracy:  # fmt: skip
    """Return what simple rules say of a period and, once it ended, how near each layer was."""
    chosen = performance.period_named(session, period, as_of=asked)
    said, judged = forecasting.record_of(
        session, viewer=viewer, may=may, subject=forecasting.subject_of(viewer, subject),
        period=chosen, as_of=asked,
    )  # fmt: skip
    return schemas.accuracy(chosen, said, judged)


@router.post("/adjustments", status_code=201)
@allow(SELLERS)
def adjust(
    body: Adjust, viewer: SignedIn, session: SessionOfRequest, may: May, now: Now
) -> schemas.Numbered:
    """Set one's own or a direct report's amount, or take one's own back. Nobody skips a level."""
    number = forecasting.adjust_as_seen(
        session, viewer=viewer, may=may, subject=body.subject, method=body.roll_up,
        category=body.category, amount=body.amount, note=body.note, now=now,
        looked_at=body.looked_at or now,
        period=performance.period_named(session, body.period, as_of=now),
    )  # fmt: skip
    return schemas.Numbered(id=number)


@router.post("/submissions", status_code=201)
@allow(SELLERS)
def submit(
    body: Submit, viewer: SignedIn, session: SessionOfRequest, may: May, now: Now
) -> schemas.Submission:
    """Freeze every column of one's own forecast as one's call of now."""
    made = forecasting.submit(
        session, viewer=viewer, may=may, note=body.note, now=now,
        period=performance.period_named(session, body.period, as_of=now),
    )  # fmt: skip
    return schemas.submission(made)


@router.put("/deals/{opportunity_id:path}/category", status_code=204)
@allow(only(*sorted(operations.PICKERS)))
def pick(
    opportunity_id: Annotated[str, Path(max_length=200)], body: Pick, viewer: SignedIn,
    session: SessionOfRequest, may: May, now: Now,
) -> None:  # fmt: skip
    """Put a deal into a category whatever its stage says from now on, or undo that."""
    operations.pick_category(
        session, opportunity_id, category=body.category, viewer=viewer, may=may, now=now
    )


@router.put("/cadence", status_code=204)
@allow(only("sales_ops", "admin"))
def set_cadence(body: Cadence, viewer: SignedIn, session: SessionOfRequest, now: Now) -> None:
    """Say when forecasts are due from now on."""
    operations.set_cadence(session, viewer=viewer, weekday=body.weekday, hour=body.hour, now=now)
