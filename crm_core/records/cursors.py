"""Cursors: where a list goes on, so that rows added meanwhile shift no page.

A cursor holds the values of the last row that was shown and a digest of what was asked; it is
opaque to its holder and worth nothing for another question.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, and_, false, or_, true

from crm_core.errors import Invalid

_TAGS = {dt.datetime: "t", dt.date: "d", Decimal: "n"}


class CursorInvalid(Invalid):
    """A cursor is damaged, or belongs to another question."""


@dataclass(frozen=True, slots=True)
class Step:
    """One column of an order."""

    column: Any
    descending: bool = False

    def clause(self) -> ColumnElement[Any]:
        """Return the column as it stands in ORDER BY: what is empty comes last."""
        ordered = self.column.desc() if self.descending else self.column.asc()
        return ordered.nulls_last()  # type: ignore[no-any-return]

    def equal(self, last: object) -> ColumnElement[bool]:
        """Return that a row has the last row's value."""
        return self.column.is_(None) if last is None else self.column == last  # type: ignore[no-any-return]

    def beyond(self, last: object) -> ColumnElement[bool]:
        """Return that a row comes after the last row by this column."""
        if last is None:
            return false()
        further = self.column < last if self.descending else self.column > last
        return or_(further, self.column.is_(None))


def after(steps: Sequence[Step], last: Sequence[object]) -> ColumnElement[bool]:
    """Return the condition that a row comes after the last one in the order of the steps."""
    parts = []
    same: ColumnElement[bool] = true()
    for step, value in zip(steps, last, strict=True):
        parts.append(and_(same, step.beyond(value)))
        same = and_(same, step.equal(value))
    return or_(*parts)


def digest(*question: object) -> str:
    """Return what tells one question from another."""
    return hashlib.sha256(repr(question).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def write(question: str, last: Sequence[object]) -> str:
    """Return the cursor behind a row."""
    packed = json.dumps([question, [_pack(value) for value in last]]).encode()
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def read(cursor: str, question: str, *, length: int) -> list[object]:
    """Return the values of the row behind which to go on. Raises CursorInvalid."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        asked, packed = json.loads(base64.urlsafe_b64decode(padded.encode("ascii")))
        values = [_unpack(value) for value in packed]
    except (ValueError, TypeError, KeyError, binascii.Error, ArithmeticError) as error:
        raise CursorInvalid("The cursor is damaged; begin again without one.") from error
    if asked != question or len(values) != length:
        raise CursorInvalid(
            "The cursor belongs to another filter or order; begin again without one."
        )
    return values


def _pack(value: Any) -> object:  # noqa: ANN401 - any stored value
    tag = _TAGS.get(type(value))
    if tag is None:
        return value
    return [tag, value.isoformat() if isinstance(value, dt.date) else str(value)]


def _unpack(value: Any) -> object:  # noqa: ANN401 - any JSON value
    if not isinstance(value, list):
        return value
    tag, text = value
    if tag == "t":
        return dt.datetime.fromisoformat(text)
    return dt.date.fromisoformat(text) if tag == "d" else Decimal(text)
