"""A person's numbers for programs: the same as on the page, with the trend and the place."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from serving import errors, numbers, performance
from serving.api.kpis import Kpi, Lang, PeriodName, PersonId
from serving.dependencies import May, Moment, Reads, SessionOfRequest, SignedIn
from serving.security import SIGNED_IN, allow

router = APIRouter(prefix="/api/v1/numbers", tags=["kpis"], responses=errors.PROBLEMS)


class Point(BaseModel):
    """One period of the trend; amounts in major units of ``currency``."""

    period: str
    bookings: Decimal | None
    quota: Decimal | None
    currency: str | None
    attainment: Decimal | None


class PeerPlace(BaseModel):
    """Where a rep stands among the reps with a quota: no name, no other's number."""

    rank: int
    peers: int
    low: Decimal = Field(description="At least half of the peers stand between low and high.")
    high: Decimal


class Numbers(BaseModel):
    """The numbers of a person, or of everybody you may see where ``person`` is null."""

    period: str
    as_of: dt.datetime
    person: str | None
    kpis: list[Kpi]
    expected_share: Decimal | None = Field(description="Share of the quota expected by now.")
    trend: list[Point]
    place: PeerPlace | None
    place_untold: str | None = Field(description="Why no place is told.")


@router.get("")
@allow(SIGNED_IN)
def read_numbers(
    session: SessionOfRequest, viewer: SignedIn, may: May, asked: Moment, language: Reads,
    period: PeriodName = None, person: PersonId = None,
    lang: Lang = None,  # noqa: ARG001 - read by Reads
) -> Numbers:  # fmt: skip
    """Return the numbers of the page: against quota, others, the trend, the place among peers."""
    found = numbers.numbers_page(
        session, viewer=viewer, visibility=may, person=person, as_of=asked,
        period=performance.period_named(session, period, as_of=asked),
    )  # fmt: skip
    place = found.place
    return Numbers(
        period=found.period.name,
        as_of=asked,
        person=None if found.person is None else found.person[0],
        kpis=[Kpi.of(tile, language=language.tag) for tile in found.now.tiles],
        expected_share=found.elapsed,
        trend=[
            Point(
                period=point.period.name,
                bookings=point.bookings.value,
                quota=None if point.target is None else point.target.major,
                currency=point.bookings.currency,
                attainment=point.attainment.value,
            )
            for point in found.trend
        ],
        place=None
        if place is None
        else PeerPlace(rank=place.rank, peers=place.peers, low=place.low, high=place.high),
        place_untold=None if found.untold is None else found.untold.text(language.tag),
    )
