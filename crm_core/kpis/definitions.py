"""Which metrics there are at a time, shipped and user-defined, and what each is made of."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from crm_core.errors import Invalid
from crm_core.kpis.catalogue import CATALOGUE
from crm_core.kpis.catalogue import metric as shipped_metric
from crm_core.kpis.checking import Checked, checked
from crm_core.kpis.defined_rows import defined_rows
from crm_core.kpis.drafts import PREFIX, Definition, Draft
from crm_core.kpis.metric import Metric, UnknownMetric
from crm_core.kpis.models import MetricVersion
from crm_core.kpis.question import Defined
from crm_core.people.queries import company_day

_MOST_DEEP = 20


class Entangled(Invalid):
    """A metric is computed from itself, or from too long a chain of others."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """Metrics with all their parts, each after its parts, and the rows of the defined ones."""

    metrics: tuple[Metric, ...]
    definitions: Mapping[str, Definition] = field(default_factory=dict)
    checked: Mapping[str, Checked] = field(default_factory=dict)

    @property
    def rows(self) -> dict[str, Defined]:
        """How the rows of each user-defined metric are asked for."""
        return {
            name: Defined(partial(defined_rows, each), each.fact.known, each.fact.nothing)
            for name, each in self.checked.items()
            if each.fact is not None
        }

    @property
    def by_id(self) -> dict[str, Metric]:
        """The metrics by id."""
        return {item.id: item for item in self.metrics}

    def with_rows(self, metric_id: str) -> Metric:
        """Return the metric whose rows stand for one: of a ratio, its numerator's."""
        item = self.by_id[metric_id]
        while item.aggregation == "quotient":
            item = self.by_id[item.parts[0]]
        return item

    def sources_of(self, metric_id: str) -> tuple[str, ...]:
        """Return the sources whose rows a metric is computed from, its parts' included."""
        found: list[str] = []
        waiting = [metric_id]
        while waiting:
            name = waiting.pop()
            item = self.by_id.get(name) or shipped_metric(name)
            own = self.checked.get(name)
            if item.parts:
                waiting += item.parts
            elif own is None or own.fact is None:
                found.append(item.source)
            else:
                found.append(own.fact.source)
        return tuple(dict.fromkeys(found))

    def parts_of(self, metric_id: str) -> dict[str, int]:
        """Return the versions of the user-defined metrics that one is made of, without itself."""
        found: dict[str, int] = {}
        waiting = list(self.by_id[metric_id].parts)
        while waiting:
            part = waiting.pop()
            if part in self.definitions and part not in found:
                found[part] = self.definitions[part].version
                waiting += self.by_id[part].parts
        return found


def all_metrics(session: Session, *, as_of: dt.datetime) -> tuple[Metric, ...]:
    """Return the shipped metrics and the user-defined ones in force, in the same form."""
    own = in_force(session, as_of=as_of)
    return (*CATALOGUE, *(own[name].metric() for name in sorted(own)))


def shipped() -> dict[str, Metric]:
    """Return the shipped metrics by id."""
    return {item.id: item for item in CATALOGUE}


def in_force(session: Session, *, as_of: dt.datetime) -> dict[str, Definition]:
    """Return the user-defined metrics that were known and had begun, without retired ones."""
    found = _newest(session, _known(session, as_of))
    return {name: each for name, each in found.items() if not each.is_retired}


def to_come(session: Session) -> dict[str, Definition]:
    """Return the newest version of every user-defined metric, begun or not, retired or not."""
    return _newest(session, ())


def history(session: Session, metric_id: str) -> tuple[Definition, ...]:
    """Return every version of a user-defined metric, newest first. Raises UnknownMetric."""
    rows = session.scalars(
        select(MetricVersion)
        .where(MetricVersion.metric == metric_id)
        .order_by(MetricVersion.version.desc())
    ).all()
    if not rows:
        raise UnknownMetric(f"There is no metric {metric_id!r}.")
    return tuple(_definition(row) for row in rows)


def _known(session: Session, as_of: dt.datetime) -> tuple[ColumnElement[bool], ...]:
    day = company_day(session, as_of)
    return (MetricVersion.recorded_at <= as_of, MetricVersion.valid_from <= day)


def _newest(session: Session, known: Iterable[Any]) -> dict[str, Definition]:
    rows = session.scalars(
        select(MetricVersion)
        .ext(distinct_on(MetricVersion.metric))
        .where(*known)
        .order_by(MetricVersion.metric, MetricVersion.version.desc())
    )
    return {row.metric: _definition(row) for row in rows}


def _definition(row: MetricVersion) -> Definition:
    return Definition(
        draft=Draft.of({**row.definition, "id": row.metric}), version=row.version,
        valid_from=row.valid_from, recorded_at=row.recorded_at, reason=row.reason,
        is_retired=row.is_retired, owner_id=row.owner_id, user_id=row.user_id,
    )  # fmt: skip


def resolve(
    session: Session,
    metric_ids: Iterable[str],
    *,
    as_of: dt.datetime,
    instead: Mapping[str, Definition] | None = None,
) -> Resolved:
    """Return the metrics of these ids with all their parts, as defined at a time.

    ``instead`` are definitions that count in place of the stored ones, for a preview. Without
    user-defined metrics nothing is read. Raises UnknownMetric.
    """
    wanted = list(metric_ids)
    if not any(name.startswith(PREFIX) for name in wanted):
        return Resolved(tuple(_with_parts(wanted, {})))
    known = {**in_force(session, as_of=as_of), **(instead or {})}
    metrics = tuple(_with_parts(wanted, known))
    used = {item.id: known[item.id] for item in metrics if item.id in known}
    return Resolved(metrics, used, {name: checked(session, d.draft) for name, d in used.items()})


def _with_parts(wanted: Iterable[str], known: Mapping[str, Definition]) -> list[Metric]:
    """Return the metrics, the parts of a ratio before it, each once."""
    found: dict[str, Metric] = {}

    def add(metric_id: str, above: tuple[str, ...]) -> None:
        if metric_id in found:
            return
        if metric_id in above or len(above) > _MOST_DEEP:
            raise Entangled(f"{metric_id} is computed from itself: {' → '.join(above)}.")
        item = _one(metric_id, known)
        if item.aggregation == "quotient":
            for part in item.parts:
                add(part, (*above, metric_id))
        found[metric_id] = item

    for metric_id in wanted:
        add(metric_id, ())
    return list(found.values())


def _one(metric_id: str, known: Mapping[str, Definition]) -> Metric:
    if not metric_id.startswith(PREFIX):
        return shipped_metric(metric_id)
    if metric_id not in known:
        own = ", ".join(sorted(known)) or "none of your own yet"
        raise UnknownMetric(
            f"There is no metric {metric_id!r} at that time; besides the shipped ones there are "
            f"{own}."
        )
    return known[metric_id].metric()


def dependents(session: Session, metric_id: str) -> tuple[str, ...]:
    """Return the user-defined metrics that are computed from one, directly or through others."""
    return above(parts_by_metric(session), metric_id)


def parts_by_metric(session: Session) -> dict[str, tuple[str, ...]]:
    """Return the parts of every user-defined metric that is not retired."""
    found = to_come(session)
    return {name: each.draft.parts for name, each in found.items() if not each.is_retired}


def above(edges: Mapping[str, tuple[str, ...]], metric_id: str) -> tuple[str, ...]:
    """Return the metrics that are computed from one, directly or through others."""
    found: set[str] = set()
    waiting = {metric_id}
    while waiting:
        waiting = {name for name, parts in edges.items() if waiting & set(parts)} - found
        found |= waiting
    return tuple(sorted(found - {metric_id}))


def newest_version(session: Session, metric_id: str) -> int:
    """Return the highest version of a user-defined metric, 0 before the first."""
    highest = select(func.max(MetricVersion.version)).where(MetricVersion.metric == metric_id)
    return session.scalar(highest) or 0
