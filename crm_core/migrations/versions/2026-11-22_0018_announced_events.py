"""Find events that were recorded before they happened.

A deal of which nothing came later than a question stands as its current columns say; the few
events that lie ahead of their recording are what an index by recording alone would miss.

Revision ID: 0018
Revises: 0017
Create Date: 2026-11-22
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this revision."""
    op.create_index(
        "ix_opportunity_events_announced",
        "opportunity_events",
        ["occurred_at"],
        unique=False,
        postgresql_where=sa.text("occurred_at > recorded_at"),
    )


def downgrade() -> None:
    """Undo this revision."""
    op.drop_index(
        "ix_opportunity_events_announced",
        table_name="opportunity_events",
        postgresql_where=sa.text("occurred_at > recorded_at"),
    )
