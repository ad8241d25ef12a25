"""Pure geometry of a forecast's charts: amounts in, percent of a width out.

A file of its own beside ``charts.py``: what stands in it is money, not probability.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from crm_core.forecasts.bridges import Bridge

_SMALL = 0.4
_BELOW = 0.6


@dataclass(frozen=True, slots=True)
class Fall:
    """One bar of the bridge; ``sign`` 0 for the two ends. In percent of the width."""

    term: str
    minor: int
    start: float
    width: float
    sign: int


@dataclass(frozen=True, slots=True)
class Falls:
    """The bridge's bars. ``base`` is the amount at the left edge, zero unless that hides all."""

    bars: tuple[Fall, ...]
    base: int
    top: int


@dataclass(frozen=True, slots=True)
class Stack:
    """Amounts that include one another, against a mark; in percent of the width."""

    parts: tuple[tuple[str, float, float], ...]
    mark: float | None


def falls(bridge: Bridge) -> Falls:
    """Return the bridge as bars, each from where the one before ended.

    Where the change is small beside the whole the axis does not begin at zero: else no bar
    could be seen. The page says where it begins.
    """
    levels = [bridge.opening]
    for span in bridge.spans:
        levels.append(levels[-1] + span.minor)
    low, high = min(levels), max(levels)
    base = min(0, low)
    if low > 0 and high - low < _SMALL * high:
        base = max(0, int(low - _BELOW * max(high - low, high // 20)))
    width = max(1, max(0, high) - base)

    def x(level: int) -> float:
        return 100 * (level - base) / width

    zero = max(0.0, x(0))
    bars = [_end("opening", bridge.opening, zero, x(bridge.opening))]
    for before, after, span in zip(levels, levels[1:], bridge.spans, strict=False):
        left, right = sorted((x(before), x(after)))
        bars.append(Fall(span.term, span.minor, left, right - left, 1 if span.minor > 0 else -1))
    bars.append(_end("closing", bridge.closing, zero, x(bridge.closing)))
    return Falls(tuple(bars), base, max(0, high))


def _end(name: str, minor: int, zero: float, at: float) -> Fall:
    return Fall(name, minor, min(zero, at), abs(at - zero), 0)


def stack(levels: Sequence[tuple[str, int]], *, mark: int | None) -> Stack | None:
    """Return amounts, each at least the one before, as parts of one bar; None without any."""
    most = max([minor for _, minor in levels] + [mark or 0])
    if most <= 0:
        return None
    parts, reached = [], 0
    for name, minor in levels:
        level = max(reached, minor)
        parts.append((name, 100 * reached / most, 100 * (level - reached) / most))
        reached = level
    return Stack(tuple(parts), None if mark is None else 100 * mark / most)
