"""Counting the source and the store independently, and comparing: rows, sums, dates, keys.

The source side reads the files anew with DuckDB's own readers and plain SQL, none of the code
that imported them (files that need a mapping go through the mapping's queries, but not through
the judging and writing). The store side is plain SQL over the facts. Both say how many keys there
are, what their amounts sum to by currency, their first and last day and a checksum of the keys.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from crm_core import exchange, money
from crm_core.database import run, transaction
from crm_core.errors import Conflict, NotFound
from crm_core.imports import batches, staging, tracking
from crm_core.imports.loading import BUSINESS_KEY
from crm_core.imports.scratch import quoted
from crm_core.imports.sources import Columns, Given, counted, open_batch, open_folder

_KEY = BUSINESS_KEY | {"opportunity_events": ("opportunity_id", "field", "occurred_at")}
"""Where a key is not the table's own: versions count once, an event by its field and time."""

_AMOUNT = {
    "opportunities": "amount", "orders": "amount", "invoices": "amount", "payments": "amount",
    "subscriptions": "monthly_amount", "quotas": "amount", "campaigns": "cost",
}  # fmt: skip
_DAY = {
    "accounts": "created_at", "contacts": "created_at", "campaigns": "started_on",
    "leads": "created_at", "opportunities": "created_at", "opportunity_events": "occurred_at",
    "activities": "occurred_at", "orders": "ordered_on", "invoices": "invoiced_on",
    "payments": "received_on", "subscriptions": "started_on", "usage": "day",
    "tickets": "opened_at", "quotas": "period_start", "fx_rates": "valid_from",
}  # fmt: skip
METRICS = {
    "opportunities": "pipeline", "orders": "bookings", "invoices": "invoiced",
    "payments": "cash_received", "subscriptions": "recurring", "quotas": "quota",
}  # fmt: skip
"""What a table's sum is called: of deals only the open ones count, of orders only the signed."""

_COUNTS = {"opportunities": "kind = 'open'", "orders": "state = 'signed'"}


class SourceGone(Conflict):
    """The files of an import are no longer where it read them."""


@dataclass(slots=True)
class Side:
    """What one side holds of a table, of the keys that both have."""

    keys: int
    amounts: dict[str, Decimal] = field(default_factory=dict)
    metric: dict[str, Decimal] = field(default_factory=dict)
    first: str | None = None
    last: str | None = None
    checksum: int = 0


@dataclass(slots=True)
class TableVerdict:
    """One table counted twice. ``missing`` keys of the source are not in the store.

    ``rounding`` is, by currency, what rounding amounts of more decimals than the currency has may
    have changed at most; a difference within it is none.
    """

    table: str
    metric: str | None
    source_rows: int
    source_keys: int
    missing: int
    explained: int
    source: Side
    store: Side
    rounding: dict[str, Decimal] = field(default_factory=dict)

    @property
    def differences(self) -> list[str]:
        """What does not agree, in words."""
        found = []
        if self.missing != self.explained:
            found.append(
                f"{self.missing:,} keys are not in the store, {self.explained:,} were rejected"
            )
        for what in ("keys", "amounts", "metric", "first", "last", "checksum"):
            ours, theirs = getattr(self.store, what), getattr(self.source, what)
            if ours != theirs and not self._is_rounding(ours, theirs):
                found.append(f"{what}: source {_told(theirs)}, store {_told(ours)}")
        return found

    def _is_rounding(self, ours: object, theirs: object) -> bool:
        if not isinstance(ours, dict) or not isinstance(theirs, dict) or set(ours) != set(theirs):
            return False
        return all(
            abs(ours[code] - theirs[code]) <= self.rounding.get(code, Decimal(0)) for code in ours
        )


@dataclass(slots=True)
class Reconciliation:
    """The verdict on an import or a folder."""

    source: str
    basis: str
    tables: list[TableVerdict]

    @property
    def agrees(self) -> bool:
        """Whether nothing differs."""
        return not any(table.differences for table in self.tables)

    def as_json(self) -> dict[str, Any]:
        """Return the verdict as JSON values."""
        return {
            "source": self.source,
            "basis": self.basis,
            "agrees": self.agrees,
            "tables": [_as_json(table) for table in self.tables],
        }

    def lines(self) -> list[str]:
        """Say it in lines of text."""
        found = []
        for table in self.tables:
            sums = ", ".join(f"{code} {value:f}" for code, value in table.source.amounts.items())
            verdict = "differs" if table.differences else "agrees "
            found.append(
                f"{verdict} {table.table}: {table.source_rows:,} rows, {table.source.keys:,} keys"
                f"{', Σ ' + sums if sums else ''}"
            )
            found += [f"    {each}" for each in table.differences]
            found += [
                f"    rounding of amounts explains up to {code} {most:f}"
                for code, most in table.rounding.items()
            ]
        found.append("Source and store agree." if self.agrees else "Source and store differ.")
        return found


def _told(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{code} {amount:f}" for code, amount in value.items()) or "nothing"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _as_json(table: TableVerdict) -> dict[str, Any]:
    plain: dict[str, Any] = asdict(table)
    for side in ("source", "store"):
        for sums in ("amounts", "metric"):
            plain[side][sums] = {code: f"{value:f}" for code, value in plain[side][sums].items()}
    plain["rounding"] = {code: f"{value:f}" for code, value in table.rounding.items()}
    return plain | {"differences": table.differences}


def reconcile_batch(engine: Engine, number: int, *, at: dt.datetime) -> Reconciliation:
    """Compare an import's files with the store and keep the verdict beside the import.

    Raises NoBatch, SourceGone.
    """
    with transaction(engine) as session:
        batch = batches.find(session, number)
        path, mapping, options = batch.path, batch.mapping, batch.options
        rejected = {name: int(each["rejected"]) for name, each in batch.counts.items()}
    if path is None or not Path(path).exists():
        raise SourceGone(
            f"The files of import {number} are no longer at {path}; put them back, or compare "
            "another copy: winward imports reconcile FOLDER."
        )
    with open_batch(engine, Path(path), mapping, only=options.get("only") or []) as source:
        found = _compare(engine, source, rejected, is_slice=bool(options.get("pilot")))
    with transaction(engine) as session:
        batch = batches.find(session, number)
        batch.reconciliation = found.as_json() | {"at": at.isoformat()}
    return found


def reconcile_folder(engine: Engine, path: Path) -> Reconciliation:
    """Compare a folder in the exchange format with the store. Raises NotFound."""
    if not path.exists():
        raise NotFound(f"{path} does not exist; give a folder, or the number of an import.")
    with open_folder(engine, path) as source:
        return _compare(engine, source, None, is_slice=False)


def _compare(
    engine: Engine, source: Columns, rejected: dict[str, int] | None, *, is_slice: bool
) -> Reconciliation:
    verdicts = []
    with transaction(engine) as session:
        for table in exchange.TABLES:
            if table.name in source.tables and table.key:
                wanted = _wanted(table)
                given = counted(source, table, *wanted)
                verdicts.append(
                    _judge(session, table, given, (rejected or {}).get(table.name, 0), is_slice)
                )
    return Reconciliation(source.label, source.basis, verdicts)


def _wanted(table: exchange.Table) -> tuple[tuple[str, ...], str | None, str | None]:
    return _KEY.get(table.name, table.key), _AMOUNT.get(table.name), _DAY.get(table.name)


def _judge(
    session: Session, table: exchange.Table, given: Given, rejected: int, is_slice: bool
) -> TableVerdict:
    """Count one table on both sides, over the keys that both have."""
    name, shape = table.name, tracking.shapes(session)[table.name]
    _copy(session, given)
    key, amount, day = _wanted(table)
    cells = ", ".join(_stored(table, each, "t") for each in key)
    minor = f"t.{amount}_minor" if amount else "null::bigint"
    newest = ", t.recorded_at desc" if name in BUSINESS_KEY else ""
    state = "t.status" if name == "orders" else "t.stage" if name == "opportunities" else "null"
    currency = "t.currency" if "currency" in shape.columns else "null"
    pipeline = "t.pipeline" if name == "opportunities" else "null"
    run(session, "drop table if exists pg_temp.counted_store")
    run(
        session,
        "create temporary table counted_store on commit drop as select distinct on (k) * from "
        f"(select concat_ws('|', {cells}) as k, {minor} as minor, {currency} as currency, "
        f"{_stored(table, day, 't') if day else 'null::text'} as day, {state} as state, "
        f"{pipeline} as pipeline {newest.replace(' desc', '')} from {quoted(name)} t) t "
        f"where k in (select k from counted_source) order by k{newest}",
    )
    missing = staging.scalar(
        session,
        "select count(*) from counted_source s where not exists "
        "(select 1 from counted_store t where t.k = s.k)",
    )
    keys = staging.scalar(session, "select count(*) from counted_source")
    ours = "select s.* from counted_source s where s.k in (select k from counted_store)"
    source = _side(session, ours, "amount", name, amount is not None)
    return TableVerdict(
        table=name,
        metric=METRICS.get(name),
        source_rows=given.rows,
        source_keys=keys,
        missing=missing,
        explained=missing if is_slice else min(missing, rejected),
        source=source,
        store=_side(session, "select * from counted_store", "minor", name, amount is not None),
        rounding=_rounding(session, source),
    )


def _rounding(session: Session, source: Side) -> dict[str, Decimal]:
    """Return half a minor unit for each amount that had to be rounded, by currency."""
    found = {}
    for code in source.amounts:
        digits = money.minor_digits(code)
        rows = staging.scalar(
            session,
            "select count(*) from counted_source where currency = :code "
            "and scale(trim_scale(amount)) > :digits",
            code=code,
            digits=digits,
        )
        if rows:
            found[code] = (Decimal(rows) / 2).scaleb(-digits)
    return found


def _copy(session: Session, given: Given) -> None:
    """Bring the source's keys into the store's own transaction."""
    run(session, "drop table if exists pg_temp.counted_source")
    run(
        session,
        "create temporary table counted_source (k text, amount numeric, currency text, day text, "
        "state text, pipeline text) on commit drop",
    )
    staging.copy_in(session, "counted_source", given.batches)
    run(session, "analyze counted_source")


def _stored(table: exchange.Table, name: str, alias: str) -> str:
    kind = next((column.kind for column in table.columns if column.name == name), "text")
    if kind == "instant":
        return f"(extract(epoch from {alias}.{quoted(name)}) * 1000000)::bigint::text"
    return f"{alias}.{quoted(name)}::text"


def _side(session: Session, rows: str, amount: str, table: str, has_amount: bool) -> Side:
    count, first, last, checksum = session.execute(
        text(
            "select count(*), min(day), max(day), coalesce(sum(('x' || substr(md5(k), 1, 15))"
            f"::bit(60)::bigint::numeric), 0)::text from ({rows}) r"
        )
    ).one()
    side = Side(int(count), first=first, last=last, checksum=int(checksum))
    if has_amount:
        side.amounts = _sums(session, rows, amount, "")
        if table in METRICS:
            side.metric = _sums(session, rows, amount, _COUNTS.get(table, ""))
    return side


def _sums(session: Session, rows: str, amount: str, condition: str) -> dict[str, Decimal]:
    kinds = (
        "left join stages g on g.pipeline = coalesce(r.pipeline, 'default') and g.stage = r.state"
    )
    where = f" and {condition}" if condition else ""
    found = session.execute(
        text(
            f"select r.currency, sum(r.{amount}) from ({rows}) r {kinds} "
            f"where r.{amount} is not null{where} group by 1 order by 1"
        )
    ).all()
    if amount == "amount":
        return {code: _exact(Decimal(total)) for code, total in found}
    return {code: _exact(Decimal(total).scaleb(-money.minor_digits(code))) for code, total in found}


def _exact(value: Decimal) -> Decimal:
    return value.normalize() + 0
