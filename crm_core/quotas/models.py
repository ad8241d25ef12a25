"""The tables of quotas, of what they are prorated by, and of the policies behind that."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Date,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Numeric,
    String,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from crm_core.database import Base, Currency, Instant, Minor
from crm_core.people.models import User


class Quota(Base):
    """A target of one subject for one metric over days ``[period_start, period_end)``.

    ``recorded_at`` is when we learned of this version; as of t the latest one ≤ t counts. With
    ``effective_on`` inside the period it counts from that day, and what was known before counts
    up to it. ``planned_days`` is what the amount is for, in days at full strength (leave and ramp
    taken off); empty: every day of the period.
    """

    __tablename__ = "quotas"
    __table_args__ = (
        CheckConstraint("subject_kind in ('user','org_unit')", name="subject_kind"),
        CheckConstraint(
            "metric in ('bookings','invoiced','cash_received','gross_margin','new_customers')",
            name="metric",
        ),
        CheckConstraint("period_end > period_start", name="period"),
        CheckConstraint("planned_days > 0", name="planned_days"),
    )

    subject_kind: Mapped[str] = mapped_column(String(8), primary_key=True)
    subject_id: Mapped[str] = mapped_column(Text, primary_key=True)
    metric: Mapped[str] = mapped_column(String(16), primary_key=True)
    period_start: Mapped[dt.date] = mapped_column(Date, primary_key=True)
    period_end: Mapped[dt.date] = mapped_column(Date, primary_key=True)
    recorded_at: Mapped[dt.datetime] = mapped_column(Instant, primary_key=True)
    amount_minor: Mapped[int] = mapped_column(Minor)
    currency: Mapped[str] = mapped_column(Currency)
    approved_at: Mapped[dt.datetime | None] = mapped_column(Instant)
    effective_on: Mapped[dt.date | None] = mapped_column(Date)
    planned_days: Mapped[Decimal | None] = mapped_column(Numeric(9, 2))


class Leave(Base):
    """Days ``[starts_on, ends_on)`` on which a person carries no quota. Why is nobody's business.

    Taken back by ``cancelled_at``, never removed.
    """

    __tablename__ = "leaves"
    __table_args__ = (CheckConstraint("ends_on > starts_on", name="order"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey(User.id), index=True)
    starts_on: Mapped[dt.date] = mapped_column(Date)
    ends_on: Mapped[dt.date] = mapped_column(Date)
    recorded_at: Mapped[dt.datetime] = mapped_column(Instant)
    recorded_by: Mapped[str | None] = mapped_column(ForeignKey(User.id))
    cancelled_at: Mapped[dt.datetime | None] = mapped_column(Instant)
    cancelled_by: Mapped[str | None] = mapped_column(ForeignKey(User.id))


class QuotaPolicy(Base):
    """How newcomers ramp (``ramp``), how a year's sales fall into months (``season``).

    ``content`` of a ramp: ``{"percents": [25, 50, 75], "hired_from": "2026-01-01" | null}``; of a
    season: ``{"weights": [twelve numbers from January on]}``. Never changed: the newest version
    known counts.
    """

    __tablename__ = "quota_policies"
    __table_args__ = (
        CheckConstraint("kind in ('ramp','season')", name="kind"),
        CheckConstraint("reason <> ''", name="reason"),
        Index("ix_quota_policies_known", "kind", text("created_at desc")),
    )

    kind: Mapped[str] = mapped_column(String(8), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    content: Mapped[dict[str, Any]] = mapped_column(JSONB)
    reason: Mapped[str] = mapped_column(Text)
    created_at: Mapped[dt.datetime] = mapped_column(Instant)
    created_by: Mapped[str | None] = mapped_column(ForeignKey(User.id))
