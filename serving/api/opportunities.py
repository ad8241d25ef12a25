"""Deals for programs: the list, one deal, its score with reasons, as of now or earlier."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query

from serving import deals, errors
from serving.addresses import ByPart
from serving.api.schemas import Deal, DealPage, Score
from serving.deals import DealQuery
from serving.dependencies import (
    Configured,
    May,
    Models,
    Moment,
    Now,
    Reads,
    SessionOfRequest,
    SignedIn,
)
from serving.security import SIGNED_IN, allow

router = APIRouter(
    prefix="/api/v1/opportunities", tags=["opportunities"], responses=errors.PROBLEMS,
    route_class=ByPart,
)  # fmt: skip
DealId = Annotated[
    str,
    Path(
        description="The deal's id, percent-encoded: a/b is a%2Fb. Clients resolve the parts . "
        "and .. even when they are encoded, so the ids . and .. are written ~. and ~.. here."
    ),
]
Hindsight = Annotated[
    bool,
    Query(
        description="Answer with today's model although it learnt from what came after as_of; "
        "the answer then says so in hindsight."
    ),
]
Lang = Annotated[Literal["en", "zh"] | None, Query(description="Language of the words.")]


@router.get("")
@allow(SIGNED_IN)
def list_opportunities(
    query: Annotated[DealQuery, Query()], session: SessionOfRequest, may: May, now: Now
) -> DealPage:
    """Return a page of the deals you may see, each with its latest probability."""
    return DealPage.of(deals.list_deals(session, visibility=may, query=query, as_of=now))


@router.get("/{opportunity_id}")
@allow(SIGNED_IN)
def read_opportunity(
    opportunity_id: DealId, session: SessionOfRequest, viewer: SignedIn, may: May, models: Models,
    settings: Configured, now: Now,
    hindsight: Annotated[
        bool,
        Query(description="Also say what today's model would have said before the first score."),
    ] = False,
) -> Deal:  # fmt: skip
    """Return one deal: facts, what changed when, activities, contacts, earlier probabilities."""
    view = deals.one_deal(session, opportunity_id, viewer=viewer, visibility=may, as_of=now)
    if hindsight:
        view = deals.with_hindsight(session, view, models=models, settings=settings, now=now)
    return Deal.of(view)


@router.get("/{opportunity_id}/score")
@allow(SIGNED_IN)
def read_score(
    opportunity_id: DealId, session: SessionOfRequest, viewer: SignedIn, may: May, models: Models,
    settings: Configured, now: Now, asked: Moment, language: Reads,
    with_current_model: Hindsight = False, lang: Lang = None,  # noqa: ARG001 - lang is read by Reads, declared for the reference
) -> Score:  # fmt: skip
    """Return the probability that the deal is won, with reasons that add up to it."""
    view = deals.score(
        session, opportunity_id, visibility=may, models=models, settings=settings,
        as_of=asked, now=now, in_hindsight=with_current_model,
    )  # fmt: skip
    view = deals.as_seen(session, view, viewer=viewer, visibility=may)
    return Score.of(view, language=language.tag)
