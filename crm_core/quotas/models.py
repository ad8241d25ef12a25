"""The table of quotas."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import CheckConstraint, Date, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from crm_core.database import Base, Currency, Instant, Minor


class Quota(Base):
    """A target of one subject for one metric over days ``[period_start, period_end)``.

    ``recorded_at`` is when we learned of this version; as of t the latest one ≤ t counts.
    """

    __tablename__ = "quotas"
    __table_args__ = (
        CheckConstraint("subject_kind in ('user','org_unit')", name="subject_kind"),
        CheckConstraint(
            "metric in ('bookings','invoiced','cash_received','gross_margin','new_customers')",
            name="metric",
        ),
        CheckConstraint("period_end > period_start", name="period"),
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
