"""Forecasts append only.

Revision ID: 0016
Revises: 0015
Create Date: 2026-11-22
"""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

TABLES = (
    "forecast_adjustments",
    "forecast_submissions",
    "forecast_submission_items",
    "forecast_cadences",
    "forecast_snapshots",
    "forecast_snapshot_rates",
    "forecast_snapshot_deals",
    "forecast_snapshot_cells",
    "forecast_baselines",
    "forecast_scores",
)
REFUSE = """
create function forecasts_refuse() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only: % is refused', tg_table_name, tg_op
        using errcode = 'insufficient_privilege';
end
$$
"""


def upgrade() -> None:
    """Apply this revision."""
    op.execute(REFUSE)
    for table in TABLES:
        op.execute(
            f"create trigger {table}_append_only before update or delete on {table}"
            " for each row execute function forecasts_refuse()"
        )


def downgrade() -> None:
    """Undo this revision."""
    for table in reversed(TABLES):
        op.execute(f"drop trigger {table}_append_only on {table}")
    op.execute("drop function forecasts_refuse()")
