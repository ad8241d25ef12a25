"""Keep what every import inserted or changed, and show its state.

Revision ID: 0004
Revises: 0003
Create Date: 2026-11-22
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

STATES = "'queued','running','checked','committed','failed','rolled_back'"


def _allow(states: str) -> None:
    op.drop_constraint(op.f("ck_import_batches_status"), "import_batches", type_="check")
    op.create_check_constraint(
        op.f("ck_import_batches_status"), "import_batches", f"status in ({states})"
    )


def upgrade() -> None:
    """Apply this revision."""
    op.create_table(
        "import_changes",
        sa.Column("batch_id", sa.BigInteger(), nullable=False),
        sa.Column("table_name", sa.String(length=32), nullable=False),
        sa.Column("key", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("action", sa.String(length=8), nullable=False),
        sa.Column("print", sa.BigInteger(), nullable=True),
        sa.Column("before", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("kept", sa.Text(), nullable=True),
    )
    op.create_index(
        "ix_import_changes_batch", "import_changes", ["batch_id", "table_name"], unique=False
    )
    op.add_column("import_batches", sa.Column("path", sa.Text(), nullable=True))
    op.add_column(
        "import_batches",
        sa.Column(
            "options", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False
        ),
    )
    op.add_column("import_batches", sa.Column("started_by", sa.Text(), nullable=True))
    op.add_column("import_batches", sa.Column("seconds", sa.Numeric(), nullable=True))
    op.add_column(
        "import_batches",
        sa.Column("progress", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    )
    op.add_column("import_batches", sa.Column("error", sa.Text(), nullable=True))
    op.add_column(
        "import_batches", sa.Column("delta", postgresql.JSONB(astext_type=sa.Text()), nullable=True)
    )
    op.add_column(
        "import_batches",
        sa.Column("reconciliation", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    )
    op.add_column(
        "import_batches",
        sa.Column(
            "tracked", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False
        ),
    )
    op.add_column(
        "import_batches",
        sa.Column("undone", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    )
    op.add_column(
        "import_batches", sa.Column("rolled_back_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.alter_column("import_batches", "digest", existing_type=sa.VARCHAR(length=64), nullable=True)
    op.add_column("import_rejections", sa.Column("table_name", sa.String(length=32), nullable=True))
    _allow(STATES)


def downgrade() -> None:
    """Undo this revision."""
    op.execute(
        "delete from import_rejections where batch_id in "
        "(select id from import_batches where status not in ('committed','failed'))"
    )
    op.execute("delete from import_batches where status not in ('committed','failed')")
    op.execute("update import_batches set digest = '' where digest is null")
    _allow("'committed','failed'")
    op.drop_column("import_rejections", "table_name")
    op.alter_column("import_batches", "digest", existing_type=sa.VARCHAR(length=64), nullable=False)
    op.drop_column("import_batches", "rolled_back_at")
    op.drop_column("import_batches", "undone")
    op.drop_column("import_batches", "tracked")
    op.drop_column("import_batches", "reconciliation")
    op.drop_column("import_batches", "delta")
    op.drop_column("import_batches", "error")
    op.drop_column("import_batches", "progress")
    op.drop_column("import_batches", "seconds")
    op.drop_column("import_batches", "started_by")
    op.drop_column("import_batches", "options")
    op.drop_column("import_batches", "path")
    op.drop_index("ix_import_changes_batch", table_name="import_changes")
    op.drop_table("import_changes")
