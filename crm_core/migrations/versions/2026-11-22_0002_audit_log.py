"""Audit log.

Revision ID: 0002
Revises: 0001
Create Date: 2026-11-22
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

CONTENT = """
create function audit_content(entry audit_log) returns text language sql stable as $$
    select jsonb_build_array(
        entry.chain, entry.place,
        to_char(entry.occurred_at at time zone 'UTC', 'YYYYMMDDHH24MISSUS'),
        entry.actor, entry.action, entry.table_name, entry.record_id, entry.changes, entry.channel,
        entry.address, entry.request_id
    )::text
$$
"""
# sixteen chains, so that writers wait for each other only when more than that many are at work;
# security definer, so that who may append but not read everything still finds the hash before
SEAL = """
create function audit_seal() returns trigger language plpgsql security definer
set search_path from current as $$
declare
    own integer := pg_backend_pid() % 16;
    last record;
begin
    new.chain := null;
    for step in 0..15 loop
        if pg_try_advisory_xact_lock(7246913, (own + step) % 16) then
            new.chain := (own + step) % 16;
            exit;
        end if;
    end loop;
    if new.chain is null then
        perform pg_advisory_xact_lock(7246913, own);
        new.chain := own;
    end if;
    select place, hash into last from audit_log
    where chain = new.chain order by place desc limit 1;
    new.place := coalesce(last.place, 0) + 1;
    new.previous := coalesce(last.hash, ''::bytea);
    new.hash := sha256(new.previous || convert_to(audit_content(new), 'UTF8'));
    return new;
end
$$
"""
REFUSE = """
create function audit_refuse() returns trigger language plpgsql as $$
begin
    raise exception 'the audit log is append-only: % is refused', tg_op
        using errcode = 'insufficient_privilege';
end
$$
"""


def upgrade() -> None:
    """Apply this revision."""
    op.create_table(
        "audit_log",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=True),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column("table_name", sa.String(length=48), nullable=False),
        sa.Column("record_id", sa.Text(), nullable=True),
        sa.Column("changes", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("channel", sa.String(length=8), nullable=False),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("chain", sa.SmallInteger(), nullable=False),
        sa.Column("place", sa.BigInteger(), nullable=False),
        sa.Column("previous", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint(
            "channel in ('page','api','cli','import','job')", name=op.f("ck_audit_log_channel")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
        sa.UniqueConstraint("chain", "place", name=op.f("uq_audit_log_chain_place")),
    )
    op.create_index("ix_audit_log_actor", "audit_log", ["actor", "id"], unique=False)
    op.create_index(op.f("ix_audit_log_occurred_at"), "audit_log", ["occurred_at"], unique=False)
    op.create_index(
        "ix_audit_log_record", "audit_log", ["table_name", "record_id", "id"], unique=False
    )
    for statement in (
        CONTENT,
        SEAL,
        REFUSE,
        "create trigger audit_seal before insert on audit_log for each row execute function audit_seal()",
        "create trigger audit_append_only before update or delete on audit_log"
        " for each row execute function audit_refuse()",
        "create trigger audit_not_emptied before truncate on audit_log"
        " for each statement execute function audit_refuse()",
    ):
        op.execute(statement)


def downgrade() -> None:
    """Undo this revision."""
    op.execute("drop trigger audit_not_emptied on audit_log")
    op.execute("drop trigger audit_append_only on audit_log")
    op.execute("drop trigger audit_seal on audit_log")
    op.execute("drop function audit_refuse()")
    op.execute("drop function audit_seal()")
    op.execute("drop function audit_content(audit_log)")
    op.drop_index("ix_audit_log_record", table_name="audit_log")
    op.drop_index(op.f("ix_audit_log_occurred_at"), table_name="audit_log")
    op.drop_index("ix_audit_log_actor", table_name="audit_log")
    op.drop_table("audit_log")
