"""Tables of accounts, contacts, product usage and tickets."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Date,
    ForeignKey,
    Index,
    Numeric,
    String,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from crm_core.database import Base, Currency, Instant, Minor
from crm_core.people.models import User


class Account(Base):
    """A customer or prospect. ``custom`` holds its ``x_…`` fields."""

    __tablename__ = "accounts"
    __table_args__ = (
        Index(
            "ix_accounts_similar",
            func.lower(text("name")).label("similar"),
            postgresql_using="gin",
            postgresql_ops={"similar": "gin_trgm_ops"},
        ),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    name: Mapped[str] = mapped_column(Text, index=True)
    created_at: Mapped[dt.datetime | None] = mapped_column(Instant)
    owner_id: Mapped[str | None] = mapped_column(ForeignKey(User.id), index=True)
    parent_id: Mapped[str | None] = mapped_column(
        ForeignKey("accounts.id", deferrable=True, initially="DEFERRED"), index=True
    )
    industry: Mapped[str | None] = mapped_column(Text)
    region: Mapped[str | None] = mapped_column(Text)
    country: Mapped[str | None] = mapped_column(Text)
    tier: Mapped[str | None] = mapped_column(Text)
    employees: Mapped[int | None] = mapped_column(BigInteger)
    annual_revenue_minor: Mapped[int | None] = mapped_column(Minor)
    currency: Mapped[str | None] = mapped_column(Currency)
    custom: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default="{}")


class Contact(Base):
    """A person at an account."""

    __tablename__ = "contacts"
    __table_args__ = (
        Index(
            "ix_contacts_similar",
            func.lower(text("name")).label("similar"),
            postgresql_using="gin",
            postgresql_ops={"similar": "gin_trgm_ops"},
        ),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey(Account.id), index=True)
    name: Mapped[str] = mapped_column(Text)
    title: Mapped[str | None] = mapped_column(Text)
    seniority: Mapped[str | None] = mapped_column(String(16))
    email: Mapped[str | None] = mapped_column(Text)
    phone: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[dt.datetime | None] = mapped_column(Instant)
    custom: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default="{}")


class Usage(Base):
    """How much of a product an account used on a day, by measure."""

    __tablename__ = "usage"

    account_id: Mapped[str] = mapped_column(ForeignKey(Account.id), primary_key=True)
    day: Mapped[dt.date] = mapped_column(Date, primary_key=True)
    measure: Mapped[str] = mapped_column(Text, primary_key=True)
    value: Mapped[Decimal] = mapped_column(Numeric)


class Ticket(Base):
    """A service request of an account."""

    __tablename__ = "tickets"
    __table_args__ = (CheckConstraint("closed_at is null or closed_at >= opened_at", name="order"),)

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey(Account.id), index=True)
    opened_at: Mapped[dt.datetime] = mapped_column(Instant)
    closed_at: Mapped[dt.datetime | None] = mapped_column(Instant)
    severity: Mapped[str | None] = mapped_column(Text)
    satisfaction: Mapped[Decimal | None] = mapped_column(Numeric)
