"""Where one person stands among their peers, telling nobody else's number: pure numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Literal

FEWEST = 5
"""Peers, oneself included, below which nothing is told: one could work out who is who."""

STEP = Decimal("0.05")
"""The band's edges are told to whole steps, outwards, so that no edge is one person's number."""


@dataclass(frozen=True, slots=True)
class Place:
    """A rank among peers (1 is best, equals share it), and a band that holds half or more."""

    rank: int
    peers: int
    low: Decimal
    high: Decimal


def place(
    values: Mapping[str, Decimal], who: str, *, direction: Literal["higher", "lower"] = "higher"
) -> Place | None:
    """Return where somebody stands among ``values``, of whom they are one.

    None for who is not among them, and among fewer than FEWEST. The values are ratios.
    """
    if who not in values or len(values) < FEWEST:
        return None
    own, ordered = values[who], sorted(values.values())
    better = [each for each in ordered if (each > own if direction == "higher" else each < own)]
    return Place(
        rank=len(better) + 1,
        peers=len(ordered),
        low=_to_step(ordered[(len(ordered) - 1) // 4], ROUND_FLOOR),
        high=_to_step(ordered[-1 - (len(ordered) - 1) // 4], ROUND_CEILING),
    )


def _to_step(value: Decimal, rounding: str) -> Decimal:
    return (value / STEP).quantize(Decimal(1), rounding=rounding) * STEP
