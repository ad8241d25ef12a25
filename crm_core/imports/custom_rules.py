"""What a custom field may hold: one judgement for a file's rows and for the API's."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm_core.imports.scratch import literal, quoted
from crm_core.imports.staging import Stage, reject

LONGEST_VALUE = 2_000
_AT_ONCE = 5_000
_RULES = text(
    "select distinct on (name) name, kind, rules from custom_field_versions "
    "where table_name = :table order by name, version desc"
)


def broken(name: str, kind: str, value: str, rules: Mapping[str, Any]) -> str | None:
    """Say which rule of its field a value breaks, None if it keeps them all."""
    if len(value) > LONGEST_VALUE:
        return f"{name} is longer than {LONGEST_VALUE} characters"
    options = rules.get("options")
    if options is not None and value not in options:
        return f"{name} is not one of {', '.join(options)}"
    pattern = rules.get("pattern")
    if pattern is not None and not re.fullmatch(pattern, value):
        return f"{name} does not look like {pattern}"
    return _out_of_bounds(name, kind, value, rules)


def comparable(kind: str, value: str) -> Any:  # noqa: ANN401 - a number or a day
    """Return a number or a day to compare. Raises ValueError, InvalidOperation."""
    return Decimal(value) if kind == "number" else dt.date.fromisoformat(value)


def _out_of_bounds(name: str, kind: str, value: str, rules: Mapping[str, Any]) -> str | None:
    low, high = rules.get("minimum"), rules.get("maximum")
    if low is None and high is None:
        return None
    try:
        given = comparable(kind, value)
    except (ValueError, InvalidOperation):
        return None  # the reading of the row says what it should be
    if low is not None and given < comparable(kind, low):
        return f"{name} is below {low}"
    if high is not None and given > comparable(kind, high):
        return f"{name} is above {high}"
    return None


def check(session: Session, stage: Stage) -> None:
    """Reject the rows whose custom fields break the rules that somebody gave them."""
    if not stage.table.custom_fields:
        return
    for name, kind, rules in session.execute(_RULES, {"table": stage.table.name}).all():
        held = _held(stage, name)
        if held is not None and any(rules.get(rule) is not None for rule in _JUDGED):
            _check_values(session, stage, name, kind, rules, held)
        if rules.get("required"):
            missing = f"({held}) is null" if held is not None else "true"
            sentence = f"{name} is missing; every one of {stage.table.name} must have it"
            reject(session, stage, f"{missing} and {_is_new(stage)}", name, literal(sentence))


_JUDGED = ("options", "pattern", "minimum", "maximum")


def _held(stage: Stage, name: str) -> str | None:
    """Return the SQL of a custom field's value as text, None if the file has no custom fields."""
    places = [column for column in ("custom", "custom_created") if stage.has(column)]
    values = [f"nullif(s.{column} ->> {literal(name)}, '')" for column in places]
    return f"coalesce({', '.join(values)})" if values else None


def _is_new(stage: Stage) -> str:
    """Return the SQL that the store does not know the row: what is known keeps its value."""
    key = [name for name in stage.table.key if name != "recorded_at" and stage.has(name)]
    same = " and ".join(f"t.{quoted(name)} = s.{quoted(name)}" for name in key)
    return f"not exists (select 1 from {quoted(stage.table.name)} t where {same})"


def _check_values(
    session: Session, stage: Stage, name: str, kind: str, rules: Mapping[str, Any], held: str
) -> None:
    """Judge each different value once, then reject its rows together."""
    wrong = text(
        f"update {stage.name} s set _verdict = 'rejected', _column = :name, _value = {held}, "
        f"_reason = w.reason from unnest(cast(:values as text[]), cast(:reasons as text[])) "
        f"w(value, reason) where s._verdict is null and {held} = w.value"
    )
    for values, reasons in _wrong(session, stage, name, kind, rules, held):
        session.execute(wrong, {"name": name, "values": values, "reasons": reasons})


def _wrong(
    session: Session, stage: Stage, name: str, kind: str, rules: Mapping[str, Any], held: str
) -> Iterator[tuple[list[str], list[str]]]:
    found = session.execute(
        text(
            f"select distinct {held} from {stage.name} s where s._verdict is null "
            f"and {held} is not null"
        )
    ).scalars()
    for part in found.partitions(_AT_ONCE):
        judged = [(value, broken(name, kind, value, rules)) for value in part]
        told = [(value, reason) for value, reason in judged if reason is not None]
        if told:
            yield [value for value, _ in told], [reason for _, reason in told]
