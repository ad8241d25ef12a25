"""A generated company, read as tables of text."""

from __future__ import annotations

import csv
import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from crm_core.simulation import Summary, generate

UNTIL = dt.date(2026, 7, 1)
Row = dict[str, str]


@dataclass(frozen=True)
class Generated:
    """A generated folder, its truth, its summary."""

    folder: Path
    truth: Path
    summary: Summary

    def rows(self, table: str) -> list[Row]:
        """Return a table's rows as texts; an empty cell is an empty text."""
        with (self.folder / f"{table}.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))


def made(home: Path, *, seed: int, size: str = "small") -> Generated:
    """Generate a company under a folder of the test's own."""
    folder, truth = home / "company", home / "truth"
    summary = generate(folder, seed=seed, size=size, until=UNTIL, truth=truth)  # type: ignore[arg-type]
    return Generated(folder, truth, summary)
