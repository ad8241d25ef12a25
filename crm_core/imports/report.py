"""What an import answers: counts that add up, findings, rejections, a profile of each file."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class TableCounts:
    """The fate of every row offered to one table; the last five sum to ``rows``."""

    rows: int
    inserted: int
    updated: int
    unchanged: int
    rejected: int
    duplicate: int

    def plus(self, other: TableCounts) -> TableCounts:
        """Return the sum of the counts of two parts of one table."""
        pairs = zip(asdict(self).values(), asdict(other).values(), strict=True)
        return TableCounts(*(a + b for a, b in pairs))

    def __post_init__(self) -> None:
        total = self.inserted + self.updated + self.unchanged + self.rejected + self.duplicate
        assert total == self.rows, f"counts do not add up: {self}"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that was normalised, completed or looked odd; ``rows`` are affected.

    ``examples`` are a few of them, each with its line or its ids; ``pairs`` are the ids of
    records that may be the same.
    """

    kind: str
    table: str | None
    column: str | None
    rows: int
    text: str
    examples: tuple[str, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Rejection:
    """A source row that was not taken: where it stands and why."""

    table: str
    file: str
    line: int
    column: str | None
    value: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class ColumnProfile:
    """One source column: what it seems to hold. ``distinct`` is an estimate above a few hundred.

    ``used`` says whether the mapping takes it (``mapped``), leaves it (``dropped``) or neither.
    """

    name: str
    guess: str
    filled: int
    rows: int
    distinct: int
    minimum: str | None
    maximum: str | None
    examples: tuple[str, ...]
    used: str


@dataclass(frozen=True, slots=True)
class FileProfile:
    """One source file as it was read."""

    file: str
    format: str
    encoding: str | None
    delimiter: str | None
    rows: int
    malformed: int
    columns: tuple[ColumnProfile, ...]

    @property
    def coverage(self) -> float:
        """Share of the columns that hold data and are mapped (the rest is dropped by name)."""
        holding = [column for column in self.columns if column.filled]
        if not holding:
            return 1.0
        return sum(column.used == "mapped" for column in holding) / len(holding)


@dataclass(frozen=True, slots=True)
class ImportReport:
    """The whole answer of one import.

    ``rejections`` holds the first ``REJECTIONS_SHOWN`` of each table; the rejected files and
    the store hold all of them.
    """

    source: str
    mapping: str | None
    digest: str
    dry_run: bool
    already_imported: bool
    recorded_at: dt.datetime
    tables: dict[str, TableCounts]
    findings: list[Finding]
    rejections: list[Rejection]
    profiles: list[FileProfile]
    rejected_files: list[Path] = field(default_factory=list)
    derived: dict[str, int] = field(default_factory=dict)
    delta: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def changed(self) -> int:
        """Number of rows that were inserted or updated."""
        return sum(counts.inserted + counts.updated for counts in self.tables.values())

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "source": self.source,
            "mapping": self.mapping,
            "digest": self.digest,
            "dry_run": self.dry_run,
            "already_imported": self.already_imported,
            "recorded_at": self.recorded_at.isoformat(),
            "tables": {name: asdict(counts) for name, counts in self.tables.items()},
            "derived": self.derived,
            "delta": self.delta,
            "findings": [asdict(finding) for finding in self.findings],
            "rejections": [asdict(rejection) for rejection in self.rejections],
            "rejected_files": [str(path) for path in self.rejected_files],
            "files": [
                asdict(profile) | {"coverage": profile.coverage} for profile in self.profiles
            ],
        }


REJECTIONS_SHOWN = 100
