"""Keep what a prediction's model was trained on, and refuse hindsight.

Revision ID: 0009
Revises: 0008
Create Date: 2026-11-22
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this revision; what was kept before is of models whose training time is unknown."""
    op.add_column(
        "predictions", sa.Column("model_as_of", sa.DateTime(timezone=True), nullable=True)
    )
    op.create_check_constraint(
        op.f("ck_predictions_not_in_hindsight"), "predictions", "model_as_of <= as_of"
    )


def downgrade() -> None:
    """Undo this revision."""
    op.drop_constraint(op.f("ck_predictions_not_in_hindsight"), "predictions", type_="check")
    op.drop_column("predictions", "model_as_of")
