"""What was known of a deal at a time: a pure fold of its append-only events.

An event counts as of t when it had happened (``occurred_at`` ≤ t) *and* was known
(``recorded_at`` ≤ t). Of those, the one that happened last holds; of two at the same instant the
one recorded later; then the one the source listed later (``sequence``).
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Event:
    """One change of one field; ``new_value`` is canonical text, None is "emptied"."""

    field: str
    new_value: str | None
    occurred_at: dt.datetime
    recorded_at: dt.datetime
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class State:
    """A deal as it was known at ``as_of``; None is unknown or empty. ``amount`` in major units.

    ``stage_since`` is when the deal last came into its present stage. ``changes`` counts the
    events seen per field.
    """

    as_of: dt.datetime
    stage: str | None = None
    stage_since: dt.datetime | None = None
    amount: Decimal | None = None
    expected_close_on: dt.date | None = None
    owner_id: str | None = None
    forecast_category: str | None = None
    product_id: str | None = None
    custom: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    stages: tuple[tuple[str, dt.datetime], ...] = ()
    changes: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))


def known(events: Iterable[Event], *, as_of: dt.datetime) -> list[Event]:
    """Return the events that had happened and were known at ``as_of``, in the order they hold."""
    seen = [event for event in events if event.occurred_at <= as_of and event.recorded_at <= as_of]
    return sorted(seen, key=lambda event: (event.occurred_at, event.recorded_at, event.sequence))


def state(events: Iterable[Event], *, as_of: dt.datetime) -> State:
    """Return a deal's state at ``as_of`` from all of its events, in any order."""
    values: dict[str, str | None] = {}
    custom: dict[str, Any] = {}
    stages: list[tuple[str, dt.datetime]] = []
    changes: dict[str, int] = {}
    for event in known(events, as_of=as_of):
        changes[event.field] = changes.get(event.field, 0) + 1
        if event.field == "custom":
            custom.update(json.loads(event.new_value or "{}"))
            continue
        values[event.field] = event.new_value
        if event.field == "stage" and event.new_value is not None:
            _enter(stages, event.new_value, event.occurred_at)
    amount, day = values.get("amount"), values.get("expected_close_on")
    return State(
        as_of=as_of,
        stage=values.get("stage"),
        stage_since=stages[-1][1] if stages else None,
        amount=None if amount is None else Decimal(amount),
        expected_close_on=None if day is None else dt.date.fromisoformat(day),
        owner_id=values.get("owner_id"),
        forecast_category=values.get("forecast_category"),
        product_id=values.get("product_id"),
        custom=MappingProxyType({key: v for key, v in custom.items() if v is not None}),
        stages=tuple(stages),
        changes=MappingProxyType(changes),
    )


def _enter(stages: list[tuple[str, dt.datetime]], stage: str, at: dt.datetime) -> None:
    """Note that the deal came into a stage; naming the same stage again is no move."""
    if not stages or stages[-1][0] != stage:
        stages.append((stage, at))


def outcome(
    found: State, kinds: Mapping[str, str]
) -> tuple[Literal["won", "lost"], dt.datetime] | None:
    """Return how and when the deal had closed, or None while it was open or on hold.

    ``kinds`` maps a stage of the deal's pipeline to open, on_hold, won or lost. A deal that moved
    on between two won stages closed at the first of them.
    """
    if found.stage is None:
        return None
    final = kinds[found.stage]
    if final not in ("won", "lost"):
        return None
    closed_at = found.stages[-1][1]
    for stage, entered in reversed(found.stages):
        if kinds[stage] != final:
            break
        closed_at = entered
    return ("won" if final == "won" else "lost"), closed_at
