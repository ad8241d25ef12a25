"""What the list of deals and one deal show; pages and API get the same frozen values from here."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
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
from crm_core.money import Money
from crm_core.opportunities import views as opportunities
from crm_core.opportunities.views import Change, DealFacts, Participant, StageStep
from crm_core.people.queries import HasRole, Visibility
from crm_core.records import access
from crm_core.records.access import Asker
from crm_core.settings import Settings
from serving import scoring
from serving.champions import Lineage
from serving.explanations import Words
from serving.scores import ScoreView

MOST_IN_HINDSIGHT = 26
_UNTOLD = Words(
    "Fields of your company's own that you may not see play a part.",
    "部分您无权查看的自定义字段也有影响。",
)


def _none_if_empty(value: object) -> object:
    """Return None for the empty text that a form sends for a field left blank."""
    return None if isinstance(value, str) and not value.strip() else value


Blank = BeforeValidator(_none_if_empty)
# bounds stand inside the optional: outside, they would be asked of None too
LongText = Annotated[str, Field(max_length=20_000)]
Major = Annotated[Decimal, Field(ge=0, max_digits=18, decimal_places=4)]
ShortText = Annotated[Annotated[str, Field(max_length=200)] | None, Blank]


class DealQuery(BaseModel):
    """What the list can be asked for; the same for the page and the API."""

    status: Literal["open", "won", "lost", "all"] = "open"
    stage: ShortText = None
    owner: ShortText = Field(None, description="Id of the user who owns the deal.")
    q: ShortText = Field(None, description="Part of the deal's or account's name, or its id.")
    min_amount: Annotated[Major | None, Blank] = Field(
        None, description="In major units of the deal's own currency."
    )
    closes_before: Annotated[dt.date | None, Blank] = None
    sort: Literal[
        "name", "-name", "account", "-account", "owner", "-owner", "stage", "-stage",
        "amount", "-amount", "close", "-close", "created", "-created", "touched", "-touched",
        "p_win", "-p_win",
    ] = Field("-amount", description="What to order by; '-' turns it round.")  # fmt: skip
    cursor: Annotated[LongText | None, Blank] = Field(
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

    ``days_silent`` counts company days since the last contact; None when no contact was ever
    recorded, and for a closed deal.
    """

    deal: DealRow
    days_silent: int | None
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
    """A probability given on an earlier day: the last one of that company day.

    ``is_hindsight``: it was not given then, and its model knew what came after.
    """

    day: dt.date
    as_of: dt.datetime
    p_win: float
    low: float | None
    high: float | None
    model_version: str
    kind: str
    is_hindsight: bool = False


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
    hindsight_scores: tuple[PastScore, ...] = ()


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
    zone = scoring.zone_of(session)
    return DealsView(
        lines=tuple(_line(row, zone=zone, as_of=as_of) for row in found.rows),
        next_cursor=found.next_cursor,
        total=found.total,
        amounts=found.amounts,
        choices=views.choices(session, visibility=visibility),
    )


def one_deal(
    session: Session, opportunity_id: str, *, viewer: HasRole, visibility: Visibility,
    as_of: dt.datetime,
) -> DealView:  # fmt: skip
    """Return the facts and history of one deal that the viewer may know. Raises NoSuchDeal."""
    facts = opportunities.deal(session, opportunity_id, visibility=visibility)
    hidden = _hidden(session, "opportunities", viewer, visibility)
    facts = replace(facts, custom=tuple(pair for pair in facts.custom if pair[0] not in hidden))
    zone = scoring.zone_of(session)
    timeline = activities.timeline(session, facts.id, as_of=as_of)
    return DealView(
        line=_line(
            views.deal_row(session, facts.id, visibility=visibility, as_of=as_of),
            zone=zone,
            as_of=as_of,
        ),
        facts=facts,
        steps=opportunities.steps(session, pipeline=facts.pipeline),
        changes=opportunities.changes(session, facts, as_of=as_of, hidden=hidden),
        participants=opportunities.participants(session, facts.id),
        timeline=timeline,
        past_scores=_past_scores(session, facts.id, zone=zone, as_of=as_of),
    )


def _hidden(
    session: Session, table: str, viewer: HasRole, visibility: Visibility
) -> frozenset[str]:
    """Return the custom fields of a table whose values the viewer may not know."""
    return access.fields(session, table, "view", asker=Asker(viewer, visibility)).barred


def as_seen(
    session: Session, view: ScoreView, *, viewer: HasRole, visibility: Visibility
) -> ScoreView:
    """Return a score whose reasons tell nothing of custom fields that the viewer may not know.

    Their share stays in the sum; the sentence only says that they have one.
    """
    if not any(_hidden(session, t, viewer, visibility) for t in ("opportunities", "accounts")):
        return view
    return replace(
        view,
        reasons=tuple(
            replace(reason, sentence=_UNTOLD, facts={}) if reason.group == "custom" else reason
            for reason in view.reasons
        ),
    )


def score(
    session: Session,
    opportunity_id: str,
    *,
    visibility: Visibility,
    models: Lineage,
    settings: Settings,
    as_of: dt.datetime,
    now: dt.datetime,
    in_hindsight: bool = False,
) -> ScoreView:
    """Return what is said of a visible deal now, or as it would have been at an earlier time.

    What is said now is kept if it is new; a replay changes nothing. Raises NoSuchDeal.
    """
    facts = opportunities.deal(session, opportunity_id, visibility=visibility)
    view = scoring.score_one(
        session, opportunity_id=facts.id, as_of=as_of, models=models, settings=settings,
        in_hindsight=in_hindsight,
    )  # fmt: skip
    if as_of == now:
        scoring.write_if_new(session, view, scored_at=now)
    return view


def score_of_open(
    session: Session,
    opportunity_id: str,
    *,
    visibility: Visibility,
    models: Lineage,
    settings: Settings,
    now: dt.datetime,
) -> ScoreView | None:
    """Return the present score of an open deal; None for a closed one, whose outcome is known."""
    if opportunities.deal(session, opportunity_id, visibility=visibility).outcome is not None:
        return None
    return score(
        session, opportunity_id, visibility=visibility, models=models, settings=settings,
        as_of=now, now=now,
    )  # fmt: skip


def with_hindsight(
    session: Session,
    view: DealView,
    *,
    models: Lineage,
    settings: Settings,
    now: dt.datetime,
) -> DealView:
    """Return the deal with what today's model would have said before the first score was given.

    At its creation, its stages' beginnings and each Monday, from the facts known then. It is
    told beside what was said, never instead, and kept nowhere.
    """
    if models.current is None:
        return view
    zone = scoring.zone_of(session)
    until = view.past_scores[0].as_of if view.past_scores else view.facts.closed_at or now
    until = min(until, models.current.trained_as_of)  # later it is no hindsight, nor was it said
    told = scoring.score_moments(
        session,
        opportunity_id=view.facts.id,
        moments=_landmarks(view, until=until, zone=zone),
        models=models,
        settings=settings,
        in_hindsight=True,
    )
    scores = [_past(each, zone) for each in told if each.p_win is not None]
    by_day = {each.day: each for each in scores}
    return replace(view, hindsight_scores=tuple(by_day.values()))


def _landmarks(view: DealView, *, until: dt.datetime, zone: ZoneInfo) -> list[dt.datetime]:
    """Return the times worth asking about before ``until``, oldest first, not too many."""
    first = view.facts.created_at
    entered = {each.occurred_at for each in view.changes if each.field == "stage"}
    day = first.astimezone(zone).date()
    monday = day + dt.timedelta(days=7 - day.weekday())
    weeks = max(0, (until.astimezone(zone).date() - monday).days // 7 + 1)
    mondays = {
        dt.datetime.combine(monday + dt.timedelta(weeks=week), dt.time(), tzinfo=zone)
        for week in range(weeks)
    }
    found = sorted(each for each in {first, *entered, *mondays} if first <= each < until)
    step = -(-len(found) // MOST_IN_HINDSIGHT)
    return found[::step] if step > 1 else found


def over_time(session: Session, view: DealView, score: ScoreView | None) -> tuple[PastScore, ...]:
    """Return what was said on each day with what is said now, after what hindsight adds."""
    zone = scoring.zone_of(session)
    said = {each.day: each for each in view.past_scores}
    if score is not None and score.p_win is not None:
        now = _past(score, zone)
        said[now.day] = now
    before = (each for each in view.hindsight_scores if each.day not in said)
    return (*before, *said.values())


def _past(view: ScoreView, zone: ZoneInfo) -> PastScore:
    assert view.p_win is not None
    return PastScore(
        day=view.as_of.astimezone(zone).date(), as_of=view.as_of, p_win=view.p_win, low=view.low,
        high=view.high, model_version=view.model_version or "", kind=view.kind,
        is_hindsight=view.hindsight is not None,
    )  # fmt: skip


def _line(row: DealRow, *, zone: ZoneInfo, as_of: dt.datetime) -> DealLine:
    today = as_of.astimezone(zone).date()
    is_open = row.outcome is None
    silent = None
    if is_open and row.touched_at is not None:
        silent = max(0, (today - row.touched_at.astimezone(zone).date()).days)
    return DealLine(
        deal=row,
        days_silent=silent,
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
