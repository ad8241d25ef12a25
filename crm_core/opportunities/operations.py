"""Recording deals and their changes, set by set.

A deal's truth is its append-only events; the current columns of ``opportunities`` are derived
from them here and nowhere else. The rows to record lie in temporary tables (``Incoming``) whose
column ``_verdict`` is null while a row is undecided and afterwards says what became of it.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from crm_core.database import run
from crm_core.opportunities.projection import know_currencies

_STATIC = ("account_id", "name", "pipeline", "created_at", "source", "campaign_id", "lost_reason")


@dataclass(slots=True)
class Incoming:
    """Deals to record: the temporary table, the columns it has, and what was known when.

    ``known_at_created`` names columns whose value was known when the deal began; every other
    value of a closed deal counts as learnt when it closed. ``events`` is the temporary table of
    changes that the source itself gives, if it does.
    """

    table: str
    columns: frozenset[str]
    known_at_created: frozenset[str]
    events: str | None
    recorded_at: dt.datetime
    currency: str
    notes: list[tuple[str, str, int, str]] = field(default_factory=list)

    def has(self, column: str) -> bool:
        """Return whether the source gave the column."""
        return column in self.columns

    def of(self, column: str, otherwise: str = "null") -> str:
        """Return the SQL of a column of the incoming row ``s``."""
        return f"s.{column}" if self.has(column) else otherwise

    @property
    def pipeline(self) -> str:
        """The SQL of the row's pipeline."""
        return "coalesce(s.pipeline, 'default')" if self.has("pipeline") else "'default'"

    @property
    def custom(self) -> str:
        """The SQL of all custom fields of the row, without empty ones."""
        parts = [f"s.{name}" for name in ("custom", "custom_created") if self.has(name)]
        return f"jsonb_strip_nulls({' || '.join(parts)})" if parts else "'{}'::jsonb"

    def covered(self, name: str) -> str:
        """Return SQL that says whether the source's own events tell the row's field."""
        if self.events is None:
            return "false"
        return (
            f"exists (select 1 from {self.events} e where e.opportunity_id = s.id "
            f"and e.field = '{name}' and e._reason is null)"
        )


def _reject(session: Session, table: str, condition: str, column: str, reason: str) -> None:
    run(
        session,
        f"update {table} s set _verdict = 'rejected', _column = '{column}', "
        f"_value = s.{column}::text, _reason = {reason} where s._verdict is null and ({condition})",
    )


def check(session: Session, incoming: Incoming) -> None:
    """Reject deals in unknown stages and deals whose stage contradicts their closing time."""
    table, pipeline = incoming.table, incoming.pipeline
    for column in ("stage", "stage_at_creation"):
        if incoming.has(column):
            _reject(
                session,
                table,
                f"s.{column} is not null and not exists (select 1 from stages g "
                f"where g.pipeline = {pipeline} and g.stage = s.{column})",
                column,
                f"'stage ' || s.{column} || ' is not a stage of pipeline ' || {pipeline} || "
                "'; add it to the stages or translate it'",
            )
    _check_closing(session, incoming)


def _check_closing(session: Session, incoming: Incoming) -> None:
    table, pipeline = incoming.table, incoming.pipeline
    kind = f"(select g.kind from stages g where g.pipeline = {pipeline} and g.stage = s.stage)"
    loose = f"not {incoming.covered('stage')}"
    if not incoming.has("closed_at"):
        _reject(
            session,
            table,
            f"{kind} in ('won', 'lost') and {loose}",
            "stage",
            "'the deal is closed but closed_at is not given'",
        )
        return
    _reject(
        session,
        table,
        f"{kind} in ('won', 'lost') and s.closed_at is null and {loose}",
        "closed_at",
        "'closed_at is missing although stage ' || s.stage || ' is closed'",
    )
    _reject(
        session,
        table,
        f"{kind} in ('open', 'on_hold') and s.closed_at is not null and {loose}",
        "closed_at",
        "'closed_at is given although stage ' || s.stage || ' is open; "
        "a planned day belongs into expected_close_on'",
    )
    _reject(
        session,
        table,
        f"s.closed_at < s.created_at and {loose}",
        "closed_at",
        "'closed_at is before created_at'",
    )


def record_rows(session: Session, incoming: Incoming) -> None:
    """Insert the deals that are new and update what never changes by an event.

    Every undecided row gets a verdict; :func:`complete` may still raise unchanged to updated.
    """
    table = incoming.table
    run(
        session,
        f"update {table} s set _verdict = 'inserted' where s._verdict is null and "
        "not exists (select 1 from opportunities o where o.id = s.id)",
    )
    static = [name for name in _STATIC if incoming.has(name)]
    new = {name: incoming.pipeline if name == "pipeline" else f"s.{name}" for name in static}
    differs = " or ".join(f"o.{name} is distinct from {new[name]}" for name in static)
    run(
        session,
        f"update {table} s set _verdict = 'updated' from opportunities o "
        f"where o.id = s.id and s._verdict is null and ({differs})",
    )
    run(session, f"update {table} set _verdict = 'unchanged' where _verdict is null")
    run(session, f"analyze {table} (_verdict)")  # or the planner expects no row of any verdict
    sets = ", ".join(f"{name} = {new[name]}" for name in static)
    run(
        session,
        f"update opportunities o set {sets} from {table} s "
        "where o.id = s.id and s._verdict = 'updated'",
    )
    _insert_new(session, incoming)
    know_currencies(session)


def _insert_new(session: Session, incoming: Incoming) -> None:
    closed = "g.kind in ('won', 'lost')"
    has_events = (
        "false"
        if incoming.events is None
        else f"exists (select 1 from {incoming.events} e where e.opportunity_id = s.id "
        "and e._reason is null)"
    )
    values = {
        "id": "s.id",
        "account_id": incoming.of("account_id"),
        "owner_id": incoming.of("owner_id"),
        "name": incoming.of("name"),
        "pipeline": incoming.pipeline,
        "created_at": "s.created_at",
        "recorded_at": f"coalesce({incoming.of('recorded_at')}, s.created_at)",
        "source": incoming.of("source"),
        "campaign_id": incoming.of("campaign_id"),
        "product_id": incoming.of("product_id"),
        "amount_minor": incoming.of("amount"),
        "currency": incoming.of("currency", f"'{incoming.currency}'"),
        "stage": "s.stage",
        "forecast_category": "g.forecast_category",
        "expected_close_on": incoming.of("expected_close_on"),
        "closed_at": f"case when {closed} then "
        f"coalesce({incoming.of('closed_at', 'null::timestamptz')}, s.created_at) end",
        "outcome": f"case when {closed} then g.kind end",
        "lost_reason": incoming.of("lost_reason"),
        "history": f"coalesce({incoming.of('history')}, "
        f"case when {has_events} then 'full' else 'none' end)",
        "custom": incoming.custom,
    }
    run(
        session,
        f"insert into opportunities ({', '.join(values)}) select {', '.join(values.values())} "
        f"from {incoming.table} s join stages g on g.pipeline = {incoming.pipeline} "
        "and g.stage = s.stage where s._verdict = 'inserted' order by s._n",
    )


def record_events(
    session: Session, events: str, columns: frozenset[str], *, deals: Incoming | None = None
) -> None:
    """Judge the source's own changes and append those that are new.

    ``deals`` are the rows that came beside them; one may say that its ``history`` is ``none``
    although events are given (an export writes the events that an import once derived).
    """
    recorded = (
        "coalesce(s.recorded_at, s.occurred_at)" if "recorded_at" in columns else "s.occurred_at"
    )
    know_currencies(session)
    _check_events(session, events)
    same = (
        "e.opportunity_id = s.opportunity_id and e.field = s.field "
        f"and e.occurred_at = s.occurred_at and e.recorded_at = {recorded} "
        "and e.new_value is not distinct from s.new_value"
    )
    run(
        session,
        f"update {events} s set _verdict = case when exists (select 1 from "
        f"opportunity_events e where {same}) then 'unchanged' else 'inserted' end "
        "where s._verdict is null",
    )
    run(session, f"analyze {events} (_verdict)")
    extra = [name for name in ("old_value", "user_id") if name in columns]
    shown = "".join(f", {name}" for name in extra)
    given = "".join(f", s.{name}" for name in extra)
    run(
        session,
        "insert into opportunity_events (opportunity_id, occurred_at, recorded_at, field, "
        f"new_value{shown}) select s.opportunity_id, s.occurred_at, {recorded}, s.field, "
        f"s.new_value{given} from {events} s where s._verdict = 'inserted' "
        "order by s.occurred_at, s._n on conflict do nothing",
    )
    run(
        session,
        f"update opportunities o set history = 'full' from (select distinct "
        f"opportunity_id from {events} where _verdict = 'inserted') s "
        f"where o.id = s.opportunity_id and o.history <> 'full'{_unless_told_otherwise(deals)}",
    )


def _unless_told_otherwise(deals: Incoming | None) -> str:
    if deals is None or not deals.has("history"):
        return ""
    return (
        f" and not exists (select 1 from {deals.table} d where d.id = o.id and d.history = 'none')"
    )


def _check_custom(session: Session, events: str) -> None:
    """Reject custom fields that are not a JSON object: the fold of a deal could not read them."""
    run(
        session,
        "create or replace function pg_temp.is_json_object(value text) returns boolean "
        "language plpgsql immutable as $$ begin return jsonb_typeof(value::jsonb) = 'object'; "
        "exception when others then return false; end $$",
    )
    _reject(
        session,
        events,
        "s.field = 'custom' and not coalesce(pg_temp.is_json_object(s.new_value), false)",
        "new_value",
        "'custom fields are not a JSON object such as {\"x_size\": 12}'",
    )


def _check_amounts(session: Session, events: str) -> None:
    _reject(
        session,
        events,
        "s.field = 'amount' and s.new_value !~ '^-?[0-9]{1,15}(\\.[0-9]{1,12})?$'",
        "new_value",
        "'amount ' || s.new_value || ' is not a number written like 1234.50'",
    )
    _reject(
        session,
        events,
        "s.field = 'amount' and s.new_value is not null and (select scale(trim_scale("
        "s.new_value::numeric * c.units)) > 0 from opportunities o "
        "join currency_units c on c.code = o.currency where o.id = s.opportunity_id)",
        "new_value",
        "'amount ' || s.new_value || ' has more decimals than its currency'",
    )
    run(
        session,
        f"update {events} s set new_value = trim_scale(s.new_value::numeric)::text "
        "where s._verdict is null and s.field = 'amount' "
        "and s.new_value <> trim_scale(s.new_value::numeric)::text",
    )


def _check_events(session: Session, events: str) -> None:
    """Reject values that their field cannot hold; write the others in canonical form."""
    _check_amounts(session, events)
    _check_custom(session, events)
    _reject(
        session,
        events,
        "s.field = 'stage' and not exists (select 1 from opportunities o join stages g "
        "on g.pipeline = o.pipeline and g.stage = s.new_value where o.id = s.opportunity_id)",
        "new_value",
        "'stage ' || coalesce(s.new_value, '(empty)') || ' is not a stage of the pipeline'",
    )
    _reject(
        session,
        events,
        "s.field = 'expected_close_on' and s.new_value is not null and (s.new_value !~ "
        "'^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$' or substr(s.new_value, 9)::int "
        "> extract(day from (substr(s.new_value, 1, 7) || '-01')::date + interval '1 month' "
        "- interval '1 day'))",
        "new_value",
        "s.new_value || ' is not a day that exists, written like 2026-11-30'",
    )
    for name, table in (("owner_id", "users"), ("product_id", "products")):
        _reject(
            session,
            events,
            f"s.field = '{name}' and s.new_value is not null and not exists "
            f"(select 1 from {table} t where t.id = s.new_value)",
            "new_value",
            f"s.new_value || ' is not among the {table}'",
        )
