"""The rows behind each metric, one select per source: the same select feeds value and list.

Every source has the same columns (:mod:`crm_core.kpis.source_rows`), so that one function
aggregates them all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Select, and_, exists

from crm_core.activities.models import Activity
from crm_core.kpis import (
    activity_sources,
    customer_sources,
    deal_sources,
    forecast_sources,
    lead_sources,
    order_sources,
    people_sources,
    stage_sources,
)
from crm_core.kpis.metric import UnknownMetric
from crm_core.kpis.question import Expression, Question
from crm_core.leads.models import Lead
from crm_core.opportunities.models import Opportunity, OpportunityEvent
from crm_core.orders.models import Invoice, Order, Payment

SOURCES: dict[str, Callable[[Question], Select[Any]]] = {
    source.__name__: source
    for source in (
        order_sources.orders,
        order_sources.orders_not_zero,
        order_sources.margins,
        order_sources.invoices,
        order_sources.payments,
        order_sources.first_orders,
        deal_sources.won_deals,
        deal_sources.closed_deals,
        deal_sources.closed_amounts,
        deal_sources.won_cycles,
        deal_sources.open_deals,
        deal_sources.open_deals_due,
        deal_sources.open_deals_margin,
        deal_sources.open_deals_new,
        deal_sources.open_deals_weighted,
        deal_sources.deals_due_at_start,
        stage_sources.deal_ages,
        stage_sources.stage_entries,
        stage_sources.stage_stays,
        stage_sources.won_in_the_year,
        lead_sources.new_leads,
        lead_sources.qualified_leads,
        lead_sources.lead_cohort,
        lead_sources.first_touches,
        activity_sources.activities,
        activity_sources.visits,
        activity_sources.calls,
        activity_sources.effective_follow_ups,
        customer_sources.customers_lost,
        customer_sources.revenue_lost,
        customer_sources.revenue_kept,
        customer_sources.revenue_now,
        customer_sources.lifetime_values,
        people_sources.weeks_at_work,
        people_sources.complete_records,
        people_sources.valid_records,
        people_sources.fresh_records,
        people_sources.market,
        forecast_sources.forecast_misses,
        forecast_sources.forecast_leanings,
        forecast_sources.forecast_gains,
    )
}


def is_recorded(fact: str, question: Question) -> Expression:
    """Return whether any fact of that kind was recorded by then, whoever it belongs to."""
    known: dict[str, Expression] = {
        "orders": Order.recorded_at <= question.as_of,
        "invoices": Invoice.invoiced_on <= question.calendar.day_of(question.as_of),
        "payments": Payment.received_on <= question.calendar.day_of(question.as_of),
        "activities": Activity.recorded_at <= question.as_of,
        "leads": Lead.created_at <= question.as_of,
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
    if source not in SOURCES:
        raise UnknownMetric(f"No rows are defined for the source {source!r}.")
    return question.rows_once(source, SOURCES[source])
