"""Changing one deal: the change is appended as events, the current columns follow from them.

A file of its own beside ``operations.py``, which records whole sets that an import brings.
Whether a stage may be entered is asked before, in ``crm_core.processes``.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Collection, Mapping
from decimal import Decimal

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from crm_core.errors import NotFound
from crm_core.money import Money
from crm_core.opportunities.models import EVENT_FIELDS, Opportunity, OpportunityEvent
from crm_core.opportunities.projection import project_one

Changed = dict[str, tuple[str | None, str | None]]
"""Field → (old, new), as canonical text."""


class UnknownDeal(NotFound):
    """No deal has this id."""


def lock(session: Session, opportunity_id: str) -> Opportunity:
    """Return the deal, locked until the transaction ends. Raises UnknownDeal."""
    found = session.scalar(
        select(Opportunity)
        .where(Opportunity.id == opportunity_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if found is None:
        raise UnknownDeal(f"There is no deal {opportunity_id}.")
    return found


def current(deal: Opportunity) -> dict[str, str | None]:
    """Return the deal's present values of the fields that events change, as canonical text."""
    amount = None if deal.amount_minor is None else Money(deal.amount_minor, deal.currency).major
    closes = deal.expected_close_on
    return {
        "stage": deal.stage,
        "amount": None if amount is None else plain_decimal(amount),
        "expected_close_on": None if closes is None else closes.isoformat(),
        "owner_id": deal.owner_id,
        "forecast_category": deal.forecast_category,
        "product_id": deal.product_id,
    }


def plain_decimal(value: Decimal) -> str:
    """Return a number as events write it: no exponent, no trailing zeros."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def change(
    session: Session,
    opportunity_id: str,
    values: Mapping[str, str | None],
    *,
    custom: Mapping[str, object] | None = None,
    user_id: str | None,
    occurred_at: dt.datetime,
    recorded_at: dt.datetime,
    said: Collection[str] = (),
) -> Changed:
    """Append an event for each value that differs from the present one; return what changed.

    The fields in ``said`` get one also where the value is the same: a category that a person
    picks stays when the stage, which gave the same one so far, changes.

    ``values`` are canonical text by event field, already checked by the caller; ``custom``
    maps ``x_…`` fields to JSON values. Raises UnknownDeal.
    """
    deal = lock(session, opportunity_id)
    before = current(deal)
    assert set(values) <= set(EVENT_FIELDS) - {"custom"}
    changed: Changed = {
        field: (before[field], value)
        for field, value in values.items()
        if before[field] != value or field in said
    }
    events = [(field, old, new) for field, (old, new) in changed.items()]
    fresh = {k: v for k, v in (custom or {}).items() if deal.custom.get(k) != v}
    if fresh:
        events.append(("custom", None, json.dumps(fresh, ensure_ascii=False, sort_keys=True)))
        changed |= {k: (_text(deal.custom.get(k)), _text(v)) for k, v in fresh.items()}
    if events:
        session.execute(
            insert(OpportunityEvent),
            [
                {
                    "opportunity_id": opportunity_id, "field": field, "old_value": old,
                    "new_value": new, "user_id": user_id, "occurred_at": occurred_at,
                    "recorded_at": _after_the_same(
                        session, opportunity_id, field, new, occurred_at, recorded_at
                    ),
                }
                for field, old, new in events
            ],
        )  # fmt: skip
        project_one(session, opportunity_id, currency=deal.currency)
        session.refresh(deal)
    return changed


def _after_the_same(
    session: Session,
    opportunity_id: str,
    field: str,
    value: str | None,
    occurred_at: dt.datetime,
    recorded_at: dt.datetime,
) -> dt.datetime:
    """Return when the fact counts as recorded: just after the same fact of the same instant.

    A value that was set, replaced and set again within one instant would else be one fact.
    """
    same = session.scalar(
        select(func.max(OpportunityEvent.recorded_at)).where(
            OpportunityEvent.opportunity_id == opportunity_id,
            OpportunityEvent.field == field,
            OpportunityEvent.occurred_at == occurred_at,
            OpportunityEvent.recorded_at >= recorded_at,
            OpportunityEvent.new_value.is_not_distinct_from(value),
        )
    )
    return recorded_at if same is None else same + dt.timedelta(microseconds=1)


def _text(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)
