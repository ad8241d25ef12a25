"""The tables of goals: who is to reach what by when, every version of it, and who decided."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Date,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    Numeric,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from crm_core.database import Base, Currency, Instant, Minor
from crm_core.people.models import User
from crm_core.periods import Period

_STATES = "('draft','discussion','approved','locked','withdrawn')"


class Goal(Base):
    """What one subject is to reach in one metric over days ``[period_start, period_end)``.

    The days and the period's name are kept as they were when the goal was made: a later change
    of the company's calendar moves no goal and removes none.
    """

    __tablename__ = "goals"
    __table_args__ = (
        CheckConstraint("subject_kind in ('user','org_unit')", name="subject_kind"),
        CheckConstraint(
            "metric in ('bookings','invoiced','cash_received','gross_margin','new_customers')",
            name="metric",
        ),
        CheckConstraint("period_kind in ('month','quarter','year')", name="period_kind"),
        CheckConstraint("period_end > period_start", name="period"),
        UniqueConstraint("subject_kind", "subject_id", "metric", "period_start", "period_end"),
        Index("ix_goals_period", "metric", "period_start", "period_end"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    subject_kind: Mapped[str] = mapped_column(String(8))
    subject_id: Mapped[str] = mapped_column(Text)
    metric: Mapped[str] = mapped_column(String(16))
    period_kind: Mapped[str] = mapped_column(String(8))
    period_name: Mapped[str] = mapped_column(String(10))
    period_start: Mapped[dt.date] = mapped_column(Date)
    period_end: Mapped[dt.date] = mapped_column(Date)
    created_at: Mapped[dt.datetime] = mapped_column(Instant)
    created_by: Mapped[str | None] = mapped_column(ForeignKey(User.id))

    @property
    def period(self) -> Period:
        """The days it is for, under the name they had when it was made."""
        return Period(self.period_start, self.period_end, self.period_name)


class GoalVersion(Base):
    """One amount of a goal, why, and from which day it counts. Only its ``state`` changes.

    ``planned_days`` as in quotas. ``method`` says how the amount came about; ``base_minor`` is
    what a decomposition gave before somebody adjusted it by hand.
    """

    __tablename__ = "goal_versions"
    __table_args__ = (
        CheckConstraint(f"state in {_STATES}", name="state"),
        CheckConstraint("amount_minor >= 0", name="amount"),
        CheckConstraint("planned_days > 0", name="planned_days"),
        CheckConstraint("version = 1 or reason <> ''", name="reason"),
        CheckConstraint(
            "method in ('manual','top_down','waterfall','bottom_up','reconciled')", name="method"
        ),
        Index(
            "uq_goal_versions_open", "goal_id", unique=True,
            postgresql_where=text("state in ('draft','discussion')"),
        ),
    )  # fmt: skip

    goal_id: Mapped[int] = mapped_column(ForeignKey(Goal.id), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    state: Mapped[str] = mapped_column(String(12))
    amount_minor: Mapped[int] = mapped_column(Minor)
    currency: Mapped[str] = mapped_column(Currency)
    effective_on: Mapped[dt.date] = mapped_column(Date)
    planned_days: Mapped[Decimal | None] = mapped_column(Numeric(9, 2))
    method: Mapped[str] = mapped_column(String(12), default="manual", server_default="manual")
    base_minor: Mapped[int | None] = mapped_column(Minor)
    reason: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[dt.datetime] = mapped_column(Instant)
    created_by: Mapped[str | None] = mapped_column(ForeignKey(User.id))


class GoalStep(Base):
    """Who did what to a version, when and why, and its state after that. Append-only.

    ``flags`` are what was said against the amount when it was locked, with ``note`` the reason
    why it was locked all the same.
    """

    __tablename__ = "goal_steps"
    __table_args__ = (
        CheckConstraint(f"state in {_STATES}", name="state"),
        CheckConstraint(
            "act in ('propose','submit','comment','send_back','approve','lock','withdraw')",
            name="act",
        ),
        ForeignKeyConstraint(
            ["goal_id", "version"], ["goal_versions.goal_id", "goal_versions.version"]
        ),
        Index("ix_goal_steps_goal", "goal_id", "version"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    goal_id: Mapped[int] = mapped_column(BigInteger)
    version: Mapped[int] = mapped_column(Integer)
    act: Mapped[str] = mapped_column(String(12))
    state: Mapped[str] = mapped_column(String(12))
    user_id: Mapped[str | None] = mapped_column(ForeignKey(User.id))
    occurred_at: Mapped[dt.datetime] = mapped_column(Instant)
    note: Mapped[str | None] = mapped_column(Text)
    flags: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, default=list, server_default="[]")


class GoalCommit(Base):
    """What whoever carries a goal says they will reach: the bottom-up number. Append-only."""

    __tablename__ = "goal_commits"
    __table_args__ = (CheckConstraint("amount_minor >= 0", name="amount"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    goal_id: Mapped[int] = mapped_column(ForeignKey(Goal.id), index=True)
    amount_minor: Mapped[int] = mapped_column(Minor)
    currency: Mapped[str] = mapped_column(Currency)
    note: Mapped[str | None] = mapped_column(Text)
    user_id: Mapped[str | None] = mapped_column(ForeignKey(User.id))
    occurred_at: Mapped[dt.datetime] = mapped_column(Instant)


class GoalDecomposition(Base):
    """How a version of a goal was passed down: factor, mix of weights, one line per child.

    ``lines`` hold each child's weights and amount, ``residual_minor`` what the children's sum
    exceeds (or lacks) of amount × factor. Seen by whoever sees the parent, never from below.
    """

    __tablename__ = "goal_decompositions"
    __table_args__ = (
        CheckConstraint("factor > 0", name="factor"),
        CheckConstraint("method in ('top_down','waterfall','reconciled')", name="method"),
        ForeignKeyConstraint(
            ["goal_id", "version"], ["goal_versions.goal_id", "goal_versions.version"]
        ),
        Index("ix_goal_decompositions_goal", "goal_id", "version"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    goal_id: Mapped[int] = mapped_column(BigInteger)
    version: Mapped[int] = mapped_column(Integer)
    method: Mapped[str] = mapped_column(String(12))
    factor: Mapped[Decimal] = mapped_column(Numeric(9, 6))
    mix: Mapped[dict[str, Any]] = mapped_column(JSONB)
    lines: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    passed_minor: Mapped[int] = mapped_column(Minor)
    residual_minor: Mapped[int] = mapped_column(Minor)
    currency: Mapped[str] = mapped_column(Currency)
    created_at: Mapped[dt.datetime] = mapped_column(Instant)
    created_by: Mapped[str | None] = mapped_column(ForeignKey(User.id))
