"""What the list of deals and one deal show; pages and API get the same frozen values from here."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, Field
from sqlalchemy.orm import Session

from crm_core.activities import views as activities
from crm_core.activities.views import Timeline
from crm_core.advice import queries as advice
from crm_core.advice import views
from crm_core.advice.views import Choices, DealFilter, DealRow
from crm_core.errors import Invalid
from crm_core.money import Money
from crm_core.opportunities import views as opportunities
from crm_core.opportunities.views import Change, DealFacts, Participant, StageStep
from crm_core.people import queries as people
from crm_core.people.queries import Visibility
from crm_core.settings import Settings
from serving import scoring
from serving.champions import Champion
from serving.explanations import Words
from serving.scoring import ScoreView


class FutureTime(Invalid):
    """A question was asked as of a time that has not come yet."""


def _none_if_empty(value: object) -> object:
    """Return None for the empty text that a form sends for a field left blank."""
    return None if isinstance(value, str) and not value.strip() else value


Blank = BeforeValidator(_none_if_empty)
ShortText = Annotated[str | None, Blank, Field(max_length=200)]


class DealQuery(BaseModel):
    """What the list can be asked for; the same for the page and the API."""

    status: Literal["open", "won", "lost", "all"] = "open"
    stage: ShortText = None
    owner: ShortText = Field(None, description="Id of the user who owns the deal.")
    q: ShortText = Field(None, description="Part of the deal's or account's name, or its id.")
    min_amount: Annotated[Decimal | None, Blank, Field(ge=0, max_digits=18, decimal_places=4)] = (
        Field(None, description="In major units of the deal's own currency.")
    )
    closes_before: Annotated[dt.date | None, Blank] = None
    sort: Literal[
        "name", "-name", "account", "-account", "owner", "-owner", "stage", "-stage",
        "amount", "-amount", "close", "-close", "created", "-created", "touched", "-touched",
        "p_win", "-p_win",
    ] = Field("-amount", description="What to order by; '-' turns it round.")  # fmt: skip
    cursor: Annotated[str | None, Blank, Field(max_length=2000)] = Field(
        None, description="next_cursor of the page before."
    )
    limit: int = Field(50, ge=1, le=views.LARGEST_PAGE)

    def wanted(self) -> DealFilter:
        """Return the filter without the order and the page."""
        return DealFilter(
            status=self.status, stage=self.stage, owner_id=self.owner, text=self.q,
            minimum=self.min_amount, closes_before=self.closes_before,
        )  # fmt: skip

    @property
    def is_narrowed(self) -> bool:
        """Whether anything but the status narrows the list."""
        return self.wanted() != DealFilter(status=self.status)


@dataclass(frozen=True, slots=True)
class DealLine:
    """A deal of the list with what the day makes of it.

    ``days_silent`` counts company days since the last contact, or since the deal was created
    when ``was_touched`` is false; None for a closed deal.
    """

    deal: DealRow
    days_silent: int | None
    was_touched: bool
    is_overdue: bool
    next_action: Words | None = None


@dataclass(frozen=True, slots=True)
class DealsView:
    """A page of the list, the whole's count and sums, and what the filters may offer."""

    lines: tuple[DealLine, ...]
    next_cursor: str | None
    total: int
    amounts: tuple[Money, ...]
    choices: Choices


@dataclass(frozen=True, slots=True)
class PastScore:
    """A probability given on an earlier day: the last one of that company day."""

    day: dt.date
    as_of: dt.datetime
    p_win: float
    low: float | None
    high: float | None
    model_version: str
    kind: str


@dataclass(frozen=True, slots=True)
class DealView:
    """Everything the page of one deal shows besides its score."""

    line: DealLine
    facts: DealFacts
    steps: tuple[StageStep, ...]
    changes: tuple[Change, ...]
    participants: tuple[Participant, ...]
    timeline: Timeline
    past_scores: tuple[PastScore, ...]


def list_deals(
    session: Session, *, visibility: Visibility, query: DealQuery, as_of: dt.datetime
) -> DealsView:
    """Return the page of visible deals that the query asks for."""
    found = views.deals(
        session,
        visibility=visibility,
        wanted=query.wanted(),
        sort=query.sort,
        cursor=query.cursor,
        limit=query.limit,
        as_of=as_of,
    )
    zone = _zone(session)
    return DealsView(
        lines=tuple(_line(row, zone=zone, as_of=as_of) for row in found.rows),
        next_cursor=found.next_cursor,
        total=found.total,
        amounts=found.amounts,
        choices=views.choices(session, visibility=visibility),
    )


def one_deal(
    session: Session, opportunity_id: str, *, visibility: Visibility, as_of: dt.datetime
) -> DealView:
    """Return the facts and history of one deal. Raises NoSuchDeal."""
    facts = opportunities.deal(session, opportunity_id, visibility=visibility)
    zone = _zone(session)
    timeline = activities.timeline(session, facts.id, as_of=as_of)
    return DealView(
        line=_line(
            views.deal_row(session, facts.id, visibility=visibility, as_of=as_of),
            zone=zone,
            as_of=as_of,
        ),
        facts=facts,
        steps=opportunities.steps(session, pipeline=facts.pipeline),
        changes=opportunities.changes(session, facts, as_of=as_of),
        participants=opportunities.participants(session, facts.id),
        timeline=timeline,
        past_scores=_past_scores(session, facts.id, zone=zone, as_of=as_of),
    )


def score(
    session: Session,
    opportunity_id: str,
    *,
    visibility: Visibility,
    champion: Champion | None,
    settings: Settings,
    as_of: dt.datetime | None,
    now: dt.datetime,
) -> ScoreView:
    """Return what is said of a visible deal now, or as it would have been at an earlier time.

    Raises NoSuchDeal and FutureTime.
    """
    facts = opportunities.deal(session, opportunity_id, visibility=visibility)
    asked = now if as_of is None else as_of
    if asked > now:
        raise FutureTime("as_of lies in the future; ask about now or an earlier time.")
    return scoring.score_one(
        session,
        opportunity_id=facts.id,
        as_of=asked,
        champion=champion,
        settings=settings,
        scored_at=now,
    )


def score_of_open(
    session: Session,
    opportunity_id: str,
    *,
    visibility: Visibility,
    champion: Champion | None,
    settings: Settings,
    now: dt.datetime,
) -> ScoreView | None:
    """Return the present score of an open deal; None for a closed one, whose outcome is known.

    Asked before the deal's past scores are read, so that they end with this one.
    """
    if opportunities.deal(session, opportunity_id, visibility=visibility).outcome is not None:
        return None
    return scoring.score_one(
        session, opportunity_id=opportunity_id, as_of=now, champion=champion, settings=settings,
        scored_at=now,
    )  # fmt: skip


def _zone(session: Session) -> ZoneInfo:
    row = people.company_or_none(session)
    return ZoneInfo(row.time_zone if row else "UTC")


def _line(row: DealRow, *, zone: ZoneInfo, as_of: dt.datetime) -> DealLine:
    today = as_of.astimezone(zone).date()
    since = (row.touched_at or row.created_at).astimezone(zone).date()
    is_open = row.outcome is None
    return DealLine(
        deal=row,
        days_silent=max(0, (today - since).days) if is_open else None,
        was_touched=row.touched_at is not None,
        is_overdue=is_open and row.expected_close_on is not None and row.expected_close_on < today,
    )


def _past_scores(
    session: Session, opportunity_id: str, *, zone: ZoneInfo, as_of: dt.datetime
) -> tuple[PastScore, ...]:
    by_day: dict[dt.date, PastScore] = {}
    for given in advice.predictions_over_time(session, opportunity_id, as_of=as_of):
        if given.p_win is None:
            continue
        day = given.as_of.astimezone(zone).date()
        by_day[day] = PastScore(
            day, given.as_of, given.p_win, given.low, given.high, given.model_version, given.kind
        )
    return tuple(by_day.values())
