"""The table of activities."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    Numeric,
    String,
    Text,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from crm_core.accounts.models import Account, Contact
from crm_core.database import Base, Instant
from crm_core.opportunities.models import Opportunity
from crm_core.people.models import User

KINDS = ("call", "email", "meeting", "visit", "demo", "proposal", "note", "other")


class Activity(Base):
    """Something done with or for a customer.

    A row with the same ``id`` and a later ``recorded_at`` corrects the earlier one: as of t,
    the row with the latest ``recorded_at`` ≤ t counts.
    """

    __tablename__ = "activities"
    __table_args__ = (
        CheckConstraint(
            "kind in ('call','email','meeting','visit','demo','proposal','note','other')",
            name="kind",
        ),
        CheckConstraint("direction in ('in','out')", name="direction"),
        Index("ix_activities_opportunity", "opportunity_id", "occurred_at"),
        Index("ix_activities_account", "account_id", "occurred_at"),
        Index(
            "ix_activities_contact", "contact_id", postgresql_where=text("contact_id is not null")
        ),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    recorded_at: Mapped[dt.datetime] = mapped_column(Instant, primary_key=True)
    occurred_at: Mapped[dt.datetime] = mapped_column(Instant, index=True)
    kind: Mapped[str] = mapped_column(String(12))
    user_id: Mapped[str | None] = mapped_column(ForeignKey(User.id), index=True)
    account_id: Mapped[str | None] = mapped_column(ForeignKey(Account.id))
    opportunity_id: Mapped[str | None] = mapped_column(ForeignKey(Opportunity.id))
    contact_id: Mapped[str | None] = mapped_column(ForeignKey(Contact.id))
    direction: Mapped[str | None] = mapped_column(String(3))
    duration_minutes: Mapped[Decimal | None] = mapped_column(Numeric)
    outcome: Mapped[str | None] = mapped_column(Text)
