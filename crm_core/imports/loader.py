"""Loading the compiled tables in order: stage, judge, write; deals together with their events."""

from __future__ import annotations

import datetime as dt

from sqlalchemy.orm import Session

from crm_core import exchange
from crm_core.database import run
from crm_core.imports import (
    custom_rules,
    hierarchies,
    loading,
    merged,
    plausibility,
    preparing,
    staging,
)
from crm_core.imports.company import Company
from crm_core.imports.compiling import Compiled
from crm_core.imports.mapping import Mapping
from crm_core.imports.preparing import Prepared
from crm_core.imports.report import Finding
from crm_core.imports.scratch import Progress, Scratch, literal, quoted
from crm_core.imports.staging import Stage
from crm_core.imports.tracking import Tracker
from crm_core.opportunities import completion
from crm_core.opportunities import operations as opportunities

_VERSIONED = ("orders", "activities", "quotas", "fx_rates")
_ORDER = {table.name: position for position, table in enumerate(exchange.TABLES)}
_WAITS_FOR_ROWS = "opportunity_events"


def add_stages(session: Session, mapping: Mapping, tracker: Tracker) -> int:
    """Write the stages that a mapping itself describes; return how many changed."""
    changed = 0
    for stage in mapping.stages:
        given = stage.model_dump()
        changed += tracker.update(
            session,
            "stages",
            sets="position = v.position, kind = v.kind, forecast_category = v.forecast_category",
            source="(select cast(:pipeline as text) as pipeline, cast(:stage as text) as stage, "
            "cast(:position as smallint) as position, cast(:kind as text) as kind, "
            "cast(:forecast_category as text) as forecast_category) v",
            where="t.pipeline = v.pipeline and t.stage = v.stage and (t.position, t.kind, "
            "t.forecast_category) is distinct from (v.position, v.kind, v.forecast_category)",
            **given,
        )
        changed += tracker.insert(
            session,
            "stages",
            "insert into stages (pipeline, stage, position, kind, forecast_category) values "
            "(:pipeline, :stage, :position, :kind, :forecast_category) on conflict do nothing",
            **given,
        )
    return changed


def load(
    session: Session,
    scratch: Scratch,
    compiled: list[Compiled],
    *,
    company: Company,
    recorded_at: dt.datetime,
    progress: Progress,
    derived: dict[str, int],
    mapping: Mapping,
    tracker: Tracker,
) -> list[Stage]:
    """Load every table in the order of their references; return the judged stages."""
    ordered = sorted(compiled, key=lambda item: _ORDER[item.table.name])
    stages: list[Stage] = []
    waiting: dict[int, Stage] = {}
    with preparing.prepared(scratch, _as_taken(ordered), currency=company.currency) as rows:
        for position, item in enumerate(ordered):
            stage = waiting.pop(position, None) or _stage(
                session, rows, item, position, progress, mapping, tracker
            )
            stages.append(stage)
            progress(f"writing {item.table.name}", 0, None)
            if item.table.name == "opportunities":
                events = _events_of(ordered)
                if events is not None:
                    waiting[events] = _stage(
                        session, rows, ordered[events], events, progress, mapping, tracker
                    )
                beside = waiting.get(events or -1)
                _load_deals(session, stage, beside, company, recorded_at, derived)
            elif item.table.name == _WAITS_FOR_ROWS:
                _load_late_events(session, stage)
            else:
                _load_plain(session, stage, company, recorded_at)
    tracker.keep_events(session)
    plausibility.check(session, stages, recorded_at=recorded_at)
    _tell_the_planner(session, stages)
    return stages


def _tell_the_planner(session: Session, stages: list[Stage]) -> None:
    """Renew the statistics of what was written; the first questions come before autovacuum.

    Without them a rep's first page took 38 s instead of 1.4 s after the demo's import.
    """
    for stage in stages:
        run(session, f"analyze {quoted(stage.table.name)}")


def _as_taken(ordered: list[Compiled]) -> list[Compiled]:
    """Return the tables as :func:`load` takes them: events right after the deals they are of."""
    events = _events_of(ordered)
    deals = [item for item in ordered if item.table.name == "opportunities"]
    if events is None or not deals:
        return ordered
    taken = []
    for position, item in enumerate(ordered):
        if position != events:
            taken.append(item)
        if item in deals:
            taken.append(ordered[events])
    return taken


def _events_of(ordered: list[Compiled]) -> int | None:
    for position, item in enumerate(ordered):
        if item.table.name == _WAITS_FOR_ROWS:
            return position
    return None


def _stage(
    session: Session,
    rows: Prepared,
    item: Compiled,
    position: int,
    progress: Progress,
    mapping: Mapping,
    tracker: Tracker,
) -> Stage:
    """Bring the rows of a table in and judge them by themselves and among each other."""
    specs = {target.name: target.spec for target in item.targets}
    stage = Stage(
        name=f"stage_{position}_{item.table.name}",
        table=item.table,
        columns=dict(item.columns),
        file=mapping.file_of(item.spec.source),
        tracker=tracker,
        unknown_becomes_null={n for n, spec in specs.items() if spec.unknown == "null"},
        known_at_created={n for n, spec in specs.items() if spec.known_at == "created"},
    )
    staging.create(session, stage)
    staging.fill(session, stage, rows.table(), progress=progress)
    merged.redirect(session, stage)
    staging.settle_duplicates(session, stage)
    custom_rules.check(session, stage)
    return stage


def _load_plain(session: Session, stage: Stage, company: Company, recorded_at: dt.datetime) -> None:
    staging.settle_references(session, stage)
    hierarchies.settle(session, stage)
    loading.check_rules(session, stage)
    if stage.table.name == "company":
        loading.upsert_company(session, stage)
    elif stage.table.name in _VERSIONED:
        loading.append_versions(
            session, stage, recorded_at=recorded_at, time_zone=company.time_zone
        )
    else:
        loading.upsert(session, stage)


def _load_deals(
    session: Session,
    stage: Stage,
    events: Stage | None,
    company: Company,
    recorded_at: dt.datetime,
    derived: dict[str, int],
) -> None:
    staging.settle_references(session, stage)
    incoming = opportunities.Incoming(
        table=stage.name,
        columns=frozenset(stage.columns),
        known_at_created=frozenset(stage.known_at_created),
        events=None if events is None else events.name,
        recorded_at=recorded_at,
        currency=company.currency,
    )
    opportunities.check(session, incoming)
    known = f"select id from {stage.name} where _verdict is null"
    if events is not None:
        known += f" union select opportunity_id from {events.name} where _verdict is null"
    stage.tracker.remember_deals(session, known)
    opportunities.record_rows(session, incoming)
    if events is not None:
        staging.settle_references(session, events)
        opportunities.record_events(session, events.name, frozenset(events.columns), deals=incoming)
    derived["opportunity_events"] = completion.complete(session, incoming)
    stage.tracker.keep_deals(session, stage.name)


def _load_late_events(session: Session, stage: Stage) -> None:
    """Record events that came without their deals: the deals are in the store already."""
    undecided = f"select count(*) from {stage.name} where _verdict is null"
    if not staging.scalar(session, undecided):
        return
    staging.settle_references(session, stage)
    stage.tracker.remember_deals(
        session, f"select opportunity_id from {stage.name} where _verdict is null"
    )
    completion.record_late_events(session, stage.name, frozenset(stage.columns))
    stage.tracker.keep_deals(session, None)


def translations(scratch: Scratch, item: Compiled) -> list[Finding]:
    """Return how often each value was translated into another."""
    findings = []
    for target in [*item.targets, *item.custom]:
        changes = {old: new for old, new in target.spec.values.items() if old != new}
        if not changes or target.spec.column is None:
            continue
        if target.spec.column not in scratch.columns(item.spec.source):
            continue
        words = ", ".join(literal(word) for word in changes)
        name = quoted(target.spec.column)
        rows = scratch.rows(
            f"select trim({name}), count(*) from {quoted(item.spec.source)} "
            f"where trim({name}) in ({words}) group by 1 order by 1",
            "The count of translations",
        )
        findings += [
            Finding(
                "translated",
                item.table.name,
                target.name,
                int(count),
                f"{target.spec.column} {old!r} was read as {changes[old]!r}",
            )
            for old, count in rows
        ]
    return findings
