"""Reads of what we told people: predictions, recommendations and the responses to them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Text, and_, any_, exists, literal, or_, select, true
from sqlalchemy.dialects.postgresql import ARRAY, distinct_on
from sqlalchemy.orm import Session

from crm_core.activities.models import Activity
from crm_core.advice.models import (
    AdviceDecision,
    Prediction,
    Recommendation,
    RecommendationResponse,
)
from crm_core.opportunities.models import (
    Opportunity,
    OpportunityContact,
    OpportunityEvent,
)
from crm_core.people.queries import Visibility


@dataclass(frozen=True, slots=True)
class StoredRecommendation:
    """One recommendation as it was shown, with the latest response known as of the question."""

    id: int
    decision_id: int
    opportunity_id: str
    user_id: str | None
    action: str
    rank: int
    propensity: float
    expected_lift: float | None
    expected_value_minor: int | None
    currency: str | None
    basis: str
    facts: dict[str, Any]
    day: dt.date
    as_of: dt.datetime
    shown_at: dt.datetime
    response: str | None
    response_reason: str | None
    snoozed_until: dt.datetime | None
    responded_at: dt.datetime | None


@dataclass(frozen=True, slots=True)
class StoredDecision:
    """The decision of one deal and day."""

    id: int
    opportunity_id: str
    user_id: str | None
    day: dt.date
    as_of: dt.datetime
    arm: str
    policy_version: str
    candidates: list[dict[str, Any]]


def predictions_over_time(
    session: Session, opportunity_id: str, *, as_of: dt.datetime, model: str = "win_rate"
) -> list[Prediction]:
    """Return the deal's predictions known as of a time, oldest first, the last of each as_of."""
    rows = session.scalars(
        select(Prediction)
        .ext(distinct_on(Prediction.as_of))
        .where(
            Prediction.opportunity_id == opportunity_id,
            Prediction.model == model,
            Prediction.as_of <= as_of,
        )
        .order_by(Prediction.as_of, Prediction.id.desc())
    )
    return list(rows)


def is_newly_told(
    session: Session, opportunity_id: str, *, model: str, version: str, as_of: dt.datetime
) -> bool:
    """Return whether a present score of the deal says something the newest kept one does not.

    It does if another version gave that one, or if a fact of the deal (an event, an activity, a
    contact) became known between the two. That days went by is left to the nightly scores.
    """
    newest = session.execute(
        select(Prediction.model_version, Prediction.as_of)
        .where(
            Prediction.opportunity_id == opportunity_id,
            Prediction.model == model,
            Prediction.as_of <= as_of,
        )
        .order_by(Prediction.as_of.desc(), Prediction.id.desc())
        .limit(1)
    ).one_or_none()
    if newest is None or newest.model_version != version:
        return True

    def appeared(happened: Any, recorded: Any) -> Any:  # noqa: ANN401 - columns
        return and_(
            happened <= as_of,
            recorded <= as_of,
            or_(happened > newest.as_of, recorded > newest.as_of),
        )

    facts = [
        exists().where(each.opportunity_id == opportunity_id, appeared(happened, recorded))
        for each, happened, recorded in (
            (OpportunityEvent, OpportunityEvent.occurred_at, OpportunityEvent.recorded_at),
            (Activity, Activity.occurred_at, Activity.recorded_at),
            (OpportunityContact, OpportunityContact.added_at, OpportunityContact.added_at),
        )
    ]
    return bool(session.scalar(select(or_(*facts))))


def visible_deals(
    session: Session, opportunity_ids: Collection[str], *, scope: Visibility
) -> list[str]:
    """Return which of these deals the asker may see now, by id."""
    rows = session.scalars(
        select(Opportunity.id)
        .where(Opportunity.id == any_(_array(opportunity_ids)))
        .where(scope.condition(Opportunity.owner_id))
        .order_by(Opportunity.id)
    )
    return list(rows)


def open_deals(session: Session, *, scope: Visibility, owner_id: str | None = None) -> list[str]:
    """Return the deals open now that the asker may see, or one owner's of them, by id."""
    conditions = [Opportunity.outcome.is_(None), scope.condition(Opportunity.owner_id)]
    if owner_id is not None:
        conditions.append(Opportunity.owner_id == owner_id)
    rows = session.scalars(select(Opportunity.id).where(*conditions).order_by(Opportunity.id))
    return list(rows)


def accounts_of(session: Session, opportunity_ids: Collection[str]) -> dict[str, str | None]:
    """Return the account of each deal."""
    rows = session.execute(
        select(Opportunity.id, Opportunity.account_id).where(
            Opportunity.id == any_(_array(opportunity_ids))
        )
    )
    return {row.id: row.account_id for row in rows}


def _array(values: Collection[str]) -> Any:  # noqa: ANN401 - a bound array
    """Return ids as one bound value: an IN of thousands of parameters has a limit."""
    return literal(sorted(values), ARRAY(Text))


def decisions_of_day(
    session: Session, opportunity_ids: Collection[str], *, day: dt.date
) -> dict[str, StoredDecision]:
    """Return, by deal, the decision of a day."""
    rows = session.execute(
        select(
            AdviceDecision.id,
            AdviceDecision.opportunity_id,
            AdviceDecision.user_id,
            AdviceDecision.day,
            AdviceDecision.as_of,
            AdviceDecision.arm,
            AdviceDecision.policy_version,
            AdviceDecision.candidates,
        ).where(
            AdviceDecision.opportunity_id == any_(_array(opportunity_ids)),
            AdviceDecision.day == day,
        )
    )
    return {row.opportunity_id: StoredDecision(*row) for row in rows}


def recommendations(
    session: Session,
    opportunity_ids: Collection[str],
    *,
    until: dt.date,
    as_of: dt.datetime,
) -> dict[str, list[StoredRecommendation]]:
    """Return, by deal, what was recommended on days up to and with ``until``, oldest first.

    Each carries the latest response given by ``as_of``.
    """
    conditions = [
        Recommendation.opportunity_id == any_(_array(opportunity_ids)),
        AdviceDecision.day <= until,
    ]
    found: dict[str, list[StoredRecommendation]] = {}
    for row in _with_latest_response(session, conditions, as_of=as_of):
        found.setdefault(row.opportunity_id, []).append(row)
    return found


def recommendation(
    session: Session, recommendation_id: int, *, as_of: dt.datetime
) -> StoredRecommendation | None:
    """Return one recommendation with its latest response, or None."""
    found = _with_latest_response(session, [Recommendation.id == recommendation_id], as_of=as_of)
    return found[0] if found else None


def _with_latest_response(
    session: Session, conditions: Sequence[Any], *, as_of: dt.datetime
) -> list[StoredRecommendation]:
    latest = (
        select(RecommendationResponse)
        .where(
            RecommendationResponse.recommendation_id == Recommendation.id,
            RecommendationResponse.responded_at <= as_of,
        )
        .order_by(RecommendationResponse.responded_at.desc(), RecommendationResponse.id.desc())
        .limit(1)
        .lateral("latest")
    )
    rows: Sequence[Any] = session.execute(
        select(
            Recommendation.id,
            Recommendation.decision_id,
            Recommendation.opportunity_id,
            Recommendation.user_id,
            Recommendation.action,
            Recommendation.rank,
            Recommendation.propensity,
            Recommendation.expected_lift,
            Recommendation.expected_value_minor,
            Recommendation.currency,
            Recommendation.basis,
            Recommendation.facts,
            AdviceDecision.day,
            AdviceDecision.as_of,
            Recommendation.shown_at,
            latest.c.response,
            latest.c.reason,
            latest.c.snoozed_until,
            latest.c.responded_at,
        )
        .join(AdviceDecision, AdviceDecision.id == Recommendation.decision_id)
        .outerjoin(latest, true())
        .where(*conditions)
        .order_by(AdviceDecision.day, Recommendation.rank, Recommendation.id)
    ).all()
    return [StoredRecommendation(*row) for row in rows]
