"""Webhook secrets have a table of their own, which the web writes and cannot read.

Revision ID: 0012
Revises: 0011
Create Date: 2026-11-22
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this revision."""
    op.create_table(
        "webhook_secrets",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("endpoint_id", sa.BigInteger(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["endpoint_id"], ["webhook_endpoints.id"], name=op.f("fk_webhook_secrets_endpoint_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_secrets")),
        info={"scope": "operations"},
    )
    op.create_index(
        op.f("ix_webhook_secrets_endpoint_id"), "webhook_secrets", ["endpoint_id"], unique=False
    )
    op.execute(
        "insert into webhook_secrets (endpoint_id, secret, created_at, ends_at)"
        " select id, former_secret, created_at, former_until from webhook_endpoints"
        " where former_secret is not null and former_until is not null"
    )
    op.execute(
        "insert into webhook_secrets (endpoint_id, secret, created_at)"
        " select id, secret, created_at from webhook_endpoints"
    )
    op.drop_column("webhook_endpoints", "former_until")
    op.drop_column("webhook_endpoints", "secret")
    op.drop_column("webhook_endpoints", "former_secret")


def downgrade() -> None:
    """Undo this revision."""
    op.add_column("webhook_endpoints", sa.Column("former_secret", sa.Text(), nullable=True))
    op.add_column(
        "webhook_endpoints", sa.Column("former_until", sa.DateTime(timezone=True), nullable=True)
    )
    op.add_column("webhook_endpoints", sa.Column("secret", sa.Text(), nullable=True))
    op.execute(
        "update webhook_endpoints e set secret = s.secret from webhook_secrets s"
        " where s.endpoint_id = e.id and s.ends_at is null"
    )
    op.execute(
        "update webhook_endpoints e set former_secret = s.secret, former_until = s.ends_at"
        " from (select distinct on (endpoint_id) endpoint_id, secret, ends_at from webhook_secrets"
        " where ends_at is not null order by endpoint_id, ends_at desc) s"
        " where s.endpoint_id = e.id"
    )
    op.alter_column("webhook_endpoints", "secret", nullable=False)
    op.drop_index(op.f("ix_webhook_secrets_endpoint_id"), table_name="webhook_secrets")
    op.drop_table("webhook_secrets")
