"""How fresh a number is: when the newest of the facts it may rest on was recorded."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from crm_core.activities.models import Activity
from crm_core.kpis.definitions import Resolved
from crm_core.opportunities.models import OpportunityEvent
from crm_core.orders.models import Order

Facts = Collection[str]
_OF_ORDERS = frozenset(
    {"orders", "orders_not_zero", "margins", "first_orders", "invoices", "payments"}
)

_OF_ACTIVITIES = frozenset({"activities", "visits", "calls", "effective_follow_ups"})


def _newest(name: str, as_of: dt.datetime) -> Select[Any]:
    """Return when the newest known fact of a kind was recorded.

    Of activities the one that happened last stands for all: they are many, and found by that.
    """
    if name == "activities":
        return (
            select(Activity.recorded_at)
            .where(Activity.occurred_at <= as_of, Activity.recorded_at <= as_of)
            .order_by(Activity.occurred_at.desc())
            .limit(1)
        )
    column = {"orders": Order.recorded_at, "deals": OpportunityEvent.recorded_at}[name]
    return select(func.max(column)).where(column <= as_of)


KINDS = ("orders", "deals", "activities")


def kinds_under(chosen: Resolved) -> tuple[str, ...]:
    """Return the kinds of facts that metrics rest on."""
    sources = set()
    for item in chosen.metrics:
        own = chosen.checked.get(item.id)
        sources.add(item.source if own is None or own.fact is None else own.fact.source)
    found = {
        "orders" if source in _OF_ORDERS else
        "activities" if source in _OF_ACTIVITIES else "deals"
        for source in sources
    }  # fmt: skip
    found |= {"orders" for item in chosen.metrics if item.goal is not None}
    return tuple(sorted(found))


def newest_fact(
    session: Session, *, as_of: dt.datetime, kinds: Facts = KINDS
) -> dt.datetime | None:
    """Return when the newest fact known at a time was recorded, None before the first."""
    found = [session.scalar(_newest(kind, as_of)) for kind in kinds]
    return max((each for each in found if each is not None), default=None)
