"""The page a day begins with: the numbers, the three deals to start on, and the list."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from crm_core.advice import views
from crm_core.advice.queries import StoredRecommendation
from crm_core.advice.views import DealRow
from crm_core.people import queries as people
from crm_core.people.queries import Viewer, Visibility
from serving import deals, performance
from serving.coaching import recommend
from serving.coaching.recommend import Advice, DealAdvice
from serving.deals import DealQuery, DealsView
from serving.performance import RepSummary

TILES = ("attainment", "win_rate_closed", "cycle_days", "pipeline")


@dataclass(frozen=True, slots=True)
class FirstDeal:
    """One of the deals to start the day on, with what to do there."""

    deal: DealRow
    advice: Advice


@dataclass(frozen=True, slots=True)
class Workday:
    """Everything the page shows. Before a company is imported there are no numbers."""

    view: DealsView
    summary: RepSummary | None
    first: tuple[FirstDeal, ...]


def workday(
    session: Session,
    *,
    viewer: Viewer,
    visibility: Visibility,
    query: DealQuery,
    now: dt.datetime,
) -> Workday:
    """Return the list with each open deal's next action, the numbers and the day's first deals."""
    view = deals.list_deals(session, visibility=visibility, query=query, as_of=now)
    if people.company_or_none(session) is None:
        return Workday(view, None, ())
    return Workday(
        view=_with_next_actions(session, view, visibility=visibility, now=now),
        summary=performance.rep_summary(
            session,
            visibility=visibility,
            period=performance.period_named(session, None, as_of=now),
            as_of=now,
            metric_ids=TILES,
        ),
        first=_first(session, viewer, visibility=visibility, query=query, now=now),
    )


def _with_next_actions(
    session: Session, view: DealsView, *, visibility: Visibility, now: dt.datetime
) -> DealsView:
    """Return the list with the first action still to do of each open deal."""
    still_open = [line.deal.id for line in view.lines if line.deal.outcome is None]
    if not still_open:
        return view
    advised = recommend.next_best_actions(
        session, visibility=visibility, opportunity_ids=still_open, as_of=now, now=now, shown=1
    )
    by_deal = {each.opportunity_id: _unanswered(each.items) for each in advised}
    lines = tuple(
        replace(line, next_action=found.title if found else None)
        for line in view.lines
        for found in [by_deal.get(line.deal.id)]
    )
    return replace(view, lines=lines)


def _first(
    session: Session,
    viewer: Viewer,
    *,
    visibility: Visibility,
    query: DealQuery,
    now: dt.datetime,
) -> tuple[FirstDeal, ...]:
    """Return the viewer's own deals to start on; only above the unfiltered list."""
    if query.is_narrowed or query.status != "open" or query.cursor is not None:
        return ()
    chosen: list[DealAdvice] = recommend.day_begins_with(
        session, visibility=visibility, owner_id=viewer.id, as_of=now, now=now
    )
    return tuple(
        FirstDeal(
            views.deal_row(session, each.opportunity_id, visibility=visibility, as_of=now), found
        )
        for each in chosen
        for found in [_unanswered(each.items)]
        if found is not None
    )


def _unanswered(items: Sequence[Advice]) -> Advice | None:
    return next((item for item in items if item.response is None), None)


def answer(
    session: Session,
    recommendation_id: int,
    *,
    viewer: Viewer,
    visibility: Visibility,
    response: str,
    reason: str | None,
    snooze_days: int | None,
    now: dt.datetime,
) -> StoredRecommendation:
    """Write down what the viewer did; a snooze lasts to the company's midnight in some days.

    Raises UnknownRecommendation and NotAResponse.
    """
    until = None
    if response == "snoozed" and snooze_days is not None:
        own = people.calendar(session)
        until = own.midnight(own.day_of(now) + dt.timedelta(days=snooze_days))
    return recommend.respond(
        session,
        recommendation_id,
        user_id=viewer.id,
        visibility=visibility,
        response=response,
        reason=reason,
        snoozed_until=until,
        now=now,
    )
