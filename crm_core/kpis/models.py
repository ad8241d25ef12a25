"""Tables of user-defined metrics, of what was published, and of the days it was added up from."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Date,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Numeric,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from crm_core.database import Base, Currency, Instant
from crm_core.people.models import User


class MetricVersion(Base):
    """What a user-defined metric meant from ``valid_from`` on. Never changed.

    ``definition`` is a :class:`crm_core.kpis.definitions.Draft` as JSON. The highest version
    that was known and had begun on a day is the one in force.
    """

    __tablename__ = "metric_versions"
    __table_args__ = (
        CheckConstraint("version >= 1", name="version"),
        CheckConstraint("metric ~ '^x_[a-z0-9_]{1,38}$'", name="metric"),
        CheckConstraint("reason <> ''", name="reason"),
    )

    metric: Mapped[str] = mapped_column(Text, primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True)
    definition: Mapped[dict[str, Any]] = mapped_column(JSONB)
    valid_from: Mapped[dt.date] = mapped_column(Date)
    is_retired: Mapped[bool] = mapped_column(default=False, server_default="false")
    reason: Mapped[str] = mapped_column(Text)
    owner_id: Mapped[str | None] = mapped_column(ForeignKey(User.id), index=True)
    user_id: Mapped[str | None] = mapped_column(Text)
    recorded_at: Mapped[dt.datetime] = mapped_column(Instant)


class Publication(Base):
    """One writing down of the company's numbers as of a time.

    ``newest_fact_at`` is when the newest fact among those asked was recorded.
    """

    __tablename__ = "kpi_publications"
    __table_args__ = (CheckConstraint("cause in ('nightly','by_hand')", name="cause"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    as_of: Mapped[dt.datetime] = mapped_column(Instant, index=True)
    published_at: Mapped[dt.datetime] = mapped_column(Instant)
    cause: Mapped[str] = mapped_column(String(8))
    newest_fact_at: Mapped[dt.datetime | None] = mapped_column(Instant)


class PublishedValue(Base):
    """A number as it was published, with the definition it was computed by. Never changed.

    ``parts`` holds the versions of the user-defined metrics it was made of; money in
    ``numerator`` and ``denominator`` is in minor units. ``slice`` is empty for the whole, else
    the dimension and its key.
    """

    __tablename__ = "kpi_values"
    __table_args__ = (
        CheckConstraint("subject_kind in ('company','org_unit','user')", name="subject_kind"),
        CheckConstraint("(value is null) = (reason_en is not null)", name="value_or_reason"),
        UniqueConstraint(
            "publication_id", "period", "metric", "subject_kind", "subject_id",
            "slice", "slice_key", name="uq_kpi_values_number", postgresql_nulls_not_distinct=True,
        ),
        Index("ix_kpi_values_series", "metric", "subject_kind", "subject_id", "period", "as_of"),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    publication_id: Mapped[int] = mapped_column(ForeignKey(Publication.id, ondelete="CASCADE"))
    as_of: Mapped[dt.datetime] = mapped_column(Instant)
    metric: Mapped[str] = mapped_column(Text)
    version: Mapped[int] = mapped_column(Integer)
    parts: Mapped[dict[str, int]] = mapped_column(JSONB, default=dict, server_default="{}")
    subject_kind: Mapped[str] = mapped_column(String(8))
    subject_id: Mapped[str] = mapped_column(Text)
    period: Mapped[str] = mapped_column(String(10))
    slice: Mapped[str] = mapped_column(Text, default="", server_default="")
    slice_key: Mapped[str | None] = mapped_column(Text)
    value: Mapped[Decimal | None] = mapped_column(Numeric)
    numerator: Mapped[Decimal | None] = mapped_column(Numeric)
    denominator: Mapped[Decimal | None] = mapped_column(Numeric)
    rows: Mapped[int] = mapped_column(BigInteger)
    excluded: Mapped[int] = mapped_column(BigInteger)
    unit: Mapped[str] = mapped_column(String(8))
    currency: Mapped[str | None] = mapped_column(Currency)
    reason_zh: Mapped[str | None] = mapped_column(Text)
    reason_en: Mapped[str | None] = mapped_column(Text)


class DailyCell(Base):
    """The sums over a metric's rows of one day and person, as of the publication's time.

    Weeks, months, quarters, years, teams and the company are added up from these.
    """

    __tablename__ = "kpi_days"
    __table_args__ = (
        UniqueConstraint(
            "publication_id", "metric", "day", "user_id", "placed_on",
            name="uq_kpi_days_cell", postgresql_nulls_not_distinct=True,
        ),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    publication_id: Mapped[int] = mapped_column(ForeignKey(Publication.id, ondelete="CASCADE"))
    metric: Mapped[str] = mapped_column(Text)
    version: Mapped[int] = mapped_column(Integer)
    day: Mapped[dt.date] = mapped_column(Date)
    placed_on: Mapped[dt.date] = mapped_column(Date)
    user_id: Mapped[str | None] = mapped_column(Text)
    rows: Mapped[int] = mapped_column(BigInteger)
    valued: Mapped[int] = mapped_column(BigInteger)
    value: Mapped[Decimal | None] = mapped_column(Numeric)
    weight: Mapped[Decimal | None] = mapped_column(Numeric)
    unpriced: Mapped[int] = mapped_column(BigInteger)
    unpriced_currency: Mapped[str | None] = mapped_column(Text)
