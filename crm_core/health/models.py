"""Tables of data health: when the rules were run, how each came out, and examples."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from crm_core.database import Base, Instant


class HealthRun(Base):
    """One run of every rule over what was known at ``as_of``. Never changed."""

    __tablename__ = "health_runs"
    __table_args__ = (
        CheckConstraint("cause in ('nightly','import','by_hand','training')", name="cause"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    as_of: Mapped[dt.datetime] = mapped_column(Instant, index=True)
    ran_at: Mapped[dt.datetime] = mapped_column(Instant)
    cause: Mapped[str] = mapped_column(String(12))


class HealthResult(Base):
    """How one rule came out: ``failing`` of ``checked`` records fail it.

    ``status`` is ``ok``, ``failing``, or ``nothing`` where there was nothing to check.
    ``dimension`` is the rule's.
    """

    __tablename__ = "health_results"
    __table_args__ = (
        CheckConstraint("status in ('ok','failing','nothing')", name="status"),
        CheckConstraint("failing >= 0 and checked >= 0", name="counts"),
    )

    run_id: Mapped[int] = mapped_column(
        ForeignKey(HealthRun.id, ondelete="CASCADE"), primary_key=True
    )
    rule: Mapped[str] = mapped_column(Text, primary_key=True)
    dimension: Mapped[str | None] = mapped_column(String(16))
    checked: Mapped[int] = mapped_column(BigInteger)
    failing: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[str] = mapped_column(String(8))


class HealthExample(Base):
    """A record that failed a rule and what is wrong with it; a few of each run and rule."""

    __tablename__ = "health_examples"
    __table_args__ = (Index("ix_health_examples_result", "run_id", "rule"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey(HealthRun.id, ondelete="CASCADE"))
    rule: Mapped[str] = mapped_column(Text)
    key: Mapped[str] = mapped_column(Text)
    detail: Mapped[str] = mapped_column(Text)
