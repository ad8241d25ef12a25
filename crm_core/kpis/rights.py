"""Who may see a metric at all, and who may take its rows along: asked of the one declaration.

Whose rows a number is of is decided by ``people.queries.visible_to``; here it is about what the
number tells: a margin tells costs, which most roles may not read.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection

from sqlalchemy.orm import Session

from crm_core.kpis.attributes import Attribute
from crm_core.kpis.definitions import resolve
from crm_core.kpis.metric import Metric
from crm_core.people import permissions
from crm_core.people.permissions import MayNot
from crm_core.people.queries import HasRole, Visibility

TELLS: dict[str, tuple[str, str]] = {
    "margins": ("orders", "cost"),
    "open_deals_margin": ("orders", "cost"),
    "gross_margin": ("orders", "cost"),
    "pipeline_margin": ("orders", "cost"),
}
"""The field that a number over a source, or with a metric as its part, gives away."""

TABLES: dict[str, str] = {
    "order": "orders",
    "invoice": "invoices",
    "payment": "payments",
    "opportunity": "opportunities",
    "activity": "activities",
    "account": "accounts",
    "lead": "leads",
    "subscription": "subscriptions",
}
"""The table whose records rows of a kind are."""


def may_see(viewer: HasRole, item: Metric, *, facts: Collection[str] = ()) -> bool:
    """Return whether the person's role may read what the metric tells.

    ``facts`` are what a user-defined one is computed from.
    """
    told = {TELLS[name] for name in (item.source, *item.parts, *facts) if name in TELLS}
    return all(permissions.allowed(viewer, "view", table, field) for table, field in told)


def require(session: Session, viewer: HasRole, metric_id: str, *, as_of: dt.datetime) -> Metric:
    """Return the metric of that id, shipped or user-defined.

    Raises UnknownMetric, and MayNot unless the person may see it and all it is made of.
    """
    found = resolve(session, [metric_id], as_of=as_of)
    facts = [each.draft.fact for each in found.definitions.values() if each.draft.fact]
    if not all(may_see(viewer, item, facts=facts) for item in found.metrics):
        raise MayNot(
            f"Your role ({viewer.role}) may not see {metric_id}: it tells costs; ask an "
            "administrator."
        )
    return found.by_id[metric_id]


def may_export(viewer: HasRole, kind: str, *, visibility: Visibility) -> bool:
    """Return whether all visible rows of a kind may be exported.

    Part of a number's rows would not sum to it.
    """
    table = TABLES.get(kind, kind)
    return permissions.within(viewer, "export", table, visibility=visibility) == visibility


_DIMENSIONS: dict[str, tuple[str, str]] = {
    "region": ("accounts", "region"),
    "country": ("accounts", "country"),
    "industry": ("accounts", "industry"),
    "tier": ("accounts", "tier"),
    "product_family": ("products", "family"),
    "source": ("opportunities", "source"),
}
"""The field that slicing by a dimension reads."""


def may_slice(viewer: HasRole, dimension: Attribute) -> bool:
    """Return whether the person's role may read the field that a dimension tells."""
    if dimension.roles is not None and viewer.role not in dimension.roles:
        return False
    read = _DIMENSIONS.get(dimension.name)
    return read is None or permissions.allowed(viewer, "view", *read)


def require_dimensions(viewer: HasRole, dimensions: Collection[Attribute]) -> None:
    """Raise MayNot for a dimension that tells what the person may not read."""
    for each in dimensions:
        if not may_slice(viewer, each):
            raise MayNot(
                f"Your role ({viewer.role}) may not see {each.name}; ask an administrator."
            )


def require_exportable(viewer: HasRole, kind: str, *, visibility: Visibility) -> None:
    """Raise MayNot unless :func:`may_export`."""
    table = TABLES.get(kind, kind)
    permissions.require(viewer, "export", table)
    if not may_export(viewer, kind, visibility=visibility):
        raise MayNot(
            f"Your role ({viewer.role}) may export only your own {table}; choose yourself."
        )
