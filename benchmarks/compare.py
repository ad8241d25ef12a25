"""Run ours and the reference by turns in the same minute and print how they compare."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Comparison:
    """Seconds of both sides, one figure per turn, and how much work one turn was."""

    name: str
    ours: tuple[float, ...]
    reference: tuple[float, ...]
    work: float
    unit: str
    note: str = ""

    @property
    def ratio(self) -> float:
        """Our median time over the reference's: 1 is as fast, 2 is twice as slow."""
        return statistics.median(self.ours) / statistics.median(self.reference)

    def lines(self) -> list[str]:
        """Return what is printed; the last line is the ratio alone, for a script."""
        rows = [
            f"{self.name}: {self.work:,.0f} {self.unit}, {len(self.ours)} turns each",
            _speed("ours", self.ours, self.work, self.unit),
            _speed("reference", self.reference, self.work, self.unit),
        ]
        if self.note:
            rows.append(f"  {self.note}")
        return [*rows, f"RATIO {self.name} {self.ratio:.2f}"]


def by_turns(
    ours: Callable[[], object], reference: Callable[[], object], *, turns: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the seconds of each side; they alternate, so that a busy minute hits both."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(turns):
        for side, work in zip(times, (ours, reference), strict=True):
            started = time.perf_counter()
            work()
            side.append(time.perf_counter() - started)
    return tuple(times[0]), tuple(times[1])


def say(text: str) -> None:
    """Tell what is being prepared, apart from the figures."""
    print(text, file=sys.stderr, flush=True)


def _speed(side: str, seconds: tuple[float, ...], work: float, unit: str) -> str:
    middle = statistics.median(seconds)
    spread = f"{min(seconds):.4g}–{max(seconds):.4g} s"
    return f"  {side:<10}{middle:9.4g} s  {work / middle:12,.0f} {unit}/s  ({spread})"
