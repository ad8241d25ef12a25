"""Tables of the company, its org units, users, placements and login sessions."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import CheckConstraint, Date, ForeignKey, SmallInteger, String, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from crm_core.database import Base, Currency, Instant

ROLES = ("rep", "manager", "leader", "sales_ops", "finance", "data_scientist", "admin")


class Company(Base):
    """The one company of this store (at most one row)."""

    __tablename__ = "company"
    __table_args__ = (
        CheckConstraint("id = 1", name="one_row"),
        CheckConstraint("fiscal_year_start_month between 1 and 12", name="month"),
    )

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, default=1)
    name: Mapped[str] = mapped_column(Text)
    currency: Mapped[str] = mapped_column(Currency)
    time_zone: Mapped[str] = mapped_column(Text)
    locale: Mapped[str] = mapped_column(Text, default="en", server_default="en")
    fiscal_year_start_month: Mapped[int] = mapped_column(
        SmallInteger, default=1, server_default="1"
    )
    is_simulated: Mapped[bool] = mapped_column(default=False, server_default="false")


class OrgUnit(Base):
    """A company, region or team; the tree is by ``parent_id``, half-open validity in days."""

    __tablename__ = "org_units"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    kind: Mapped[str | None] = mapped_column(String(16))
    parent_id: Mapped[str | None] = mapped_column(
        ForeignKey("org_units.id", deferrable=True, initially="DEFERRED"), index=True
    )
    valid_from: Mapped[dt.date | None] = mapped_column(Date)
    valid_to: Mapped[dt.date | None] = mapped_column(Date)


class User(Base):
    """A person who sells, leads or administers; may log in when a password is set."""

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint(
            "role in ('rep','manager','leader','sales_ops','finance','data_scientist','admin')",
            name="role",
        ),
        CheckConstraint("email <> ''", name="email"),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    email: Mapped[str] = mapped_column(Text, unique=True)
    role: Mapped[str] = mapped_column(String(16))
    org_unit_id: Mapped[str | None] = mapped_column(ForeignKey(OrgUnit.id), index=True)
    manager_id: Mapped[str | None] = mapped_column(
        ForeignKey("users.id", deferrable=True, initially="DEFERRED"), index=True
    )
    hired_on: Mapped[dt.date | None] = mapped_column(Date)
    left_on: Mapped[dt.date | None] = mapped_column(Date)
    time_zone: Mapped[str | None] = mapped_column(Text)
    locale: Mapped[str | None] = mapped_column(Text)
    password_hash: Mapped[str | None] = mapped_column(Text)
    custom: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default="{}")


class Assignment(Base):
    """A user's place in an org unit from ``valid_from`` up to but without ``valid_to``."""

    __tablename__ = "assignments"
    __table_args__ = (CheckConstraint("valid_to is null or valid_to >= valid_from", name="order"),)

    user_id: Mapped[str] = mapped_column(ForeignKey(User.id), primary_key=True)
    org_unit_id: Mapped[str] = mapped_column(ForeignKey(OrgUnit.id), primary_key=True, index=True)
    valid_from: Mapped[dt.date] = mapped_column(Date, primary_key=True)
    valid_to: Mapped[dt.date | None] = mapped_column(Date)


class ReportingLine(Base):
    """Whom a user reported to until ``valid_to`` (exclusive); ``users.manager_id`` is the present.

    Written by the database when ``users.manager_id`` changes, whoever changes it; ``valid_from``
    is empty for the first. A null ``manager_id``: to nobody.
    """

    __tablename__ = "reporting_lines"
    __table_args__ = (CheckConstraint("valid_from is null or valid_to > valid_from", name="order"),)

    user_id: Mapped[str] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"), primary_key=True)
    valid_to: Mapped[dt.date] = mapped_column(Date, primary_key=True)
    manager_id: Mapped[str | None] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"))
    valid_from: Mapped[dt.date | None] = mapped_column(Date)


class LoginSession(Base):
    """A login; the cookie holds a secret of which only the SHA-256 is stored here."""

    __tablename__ = "login_sessions"

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey(User.id), index=True)
    csrf_token: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[dt.datetime] = mapped_column(Instant)
    expires_at: Mapped[dt.datetime] = mapped_column(Instant)


class LoginAttempt(Base):
    """A failed login, for the rate limit per address and account."""

    __tablename__ = "login_attempts"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(Text, index=True)
    address: Mapped[str] = mapped_column(Text)
    occurred_at: Mapped[dt.datetime] = mapped_column(Instant, index=True)
