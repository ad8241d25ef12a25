"""The tables of leaderboards: the rule that everybody may read, and the result once it is over."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Date,
    ForeignKey,
    Identity,
    Integer,
    Numeric,
    String,
    Text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from crm_core.database import Base, Currency, Instant
from crm_core.people.models import OrgUnit, User


class Leaderboard(Base):
    """Who is ranked by which metric over days ``[starts_on, ends_on)``, and who sees names.

    ``ties`` says what equal values get: ``shared`` 1 1 3, ``dense`` 1 1 2. ``names``: ``own`` (own
    rank and the peers around it, nameless), ``top`` (and the names of the first ones), ``all``.
    """

    __tablename__ = "leaderboards"
    __table_args__ = (
        CheckConstraint("grouping in ('user','org_unit')", name="grouping"),
        CheckConstraint("ends_on > starts_on", name="window"),
        CheckConstraint("ties in ('shared','dense')", name="ties"),
        CheckConstraint("names in ('own','top','all')", name="names"),
        CheckConstraint("least_days >= 0", name="least_days"),
        CheckConstraint("title <> ''", name="title"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    title: Mapped[str] = mapped_column(Text)
    metric: Mapped[str] = mapped_column(Text)
    metric_version: Mapped[int] = mapped_column(Integer)
    grouping: Mapped[str] = mapped_column(String(8))
    starts_on: Mapped[dt.date] = mapped_column(Date)
    ends_on: Mapped[dt.date] = mapped_column(Date)
    roles: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list, server_default="{}")
    org_unit_id: Mapped[str | None] = mapped_column(ForeignKey(OrgUnit.id))
    least_days: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    ties: Mapped[str] = mapped_column(String(8), default="shared", server_default="shared")
    names: Mapped[str] = mapped_column(String(8), default="own", server_default="own")
    created_at: Mapped[dt.datetime] = mapped_column(Instant)
    created_by: Mapped[str | None] = mapped_column(ForeignKey(User.id))
    frozen_at: Mapped[dt.datetime | None] = mapped_column(Instant)


class LeaderboardResult(Base):
    """One line of a frozen leaderboard; never changed. Without a value there is no rank."""

    __tablename__ = "leaderboard_results"

    leaderboard_id: Mapped[int] = mapped_column(ForeignKey(Leaderboard.id), primary_key=True)
    subject_id: Mapped[str] = mapped_column(Text, primary_key=True)
    rank: Mapped[int | None] = mapped_column(Integer)
    value: Mapped[Decimal | None] = mapped_column(Numeric)
    currency: Mapped[str | None] = mapped_column(Currency)
