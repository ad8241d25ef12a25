"""Tables of forecasts: what people set and submitted, and what was frozen each day.

Nothing here is ever changed or removed: each table is appended to, and the latest row by
``recorded_at`` (or ``day``) counts. Ids of deals and people in the daily snapshots are plain
text: a snapshot is evidence and outlives what it names.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Date,
    ForeignKey,
    Identity,
    Index,
    Numeric,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from crm_core.database import Base, Currency, Instant, Minor
from crm_core.people.models import User

_ROLL_UP = "roll_up in ('cumulative','single')"
_PERIOD = "period_end > period_start"


class ForecastAdjustment(Base):
    """An amount that somebody set for their own or a direct report's column; null takes it back.

    ``base_minor`` is what stood there when it was set. Of several by one author the latest
    counts. The key names the roll-up and the days of the period, so that neither another
    roll-up nor another fiscal calendar can destroy one.
    """

    __tablename__ = "forecast_adjustments"
    __table_args__ = (
        CheckConstraint(_ROLL_UP, name="roll_up"),
        CheckConstraint("category in ('best_case','most_likely','commit')", name="category"),
        CheckConstraint(_PERIOD, name="period"),
        CheckConstraint("note <> ''", name="note"),
        Index("ix_forecast_adjustments_period", "period_start", "period_end", "subject_id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    subject_id: Mapped[str] = mapped_column(ForeignKey(User.id), index=True)
    author_id: Mapped[str] = mapped_column(ForeignKey(User.id), index=True)
    period_start: Mapped[dt.date] = mapped_column(Date)
    period_end: Mapped[dt.date] = mapped_column(Date)
    roll_up: Mapped[str] = mapped_column(String(10))
    category: Mapped[str] = mapped_column(String(16))
    amount_minor: Mapped[int | None] = mapped_column(Minor)
    base_minor: Mapped[int] = mapped_column(Minor)
    currency: Mapped[str] = mapped_column(Currency)
    note: Mapped[str] = mapped_column(Text)
    recorded_at: Mapped[dt.datetime] = mapped_column(Instant)


class ForecastSubmission(Base):
    """What a person called for a period, with every column frozen beside it."""

    __tablename__ = "forecast_submissions"
    __table_args__ = (
        CheckConstraint(_PERIOD, name="period"),
        Index("ix_forecast_submissions_period", "period_start", "period_end", "author_id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    author_id: Mapped[str] = mapped_column(ForeignKey(User.id), index=True)
    period_start: Mapped[dt.date] = mapped_column(Date)
    period_end: Mapped[dt.date] = mapped_column(Date)
    currency: Mapped[str] = mapped_column(Currency)
    note: Mapped[str | None] = mapped_column(Text)
    leads: Mapped[bool]
    due_at: Mapped[dt.datetime | None] = mapped_column(Instant)
    recorded_at: Mapped[dt.datetime] = mapped_column(Instant)


class ForecastSubmissionItem(Base):
    """One frozen column of a submission, as its author saw it."""

    __tablename__ = "forecast_submission_items"
    __table_args__ = (CheckConstraint(_ROLL_UP, name="roll_up"),)

    submission_id: Mapped[int] = mapped_column(ForeignKey(ForecastSubmission.id), primary_key=True)
    roll_up: Mapped[str] = mapped_column(String(10), primary_key=True)
    category: Mapped[str] = mapped_column(String(16), primary_key=True)
    raw_minor: Mapped[int] = mapped_column(Minor)
    without_owner_minor: Mapped[int] = mapped_column(Minor)
    amount_minor: Mapped[int] = mapped_column(Minor)
    deals: Mapped[int]


class ForecastCadence(Base):
    """When forecasts are due, each week, from a time on; by default Mondays at noon."""

    __tablename__ = "forecast_cadences"
    __table_args__ = (
        CheckConstraint("weekday between 1 and 7", name="weekday"),
        CheckConstraint("hour between 0 and 23", name="hour"),
    )

    recorded_at: Mapped[dt.datetime] = mapped_column(Instant, primary_key=True)
    weekday: Mapped[int] = mapped_column(SmallInteger)
    hour: Mapped[int] = mapped_column(SmallInteger)
    author_id: Mapped[str | None] = mapped_column(ForeignKey(User.id), index=True)


class ForecastSnapshot(Base):
    """A day's snapshot: what was known at ``taken_at``."""

    __tablename__ = "forecast_snapshots"

    day: Mapped[dt.date] = mapped_column(Date, primary_key=True)
    taken_at: Mapped[dt.datetime] = mapped_column(Instant, unique=True)
    recorded_at: Mapped[dt.datetime] = mapped_column(Instant)
    currency: Mapped[str] = mapped_column(Currency)
    open_deals: Mapped[int]


class ForecastSnapshotRate(Base):
    """The rate of a currency in a day's snapshot; ``is_direct``: company's money per unit."""

    __tablename__ = "forecast_snapshot_rates"

    day: Mapped[dt.date] = mapped_column(ForeignKey(ForecastSnapshot.day), primary_key=True)
    currency: Mapped[str] = mapped_column(Currency, primary_key=True)
    rate: Mapped[Decimal] = mapped_column(Numeric)
    is_direct: Mapped[bool]


class ForecastSnapshotDeal(Base):
    """A deal as it stood from a snapshot on, until the next row of the same deal.

    Only what changed since the snapshot before is written. ``kind`` is open, on_hold, won, lost
    or gone. ``due_on`` is the expected close of an open deal and the day of closing of a won
    one; ``value_minor`` of a won deal is its amount at that day's rate; an open deal is valued
    at the snapshot's.
    """

    __tablename__ = "forecast_snapshot_deals"
    __table_args__ = (
        CheckConstraint("kind in ('open','on_hold','won','lost','gone')", name="kind"),
        Index("ix_forecast_snapshot_deals_owner", "owner_id", "opportunity_id"),
        Index("ix_forecast_snapshot_deals_day", "day"),
    )

    opportunity_id: Mapped[str] = mapped_column(Text, primary_key=True)
    day: Mapped[dt.date] = mapped_column(ForeignKey(ForecastSnapshot.day), primary_key=True)
    kind: Mapped[str] = mapped_column(String(8))
    owner_id: Mapped[str | None] = mapped_column(Text)
    category: Mapped[str] = mapped_column(String(16))
    is_picked: Mapped[bool]
    due_on: Mapped[dt.date | None] = mapped_column(Date)
    amount: Mapped[Decimal | None] = mapped_column(Numeric)
    currency: Mapped[str] = mapped_column(Currency)
    rate: Mapped[Decimal | None] = mapped_column(Numeric)
    rate_is_direct: Mapped[bool | None]
    created_at: Mapped[dt.datetime] = mapped_column(Instant)


class ForecastSnapshotCell(Base):
    """A person's column as it stood from a snapshot on, as far as ``audience_id`` may know.

    A person's own row holds nothing that was set above them. Where the superior set an amount,
    a second row, of which the superior is the audience, holds that too.
    """

    __tablename__ = "forecast_snapshot_cells"
    __table_args__ = (
        CheckConstraint(_ROLL_UP, name="roll_up"),
        UniqueConstraint(
            "subject_id",
            "period_start",
            "period_end",
            "roll_up",
            "category",
            "audience_id",
            "day",
            name="uq_forecast_snapshot_cells_fact",
        ),
        Index("ix_forecast_snapshot_cells_day", "day"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    day: Mapped[dt.date] = mapped_column(ForeignKey(ForecastSnapshot.day))
    subject_id: Mapped[str] = mapped_column(Text)
    audience_id: Mapped[str] = mapped_column(Text)
    period_start: Mapped[dt.date] = mapped_column(Date)
    period_end: Mapped[dt.date] = mapped_column(Date)
    roll_up: Mapped[str] = mapped_column(String(10))
    category: Mapped[str] = mapped_column(String(16))
    raw_minor: Mapped[int] = mapped_column(Minor)
    without_owner_minor: Mapped[int] = mapped_column(Minor)
    owner_view_minor: Mapped[int] = mapped_column(Minor)
    all_minor: Mapped[int | None] = mapped_column(Minor)
    deals: Mapped[int]


class ForecastBaseline(Base):
    """What a baseline said on a day for a person (or everybody, empty) and a period.

    ``amount_minor`` is null where it abstained; ``reason`` then is the code of why.
    """

    __tablename__ = "forecast_baselines"
    __table_args__ = (
        CheckConstraint("(amount_minor is null) = (reason is not null)", name="abstains"),
    )

    subject_id: Mapped[str] = mapped_column(Text, primary_key=True)
    period_start: Mapped[dt.date] = mapped_column(Date, primary_key=True)
    period_end: Mapped[dt.date] = mapped_column(Date, primary_key=True)
    layer: Mapped[str] = mapped_column(String(12), primary_key=True)
    day: Mapped[dt.date] = mapped_column(
        ForeignKey(ForecastSnapshot.day), primary_key=True, index=True
    )
    amount_minor: Mapped[int | None] = mapped_column(Minor)
    currency: Mapped[str] = mapped_column(Currency)
    reason: Mapped[str | None] = mapped_column(String(32))


class ForecastScore(Base):
    """How far a layer's forecast of a week was from what came, once the period had ended.

    One row per person, period, week and layer, and again when what came is known better.
    """

    __tablename__ = "forecast_scores"

    subject_id: Mapped[str] = mapped_column(Text, primary_key=True)
    period_start: Mapped[dt.date] = mapped_column(Date, primary_key=True)
    period_end: Mapped[dt.date] = mapped_column(Date, primary_key=True)
    week: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    layer: Mapped[str] = mapped_column(String(12), primary_key=True)
    recorded_at: Mapped[dt.datetime] = mapped_column(Instant, primary_key=True)
    forecast_minor: Mapped[int] = mapped_column(Minor)
    actual_minor: Mapped[int] = mapped_column(Minor)
    naive_minor: Mapped[int | None] = mapped_column(Minor)
    currency: Mapped[str] = mapped_column(Currency)
