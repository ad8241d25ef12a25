"""Tables of pipelines' stages, opportunities and their append-only events."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Date,
    ForeignKey,
    Identity,
    Index,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from crm_core.accounts.models import Account, Contact
from crm_core.database import Base, Currency, Instant, Minor
from crm_core.leads.models import Campaign
from crm_core.people.models import User
from crm_core.products.models import Product

EVENT_FIELDS = (
    "stage",
    "amount",
    "expected_close_on",
    "owner_id",
    "forecast_category",
    "product_id",
    "custom",
)
"""What an event may change. ``custom`` carries a JSON object of ``x_…`` fields at once."""

STAGE_KINDS = ("open", "on_hold", "won", "lost")


class Stage(Base):
    """A stage of a pipeline; ``kind`` says whether a deal in it is open, on hold, won or lost."""

    __tablename__ = "stages"
    __table_args__ = (CheckConstraint("kind in ('open','on_hold','won','lost')", name="kind"),)

    pipeline: Mapped[str] = mapped_column(Text, primary_key=True)
    stage: Mapped[str] = mapped_column(Text, primary_key=True)
    position: Mapped[int] = mapped_column(SmallInteger)
    kind: Mapped[str] = mapped_column(String(8))
    forecast_category: Mapped[str | None] = mapped_column(String(16))


class Opportunity(Base):
    """A deal as it stands now, derived from its events; the events are the truth.

    ``recorded_at`` is when the company's system learned that the deal exists. ``history`` is
    ``full`` when the source gave events and ``none`` when only the current row was known.
    ``outcome`` is ``won``, ``lost`` or null while open or on hold. Never read the current
    columns for training: they know the future.
    """

    __tablename__ = "opportunities"
    __table_args__ = (
        CheckConstraint("history in ('full','none')", name="history"),
        CheckConstraint("outcome in ('won','lost')", name="outcome"),
        CheckConstraint("(outcome is null) = (closed_at is null)", name="closed_has_a_time"),
        Index("ix_opportunities_owner_outcome", "owner_id", "outcome"),
        Index(
            "ix_opportunities_campaign",
            "campaign_id",
            postgresql_where=text("campaign_id is not null"),
        ),
        Index(
            "ix_opportunities_product",
            "product_id",
            postgresql_where=text("product_id is not null"),
        ),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    account_id: Mapped[str | None] = mapped_column(ForeignKey(Account.id), index=True)
    owner_id: Mapped[str | None] = mapped_column(ForeignKey(User.id))
    name: Mapped[str | None] = mapped_column(Text)
    pipeline: Mapped[str] = mapped_column(Text, default="default", server_default="default")
    created_at: Mapped[dt.datetime] = mapped_column(Instant, index=True)
    recorded_at: Mapped[dt.datetime] = mapped_column(Instant)
    source: Mapped[str | None] = mapped_column(Text)
    campaign_id: Mapped[str | None] = mapped_column(ForeignKey(Campaign.id))
    product_id: Mapped[str | None] = mapped_column(ForeignKey(Product.id))
    amount_minor: Mapped[int | None] = mapped_column(Minor)
    currency: Mapped[str] = mapped_column(Currency)
    stage: Mapped[str] = mapped_column(Text)
    forecast_category: Mapped[str | None] = mapped_column(String(16))
    expected_close_on: Mapped[dt.date | None] = mapped_column(Date)
    closed_at: Mapped[dt.datetime | None] = mapped_column(Instant, index=True)
    outcome: Mapped[str | None] = mapped_column(String(4))
    lost_reason: Mapped[str | None] = mapped_column(Text)
    history: Mapped[str] = mapped_column(String(4), default="full", server_default="full")
    custom: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default="{}")


class OpportunityEvent(Base):
    """One change of one field: when it happened and when we learned of it. Never updated.

    ``new_value`` is canonical text: an amount is a decimal in the deal's major units, a date is
    ISO 8601, ``custom`` is a JSON object, null is "emptied". ``sequence`` orders events of the
    same instant as the source listed them.
    """

    __tablename__ = "opportunity_events"
    __table_args__ = (
        UniqueConstraint(
            "opportunity_id",
            "field",
            "occurred_at",
            "recorded_at",
            "new_value",
            name="uq_opportunity_events_fact",
            postgresql_nulls_not_distinct=True,
        ),
        CheckConstraint(
            "field in ('stage','amount','expected_close_on','owner_id','forecast_category',"
            "'product_id','custom')",
            name="field",
        ),
        Index(
            "ix_opportunity_events_user", "user_id", postgresql_where=text("user_id is not null")
        ),
        Index(
            "ix_opportunity_events_announced",
            "occurred_at",
            postgresql_where=text("occurred_at > recorded_at"),
        ),
    )

    sequence: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    opportunity_id: Mapped[str] = mapped_column(ForeignKey(Opportunity.id))
    occurred_at: Mapped[dt.datetime] = mapped_column(Instant)
    recorded_at: Mapped[dt.datetime] = mapped_column(Instant, index=True)
    field: Mapped[str] = mapped_column(String(24))
    old_value: Mapped[str | None] = mapped_column(Text)
    new_value: Mapped[str | None] = mapped_column(Text)
    user_id: Mapped[str | None] = mapped_column(ForeignKey(User.id))


class OpportunityContact(Base):
    """A contact who takes part in a deal, in a role, from a time."""

    __tablename__ = "opportunity_contacts"
    __table_args__ = (
        Index(
            "ix_opportunity_contacts_contact",
            "contact_id",
            postgresql_where=text("contact_id is not null"),
        ),
    )

    opportunity_id: Mapped[str] = mapped_column(ForeignKey(Opportunity.id), primary_key=True)
    contact_id: Mapped[str] = mapped_column(ForeignKey(Contact.id), primary_key=True)
    role: Mapped[str | None] = mapped_column(String(16))
    added_at: Mapped[dt.datetime] = mapped_column(Instant)
