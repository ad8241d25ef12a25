"""Goals.

Revision ID: 0013
Revises: 0012
Create Date: 2026-11-22
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply this revision."""
    op.create_table(
        "goals",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("subject_kind", sa.String(length=8), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("metric", sa.String(length=16), nullable=False),
        sa.Column("period_kind", sa.String(length=8), nullable=False),
        sa.Column("period_name", sa.String(length=10), nullable=False),
        sa.Column("period_start", sa.Date(), nullable=False),
        sa.Column("period_end", sa.Date(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "metric in ('bookings','invoiced','cash_received','gross_margin','new_customers')",
            name=op.f("ck_goals_metric"),
        ),
        sa.CheckConstraint(
            "period_kind in ('month','quarter','year')", name=op.f("ck_goals_period_kind")
        ),
        sa.CheckConstraint(
            "subject_kind in ('user','org_unit')", name=op.f("ck_goals_subject_kind")
        ),
        sa.CheckConstraint("period_end > period_start", name=op.f("ck_goals_period")),
        sa.ForeignKeyConstraint(["created_by"], ["users.id"], name=op.f("fk_goals_created_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_goals")),
        sa.UniqueConstraint(
            "subject_kind",
            "subject_id",
            "metric",
            "period_start",
            "period_end",
            name=op.f("uq_goals_subject_kind_subject_id_metric_period_start_period_end"),
        ),
    )
    op.create_index(
        "ix_goals_period", "goals", ["metric", "period_start", "period_end"], unique=False
    )
    op.create_table(
        "leaderboards",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("metric_version", sa.Integer(), nullable=False),
        sa.Column("grouping", sa.String(length=8), nullable=False),
        sa.Column("starts_on", sa.Date(), nullable=False),
        sa.Column("ends_on", sa.Date(), nullable=False),
        sa.Column("roles", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("org_unit_id", sa.Text(), nullable=True),
        sa.Column("least_days", sa.Integer(), server_default="0", nullable=False),
        sa.Column("ties", sa.String(length=8), server_default="shared", nullable=False),
        sa.Column("names", sa.String(length=8), server_default="own", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=True),
        sa.Column("frozen_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "grouping in ('user','org_unit')", name=op.f("ck_leaderboards_grouping")
        ),
        sa.CheckConstraint("names in ('own','top','all')", name=op.f("ck_leaderboards_names")),
        sa.CheckConstraint("ties in ('shared','dense')", name=op.f("ck_leaderboards_ties")),
        sa.CheckConstraint("title <> ''", name=op.f("ck_leaderboards_title")),
        sa.CheckConstraint("ends_on > starts_on", name=op.f("ck_leaderboards_window")),
        sa.CheckConstraint("least_days >= 0", name=op.f("ck_leaderboards_least_days")),
        sa.ForeignKeyConstraint(
            ["created_by"], ["users.id"], name=op.f("fk_leaderboards_created_by")
        ),
        sa.ForeignKeyConstraint(
            ["org_unit_id"], ["org_units.id"], name=op.f("fk_leaderboards_org_unit_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_leaderboards")),
    )
    op.create_table(
        "leaves",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("starts_on", sa.Date(), nullable=False),
        sa.Column("ends_on", sa.Date(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_by", sa.Text(), nullable=True),
        sa.Column("cancelled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancelled_by", sa.Text(), nullable=True),
        sa.CheckConstraint("ends_on > starts_on", name=op.f("ck_leaves_order")),
        sa.ForeignKeyConstraint(
            ["cancelled_by"], ["users.id"], name=op.f("fk_leaves_cancelled_by")
        ),
        sa.ForeignKeyConstraint(["recorded_by"], ["users.id"], name=op.f("fk_leaves_recorded_by")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_leaves_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_leaves")),
    )
    op.create_index(op.f("ix_leaves_user_id"), "leaves", ["user_id"], unique=False)
    op.create_table(
        "quota_policies",
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("content", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=True),
        sa.CheckConstraint("kind in ('ramp','season')", name=op.f("ck_quota_policies_kind")),
        sa.CheckConstraint("reason <> ''", name=op.f("ck_quota_policies_reason")),
        sa.ForeignKeyConstraint(
            ["created_by"], ["users.id"], name=op.f("fk_quota_policies_created_by")
        ),
        sa.PrimaryKeyConstraint("kind", "version", name=op.f("pk_quota_policies")),
    )
    op.create_index(
        "ix_quota_policies_known",
        "quota_policies",
        ["kind", sa.literal_column("created_at desc")],
        unique=False,
    )
    op.create_table(
        "goal_commits",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("goal_id", sa.BigInteger(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("user_id", sa.Text(), nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("amount_minor >= 0", name=op.f("ck_goal_commits_amount")),
        sa.ForeignKeyConstraint(["goal_id"], ["goals.id"], name=op.f("fk_goal_commits_goal_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_goal_commits_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_goal_commits")),
    )
    op.create_index(op.f("ix_goal_commits_goal_id"), "goal_commits", ["goal_id"], unique=False)
    op.create_table(
        "goal_versions",
        sa.Column("goal_id", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("effective_on", sa.Date(), nullable=False),
        sa.Column("planned_days", sa.Numeric(precision=9, scale=2), nullable=True),
        sa.Column("method", sa.String(length=12), server_default="manual", nullable=False),
        sa.Column("base_minor", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "method in ('manual','top_down','waterfall','bottom_up','reconciled')",
            name=op.f("ck_goal_versions_method"),
        ),
        sa.CheckConstraint(
            "state in ('draft','discussion','approved','locked','withdrawn')",
            name=op.f("ck_goal_versions_state"),
        ),
        sa.CheckConstraint("version = 1 or reason <> ''", name=op.f("ck_goal_versions_reason")),
        sa.CheckConstraint("amount_minor >= 0", name=op.f("ck_goal_versions_amount")),
        sa.CheckConstraint("planned_days > 0", name=op.f("ck_goal_versions_planned_days")),
        sa.ForeignKeyConstraint(
            ["created_by"], ["users.id"], name=op.f("fk_goal_versions_created_by")
        ),
        sa.ForeignKeyConstraint(["goal_id"], ["goals.id"], name=op.f("fk_goal_versions_goal_id")),
        sa.PrimaryKeyConstraint("goal_id", "version", name=op.f("pk_goal_versions")),
    )
    op.create_index(
        "uq_goal_versions_open",
        "goal_versions",
        ["goal_id"],
        unique=True,
        postgresql_where=sa.text("state in ('draft','discussion')"),
    )
    op.create_table(
        "leaderboard_results",
        sa.Column("leaderboard_id", sa.BigInteger(), nullable=False),
        sa.Column("subject_id", sa.Text(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=True),
        sa.Column("value", sa.Numeric(), nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=True),
        sa.ForeignKeyConstraint(
            ["leaderboard_id"],
            ["leaderboards.id"],
            name=op.f("fk_leaderboard_results_leaderboard_id"),
        ),
        sa.PrimaryKeyConstraint(
            "leaderboard_id", "subject_id", name=op.f("pk_leaderboard_results")
        ),
    )
    op.create_table(
        "goal_decompositions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("goal_id", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("method", sa.String(length=12), nullable=False),
        sa.Column("factor", sa.Numeric(precision=9, scale=6), nullable=False),
        sa.Column("mix", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("lines", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("passed_minor", sa.BigInteger(), nullable=False),
        sa.Column("residual_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "method in ('top_down','waterfall','reconciled')",
            name=op.f("ck_goal_decompositions_method"),
        ),
        sa.CheckConstraint("factor > 0", name=op.f("ck_goal_decompositions_factor")),
        sa.ForeignKeyConstraint(
            ["created_by"], ["users.id"], name=op.f("fk_goal_decompositions_created_by")
        ),
        sa.ForeignKeyConstraint(
            ["goal_id", "version"],
            ["goal_versions.goal_id", "goal_versions.version"],
            name=op.f("fk_goal_decompositions_goal_id_version"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_goal_decompositions")),
    )
    op.create_index(
        "ix_goal_decompositions_goal", "goal_decompositions", ["goal_id", "version"], unique=False
    )
    op.create_table(
        "goal_steps",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("goal_id", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("act", sa.String(length=12), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column(
            "flags", postgresql.JSONB(astext_type=sa.Text()), server_default="[]", nullable=False
        ),
        sa.CheckConstraint(
            "state in ('draft','discussion','approved','locked','withdrawn')",
            name=op.f("ck_goal_steps_state"),
        ),
        sa.CheckConstraint(
            "act in ('propose','submit','comment','send_back','approve','lock','withdraw')",
            name=op.f("ck_goal_steps_act"),
        ),
        sa.ForeignKeyConstraint(
            ["goal_id", "version"],
            ["goal_versions.goal_id", "goal_versions.version"],
            name=op.f("fk_goal_steps_goal_id_version"),
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_goal_steps_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_goal_steps")),
    )
    op.create_index("ix_goal_steps_goal", "goal_steps", ["goal_id", "version"], unique=False)
    op.add_column("quotas", sa.Column("effective_on", sa.Date(), nullable=True))
    op.add_column(
        "quotas", sa.Column("planned_days", sa.Numeric(precision=9, scale=2), nullable=True)
    )
    op.create_check_constraint(op.f("ck_quotas_planned_days"), "quotas", "planned_days > 0")


def downgrade() -> None:
    """Undo this revision."""
    op.drop_constraint(op.f("ck_quotas_planned_days"), "quotas", type_="check")
    op.drop_column("quotas", "planned_days")
    op.drop_column("quotas", "effective_on")
    op.drop_index("ix_goal_steps_goal", table_name="goal_steps")
    op.drop_table("goal_steps")
    op.drop_index("ix_goal_decompositions_goal", table_name="goal_decompositions")
    op.drop_table("goal_decompositions")
    op.drop_table("leaderboard_results")
    op.drop_index(
        "uq_goal_versions_open",
        table_name="goal_versions",
        postgresql_where=sa.text("state in ('draft','discussion')"),
    )
    op.drop_table("goal_versions")
    op.drop_index(op.f("ix_goal_commits_goal_id"), table_name="goal_commits")
    op.drop_table("goal_commits")
    op.drop_index("ix_quota_policies_known", table_name="quota_policies")
    op.drop_table("quota_policies")
    op.drop_index(op.f("ix_leaves_user_id"), table_name="leaves")
    op.drop_table("leaves")
    op.drop_table("leaderboards")
    op.drop_index("ix_goals_period", table_name="goals")
    op.drop_table("goals")
