"""Keep a record's first state only when it changes, and tell which import changed it.

A row that nothing has changed is itself what it always was; writing it a second time as JSON
made an import of accounts and contacts markedly slower. Only rows that do not say since when
they are known leave a short mark.

Revision ID: 0011
Revises: 0010
Create Date: 2026-11-22
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
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
DATED = ("accounts", "contacts", "leads")
HIDDEN = "password_hash"

PART = """
create function winward_key_part(value text) returns text
language sql immutable parallel safe as $$
  select replace(replace(value, '~', '~0'), '|', '~1') $$
"""

BEGAN = """
create function winward_mark_begin() returns trigger
language plpgsql security definer set search_path from current as $$
declare
  learnt timestamptz := nullif(current_setting('winward.recorded_at', true), '')::timestamptz;
  who text := nullif(current_setting('winward.user_id', true), '');
  batch bigint := nullif(current_setting('winward.batch', true), '')::bigint;
  key text;
begin
  if learnt is not null and batch is null then
    insert into record_events (table_name, key, occurred_at, recorded_at, changes, user_id)
    select tg_table_name, winward_record_key(j, tg_argv[0], tg_table_name),
      least((j ->> 'created_at')::timestamptz, learnt), learnt, j, who
    from (select jsonb_strip_nulls(to_jsonb(n) - 'password_hash') as j
          from new_rows n offset 0) f;  -- offset: make each row's JSON once
    return null;
  end if;
  select case count(*)
      when 0 then quote_literal(tg_table_name)
      when 1 then min(format('(to_jsonb(n.%I) #>> ''{}'')', part))
      else string_agg(format('winward_key_part(to_jsonb(n.%I) #>> ''{}'')', part),
                      ' || ''|'' || ' order by place) end
    into key from unnest(string_to_array(tg_argv[0], ',')) with ordinality p(part, place);
  execute format(
    'insert into record_events (table_name, key, occurred_at, recorded_at, changes, user_id, '
    'batch_id) select %L, %s, $1, $1, ''{}'', $2, $3 from new_rows n where %s',
    tg_table_name, key, case when tg_argv[1] = '' then 'true' else 'n.created_at is null' end)
    using coalesce(learnt, transaction_timestamp()), who, batch;
  return null;
end $$
"""

KEEP = """
create or replace function winward_keep_history() returns trigger
language plpgsql security definer set search_path from current as $$
declare
  learnt timestamptz := nullif(current_setting('winward.recorded_at', true), '')::timestamptz;
  happened timestamptz := nullif(current_setting('winward.occurred_at', true), '')::timestamptz;
  who text := nullif(current_setting('winward.user_id', true), '');
  batch bigint := nullif(current_setting('winward.batch', true), '')::bigint;
begin
  if tg_op = 'UPDATE' then
    insert into record_events
      (table_name, key, occurred_at, recorded_at, changes, user_id, batch_id)
    with changed as materialized (
      select f.key, b.j as was, d.changes
      from (select winward_record_key(to_jsonb(n), tg_argv[0], tg_table_name) as key,
                   to_jsonb(n) - 'password_hash' as j from new_rows n offset 0) f
      join (select winward_record_key(to_jsonb(o), tg_argv[0], tg_table_name) as key,
                   to_jsonb(o) - 'password_hash' as j from old_rows o offset 0) b on b.key = f.key
      cross join lateral (select jsonb_object_agg(e.key, e.value) as changes
                          from jsonb_each(f.j) e where b.j -> e.key is distinct from e.value) d
      where d.changes is not null)
    select tg_table_name, s.key, s.occurred_at, s.recorded_at, s.changes, s.user_id, batch
    from (select 1 as turn, c.key, i.occurred_at, i.recorded_at, i.changes, i.user_id
          from changed c cross join lateral winward_first_state(tg_table_name, c.key, c.was) i
          union all
          select 2, c.key, coalesce(happened, learnt, transaction_timestamp()),
            coalesce(learnt, transaction_timestamp()), c.changes, who from changed c) s
    order by s.turn;  -- the sequence tells the first state from what followed at once
  elsif coalesce(current_setting('winward.merging', true), '') = 'on' then
    insert into record_events (table_name, key, occurred_at, recorded_at, changes, user_id)
    select tg_table_name, f.key, i.occurred_at, i.recorded_at, i.changes, i.user_id
    from (select winward_record_key(to_jsonb(o), tg_argv[0], tg_table_name) as key,
                 to_jsonb(o) - 'password_hash' as j from old_rows o offset 0) f
    cross join lateral winward_first_state(tg_table_name, f.key, f.j) i;
  else
    delete from record_events h using old_rows o
    where h.table_name = tg_table_name
      and h.key = winward_record_key(to_jsonb(o), tg_argv[0], tg_table_name);
  end if;
  return null;
end $$
"""

FIRST = """
create function winward_first_state(of_table text, of_key text, was jsonb)
returns table (occurred_at timestamptz, recorded_at timestamptz, changes jsonb, user_id text)
language sql stable as $$
  select coalesce(b.occurred_at, (was ->> 'created_at')::timestamptz, 'epoch'),
    coalesce(b.recorded_at, (was ->> 'created_at')::timestamptz, 'epoch'),
    jsonb_strip_nulls(was), b.user_id
  from (select 1) one left join lateral (
    select h.occurred_at, h.recorded_at, h.user_id from record_events h
    where h.table_name = of_table and h.key = of_key order by h.sequence limit 1) b on true
  where not exists (select 1 from record_events h
    where h.table_name = of_table and h.key = of_key and h.changes <> '{}')
$$
"""

FORMER = """
create or replace function winward_keep_history() returns trigger
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
"""What revision 0006 made: the whole row on every insert."""


def upgrade() -> None:
    """Apply this revision."""
    op.add_column("record_events", sa.Column("batch_id", sa.BigInteger(), nullable=True))
    for function in (PART, BEGAN, FIRST, KEEP):
        op.execute(function)
    for table, key in TRACKED.items():
        dated = "created_at" if table in DATED else ""
        op.execute(f"drop trigger winward_history_insert on {table}")
        op.execute(
            f"create trigger winward_history_insert after insert on {table} "
            "referencing new table as new_rows for each statement "
            f"execute function winward_mark_begin('{key}', '{dated}')"
        )


def downgrade() -> None:
    """Undo this revision."""
    for table, key in TRACKED.items():
        op.execute(
            f"insert into record_events (table_name, key, occurred_at, recorded_at, changes, "  # noqa: S608 - our own names
            f"user_id) select '{table}', f.key, i.occurred_at, i.recorded_at, i.changes, i.user_id "
            f"from (select winward_record_key(to_jsonb(t), '{key}', '{table}') as key, "
            f"to_jsonb(t) - '{HIDDEN}' as j from {table} t) f "
            f"cross join lateral winward_first_state('{table}', f.key, f.j) i"
        )
        op.execute(f"drop trigger winward_history_insert on {table}")
    op.execute("delete from record_events where changes = '{}'")
    op.execute("drop function winward_mark_begin()")
    op.execute(FORMER)
    op.execute("drop function winward_first_state(text, text, jsonb)")
    op.execute("drop function winward_key_part(text)")
    for table, key in TRACKED.items():
        op.execute(
            f"create trigger winward_history_insert after insert on {table} "
            "referencing new table as new_rows for each statement "
            f"execute function winward_keep_history('{key}')"
        )
    op.drop_column("record_events", "batch_id")
