"""Index every reference between facts, so that removing a record does not scan tables.

Revision ID: 0010
Revises: 0009
Create Date: 2026-11-22
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this revision."""
    op.create_index(
        "ix_activities_contact",
        "activities",
        ["contact_id"],
        unique=False,
        postgresql_where=sa.text("contact_id is not null"),
    )
    op.create_index(
        "ix_credits_user",
        "credits",
        ["user_id"],
        unique=False,
        postgresql_where=sa.text("user_id is not null"),
    )
    op.create_index(
        "ix_leads_campaign",
        "leads",
        ["campaign_id"],
        unique=False,
        postgresql_where=sa.text("campaign_id is not null"),
    )
    op.create_index(
        "ix_opportunities_campaign",
        "opportunities",
        ["campaign_id"],
        unique=False,
        postgresql_where=sa.text("campaign_id is not null"),
    )
    op.create_index(
        "ix_opportunities_product",
        "opportunities",
        ["product_id"],
        unique=False,
        postgresql_where=sa.text("product_id is not null"),
    )
    op.create_index(
        "ix_opportunity_contacts_contact",
        "opportunity_contacts",
        ["contact_id"],
        unique=False,
        postgresql_where=sa.text("contact_id is not null"),
    )
    op.create_index(
        "ix_opportunity_events_user",
        "opportunity_events",
        ["user_id"],
        unique=False,
        postgresql_where=sa.text("user_id is not null"),
    )
    op.create_index(
        "ix_orders_product",
        "orders",
        ["product_id"],
        unique=False,
        postgresql_where=sa.text("product_id is not null"),
    )
    op.create_index(
        "ix_subscriptions_product",
        "subscriptions",
        ["product_id"],
        unique=False,
        postgresql_where=sa.text("product_id is not null"),
    )


def downgrade() -> None:
    """Undo this revision."""
    op.drop_index(
        "ix_subscriptions_product",
        table_name="subscriptions",
        postgresql_where=sa.text("product_id is not null"),
    )
    op.drop_index(
        "ix_orders_product", table_name="orders", postgresql_where=sa.text("product_id is not null")
    )
    op.drop_index(
        "ix_opportunity_events_user",
        table_name="opportunity_events",
        postgresql_where=sa.text("user_id is not null"),
    )
    op.drop_index(
        "ix_opportunity_contacts_contact",
        table_name="opportunity_contacts",
        postgresql_where=sa.text("contact_id is not null"),
    )
    op.drop_index(
        "ix_opportunities_product",
        table_name="opportunities",
        postgresql_where=sa.text("product_id is not null"),
    )
    op.drop_index(
        "ix_opportunities_campaign",
        table_name="opportunities",
        postgresql_where=sa.text("campaign_id is not null"),
    )
    op.drop_index(
        "ix_leads_campaign", table_name="leads", postgresql_where=sa.text("campaign_id is not null")
    )
    op.drop_index(
        "ix_credits_user", table_name="credits", postgresql_where=sa.text("user_id is not null")
    )
    op.drop_index(
        "ix_activities_contact",
        table_name="activities",
        postgresql_where=sa.text("contact_id is not null"),
    )
