"""Writing down what we told people, what they did with it and what came of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from sqlalchemy import ARRAY, DateTime, Text, and_, cast, func, insert, select
from sqlalchemy.dialects.postgresql import insert as insert_or_nothing
from sqlalchemy.orm import Session

from crm_core.advice import outcomes
from crm_core.advice.models import (
    AdviceDecision,
    Prediction,
    Recommendation,
    RecommendationOutcome,
    RecommendationResponse,
    ServedModel,
)
from crm_core.audit import operations as audit
from crm_core.errors import Invalid, NotFound

Response = Literal["done", "snoozed", "dismissed"]
Arm = Literal["advice", "playbook_only", "holdout"]
Basis = Literal["experiment", "observational", "playbook"]


class UnknownRecommendation(NotFound):
    """There is no such recommendation, or it is about a deal the asker may not see."""


class NotAResponse(Invalid):
    """A response is incomplete: a dismissal says why, a snooze says until when."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPrediction:
    """One prediction to be written down; the fields mean what :class:`Prediction` says."""

    opportunity_id: str
    model: str
    model_version: str
    as_of: dt.datetime
    scored_at: dt.datetime
    kind: str
    p_win: float | None = None
    p_win_in_period: float | None = None
    low: float | None = None
    high: float | None = None
    n_similar: int | None = None
    median_days_to_close: float | None = None
    margin: float | None = None
    base_value: float | None = None
    contributions: dict[str, float]
    reasons: list[Any]
    abstained: str | None = None
    row_hash: str | None = None
    model_as_of: dt.datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRecommendation:
    """One action of a decision that is shown, with the chance it had of standing at its rank."""

    decision_id: int
    opportunity_id: str
    user_id: str | None
    action: str
    rank: int
    propensity: float
    expected_lift: float | None
    expected_value_minor: int | None
    currency: str | None
    basis: Basis
    facts: dict[str, Any]
    shown_at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDecision:
    """One ranking for one deal on one day: every candidate, with rank and propensity."""

    opportunity_id: str
    user_id: str | None
    day: dt.date
    as_of: dt.datetime
    decided_at: dt.datetime
    policy_version: str
    model_version: str | None
    arm: Arm
    candidates: list[dict[str, Any]]
    context_hash: str


def record_predictions(session: Session, predictions: Iterable[NewPrediction]) -> int:
    """Write predictions down, in one statement; return how many.

    What a version says of a deal as of a time is written once, however often it is asked.
    """
    rows = [asdict(prediction) for prediction in predictions]
    known = _said_before(session, rows)
    rows = [row for row in rows if _said(row) not in known]
    if rows:
        session.execute(insert(Prediction), rows)
    return len(rows)


def _said(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("opportunity_id", "model", "model_version", "as_of"))


def _said_before(session: Session, rows: list[dict[str, Any]]) -> set[tuple[Any, ...]]:
    asked = (
        func.unnest(
            cast([row["opportunity_id"] for row in rows], ARRAY(Text)),
            cast([row["as_of"] for row in rows], ARRAY(DateTime(timezone=True))),
        )
        .table_valued("id", "at", name="asked")
        .render_derived()
    )
    found = session.execute(
        select(
            Prediction.opportunity_id, Prediction.model, Prediction.model_version, Prediction.as_of
        ).join(
            asked,
            and_(Prediction.opportunity_id == asked.c.id, Prediction.as_of == asked.c.at),
        )
    )
    return {tuple(row) for row in found}


def record_serving(
    session: Session,
    *,
    model: str,
    version: str | None,
    report: dict[str, Any],
    at: dt.datetime,
) -> None:
    """Write down that a version of a model serves from ``at``; None: that none does any more.

    The version that served until then ends there. Saying the same again changes nothing, so
    that every server process may say it. ``report`` is what was known of the version's quality.
    """
    # two processes that see the promotion at once must not write it twice
    session.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"served {model}"))))
    serving = session.scalars(
        select(ServedModel).where(ServedModel.model == model, ServedModel.served_to.is_(None))
    ).one_or_none()
    if serving is not None:
        if serving.version == version:
            return
        serving.served_to = max(at, serving.served_from)
    if version is not None:
        session.add(ServedModel(model=model, version=version, served_from=at, report=report))
    session.flush()


def record_decisions(session: Session, decisions: Sequence[NewDecision]) -> int:
    """Write decisions; return how many were new.

    A decision for a deal that already has one on that day changes nothing, whoever of several
    concurrent requests comes first.
    """
    if not decisions:
        return 0
    statement = (
        insert_or_nothing(AdviceDecision)
        .on_conflict_do_nothing(index_elements=["opportunity_id", "day"])
        .returning(AdviceDecision.id)
    )
    rows = [asdict(decision) for decision in decisions]
    return len(session.execute(statement, rows).all())


def record_shown(session: Session, shown: Sequence[NewRecommendation]) -> int:
    """Write what of decisions people now see; what they saw before is not written again."""
    if not shown:
        return 0
    statement = (
        insert_or_nothing(Recommendation)
        .on_conflict_do_nothing(index_elements=["decision_id", "action"])
        .returning(Recommendation.id)
    )
    return len(session.execute(statement, [asdict(item) for item in shown]).all())


def record_response(
    session: Session,
    *,
    recommendation_id: int,
    user_id: str,
    response: str,
    reason: str | None,
    snoozed_until: dt.datetime | None,
    responded_at: dt.datetime,
) -> int:
    """Write down what a person did with a recommendation; return the response's id.

    Pressing the same button twice writes one row. Raises UnknownRecommendation, NotAResponse.
    """
    _check_response(response, reason, snoozed_until, responded_at)
    # the lock makes two presses at once wait for each other
    if session.get(Recommendation, recommendation_id, with_for_update=True) is None:
        raise UnknownRecommendation(f"There is no recommendation {recommendation_id}.")
    latest = session.execute(
        select(RecommendationResponse)
        .where(
            RecommendationResponse.recommendation_id == recommendation_id,
            RecommendationResponse.user_id == user_id,
        )
        .order_by(RecommendationResponse.responded_at.desc(), RecommendationResponse.id.desc())
        .limit(1)
    ).scalar_one_or_none()
    if latest is not None and (latest.response, latest.reason, latest.snoozed_until) == (
        response,
        reason,
        snoozed_until,
    ):
        return latest.id
    row = RecommendationResponse(
        recommendation_id=recommendation_id,
        user_id=user_id,
        response=response,
        reason=reason,
        snoozed_until=snoozed_until,
        responded_at=responded_at,
    )
    session.add(row)
    session.flush()
    audit.record_here(
        session, action="respond", table="recommendations", record_id=str(recommendation_id),
        changes={
            "response": (latest.response if latest else None, response),
            "reason": (latest.reason if latest else None, reason),
        },
    )  # fmt: skip
    return row.id


def _check_response(
    response: str, reason: str | None, snoozed_until: dt.datetime | None, responded_at: dt.datetime
) -> None:
    if response not in get_args(Response):
        raise NotAResponse(f"{response!r} is not a response; send done, snoozed or dismissed.")
    if response == "dismissed" and not (reason or "").strip():
        raise NotAResponse("A dismissal needs a reason; say why the advice does not fit.")
    if (response == "snoozed") != (snoozed_until is not None):
        raise NotAResponse("A snooze, and only a snooze, says until when (snoozed_until).")
    if snoozed_until is not None and snoozed_until <= responded_at:
        raise NotAResponse("A snooze must end in the future; choose a later day.")


def settle_outcomes(session: Session, *, as_of: dt.datetime) -> dict[str, int]:
    """Write what is known as of ``as_of`` to have followed each recommendation.

    ``activity``: an activity of a kind the action asks for, on that deal, within 14 days;
    ``stage_advanced``: a later open stage within 14 days; ``won`` and ``lost``: whenever it
    happened afterwards. Settling again adds only what became known since. Returns the number of
    new outcomes by kind. They say what followed, not what the advice caused.
    """
    settled = {}
    for kind, found in outcomes.found(as_of=as_of).items():
        statement = (
            insert_or_nothing(RecommendationOutcome)
            .from_select(
                ["recommendation_id", "kind", "occurred_at", "settled_at", "evidence"], found
            )
            .on_conflict_do_nothing()
            .returning(RecommendationOutcome.recommendation_id)
        )
        settled[kind] = len(session.execute(statement).all())
    return settled
