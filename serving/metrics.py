"""The catalogue of metrics: what each means, what it is made of, since when, and by whom.

For the page and the API alike; what a person may not see is not listed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from crm_core.database import company_wide
from crm_core.kpis import attributes, definitions, facts, freshness, previewing, rights
from crm_core.kpis import slices as slicing
from crm_core.kpis.attributes import Attribute
from crm_core.kpis.definitions import Resolved, resolve
from crm_core.kpis.drafts import PREFIX, Definition, Draft
from crm_core.kpis.facts import Fact
from crm_core.kpis.metric import Metric
from crm_core.kpis.previewing import Preview
from crm_core.kpis.queries import MetricRow
from crm_core.kpis.slices import Slices
from crm_core.people import queries as people
from crm_core.people.queries import Viewer, Visibility
from crm_core.periods import Period
from serving.performance import CREDIT


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A metric with what it rests on.

    ``lineage`` names the columns or metrics it is computed from; ``draft`` is what a
    user-defined one says and ``versions`` all it ever said, newest first, both None or empty for
    a shipped one. ``owner`` is a name.
    """

    metric: Metric
    lineage: tuple[str, ...]
    dependents: tuple[str, ...]
    draft: Draft | None = None
    owner: str | None = None
    versions: tuple[Definition, ...] = ()


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What formulas may name: the facts, each with its fields, and what numbers are sliced by."""

    facts: tuple[tuple[Fact, tuple[Attribute, ...]], ...]
    dimensions: tuple[Attribute, ...]


def cards(session: Session, *, viewer: Viewer, as_of: dt.datetime) -> tuple[Card, ...]:
    """Return every metric in force that the viewer may see, the shipped ones first."""
    every = definitions.all_metrics(session, as_of=as_of)
    chosen = resolve(session, [item.id for item in every], as_of=as_of)
    owners = _owners(session, chosen.definitions.values())
    edges = definitions.parts_by_metric(session)
    return tuple(
        _card(chosen, item, owners, definitions.above(edges, item.id))
        for item in every
        if rights.may_see(viewer, item, facts=_facts_under(chosen, item.id))
    )


def card(session: Session, metric_id: str, *, viewer: Viewer, as_of: dt.datetime) -> Card:
    """Return one metric with every version. Raises UnknownMetric and MayNot."""
    item = rights.require(session, viewer, metric_id, as_of=as_of)
    chosen = resolve(session, [metric_id], as_of=as_of)
    versions = definitions.history(session, metric_id) if metric_id.startswith(PREFIX) else ()
    seen = tuple(each for each in versions if each.recorded_at <= as_of)
    above = definitions.dependents(session, metric_id)
    return _card(chosen, item, _owners(session, seen), above, seen)


def _facts_under(chosen: Resolved, metric_id: str) -> list[str]:
    names = (metric_id, *chosen.parts_of(metric_id))
    drafts = [chosen.definitions[name].draft for name in names if name in chosen.definitions]
    return [draft.fact for draft in drafts if draft.fact is not None]


def _card(
    chosen: Resolved,
    item: Metric,
    owners: dict[str, str],
    dependents: tuple[str, ...],
    versions: Sequence[Definition] = (),
) -> Card:
    own = chosen.definitions.get(item.id)
    owner_id = None if own is None else own.owner_id
    return Card(
        metric=item,
        lineage=previewing.lineage_of(chosen, item.id),
        dependents=dependents,
        draft=None if own is None else own.draft,
        owner=None if owner_id is None else owners.get(owner_id, owner_id),
        versions=tuple(versions),
    )


def _owners(session: Session, defined: Iterable[Definition]) -> dict[str, str]:
    return people.names(session, {each.owner_id for each in defined if each.owner_id is not None})


def vocabulary(session: Session, *, viewer: Viewer) -> Vocabulary:
    """Return what a formula and a slice may name."""
    known = attributes.dimensions(session)
    return Vocabulary(
        tuple((fact, tuple(facts.fields(session, fact).values())) for fact in facts.FACTS),
        tuple(each for each in known.values() if rights.may_slice(viewer, each)),
    )


def preview(
    session: Session,
    draft: Draft,
    *,
    viewer: Viewer,
    visibility: Visibility,
    period: Period,
    as_of: dt.datetime,
) -> Preview:
    """Return what a draft would give and change. Raises MayNot and DraftInvalid."""
    with company_wide(session, reason=CREDIT):
        return previewing.preview(
            session, draft, viewer=viewer, scope=visibility, period=period, as_of=as_of
        )


def sliced(
    session: Session,
    metric_id: str,
    *,
    by: Sequence[str],
    viewer: Viewer,
    visibility: Visibility,
    period: Period,
    as_of: dt.datetime,
) -> Slices:
    """Return a number in its parts.

    Raises UnknownMetric, UnknownDimension, NotSliceable and MayNot.
    """
    rights.require(session, viewer, metric_id, as_of=as_of)
    rights.require_dimensions(viewer, slicing.dimensions_named(session, by))
    with company_wide(session, reason=CREDIT):
        return slicing.slices(
            session, metric_id, by=by, scope=visibility, period=period, as_of=as_of
        )


def cell_rows(
    session: Session,
    metric_id: str,
    *,
    by: Sequence[str],
    key: Sequence[object],
    viewer: Viewer,
    visibility: Visibility,
    period: Period,
    as_of: dt.datetime,
    limit: int,
    offset: int,
) -> list[MetricRow]:
    """Return the rows of one part of a number, latest day first. Raises as :func:`sliced`."""
    rights.require(session, viewer, metric_id, as_of=as_of)
    rights.require_dimensions(viewer, slicing.dimensions_named(session, by))
    with company_wide(session, reason=CREDIT):
        return slicing.slice_rows(
            session, metric_id, by=by, key=key, scope=visibility, period=period, as_of=as_of,
            limit=limit, offset=offset,
        )  # fmt: skip


def newest_fact_at(
    session: Session, metric_ids: Sequence[str], *, as_of: dt.datetime
) -> dt.datetime | None:
    """Return when the newest fact that metrics may rest on was recorded, None before the first.

    Of the whole company's facts: it says how fresh the store is, and tells nothing of any.
    """
    chosen = resolve(session, metric_ids, as_of=as_of)
    kinds = freshness.kinds_under(chosen)
    with company_wide(session, reason=CREDIT):
        return freshness.newest_fact(session, as_of=as_of, kinds=kinds)
