"""Tables of import batches and their rejected rows."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Numeric,
    String,
    Text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from crm_core.database import Base, Instant

STATES = ("queued", "running", "checked", "committed", "failed", "rolled_back")
"""``checked`` is a dry run that ended; ``rolled_back`` may have kept rows edited since."""


class ImportBatch(Base):
    """One import: which files (by SHA-256), through which mapping, with which counts.

    ``counts`` maps a table to inserted, updated, unchanged, rejected, duplicate and rows, where
    the first five sum to the last. ``options`` says what was asked for (dry_run, only, pilot,
    since), ``progress`` what is being done while it runs, ``tracked`` which columns of a table
    the fingerprints of :class:`ImportChange` cover. ``started_by`` is a user's id, null for the
    command line. ``seconds`` is how long it ran.
    """

    __tablename__ = "import_batches"
    __table_args__ = (
        CheckConstraint(
            "status in ('queued','running','checked','committed','failed','rolled_back')",
            name="status",
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    digest: Mapped[str | None] = mapped_column(String(64), index=True)
    source: Mapped[str] = mapped_column(Text)
    path: Mapped[str | None] = mapped_column(Text)
    mapping: Mapped[str | None] = mapped_column(Text)
    options: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default="{}")
    status: Mapped[str] = mapped_column(String(12))
    started_by: Mapped[str | None] = mapped_column(Text)
    started_at: Mapped[dt.datetime] = mapped_column(Instant)
    finished_at: Mapped[dt.datetime | None] = mapped_column(Instant)
    seconds: Mapped[Decimal | None] = mapped_column(Numeric)
    progress: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    error: Mapped[str | None] = mapped_column(Text)
    counts: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict)
    findings: Mapped[list[Any]] = mapped_column(JSONB, default=list)
    delta: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    reconciliation: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    tracked: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default="{}")
    undone: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    rolled_back_at: Mapped[dt.datetime | None] = mapped_column(Instant)


class ImportChange(Base):
    """A row that a batch inserted or changed, so that the batch can be undone.

    ``key`` is the row's primary key as text; of ``opportunity_events`` the first and last of a
    run of sequence numbers. ``print`` is a fingerprint of the row as the batch left it, ``before``
    the row as it was before an update. ``kept`` says why a rollback left the row alone.
    No index but the batch's: many millions of rows are written here and read in one sweep.
    """

    __tablename__ = "import_changes"
    __table_args__ = (Index("ix_import_changes_batch", "batch_id", "table_name"),)

    batch_id: Mapped[int] = mapped_column(BigInteger)
    table_name: Mapped[str] = mapped_column(String(32))
    key: Mapped[list[str]] = mapped_column(ARRAY(Text))
    action: Mapped[str] = mapped_column(String(8))
    print: Mapped[int | None] = mapped_column(BigInteger)
    before: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    kept: Mapped[str | None] = mapped_column(Text)

    __mapper_args__ = {"primary_key": [batch_id, table_name, key]}


class ImportRejection(Base):
    """A source row that was not taken: where it stands and why."""

    __tablename__ = "import_rejections"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    batch_id: Mapped[int] = mapped_column(ForeignKey(ImportBatch.id), index=True)
    table_name: Mapped[str | None] = mapped_column(String(32))
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
