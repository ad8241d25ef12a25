"""Tables of orders, invoices, payments, credits, subscriptions and exchange rates."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Date,
    ForeignKey,
    Index,
    Numeric,
    String,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from crm_core.accounts.models import Account
from crm_core.database import Base, Currency, Instant, Minor
from crm_core.opportunities.models import Opportunity
from crm_core.people.models import User
from crm_core.products.models import Product

ALWAYS = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
"""When something was recorded that has been known as long as anybody can tell."""


class Order(Base):
    """An order line as the company's system knew it from ``recorded_at`` on.

    A row with the same ``id`` and a later ``recorded_at`` corrects the earlier one, so invoices
    and credits name an order by its id without a foreign key.
    """

    __tablename__ = "orders"
    __table_args__ = (
        CheckConstraint("status in ('signed','cancelled')", name="status"),
        Index("ix_orders_owner_day", "owner_id", "ordered_on"),
        Index("ix_orders_account_day", "account_id", "ordered_on"),
        Index("ix_orders_product", "product_id", postgresql_where=text("product_id is not null")),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    recorded_at: Mapped[dt.datetime] = mapped_column(Instant, primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey(Account.id))
    ordered_on: Mapped[dt.date] = mapped_column(Date, index=True)
    owner_id: Mapped[str | None] = mapped_column(ForeignKey(User.id))
    opportunity_id: Mapped[str | None] = mapped_column(ForeignKey(Opportunity.id), index=True)
    product_id: Mapped[str | None] = mapped_column(ForeignKey(Product.id))
    quantity: Mapped[Decimal | None] = mapped_column(Numeric)
    amount_minor: Mapped[int] = mapped_column(Minor)
    cost_minor: Mapped[int | None] = mapped_column(Minor)
    currency: Mapped[str] = mapped_column(Currency)
    status: Mapped[str] = mapped_column(String(12), default="signed", server_default="signed")
    custom: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default="{}")


class Invoice(Base):
    """An invoice; credit notes are negative."""

    __tablename__ = "invoices"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    order_id: Mapped[str | None] = mapped_column(Text, index=True)
    account_id: Mapped[str] = mapped_column(ForeignKey(Account.id), index=True)
    invoiced_on: Mapped[dt.date] = mapped_column(Date, index=True)
    amount_minor: Mapped[int] = mapped_column(Minor)
    currency: Mapped[str] = mapped_column(Currency)


class Payment(Base):
    """Money received; refunds are negative."""

    __tablename__ = "payments"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    order_id: Mapped[str | None] = mapped_column(Text, index=True)
    invoice_id: Mapped[str | None] = mapped_column(ForeignKey(Invoice.id), index=True)
    account_id: Mapped[str] = mapped_column(ForeignKey(Account.id), index=True)
    received_on: Mapped[dt.date] = mapped_column(Date, index=True)
    amount_minor: Mapped[int] = mapped_column(Minor)
    currency: Mapped[str] = mapped_column(Currency)


class Subscription(Base):
    """A recurring contract with its monthly amount."""

    __tablename__ = "subscriptions"
    __table_args__ = (
        Index(
            "ix_subscriptions_product",
            "product_id",
            postgresql_where=text("product_id is not null"),
        ),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey(Account.id), index=True)
    product_id: Mapped[str | None] = mapped_column(ForeignKey(Product.id))
    started_on: Mapped[dt.date] = mapped_column(Date)
    ended_on: Mapped[dt.date | None] = mapped_column(Date)
    renews_on: Mapped[dt.date | None] = mapped_column(Date)
    monthly_amount_minor: Mapped[int] = mapped_column(Minor)
    currency: Mapped[str] = mapped_column(Currency)


class Credit(Base):
    """Who gets which share (0–1) of an order. Without a row the owner gets all of it."""

    __tablename__ = "credits"
    __table_args__ = (
        CheckConstraint("share >= 0 and share <= 1", name="share"),
        CheckConstraint("kind in ('revenue','overlay')", name="kind"),
        Index("ix_credits_user", "user_id", postgresql_where=text("user_id is not null")),
    )

    order_id: Mapped[str] = mapped_column(Text, primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey(User.id), primary_key=True)
    kind: Mapped[str] = mapped_column(
        String(8), primary_key=True, default="revenue", server_default="revenue"
    )
    share: Mapped[Decimal] = mapped_column(Numeric)


class FxRate(Base):
    """Units of ``quote`` per unit of ``base`` from a day until the next row.

    A row of the same day with a later ``recorded_at`` corrects the earlier one. The default says
    that the rate was always known.
    """

    __tablename__ = "fx_rates"
    __table_args__ = (CheckConstraint("rate > 0", name="rate"),)

    base: Mapped[str] = mapped_column(Currency, primary_key=True)
    quote: Mapped[str] = mapped_column(Currency, primary_key=True)
    valid_from: Mapped[dt.date] = mapped_column(Date, primary_key=True)
    recorded_at: Mapped[dt.datetime] = mapped_column(
        Instant, primary_key=True, default=ALWAYS, server_default=str(ALWAYS)
    )
    rate: Mapped[Decimal] = mapped_column(Numeric)
