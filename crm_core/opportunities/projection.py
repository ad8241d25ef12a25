"""The current columns of a deal, derived from its events by one statement."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm_core import money
from crm_core.database import run


def know_currencies(session: Session) -> None:
    """Create the table of decimal places of every currency in use, for exact amounts in SQL."""
    run(
        session,
        "create temporary table if not exists currency_units "
        "(code text primary key, units numeric) on commit drop",
    )
    codes = session.execute(
        text(
            "select distinct currency from opportunities where currency not in "
            "(select code from currency_units)"
        )
    ).scalars()
    for code in list(codes):
        run(
            session,
            "insert into currency_units values (:code, :units)",
            code=code,
            units=10 ** money.minor_digits(code),
        )


def project(session: Session, ids: str) -> None:
    """Derive the current columns of the deals in table ``ids`` from their events."""
    know_currencies(session)
    run(session, f"analyze {ids}")
    run(session, "analyze opportunity_events")  # it may just have grown from nothing
    run(session, _PROJECTION.format(ids=ids))


def project_one(session: Session, opportunity_id: str, *, currency: str) -> None:
    """Derive the current columns of one deal from its events; cheap enough for a request."""
    statement = _PROJECTION.format(ids="(select cast(:one as text) as id)").replace(
        "join currency_units c on c.code = p.currency",
        "cross join (select cast(:units as numeric) as units) c",
    )
    units = 10 ** money.minor_digits(currency)
    run(session, statement, one=opportunity_id, units=units)


_PROJECTION = """
with latest as (
  select distinct on (e.opportunity_id, e.field) e.opportunity_id, e.field, e.new_value
  from opportunity_events e join {ids} i on i.id = e.opportunity_id where e.field <> 'custom'
  order by e.opportunity_id, e.field, e.occurred_at desc, e.recorded_at desc, e.sequence desc
), flat as (
  select opportunity_id,
    max(new_value) filter (where field = 'stage') as stage,
    max(new_value) filter (where field = 'amount') as amount,
    max(new_value) filter (where field = 'expected_close_on') as expected_close_on,
    max(new_value) filter (where field = 'owner_id') as owner_id,
    max(new_value) filter (where field = 'product_id') as product_id,
    max(new_value) filter (where field = 'forecast_category') as forecast_category
  from latest group by 1
), ordered as (
  select e.opportunity_id, e.occurred_at, g.kind, row_number() over (
    partition by e.opportunity_id order by e.occurred_at, e.recorded_at, e.sequence) as n
  from opportunity_events e join {ids} i on i.id = e.opportunity_id
  join opportunities o on o.id = e.opportunity_id
  join stages g on g.pipeline = o.pipeline and g.stage = e.new_value where e.field = 'stage'
), marked as (
  select *, last_value(kind) over (partition by opportunity_id order by n
    rows between unbounded preceding and unbounded following) as last_kind from ordered
), broken as (
  select *, max(case when kind <> last_kind then n else 0 end) over (
    partition by opportunity_id) as broken_at from marked
), final as (
  select opportunity_id, max(last_kind) as kind,
    min(occurred_at) filter (where n > broken_at) as began from broken group by 1
), fields as (
  select distinct on (e.opportunity_id, p.key) e.opportunity_id, p.key, p.value
  from opportunity_events e join {ids} i on i.id = e.opportunity_id
  cross join lateral jsonb_each(e.new_value::jsonb) p where e.field = 'custom'
  order by e.opportunity_id, p.key, e.occurred_at desc, e.recorded_at desc, e.sequence desc
), custom as (
  select opportunity_id, jsonb_object_agg(key, value) filter (where value <> 'null') as custom
  from fields group by 1
)
update opportunities o set
  stage = coalesce(flat.stage, o.stage), owner_id = flat.owner_id, product_id = flat.product_id,
  amount_minor = (flat.amount::numeric * c.units)::bigint,
  expected_close_on = flat.expected_close_on::date,
  forecast_category = coalesce(flat.forecast_category, g.forecast_category),
  outcome = case when final.kind in ('won', 'lost') then final.kind end,
  closed_at = case when final.kind in ('won', 'lost') then final.began end,
  custom = coalesce(custom.custom, '{{}}')
from flat join opportunities p on p.id = flat.opportunity_id
join currency_units c on c.code = p.currency
left join stages g on g.pipeline = p.pipeline and g.stage = coalesce(flat.stage, p.stage)
left join final on final.opportunity_id = flat.opportunity_id
left join custom on custom.opportunity_id = flat.opportunity_id
where o.id = flat.opportunity_id
"""
