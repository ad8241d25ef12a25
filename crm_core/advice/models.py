"""Tables of predictions, served models, shown advice, responses and outcomes."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Date,
    Double,
    ForeignKey,
    Identity,
    Index,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from crm_core.database import Base, Currency, Instant, Minor
from crm_core.opportunities.models import Opportunity
from crm_core.people.models import User


class Prediction(Base):
    """A probability we gave for a deal as of a time, with what it rested on.

    ``kind`` is ``model``, ``base_rate`` or ``none`` (abstained; ``p_win`` is null and
    ``abstained`` says what is missing). ``margin`` is the served log-odds, to which
    ``base_value`` and ``contributions`` (feature group → log-odds) sum exactly. ``reasons`` are
    the facts shown in words. ``row_hash`` identifies the feature row. ``model_as_of`` is the time
    whose facts the model was trained on: what a later one would have said is hindsight, which no
    number of the past may rest on, and is refused.
    """

    __tablename__ = "predictions"
    __table_args__ = (
        CheckConstraint("kind in ('model','base_rate','none')", name="kind"),
        CheckConstraint("(p_win is null) = (kind = 'none')", name="abstains_without_a_number"),
        CheckConstraint("model_as_of <= as_of", name="not_in_hindsight"),
        Index("ix_predictions_opportunity", "opportunity_id", "as_of"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    opportunity_id: Mapped[str] = mapped_column(ForeignKey(Opportunity.id))
    model: Mapped[str] = mapped_column(String(24))
    model_version: Mapped[str] = mapped_column(Text)
    model_as_of: Mapped[dt.datetime | None] = mapped_column(Instant)
    as_of: Mapped[dt.datetime] = mapped_column(Instant)
    scored_at: Mapped[dt.datetime] = mapped_column(Instant)
    kind: Mapped[str] = mapped_column(String(12))
    p_win: Mapped[float | None] = mapped_column(Double)
    p_win_in_period: Mapped[float | None] = mapped_column(Double)
    low: Mapped[float | None] = mapped_column(Double)
    high: Mapped[float | None] = mapped_column(Double)
    n_similar: Mapped[int | None] = mapped_column(BigInteger)
    median_days_to_close: Mapped[float | None] = mapped_column(Double)
    margin: Mapped[float | None] = mapped_column(Double)
    base_value: Mapped[float | None] = mapped_column(Double)
    contributions: Mapped[dict[str, float]] = mapped_column(JSONB, default=dict)
    reasons: Mapped[list[Any]] = mapped_column(JSONB, default=list)
    abstained: Mapped[str | None] = mapped_column(Text)
    row_hash: Mapped[str | None] = mapped_column(String(64))


class ServedModel(Base):
    """Which version of a model served from when to when; the open one has no end."""

    __tablename__ = "served_models"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    model: Mapped[str] = mapped_column(String(24), index=True)
    version: Mapped[str] = mapped_column(Text)
    served_from: Mapped[dt.datetime] = mapped_column(Instant)
    served_to: Mapped[dt.datetime | None] = mapped_column(Instant)
    report: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict)


class AdviceDecision(Base):
    """One ranking of candidate actions for one deal: everything a later evaluation needs.

    ``candidates`` lists every eligible action with its score, propensity and rank, shown or
    not. ``arm`` is ``advice``, ``playbook_only`` or ``holdout``. There is one decision per deal
    and ``day`` (the company's), so that opening a page again shows and logs nothing new.
    """

    __tablename__ = "advice_decisions"
    __table_args__ = (
        CheckConstraint("arm in ('advice','playbook_only','holdout')", name="arm"),
        UniqueConstraint("opportunity_id", "day"),
        Index("ix_advice_decisions_opportunity", "opportunity_id", "as_of"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    opportunity_id: Mapped[str] = mapped_column(ForeignKey(Opportunity.id))
    user_id: Mapped[str | None] = mapped_column(ForeignKey(User.id), index=True)
    day: Mapped[dt.date] = mapped_column(Date)
    as_of: Mapped[dt.datetime] = mapped_column(Instant)
    decided_at: Mapped[dt.datetime] = mapped_column(Instant)
    policy_version: Mapped[str] = mapped_column(Text)
    model_version: Mapped[str | None] = mapped_column(Text)
    arm: Mapped[str] = mapped_column(String(16))
    candidates: Mapped[list[Any]] = mapped_column(JSONB)
    context_hash: Mapped[str] = mapped_column(String(64))


class Recommendation(Base):
    """One action shown to a rep, with its rank and the chance it had of being shown there.

    ``facts`` holds the record's facts in the sentence (``slots``), what identifies the situation
    (``anchor``) and the kinds of activity the action asks for (``asks_for``).
    """

    __tablename__ = "recommendations"
    __table_args__ = (
        CheckConstraint("propensity > 0 and propensity <= 1", name="propensity"),
        CheckConstraint("basis in ('experiment','observational','playbook')", name="basis"),
        UniqueConstraint("decision_id", "action"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    decision_id: Mapped[int] = mapped_column(ForeignKey(AdviceDecision.id), index=True)
    opportunity_id: Mapped[str] = mapped_column(ForeignKey(Opportunity.id), index=True)
    user_id: Mapped[str | None] = mapped_column(ForeignKey(User.id), index=True)
    action: Mapped[str] = mapped_column(String(40))
    rank: Mapped[int] = mapped_column(SmallInteger)
    propensity: Mapped[float] = mapped_column(Double)
    expected_lift: Mapped[float | None] = mapped_column(Double)
    expected_value_minor: Mapped[int | None] = mapped_column(Minor)
    currency: Mapped[str | None] = mapped_column(Currency)
    basis: Mapped[str] = mapped_column(String(16))
    facts: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict)
    shown_at: Mapped[dt.datetime] = mapped_column(Instant)


class RecommendationResponse(Base):
    """What a person did with a recommendation; a later response stands beside the earlier."""

    __tablename__ = "recommendation_responses"
    __table_args__ = (
        CheckConstraint("response in ('done','snoozed','dismissed')", name="response"),
        CheckConstraint("response <> 'dismissed' or reason is not null", name="dismissal_reason"),
        CheckConstraint("(snoozed_until is not null) = (response = 'snoozed')", name="snooze"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    recommendation_id: Mapped[int] = mapped_column(ForeignKey(Recommendation.id), index=True)
    user_id: Mapped[str] = mapped_column(ForeignKey(User.id))
    response: Mapped[str] = mapped_column(String(12))
    reason: Mapped[str | None] = mapped_column(Text)
    snoozed_until: Mapped[dt.datetime | None] = mapped_column(Instant)
    responded_at: Mapped[dt.datetime] = mapped_column(Instant)


class RecommendationOutcome(Base):
    """What later happened to the deal, settled beside the recommendation.

    ``kind`` is ``activity`` (the advised kind of activity was logged), ``stage_advanced``,
    ``won`` or ``lost``; ``occurred_at`` when it happened, ``settled_at`` when we looked.
    """

    __tablename__ = "recommendation_outcomes"
    __table_args__ = (
        CheckConstraint("kind in ('activity','stage_advanced','won','lost')", name="kind"),
    )

    recommendation_id: Mapped[int] = mapped_column(ForeignKey(Recommendation.id), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    occurred_at: Mapped[dt.datetime] = mapped_column(Instant)
    settled_at: Mapped[dt.datetime] = mapped_column(Instant)
    evidence: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict)
