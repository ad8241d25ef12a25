"""The rows behind each metric, one select per source: the same select feeds value and list.

Every source has the same columns (:mod:`crm_core.kpis.source_rows`), so that one function
aggregates them all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Select, and_, exists

from crm_core.activities.models import Activity
from crm_core.kpis.activity_sources import activities
from crm_core.kpis.catalogue import UnknownMetric
from crm_core.kpis.deal_sources import (
    closed_amounts,
    closed_deals,
    deals_due_at_start,
    open_deals,
    open_deals_due,
    open_deals_margin,
    open_deals_new,
    open_deals_weighted,
    won_cycles,
    won_deals,
)
from crm_core.kpis.order_sources import (
    first_orders,
    invoices,
    margins,
    orders,
    orders_not_zero,
    payments,
)
from crm_core.kpis.question import Expression, Question
from crm_core.opportunities.models import Opportunity, OpportunityEvent
from crm_core.orders.models import Invoice, Order, Payment

SOURCES: dict[str, Callable[[Question], Select[Any]]] = {
    source.__name__: source
    for source in (
        orders,
        orders_not_zero,
        margins,
        invoices,
        payments,
        first_orders,
        won_deals,
        closed_deals,
        closed_amounts,
        won_cycles,
        open_deals,
        open_deals_due,
        open_deals_margin,
        open_deals_new,
        open_deals_weighted,
        deals_due_at_start,
        activities,
    )
}


def is_recorded(fact: str, question: Question) -> Expression:
    """Return whether any fact of that kind was recorded by then, whoever it belongs to."""
    known: dict[str, Expression] = {
        "orders": Order.recorded_at <= question.as_of,
        "invoices": Invoice.invoiced_on <= question.calendar.day_of(question.as_of),
        "payments": Payment.received_on <= question.calendar.day_of(question.as_of),
        "activities": Activity.recorded_at <= question.as_of,
        "opportunities": and_(
            Opportunity.created_at <= question.as_of, Opportunity.recorded_at <= question.as_of
        ),
        "expected_close_dates": and_(
            OpportunityEvent.field == "expected_close_on",
            OpportunityEvent.new_value.is_not(None),
            OpportunityEvent.occurred_at <= question.as_of,
            OpportunityEvent.recorded_at <= question.as_of,
        ),
    }
    return exists().where(known[fact])


def rows_of(source: str, question: Question) -> Select[Any]:
    """Return the select of a source's rows. Raises UnknownMetric for a source without one."""
    if source in question.defined:
        return question.defined[source].rows(question)
    try:
        return SOURCES[source](question)
    except KeyError:
        raise UnknownMetric(f"No rows are defined for the source {source!r}.") from None
