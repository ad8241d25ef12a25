"""Any number by time, place, product, team, person, customer segment or own field, and its rows.

Visibility is applied to the rows before anything is added up. Every row lies in exactly one
cell, those without a value of a dimension in its cell None, so sums and counts of the cells add
up to the whole; medians, shares and different things counted do not (``is_additive``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import InstrumentedAttribute, Session

from crm_core.accounts.models import Account
from crm_core.errors import Invalid
from crm_core.kpis import attributes, queries
from crm_core.kpis.aggregates import aggregates, unrecorded_facts, values_of
from crm_core.kpis.arithmetic import MetricValue
from crm_core.kpis.attributes import Attribute
from crm_core.kpis.definitions import resolve
from crm_core.kpis.metric import Metric
from crm_core.kpis.queries import MetricRow
from crm_core.kpis.question import Question
from crm_core.kpis.slicing import Key, Slicing, key_of
from crm_core.opportunities.models import Opportunity
from crm_core.people.models import OrgUnit, User
from crm_core.people.queries import Visibility
from crm_core.periods import Period
from crm_core.products.models import Product

MOST_DIMENSIONS = 3
MOST_CELLS = 5_000
_ADDITIVE = ("sum", "count")
_NAMED: Mapping[str, tuple[Any, InstrumentedAttribute[Any]]] = {
    "person": (User, User.name),
    "team": (OrgUnit, OrgUnit.name),
    "account": (Account, Account.name),
    "product": (Product, Product.name),
    "opportunity": (Opportunity, Opportunity.name),
}


class NotSliceable(Invalid):
    """The metric has no rows of its own to tell apart, or too much was asked at once."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A part of a number. ``labels`` are what to show for the key, None for "none"."""

    key: Key
    labels: tuple[str | None, ...]
    value: MetricValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Slices:
    """A number in its parts, in the order of their keys, "none" last."""

    metric: Metric
    dimensions: tuple[Attribute, ...]
    period: Period
    as_of: dt.datetime
    whole: MetricValue
    cells: tuple[Cell, ...]

    @property
    def is_additive(self) -> bool:
        """Whether the cells sum to the whole."""
        return self.metric.aggregation in _ADDITIVE


def slices(
    session: Session,
    metric_id: str,
    *,
    by: Sequence[str],
    scope: Visibility,
    period: Period,
    as_of: dt.datetime,
) -> Slices:
    """Return a metric sliced by one to three dimensions, by a fixed number of statements.

    Raises UnknownMetric, UnknownDimension and NotSliceable.
    """
    dimensions = dimensions_named(session, by)
    chosen = resolve(session, [metric_id], as_of=as_of)
    _require_rows(chosen.metrics)
    asked = queries.question(session, scope=scope, period=period, as_of=as_of, chosen=chosen)
    found = cells_by_key(session, chosen.metrics, asked, dimensions)
    if len(found) > MOST_CELLS:
        raise NotSliceable(
            f"That makes {len(found)} cells, more than {MOST_CELLS}; slice by less or by one "
            "dimension at a time."
        )
    labels = _labels(session, dimensions, list(found))
    whole = queries.values_as_asked(session, chosen.metrics, asked)[metric_id]
    return Slices(
        metric=chosen.by_id[metric_id],
        dimensions=dimensions,
        period=period,
        as_of=as_of,
        whole=whole,
        cells=tuple(Cell(key, labels[key], found[key][metric_id]) for key in found),
    )


def slice_rows(
    session: Session,
    metric_id: str,
    *,
    by: Sequence[str],
    key: Sequence[Any],
    scope: Visibility,
    period: Period,
    as_of: dt.datetime,
    limit: int | None = None,
    offset: int = 0,
) -> list[MetricRow]:
    """Return the rows of one cell, latest day first; their values sum to its numerator.

    Raises UnknownMetric, UnknownDimension and NotSliceable.
    """
    dimensions = dimensions_named(session, by)
    if len(key) != len(dimensions):
        raise NotSliceable("A cell is named by one value per dimension.")
    chosen = resolve(session, [metric_id], as_of=as_of)
    _require_rows(chosen.metrics)
    asked = queries.question(session, scope=scope, period=period, as_of=as_of, chosen=chosen)
    return queries.rows_as_asked(
        session, chosen.with_rows(metric_id), asked, limit=limit, offset=offset,
        cell=(Slicing(dimensions), tuple(key)),
    )  # fmt: skip


def dimensions_named(session: Session, by: Sequence[str]) -> tuple[Attribute, ...]:
    """Return one to three dimensions. Raises UnknownDimension and NotSliceable."""
    if not 0 < len(by) <= MOST_DIMENSIONS or len(set(by)) != len(by):
        raise NotSliceable(f"Slice by one to {MOST_DIMENSIONS} different dimensions.")
    return tuple(attributes.chosen(attributes.dimensions(session), by))


def _require_rows(metrics: Sequence[Metric]) -> None:
    for item in metrics:
        if item.goal is not None:
            raise NotSliceable(
                f"{item.id} is measured against quotas, which are people's and units'; slice "
                f"{item.parts[0]} or ask for {item.id} by person or unit."
            )


def cells_by_key(
    session: Session, metrics: Sequence[Metric], asked: Question, dimensions: tuple[Attribute, ...]
) -> dict[Key, dict[str, MetricValue]]:
    """Return the metrics of each cell, by key, "none" last."""
    simple = [item for item in metrics if item.aggregation != "quotient"]
    sums = aggregates(session, asked, simple, grouping=Slicing(dimensions))
    unrecorded = unrecorded_facts(session, asked, simple)
    keys = {key_of(text): text for text in sums if text is not None}
    found = {}
    for key in sorted(keys, key=_order):
        values = values_of(simple, sums[keys[key]], asked, unrecorded)
        found[key] = queries.with_quotients(metrics, values, currency=asked.currency)
    return found


def _order(key: Key) -> tuple[tuple[bool, str], ...]:
    return tuple((part is None, str(part)) for part in key)


def _labels(
    session: Session, dimensions: Sequence[Attribute], keys: Sequence[Key]
) -> dict[Key, tuple[str | None, ...]]:
    """Return what to show for each key: names of people, units, customers, products and deals."""
    names: list[dict[Any, str]] = []
    for place, dimension in enumerate(dimensions):
        ids = {key[place] for key in keys} - {None}
        named = _NAMED.get(dimension.name)
        if named is None or not ids:
            names.append({})
            continue
        table, name = named
        found = session.execute(select(table.id, name).where(table.id.in_(sorted(ids))))
        names.append({row[0]: row[1] for row in found if row[1]})
    return {key: tuple(_label(part, names[i]) for i, part in enumerate(key)) for key in keys}


def _label(part: Any, names: Mapping[Any, str]) -> str | None:  # noqa: ANN401 - a key's part
    if isinstance(part, bool):
        return "true" if part else "false"
    return None if part is None else names.get(part, str(part))
