"""A deal's situation: the facts that advice rests on, as known at a time. Pure records.

None always means "not known": a company that records no activities has no silent deals, only
deals of which nothing is known.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from crm_core.money import Money, from_major
from crm_core.opportunities.history import Event


@dataclass(frozen=True, slots=True)
class Norm:
    """What is usual among the company's won deals: ``days`` and the number of cases behind it."""

    days: int
    cases: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Contacts:
    """Who takes part. ``seniors`` is None when the company records nobody's seniority."""

    people: int
    seniors: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Touches:
    """What was done with the customer, as company days; None is "never, though we record it"."""

    count: int = 0
    last_on: dt.date | None = None
    last_two_way_on: dt.date | None = None
    last_meeting_on: dt.date | None = None
    unanswered_since: dt.date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSigns:
    """What happened at the account that often precedes leaving; None where there is no sign."""

    severe_ticket_on: dt.date | None = None
    low_rating: Decimal | None = None
    low_rating_on: dt.date | None = None
    subscription_ended_on: dt.date | None = None
    usage_before: Decimal | None = None
    usage_now: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Drop:
    """An amount that was lowered: from what to what, and when."""

    before: Money
    after: Money
    day: dt.date


@dataclass(frozen=True, slots=True)
class Slip:
    """A close date that was moved to a later day, and when it was moved."""

    before: dt.date
    after: dt.date
    day: dt.date


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """Everything a playbook rule may look at for one deal, as known on ``day``.

    ``stage_share`` is the stage's place among the pipeline's open stages, from 0 (first) to 1
    (last). ``value`` is the amount in the company's currency. ``recorded_fields`` are the custom
    fields that any deal of the pipeline carries: a field nobody fills is missing nowhere.
    """

    opportunity_id: str
    account_id: str | None
    owner_id: str | None
    pipeline: str
    stage: str
    is_open: bool
    stage_share: float
    day: dt.date
    created_on: dt.date
    stage_since: dt.date
    currency: str
    amount: Money | None = None
    value: Money | None = None
    expected_close_on: dt.date | None = None
    period_end: dt.date
    slips: tuple[Slip, ...] = ()
    drop: Drop | None = None
    custom: Mapping[str, Any] = field(default_factory=dict)
    recorded_fields: frozenset[str] = frozenset()
    touches: Touches | None = None
    contacts: Contacts | None = None
    signs: AccountSigns = AccountSigns()
    stage_norm: Norm | None = None
    contact_norm: Norm | None = None
    large_from: Money | None = None

    def days_since(self, day: dt.date) -> int:
        """Return the company days from a day to the situation's."""
        return (self.day - day).days


def slips(events: Sequence[Event], *, day_of: Mapping[dt.datetime, dt.date]) -> tuple[Slip, ...]:
    """Return the moves of the close date to a later day, oldest first, events in their order."""
    found = []
    before: dt.date | None = None
    for event in events:
        if event.field != "expected_close_on":
            continue
        after = None if not event.new_value else dt.date.fromisoformat(event.new_value)
        if before is not None and after is not None and after > before:
            found.append(Slip(before, after, day_of[event.occurred_at]))
        before = after if after is not None else before
    return tuple(found)


def last_drop(
    events: Sequence[Event], *, currency: str, day_of: Mapping[dt.datetime, dt.date]
) -> Drop | None:
    """Return the last change of the amount when it was a lowering, None when it was not.

    Events that repeat the amount are no change.
    """
    amounts: list[tuple[Decimal, dt.date]] = []
    for event in events:
        if event.field == "amount" and event.new_value:
            amount = Decimal(event.new_value)
            if not amounts or amounts[-1][0] != amount:
                amounts.append((amount, day_of[event.occurred_at]))
    if len(amounts) < 2 or amounts[-1][0] >= amounts[-2][0]:
        return None
    (before, _), (after, day) = amounts[-2:]
    return Drop(from_major(before, currency), from_major(after, currency), day)
