"""What a proposed mapping is made of: files, their columns, what each becomes."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from crm_core import exchange
from crm_core.imports.formats import Format
from crm_core.imports.report import ColumnProfile, FileProfile
from crm_core.imports.scratch import literal, quoted


@dataclass(frozen=True, slots=True)
class Match:
    """What becomes of a source column.

    ``target`` is a column, a custom field, or None (it is empty, or nothing is known of it).
    """

    source: ColumnProfile
    target: str | None
    found: Format
    is_custom: bool = False

    @property
    def is_accounted(self) -> bool:
        """Whether no data of the column is lost without a word."""
        return self.target is not None or not self.source.filled


@dataclass(frozen=True, slots=True)
class Proposed:
    """One source file: the table it seems to be, its columns, and what that table still needs."""

    path: str
    sheet: str | None
    profile: FileProfile
    table: str | None
    matches: tuple[Match, ...]
    stages: tuple[str, ...] = ()
    missing_words: tuple[str, ...] = ()

    def source_of(self, target: str) -> str | None:
        """Return the source column that is taken for a target."""
        return next((m.source.name for m in self.matches if m.target == target), None)

    def derived(self, target: str) -> str | None:
        """Return the SQL that makes a value the file does not give from one that it gives."""
        name = self.source_of("name")
        if target == "id" and name is not None:
            return f"slug({quoted(name)})"
        if self.table == "users" and target == "role":
            return literal("rep")
        own = self.source_of("id") or name
        if self.table == "users" and target == "email" and own is not None:
            return f"slug({quoted(own)}) || '@unknown.invalid'"
        return None

    @property
    def derived_id(self) -> bool:
        """Whether the table's id is made from its name, as references to it then must be."""
        return self.source_of("id") is None and self.derived("id") is not None

    @property
    def missing(self) -> tuple[str, ...]:
        """The columns that the table must have and no source column is taken for."""
        if self.table is None:
            return ()
        given = {match.target for match in self.matches}
        return tuple(
            column.name
            for column in exchange.table(self.table).columns
            if column.required and column.name not in given and self.derived(column.name) is None
        )


@dataclass(frozen=True, slots=True)
class Proposal:
    """A whole proposal: its files, the mapping as YAML, and how much of the data it accounts for.

    ``coverage`` is the share of the columns that hold data, ``cells`` the share of filled cells,
    that the mapping takes or drops by name.
    """

    files: tuple[Proposed, ...]
    yaml: str
    coverage: float
    cells: float

    def as_json(self) -> dict[str, object]:
        """Return the proposal as JSON values."""
        return {
            "coverage": self.coverage,
            "cells": self.cells,
            "complete": self.is_complete,
            "files": [
                asdict(file.profile)
                | {"table": file.table, "missing": list(file.missing)}
                | {"becomes": {match.source.name: match.target for match in file.matches}}
                for file in self.files
            ],
            "mapping": self.yaml,
        }

    @property
    def is_complete(self) -> bool:
        """Whether the mapping can be used as it stands."""
        return bool(self.files) and all(
            file.table is not None and not file.missing for file in self.files
        )
