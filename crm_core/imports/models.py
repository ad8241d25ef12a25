"""Tables of import batches and their rejected rows."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Integer, String, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from crm_core.database import Base, Instant


class ImportBatch(Base):
    """One import: which files (by SHA-256), through which mapping, with which counts.

    ``counts`` maps a table to inserted, updated, unchanged, rejected, duplicate and rows, where
    the first five sum to the last.
    """

    __tablename__ = "import_batches"
    __table_args__ = (CheckConstraint("status in ('committed','failed')", name="status"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), index=True)
    source: Mapped[str] = mapped_column(Text)
    mapping: Mapped[str | None] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(12))
    started_at: Mapped[dt.datetime] = mapped_column(Instant)
    finished_at: Mapped[dt.datetime | None] = mapped_column(Instant)
    counts: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict)
    findings: Mapped[list[Any]] = mapped_column(JSONB, default=list)


class ImportRejection(Base):
    """A source row that was not taken: where it stands and why."""

    __tablename__ = "import_rejections"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    batch_id: Mapped[int] = mapped_column(ForeignKey(ImportBatch.id), index=True)
    file: Mapped[str] = mapped_column(Text)
    line: Mapped[int] = mapped_column(Integer)
    column: Mapped[str | None] = mapped_column(Text)
    value: Mapped[str | None] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)


class CustomField(Base):
    """What a custom field (``x_…``) of a table holds: number, date, boolean, category or text.

    Fixed when the field is first imported, so that later files are read the same way.
    """

    __tablename__ = "custom_fields"
    __table_args__ = (
        CheckConstraint("kind in ('number','date','boolean','category','text')", name="kind"),
    )

    table_name: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    kind: Mapped[str] = mapped_column(String(8))
