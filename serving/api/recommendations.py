"""Advice for programs: what to do next on a deal, and the answer to it."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from pydantic import AwareDatetime, BaseModel, Field

from serving import errors
from serving.api.schemas import Money
from serving.coaching import recommend
from serving.coaching.recommend import Advice, DealAdvice
from serving.dependencies import May, Now, Reads, SessionOfRequest, SignedIn
from serving.security import SIGNED_IN, allow

router = APIRouter(prefix="/api/v1", tags=["recommendations"], responses=errors.PROBLEMS)

DealId = Annotated[str, Path(max_length=200)]
RecommendationId = Annotated[int, Path(ge=1, le=2**63 - 1)]
Lang = Annotated[Literal["en", "zh"] | None, Query(description="Language of the words.")]


class Recommendation(BaseModel):
    """One action, why, and what it rests on. The lift is a prior, not a measured effect."""

    id: int
    action: str
    title: str
    reason: str = Field(description="One sentence with facts from the record.")
    rank: int
    propensity: float = Field(description="The chance it had of standing at this rank.")
    expected_lift: float | None = Field(description="Of the win probability: 0.01 is a point.")
    expected_value: Money | None = Field(description="Lift times amount, less the effort's cost.")
    effort_minutes: int
    grade: str = Field(description="Evidence: A measured here, B observed, C playbook.")
    basis: str
    basis_text: str
    shown_at: dt.datetime
    response: str | None
    snoozed_until: dt.datetime | None

    @classmethod
    def of(cls, advice: Advice, *, language: str) -> Recommendation:
        """Return the JSON of one action, its words in a language."""
        value = advice.expected_value
        return cls(
            id=advice.id,
            action=advice.action,
            title=advice.title.text(language),
            reason=advice.reason.text(language),
            rank=advice.rank,
            propensity=advice.propensity,
            expected_lift=advice.expected_lift,
            expected_value=None if value is None else Money.model_validate(value),
            effort_minutes=advice.effort_minutes,
            grade=advice.grade,
            basis=advice.basis,
            basis_text=advice.basis_text.text(language),
            shown_at=advice.shown_at,
            response=advice.response,
            snoozed_until=advice.snoozed_until,
        )


class Recommendations(BaseModel):
    """A deal's advice of the day; ``note`` says why there is none."""

    opportunity_id: str
    day: dt.date
    arm: str = Field(description="advice, playbook_only or holdout (no advice, for comparison).")
    recommendations: list[Recommendation]
    note: str | None

    @classmethod
    def of(cls, found: DealAdvice, *, language: str) -> Recommendations:
        """Return the JSON of a deal's advice."""
        return cls(
            opportunity_id=found.opportunity_id,
            day=found.day,
            arm=found.arm,
            recommendations=[Recommendation.of(each, language=language) for each in found.items],
            note=None if found.note is None else found.note.text(language),
        )


class Answer(BaseModel):
    """What was done with a recommendation."""

    response: Literal["done", "snoozed", "dismissed"]
    reason: Annotated[str | None, Field(max_length=500)] = Field(
        None, description="Needed for a dismissal."
    )
    snoozed_until: AwareDatetime | None = Field(None, description="Needed for a snooze.")


class Answered(BaseModel):
    """The recommendation's state after the answer."""

    id: int
    opportunity_id: str
    response: str | None
    reason: str | None
    snoozed_until: dt.datetime | None
    responded_at: dt.datetime | None


@router.get("/opportunities/{opportunity_id}/recommendations")
@allow(SIGNED_IN)
def list_recommendations(
    opportunity_id: DealId, session: SessionOfRequest, may: May, now: Now, language: Reads,
    lang: Lang = None,  # noqa: ARG001 - lang is read by Reads, declared for the reference
) -> Recommendations:  # fmt: skip
    """Return what to do next on a deal today; logged with candidates, rank and propensity."""
    found = recommend.for_deal(session, opportunity_id, visibility=may, now=now)
    return Recommendations.of(found, language=language.tag)


@router.post("/recommendations/{recommendation_id}/response")
@allow(SIGNED_IN)
def answer_recommendation(
    recommendation_id: RecommendationId, answer: Answer, session: SessionOfRequest,
    viewer: SignedIn, may: May, now: Now,
) -> Answered:  # fmt: skip
    """Write down that a recommendation was done, put off, or does not fit and why."""
    found = recommend.respond(
        session, recommendation_id, user_id=viewer.id, visibility=may, now=now,
        response=answer.response, reason=answer.reason, snoozed_until=answer.snoozed_until,
    )  # fmt: skip
    return Answered(
        id=found.id, opportunity_id=found.opportunity_id, response=found.response,
        reason=found.response_reason, snoozed_until=found.snoozed_until,
        responded_at=found.responded_at,
    )  # fmt: skip
