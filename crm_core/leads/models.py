"""Tables of campaigns and leads."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import (
    Date,
    ForeignKey,
    Index,
    String,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from crm_core.database import Base, Currency, Instant, Minor
from crm_core.people.models import User


class Campaign(Base):
    """A marketing campaign with its cost."""

    __tablename__ = "campaigns"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    channel: Mapped[str | None] = mapped_column(Text)
    started_on: Mapped[dt.date | None] = mapped_column(Date)
    ended_on: Mapped[dt.date | None] = mapped_column(Date)
    cost_minor: Mapped[int | None] = mapped_column(Minor)
    currency: Mapped[str | None] = mapped_column(Currency)


class Lead(Base):
    """A possible customer before it is an opportunity.

    ``converted_opportunity_id`` is not a foreign key: leads are imported before opportunities.
    """

    __tablename__ = "leads"
    __table_args__ = (
        Index("ix_leads_campaign", "campaign_id", postgresql_where=text("campaign_id is not null")),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    created_at: Mapped[dt.datetime] = mapped_column(Instant, index=True)
    owner_id: Mapped[str | None] = mapped_column(ForeignKey(User.id), index=True)
    source: Mapped[str | None] = mapped_column(Text)
    campaign_id: Mapped[str | None] = mapped_column(ForeignKey(Campaign.id))
    status: Mapped[str | None] = mapped_column(String(16))
    qualified_at: Mapped[dt.datetime | None] = mapped_column(Instant)
    converted_opportunity_id: Mapped[str | None] = mapped_column(Text, index=True)
    custom: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default="{}")
