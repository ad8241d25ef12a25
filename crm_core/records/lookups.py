"""Finding rows by their keys, as typed values that the database can look up."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import false, tuple_

from crm_core.records import filters, keys
from crm_core.records.filters import FilterInvalid
from crm_core.records.tables import Relation, Shape


def among(shape: Shape, relation: Relation, wanted: Collection[str]) -> Any:  # noqa: ANN401 - SQL
    """Return the condition that a row has one of these keys."""
    if not shape.key:
        return relation.c.id == (1 if shape.name in wanted else 0)
    parts = [typed for key in wanted if (typed := _typed(shape, key)) is not None]
    if not parts:
        return false()
    if len(shape.key) == 1:
        return relation.c[shape.key[0]].in_([part[0] for part in parts])
    return tuple_(*(relation.c[name] for name in shape.key)).in_(parts)


def _typed(shape: Shape, key: str) -> tuple[Any, ...] | None:
    """Return the stored values of a key, None when no record can have it."""
    parts = keys.split(key, parts=len(shape.key))
    if parts is None:
        return None
    try:
        return tuple(
            filters.value(
                "integer" if name == "sequence" else shape.column(name).kind, part, field=name
            )
            for name, part in zip(shape.key, parts, strict=True)
        )
    except FilterInvalid:
        return None
