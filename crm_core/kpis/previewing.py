"""What a draft of a metric would give, and what it would change, before anybody publishes it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace

from sqlalchemy import Subquery, and_, func, select
from sqlalchemy.orm import Session

from crm_core.kpis import definitions, queries
from crm_core.kpis.arithmetic import MetricValue
from crm_core.kpis.defined_rows import lineage
from crm_core.kpis.definitions import Resolved, resolve
from crm_core.kpis.drafts import Definition, Draft
from crm_core.kpis.operations import check_draft
from crm_core.kpis.queries import MetricRow
from crm_core.kpis.question import Question
from crm_core.kpis.sources import rows_of
from crm_core.people import permissions
from crm_core.people.queries import HasRole, Visibility, company_day
from crm_core.periods import Period

ROWS = 100
_BEFORE = "the version in force"


@dataclass(frozen=True, slots=True)
class Changed:
    """How the rows of a draft differ from those of the version in force."""

    entering: int
    leaving: int
    revalued: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """A draft's number beside the one of the version in force, and the newest rows behind it.

    ``rows_changed`` is None for a ratio or without a version in force; ``dependents`` are the
    metrics whose numbers would change too.
    """

    definition: Definition
    value: MetricValue
    current: MetricValue | None
    rows: tuple[MetricRow, ...]
    rows_changed: Changed | None
    lineage: tuple[str, ...]
    dependents: tuple[str, ...]


def preview(
    session: Session,
    draft: Draft,
    *,
    viewer: HasRole,
    scope: Visibility,
    period: Period,
    as_of: dt.datetime,
) -> Preview:
    """Return what a draft gives for a period; nothing is written.

    Raises MayNot and DraftInvalid.
    """
    permissions.require(viewer, "edit", "metric_definitions")
    check_draft(session, draft)
    made = Definition(
        draft=draft, version=definitions.newest_version(session, draft.id) + 1,
        valid_from=company_day(session, as_of), recorded_at=as_of, reason="preview",
    )  # fmt: skip
    drafted = resolve(session, [draft.id], as_of=as_of, instead={draft.id: made})
    asked = queries.question(session, scope=scope, period=period, as_of=as_of, chosen=drafted)
    value = queries.values_as_asked(session, drafted.metrics, asked)[draft.id]
    current, changed = None, None
    if draft.id in definitions.in_force(session, as_of=as_of):
        before = resolve(session, [draft.id], as_of=as_of)
        then = queries.question(session, scope=scope, period=period, as_of=as_of, chosen=before)
        current = queries.values_as_asked(session, before.metrics, then)[draft.id]
        changed = _changed(session, draft.id, before=then, after=asked)
    return Preview(
        definition=made,
        value=value,
        current=current,
        rows=_rows(session, drafted, asked, draft.id),
        rows_changed=changed,
        lineage=lineage_of(drafted, draft.id),
        dependents=definitions.dependents(session, draft.id),
    )


def _rows(
    session: Session, chosen: Resolved, asked: Question, metric_id: str
) -> tuple[MetricRow, ...]:
    item = chosen.with_rows(metric_id)
    if item.goal is not None:
        return ()
    return tuple(queries.rows_as_asked(session, item, asked, limit=ROWS, offset=0))


def lineage_of(chosen: Resolved, metric_id: str) -> tuple[str, ...]:
    """Return what a metric is computed from: columns of facts, or other metrics."""
    own = chosen.checked.get(metric_id)
    item = chosen.by_id[metric_id]
    if own is not None and own.fact is not None:
        return lineage(own.fact, own)
    return item.parts or (item.source, item.event_date)


def _changed(
    session: Session, metric_id: str, *, before: Question, after: Question
) -> Changed | None:
    """Return how many rows come, go and are worth something else, by one statement."""
    if metric_id not in before.defined or metric_id not in after.defined:
        return None
    # one question for both, so that they share the relations they are made of
    both = replace(after, defined={**after.defined, _BEFORE: before.defined[metric_id]})
    old, new = (_seen(name, both) for name in (_BEFORE, metric_id))
    same = and_(
        old.c.kind == new.c.kind,
        old.c.row_id == new.c.row_id,
        func.coalesce(old.c.user_id, "") == func.coalesce(new.c.user_id, ""),
    )
    is_new, is_gone = old.c.row_id.is_(None), new.c.row_id.is_(None)
    differs = old.c.value.is_distinct_from(new.c.value) | (
        old.c.label.is_distinct_from(new.c.label)
    )
    row = session.execute(
        select(
            func.count().filter(is_new),
            func.count().filter(is_gone),
            func.count().filter(and_(~is_new, ~is_gone, differs)),
        ).select_from(new.join(old, same, full=True))
    ).one()
    return Changed(*row)


def _seen(name: str, asked: Question) -> Subquery:
    rows = rows_of(name, asked).subquery()
    return select(rows).where(asked.scope.condition(rows.c.user_id)).subquery()
