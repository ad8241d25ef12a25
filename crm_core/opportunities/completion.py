"""Completing what a source does not tell: the events that its current rows stand for."""

from __future__ import annotations

from sqlalchemy.orm import Session

from crm_core.database import run
from crm_core.opportunities.operations import Incoming, record_events
from crm_core.opportunities.projection import project

_EVENT_DRIVEN = ("owner_id", "product_id", "amount", "expected_close_on")


def complete(session: Session, incoming: Incoming) -> int:
    """Append the events that the source does not give itself; return how many.

    A new deal: its first stage at creation, its last at closing; a value learnt only at the end
    counts from ``closed_at``, one of an open deal from now on. A known deal: what differs from
    the store becomes an event now.
    """
    derived = _complete_new_stages(session, incoming)
    for name in (*_EVENT_DRIVEN, "custom", "custom_created"):
        if incoming.has(name):
            derived += _complete_new_field(session, incoming, name)
    changed = _append_changes(session, incoming)
    _project(session, incoming)
    return derived + changed


_APPEND = (
    "insert into opportunity_events (opportunity_id, occurred_at, recorded_at, field, new_value) "
)


def _complete_new_stages(session: Session, incoming: Incoming) -> int:
    pipeline, loose = incoming.pipeline, f"not {incoming.covered('stage')}"
    first = (
        f"(select g.stage from stages g where g.pipeline = {pipeline} and g.kind = 'open' "
        "order by g.position, g.stage limit 1)"
    )
    began = f"coalesce({incoming.of('stage_at_creation')}, {first}, s.stage)"
    new = f"from {incoming.table} s where s._verdict = 'inserted' and {loose}"
    total = run(
        session,
        f"{_APPEND} select s.id, s.created_at, s.created_at, 'stage', {began} "
        f"{new} order by s._n on conflict do nothing",
    )
    when = f"coalesce({incoming.of('closed_at', 'null::timestamptz')}, :now)"
    total += run(
        session,
        f"{_APPEND} select s.id, {when}, {when}, 'stage', s.stage {new} "
        f"and s.stage <> {began} order by s._n on conflict do nothing",
        now=incoming.recorded_at,
    )
    return total


def _as_text(name: str) -> str:
    """Return the SQL of a field's canonical text in the row ``s`` (with ``c`` its currency)."""
    if name == "amount":
        return "trim_scale(s.amount::numeric / c.units)::text"
    if name in ("custom", "custom_created"):
        return f"nullif(jsonb_strip_nulls(s.{name}), '{{}}')::text"
    return f"s.{name}::text"


def _complete_new_field(session: Session, incoming: Incoming, name: str) -> int:
    at_creation = name in ("owner_id", "custom_created") or name in incoming.known_at_created
    value = _as_text(name)
    occurred = "s.created_at" if at_creation else "coalesce(o.closed_at, s.created_at)"
    recorded = "s.created_at" if at_creation else "coalesce(o.closed_at, :now)"
    event = "custom" if name == "custom_created" else name
    return run(
        session,
        f"{_APPEND} select s.id, {occurred}, {recorded}, '{event}', {value} "
        f"from {incoming.table} s join opportunities o on o.id = s.id "
        "join currency_units c on c.code = o.currency "
        f"where s._verdict = 'inserted' and {value} is not null "
        f"and not {incoming.covered(event)} order by s._n on conflict do nothing",
        **({} if at_creation else {"now": incoming.recorded_at}),
    )


def _append_changes(session: Session, incoming: Incoming) -> int:
    """Append what a known deal's row says otherwise than the store, and mark it updated."""
    parts = [
        (
            name,
            f"s.{name}",
            f"o.{'amount_minor' if name == 'amount' else name}",
            _as_text(name),
        )
        for name in _EVENT_DRIVEN
        if incoming.has(name)
    ]
    parts.append(("stage", "s.stage", "o.stage", "s.stage"))
    if incoming.has("custom") or incoming.has("custom_created"):
        whole = " || ".join(f"s.{n}" for n in ("custom", "custom_created") if incoming.has(n))
        parts.append(
            ("custom", f"jsonb_strip_nulls(o.custom || {whole})", "o.custom", f"({whole})::text")
        )
    closing = "case when g.kind in ('won', 'lost') then {} end"
    total = 0
    for name, new, old, value in parts:
        when = ":now"
        if name == "stage" and incoming.has("closed_at"):
            when = f"least(:now, coalesce({closing.format('s.closed_at')}, :now))"
        total += run(
            session,
            f"{_APPEND} select s.id, {when}, :now, '{name}', {value} from {incoming.table} s "
            "join opportunities o on o.id = s.id join currency_units c on c.code = o.currency "
            "left join stages g on g.pipeline = o.pipeline and g.stage = s.stage "
            f"where s._verdict in ('updated', 'unchanged') and {new} is distinct from {old} "
            f"and not {incoming.covered(name)} order by s._n on conflict do nothing",
            now=incoming.recorded_at,
        )
    return total


def record_late_events(session: Session, events: str, columns: frozenset[str]) -> None:
    """Record events that came without their deals, and derive those deals' current columns."""
    record_events(session, events, columns)
    run(
        session,
        "create temporary table touched on commit drop as select distinct opportunity_id as id "
        f"from {events} where _verdict = 'inserted'",
    )
    project(session, "touched")
    run(session, "drop table touched")


def _project(session: Session, incoming: Incoming) -> None:
    """Derive the current columns of every deal that got an event from the source or now."""
    own = (
        ""
        if incoming.events is None
        else (f" union select opportunity_id from {incoming.events} where _verdict = 'inserted'")
    )
    run(
        session,
        "create temporary table touched on commit drop as "
        f"select s.id from {incoming.table} s join opportunity_events e "
        "on e.opportunity_id = s.id and e.recorded_at = :now "
        f"where s._verdict in ('updated', 'unchanged'){own}",
        now=incoming.recorded_at,
    )
    project(session, "touched")
    run(
        session,
        f"update {incoming.table} s set _verdict = 'updated' from opportunity_events e "
        "where e.opportunity_id = s.id and e.recorded_at = :now "
        "and s._verdict = 'unchanged'",
        now=incoming.recorded_at,
    )
    run(session, "drop table touched")
