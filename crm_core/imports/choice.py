"""Which part of the files an import takes: everything, some tables, or a trial slice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from crm_core import exchange
from crm_core.errors import Invalid
from crm_core.imports.mapping import Mapping

_ALWAYS = ("company",)
_NAMES = {table.name for table in exchange.TABLES}


class ChoiceInvalid(Invalid):
    """A choice names a table, a slice or a batch that there is not."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What is asked of an import besides its files.

    ``only`` are the tables of one phase (empty: all). ``pilot`` is a slice for a trial:
    ``owner_id=…``, ``team=…`` or a number of deals. ``since`` is the earlier batch against which
    the report says what changed, at the cut-over.
    """

    only: tuple[str, ...] = ()
    pilot: str | None = None
    since: int | None = None

    @classmethod
    def of(cls, *, only: str | None, pilot: str | None, since: int | None) -> Choice:
        """Return the choice that a command or request names. Raises ChoiceInvalid."""
        names = tuple(name.strip() for name in (only or "").split(",") if name.strip())
        for name in names:
            if name not in _NAMES:
                raise ChoiceInvalid(
                    f"--only names {name!r}, which is no table of the exchange format; "
                    f"choose from {', '.join(table.name for table in exchange.TABLES)}."
                )
        if pilot is not None:
            pilot_of(pilot)
        return cls(names, pilot, since)

    @property
    def told(self) -> str:
        """The choice in one line; empty for everything. Two imports that differ in it differ."""
        parts = [f"only {','.join(sorted(self.only))}"] if self.only else []
        parts += [f"pilot {self.pilot}"] if self.pilot else []
        return "; ".join(parts)

    def as_json(self) -> dict[str, Any]:
        """Return the choice as JSON values."""
        return {"only": list(self.only), "pilot": self.pilot, "since": self.since}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Choice:
        """Return the choice that :meth:`as_json` wrote."""
        return cls(tuple(value.get("only") or ()), value.get("pilot"), value.get("since"))

    def narrow(self, mapping: Mapping) -> Mapping:
        """Return the mapping with the tables of this phase. Raises ChoiceInvalid."""
        if not self.only:
            return mapping
        tables = [spec for spec in mapping.tables if spec.table in (*self.only, *_ALWAYS)]
        missing = set(self.only) - {spec.table for spec in tables}
        if missing:
            raise ChoiceInvalid(
                f"The files hold no {', '.join(sorted(missing))}, which --only names."
            )
        return mapping.model_copy(update={"tables": tables})


def pilot_of(text: str) -> tuple[str, str]:
    """Return what a slice goes by (``owner_id``, ``team`` or ``deals``) and its value."""
    if text.isdecimal() and int(text) > 0:
        return "deals", text
    kind, equals, value = text.partition("=")
    if kind.strip() in ("owner_id", "team") and equals and value.strip():
        return kind.strip(), value.strip()
    raise ChoiceInvalid(
        f"--pilot {text!r} is no slice; write owner_id=…, team=… (an org unit's id) or a number "
        "of deals."
    )


WHOLE = Choice()
"""Everything."""


def used_files(mapping: Mapping) -> set[str]:
    """Return the files that the tables of a mapping are filled from."""
    joined = {join.file for spec in mapping.tables for join in spec.join}
    return joined | {mapping.file_of(spec.source) for spec in mapping.tables}
