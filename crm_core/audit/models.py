"""The table of the audit log."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Identity,
    Index,
    LargeBinary,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from crm_core.database import Base, Instant

CHANNELS = ("page", "api", "cli", "import", "job")


class AuditEntry(Base):
    """Who did what to which record: never changed, never removed.

    ``changes`` is field → [old, new]. ``actor`` is a user's id, null for the program itself.
    The database fills the last four columns when the row is written: the place in one of
    several chains and the SHA-256 over the hash before it and this row's content, so that an
    altered, removed or inserted row is found by ``queries.first_broken``.
    """

    __tablename__ = "audit_log"
    __table_args__ = (
        CheckConstraint("channel in ('page','api','cli','import','job')", name="channel"),
        UniqueConstraint("chain", "place"),
        Index("ix_audit_log_record", "table_name", "record_id", "id"),
        Index("ix_audit_log_actor", "actor", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    occurred_at: Mapped[dt.datetime] = mapped_column(Instant, index=True)
    actor: Mapped[str | None] = mapped_column(Text)
    action: Mapped[str] = mapped_column(String(32))
    table_name: Mapped[str] = mapped_column(String(48))
    record_id: Mapped[str | None] = mapped_column(Text)
    changes: Mapped[dict[str, Any]] = mapped_column(JSONB)
    channel: Mapped[str] = mapped_column(String(8))
    address: Mapped[str | None] = mapped_column(Text)
    request_id: Mapped[str | None] = mapped_column(Text)
    chain: Mapped[int] = mapped_column(SmallInteger)
    place: Mapped[int] = mapped_column(BigInteger)
    previous: Mapped[bytes] = mapped_column(LargeBinary)
    hash: Mapped[bytes] = mapped_column(LargeBinary)
