"""How rows are told apart by dimensions: each row has one key, so parts sum to the whole."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Subquery, Text, cast, func, literal
from sqlalchemy.dialects.postgresql import JSONB

from crm_core.kpis.attaching import attached
from crm_core.kpis.attributes import Attribute
from crm_core.kpis.question import Question

Key = tuple[Any, ...]
"""One value per dimension, None where the row has none: text, a day as text, or a boolean."""


@dataclass(frozen=True, slots=True)
class Slicing:
    """The dimensions by which a number is sliced, one to three."""

    dimensions: tuple[Attribute, ...]

    def keyed(self, rows: Subquery, question: Question, *, name: str) -> Subquery:
        """Return the rows with their key in the column ``slice``."""
        statement, found = attached(rows, self.dimensions, question)
        parts = [found[each.name] for each in self.dimensions]
        key = cast(func.jsonb_build_array(*parts), Text)
        return statement.add_columns(*rows.c, key.label("slice")).subquery(name)


def key_of(text: str) -> Key:
    """Return the key that a column ``slice`` holds."""
    return tuple(json.loads(text))


def is_key(column: ColumnElement[Any], key: Sequence[Any]) -> ColumnElement[bool]:
    """Return whether a row's key is that one."""
    given = literal(json.dumps(list(key)), Text)
    return cast(column, JSONB) == cast(given, JSONB)
