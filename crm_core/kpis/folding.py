"""Amounts of org units added up along the tree: pure numbers, so that parts sum to the whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

Kind = TypeVar("Kind")


def folded(
    parents: Mapping[str, str | None], own: Mapping[str | None, Mapping[Kind, int]]
) -> dict[str | None, dict[Kind, int]]:
    """Return, by unit, its own amounts and those of every unit below; the whole under None.

    ``own`` holds what lies directly in a unit, under None what lies in none. A unit that is not
    in ``parents`` counts in the whole alone. A circle of units is walked once.
    """
    result: dict[str | None, dict[Kind, int]] = {None: {}}
    for unit, amounts in own.items():
        for above in (*ancestors(parents, unit), None):
            into = result.setdefault(above, {})
            for kind, amount in amounts.items():
                into[kind] = into.get(kind, 0) + amount
    return result


def ancestors(parents: Mapping[str, str | None], unit: str | None) -> tuple[str, ...]:
    """Return the unit and those above it, itself first; nothing for an unknown one."""
    found: list[str] = []
    while unit is not None and unit in parents and unit not in found:
        found.append(unit)
        unit = parents[unit]
    return tuple(found)
