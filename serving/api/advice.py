"""What to do next, for programs: a deal's advice, the day's first deals, the answers."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from serving import errors, workday
from serving.addresses import ByPart
from serving.api.schemas import Money
from serving.coaching import recommend
from serving.coaching.recommend import DealAdvice
from serving.dependencies import May, Now, Reads, SessionOfRequest, SignedIn
from serving.security import SIGNED_IN, allow

router = APIRouter(prefix="/api/v1", tags=["advice"], responses=errors.PROBLEMS, route_class=ByPart)
Lang = Annotated[Literal["en", "zh"] | None, Query(description="Language of the words.")]


class Action(BaseModel):
    """One recommended action. ``expected_lift`` is a prior, not a measured effect."""

    id: int
    action: str
    title: str
    reason: str
    rank: int
    propensity: float
    expected_lift: float | None
    expected_value: Money | None
    effort_minutes: int
    grade: str
    basis: str
    response: str | None
    response_reason: str | None
    snoozed_until: dt.datetime | None


class Advised(BaseModel):
    """A deal's list for the company's day; ``note`` says why it is empty."""

    opportunity_id: str
    day: dt.date
    arm: str
    actions: list[Action]
    note: str | None

    @classmethod
    def of(cls, advised: DealAdvice, *, language: str) -> Advised:
        """Return the JSON of a deal's advice, its words in a language."""
        actions = [
            Action(
                title=each.title.text(language),
                reason=each.reason.text(language),
                expected_value=Money.model_validate(each.expected_value)
                if each.expected_value
                else None,
                **{name: getattr(each, name) for name in _PLAIN},
            )
            for each in advised.items
        ]
        return cls(
            opportunity_id=advised.opportunity_id, day=advised.day, arm=advised.arm,
            actions=actions, note=advised.note.text(language) if advised.note else None,
        )  # fmt: skip


_PLAIN = (
    "id", "action", "rank", "propensity", "expected_lift", "effort_minutes", "grade", "basis",
    "response", "response_reason", "snoozed_until",
)  # fmt: skip


class Answer(BaseModel):
    """What the person did. A dismissal says why; a snooze says for how many company days."""

    response: Literal["done", "snoozed", "dismissed"]
    reason: str | None = Field(None, max_length=500)
    snooze_days: int | None = Field(None, ge=1, le=90)


class Answered(BaseModel):
    """The recommendation with its latest response."""

    id: int
    response: str | None
    reason: str | None
    snoozed_until: dt.datetime | None


@router.get("/opportunities/{opportunity_id}/advice")
@allow(SIGNED_IN)
def read_advice(
    opportunity_id: str, session: SessionOfRequest, may: May,
    now: Now, language: Reads, lang: Lang = None,  # noqa: ARG001 - read by Reads
) -> Advised:  # fmt: skip
    """Return what to do next on a deal, each with its reason; what is shown is logged."""
    advised = recommend.for_deal(session, opportunity_id, visibility=may, now=now)
    return Advised.of(advised, language=language.tag)


@router.get("/advice/today")
@allow(SIGNED_IN)
def read_today(
    viewer: SignedIn, session: SessionOfRequest, may: May, now: Now, language: Reads,
    lang: Lang = None,  # noqa: ARG001 - read by Reads
) -> list[Advised]:  # fmt: skip
    """Return the three of your own deals to start the day on."""
    first = recommend.day_begins_with(
        session, visibility=may, owner_id=viewer.id, as_of=now, now=now
    )
    return [Advised.of(each, language=language.tag) for each in first]


@router.post("/recommendations/{recommendation_id}/response")
@allow(SIGNED_IN)
def answer_recommendation(
    recommendation_id: Annotated[int, Path(ge=1, le=2**63 - 1)], given: Answer, viewer: SignedIn,
    session: SessionOfRequest, may: May, now: Now,
) -> Answered:  # fmt: skip
    """Write down what you did with a recommendation; the same answer twice is one."""
    kept = workday.answer(
        session, recommendation_id, viewer=viewer, visibility=may, response=given.response,
        reason=given.reason, snooze_days=given.snooze_days, now=now,
    )  # fmt: skip
    return Answered(
        id=kept.id, response=kept.response, reason=kept.response_reason,
        snoozed_until=kept.snoozed_until,
    )  # fmt: skip
