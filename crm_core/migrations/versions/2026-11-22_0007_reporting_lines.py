"""Reporting lines.

Revision ID: 0007
Revises: 0006
Create Date: 2026-11-22
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# the day is the company's, of winward.now where the writer says it; a change that is taken back
# on the same day leaves nothing behind
KEEP = """
create function keep_reporting_line() returns trigger language plpgsql as $$
declare
    today date := (
        coalesce(nullif(current_setting('winward.now', true), '')::timestamptz, transaction_timestamp())
        at time zone coalesce((select time_zone from company), 'UTC')
    )::date;
    last record;
begin
    select valid_to, manager_id into last from reporting_lines
    where user_id = new.id order by valid_to desc limit 1;
    if last.valid_to = today and last.manager_id is not distinct from new.manager_id then
        delete from reporting_lines where user_id = new.id and valid_to = today;
    elsif last.valid_to is null or last.valid_to < today then
        insert into reporting_lines (user_id, manager_id, valid_from, valid_to)
        values (new.id, old.manager_id, last.valid_to, today);
    end if;
    return null;
end
$$
"""


def upgrade() -> None:
    """Apply this revision."""
    op.create_table(
        "reporting_lines",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("valid_to", sa.Date(), nullable=False),
        sa.Column("manager_id", sa.Text(), nullable=True),
        sa.Column("valid_from", sa.Date(), nullable=True),
        sa.CheckConstraint(
            "valid_from is null or valid_to > valid_from", name=op.f("ck_reporting_lines_order")
        ),
        sa.ForeignKeyConstraint(
            ["manager_id"],
            ["users.id"],
            name=op.f("fk_reporting_lines_manager_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name=op.f("fk_reporting_lines_user_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("user_id", "valid_to", name=op.f("pk_reporting_lines")),
    )
    op.execute(KEEP)
    op.execute(
        "create trigger keep_reporting_line after update of manager_id on users for each row"
        " when (old.manager_id is distinct from new.manager_id)"
        " execute function keep_reporting_line()"
    )


def downgrade() -> None:
    """Undo this revision."""
    op.execute("drop trigger keep_reporting_line on users")
    op.execute("drop function keep_reporting_line()")
    op.drop_table("reporting_lines")
