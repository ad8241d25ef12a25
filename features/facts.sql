-- The facts known at %(as_of)s, one query per table; features/facts.py runs each through COPY.
-- Instants become microseconds since 1970 UTC; days become the company's midnight (%(zone)s).

-- table: stages
select pipeline, stage, position::bigint as position, kind
from stages order by pipeline, position, stage

-- table: opportunities
select id, account_id, pipeline,
       (extract(epoch from created_at) * 1000000)::bigint as created_at,
       (extract(epoch from recorded_at) * 1000000)::bigint as recorded_at,
       source, campaign_id, currency, history
from opportunities
where created_at <= %(as_of)s and recorded_at <= %(as_of)s

-- table: events
select opportunity_id, field,
       (extract(epoch from occurred_at) * 1000000)::bigint as occurred_at,
       (extract(epoch from recorded_at) * 1000000)::bigint as recorded_at,
       sequence, new_value
from opportunity_events
where occurred_at <= %(as_of)s and recorded_at <= %(as_of)s

-- table: activities
select id, opportunity_id, kind,
       (extract(epoch from occurred_at) * 1000000)::bigint as occurred_at,
       (extract(epoch from recorded_at) * 1000000)::bigint as recorded_at,
       user_id, contact_id, direction, duration_minutes::float8 as duration_minutes, outcome
from activities
where opportunity_id is not null and occurred_at <= %(as_of)s and recorded_at <= %(as_of)s

-- table: opportunity_contacts
select opportunity_id, contact_id, role,
       (extract(epoch from added_at) * 1000000)::bigint as added_at
from opportunity_contacts
where added_at <= %(as_of)s

-- table: contacts
select id, seniority from contacts

-- table: accounts
select id, (extract(epoch from created_at) * 1000000)::bigint as created_at,
       industry, region, country, tier, employees::float8 as employees,
       annual_revenue_minor::float8 as annual_revenue, custom::text as custom
from accounts

-- table: account_changes
-- the first change holds what the account was before any: it is needed whenever it was written
select key as account_id,
       (extract(epoch from occurred_at) * 1000000)::bigint as occurred_at,
       (extract(epoch from recorded_at) * 1000000)::bigint as recorded_at,
       sequence, changes::text as changes
from (
    select *, row_number() over (partition by key order by sequence) as place
    from record_events where table_name = 'accounts' and changes <> '{}'
) e
where place = 1 or (occurred_at <= %(as_of)s and recorded_at <= %(as_of)s)

-- table: orders
select id, account_id,
       (extract(epoch from ordered_on::timestamp at time zone %(zone)s) * 1000000)::bigint
           as ordered_at,
       (extract(epoch from recorded_at) * 1000000)::bigint as recorded_at,
       status
from orders
where recorded_at <= %(as_of)s and ordered_on <= (%(as_of)s at time zone %(zone)s)::date

-- table: users
select id,
       (extract(epoch from hired_on::timestamp at time zone %(zone)s) * 1000000)::bigint
           as hired_at
from users

-- table: products
select id, family from products

-- table: fx_rates
select base, quote,
       (extract(epoch from valid_from::timestamp at time zone %(zone)s) * 1000000)::bigint
           as valid_at,
       (extract(epoch from recorded_at) * 1000000)::bigint as recorded_at,
       rate::float8 as rate
from fx_rates
where recorded_at <= %(as_of)s

-- table: custom_fields
select f.table_name, f.name, coalesce(v.kind, f.kind) as kind, v.label_en, v.label_zh
from custom_fields f
left join lateral (
    select kind, label_en, label_zh from custom_field_versions
    where table_name = f.table_name and name = f.name
    order by version desc limit 1
) v on true
where f.table_name in ('opportunities', 'accounts')
order by f.table_name, f.name
