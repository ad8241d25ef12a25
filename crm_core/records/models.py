"""Tables of what records were, of repeated requests, of merged records and of custom fields."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    Integer,
    SmallInteger,
    String,
    Text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from crm_core.database import Base, Instant
from crm_core.people.models import User


class RecordEvent(Base):
    """Values that one record took on: when that happened and when we learned of it.

    Written by the database itself whenever a row of a tracked table changes, so that no writer
    (import, API, job) can forget it. Never updated. ``changes`` maps a stored column to its new
    value; the first event of a record holds all of them, and is written only before the first
    change: until then the row itself is what the record always was. An event without changes
    says when we learnt of a row that does not say so itself. ``key`` is the record's key as
    :mod:`crm_core.records.keys` writes it, ``batch_id`` the import that wrote.
    """

    __tablename__ = "record_events"
    __table_args__ = (Index("ix_record_events_record", "table_name", "key", "occurred_at"),)

    sequence: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    table_name: Mapped[str] = mapped_column(String(32))
    key: Mapped[str] = mapped_column(Text)
    occurred_at: Mapped[dt.datetime] = mapped_column(Instant)
    recorded_at: Mapped[dt.datetime] = mapped_column(Instant)
    changes: Mapped[dict[str, Any]] = mapped_column(JSONB)
    user_id: Mapped[str | None] = mapped_column(Text)
    batch_id: Mapped[int | None] = mapped_column(BigInteger)


class IdempotencyKey(Base):
    """The first answer to a request that its sender may repeat, kept until ``expires_at``.

    ``digest`` is the SHA-256 of method, address and body. A null ``status`` is never seen by
    another transaction: the row is written first and completed before the commit.
    """

    __tablename__ = "idempotency_keys"

    user_id: Mapped[str] = mapped_column(ForeignKey(User.id), primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    digest: Mapped[str] = mapped_column(String(64))
    status: Mapped[int | None] = mapped_column(SmallInteger)
    body: Mapped[str | None] = mapped_column(Text)
    headers: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict, server_default="{}")
    expires_at: Mapped[dt.datetime] = mapped_column(Instant, index=True)


class MergedRecord(Base):
    """A record that was merged into another: its tombstone, and all that is needed to undo it.

    ``loser`` is the row as it was; ``moved`` maps table to the keys of the rows that went to
    the survivor; ``before`` holds the survivor's values that the merge changed.
    """

    __tablename__ = "merged_records"
    __table_args__ = (
        CheckConstraint("loser_id <> survivor_id", name="two"),
        Index("ix_merged_records_survivor", "table_name", "survivor_id"),
    )

    table_name: Mapped[str] = mapped_column(String(32), primary_key=True)
    loser_id: Mapped[str] = mapped_column(Text, primary_key=True)
    survivor_id: Mapped[str] = mapped_column(Text)
    merged_at: Mapped[dt.datetime] = mapped_column(Instant)
    user_id: Mapped[str | None] = mapped_column(Text)
    loser: Mapped[dict[str, Any]] = mapped_column(JSONB)
    moved: Mapped[dict[str, Any]] = mapped_column(JSONB)
    before: Mapped[dict[str, Any]] = mapped_column(JSONB)
    after: Mapped[dict[str, Any]] = mapped_column(JSONB)


class CustomFieldVersion(Base):
    """What a custom field is called, may hold and who may use it, from ``recorded_at`` on.

    The latest version counts; none is ever changed. ``rules`` holds minimum, maximum, pattern,
    options and required; ``view_roles`` and ``edit_roles`` are null for "as its table".
    """

    __tablename__ = "custom_field_versions"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    table_name: Mapped[str] = mapped_column(String(32), index=True)
    name: Mapped[str] = mapped_column(Text)
    version: Mapped[int] = mapped_column(Integer)
    kind: Mapped[str] = mapped_column(String(8))
    label_en: Mapped[str | None] = mapped_column(Text)
    label_zh: Mapped[str | None] = mapped_column(Text)
    rules: Mapped[dict[str, Any]] = mapped_column(JSONB)
    view_roles: Mapped[list[str] | None] = mapped_column(JSONB)
    edit_roles: Mapped[list[str] | None] = mapped_column(JSONB)
    recorded_at: Mapped[dt.datetime] = mapped_column(Instant)
    user_id: Mapped[str | None] = mapped_column(Text)
