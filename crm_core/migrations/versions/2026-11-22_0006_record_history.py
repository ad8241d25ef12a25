"""Record history: the database keeps what every tracked record was, whoever writes.

Revision ID: 0006
Revises: 0005
Create Date: 2026-11-22
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TRACKED = {
    "company": "",
    "org_units": "id",
    "users": "id",
    "assignments": "user_id,org_unit_id,valid_from",
    "accounts": "id",
    "contacts": "id",
    "campaigns": "id",
    "leads": "id",
    "products": "id",
    "stages": "pipeline,stage",
    "subscriptions": "id",
    "credits": "order_id,user_id,kind",
}
SEARCHED = ("accounts", "contacts")
HIDDEN = "password_hash"

KEY = """
create function winward_record_key(fact jsonb, parts text, named text) returns text
language sql immutable parallel safe as $$
  select case
    when parts = '' then named
    when position(',' in parts) = 0 then fact ->> parts
    else (select string_agg(replace(replace(fact ->> part, '~', '~0'), '|', '~1'), '|' order by n)
          from unnest(string_to_array(parts, ',')) with ordinality p(part, n))
  end $$
"""

KEEP = """
create function winward_keep_history() returns trigger
language plpgsql security definer set search_path from current as $$
declare
  learnt timestamptz := nullif(current_setting('winward.recorded_at', true), '')::timestamptz;
  happened timestamptz := nullif(current_setting('winward.occurred_at', true), '')::timestamptz;
  who text := nullif(current_setting('winward.user_id', true), '');
begin
  if tg_op = 'INSERT' then
    insert into record_events (table_name, key, occurred_at, recorded_at, changes, user_id)
    select tg_table_name, winward_record_key(j, tg_argv[0], tg_table_name),
      least((j ->> 'created_at')::timestamptz,
            coalesce(learnt, (j ->> 'created_at')::timestamptz, transaction_timestamp())),
      coalesce(learnt, (j ->> 'created_at')::timestamptz, transaction_timestamp()),
      j, who
    from (select jsonb_strip_nulls(to_jsonb(n) - 'password_hash') as j
          from new_rows n offset 0) f;  -- offset: make each row's JSON once
  elsif tg_op = 'UPDATE' then
    insert into record_events (table_name, key, occurred_at, recorded_at, changes, user_id)
    select tg_table_name, f.key, coalesce(happened, learnt, transaction_timestamp()),
      coalesce(learnt, transaction_timestamp()), d.changes, who
    from (select winward_record_key(to_jsonb(n), tg_argv[0], tg_table_name) as key,
                 to_jsonb(n) - 'password_hash' as j from new_rows n offset 0) f
    join (select winward_record_key(to_jsonb(o), tg_argv[0], tg_table_name) as key,
                 to_jsonb(o) - 'password_hash' as j from old_rows o offset 0) b on b.key = f.key
    cross join lateral (select jsonb_object_agg(e.key, e.value) as changes
                        from jsonb_each(f.j) e where b.j -> e.key is distinct from e.value) d
    where d.changes is not null;
  elsif coalesce(current_setting('winward.merging', true), '') <> 'on' then
    delete from record_events h using old_rows o
    where h.table_name = tg_table_name
      and h.key = winward_record_key(to_jsonb(o), tg_argv[0], tg_table_name);
  end if;
  return null;
end $$
"""


def upgrade() -> None:
    """Apply this revision."""
    op.execute("create extension if not exists pg_trgm")
    op.execute(
        "alter table fx_rates add column recorded_at timestamptz not null "
        "default '1970-01-01 00:00:00+00:00', drop constraint pk_fx_rates, "
        "add constraint pk_fx_rates primary key (base, quote, valid_from, recorded_at)"
    )
    for table in SEARCHED:
        op.execute(
            f"create index ix_{table}_similar on {table} using gin (lower(name) gin_trgm_ops)"
        )
    op.execute(KEY)
    op.execute(KEEP)
    for table, key in TRACKED.items():
        op.execute(
            f"insert into record_events (table_name, key, occurred_at, recorded_at, changes) "  # noqa: S608 - our own names
            f"select '{table}', winward_record_key(j, '{key}', '{table}'), "
            f"coalesce((j ->> 'created_at')::timestamptz, 'epoch'), "
            f"coalesce((j ->> 'created_at')::timestamptz, 'epoch'), j "
            f"from (select jsonb_strip_nulls(to_jsonb(t) - '{HIDDEN}') as j from {table} t) f"
        )
        for event, rows in (
            ("insert", "new table as new_rows"),
            ("update", "old table as old_rows new table as new_rows"),
            ("delete", "old table as old_rows"),
        ):
            op.execute(
                f"create trigger winward_history_{event} after {event} on {table} "
                f"referencing {rows} for each statement "
                f"execute function winward_keep_history('{key}')"
            )


def downgrade() -> None:
    """Undo this revision."""
    for table in TRACKED:
        for event in ("insert", "update", "delete"):
            op.execute(f"drop trigger winward_history_{event} on {table}")
    op.execute("drop function winward_keep_history()")
    op.execute("drop function winward_record_key(jsonb, text, text)")
    op.execute("delete from record_events")
    for table in SEARCHED:
        op.execute(f"drop index ix_{table}_similar")
    op.execute("drop extension if exists pg_trgm")
    op.execute(
        "delete from fx_rates f using fx_rates g where (f.base, f.quote, f.valid_from) = "
        "(g.base, g.quote, g.valid_from) and f.recorded_at < g.recorded_at"
    )
    op.execute(
        "alter table fx_rates drop constraint pk_fx_rates, "
        "add constraint pk_fx_rates primary key (base, quote, valid_from), drop column recorded_at"
    )
