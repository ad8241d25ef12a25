"""Deals as they stood: the current values, the outcome and the owner as of two times, in SQL.

A file of its own beside ``queries.py``: these are relations that metrics and advice put into
their own statements. ``happened_by`` bounds what had happened, ``known_at`` what was known;
of several values of the same instant the one recorded last, then the one listed last, counts.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import Any

from babel.numbers import list_currencies
from sqlalchemy import (
    CTE,
    ColumnElement,
    Date,
    FromClause,
    Numeric,
    Select,
    Subquery,
    Text,
    and_,
    any_,
    case,
    cast,
    func,
    literal,
    null,
    select,
    true,
    union,
)
from sqlalchemy.dialects.postgresql import ARRAY, distinct_on

from crm_core.database import Instant
from crm_core.money import minor_digits
from crm_core.opportunities.models import Opportunity, OpportunityEvent, Stage

_FIELDS = ("stage", "amount", "expected_close_on", "owner_id", "product_id")


def known_events(
    *,
    happened_by: dt.datetime,
    known_at: dt.datetime,
    fields: Collection[str],
    among: Sequence[Select[Any]] = (),
) -> Select[Any]:
    """Return the events of these fields that had happened and were known.

    ``among``: selects of deal ids; only deals in all of them are looked at.
    """
    events = (
        select(OpportunityEvent)
        .join(Opportunity, Opportunity.id == OpportunityEvent.opportunity_id)
        .where(
            OpportunityEvent.field.in_(fields),
            OpportunityEvent.occurred_at <= happened_by,
            OpportunityEvent.recorded_at <= known_at,
            Opportunity.created_at <= happened_by,
            Opportunity.recorded_at <= known_at,
        )
    )
    return events.where(*(OpportunityEvent.opportunity_id.in_(ids) for ids in among))


def ever_owned_by(user_ids: Collection[str]) -> Select[Any]:
    """Return the ids of the deals that one of these people ever owned.

    Whoever owns a deal at some time is named by an event, so nothing of theirs is left out.
    """
    people = literal(sorted(user_ids), ARRAY(Text))
    return select(OpportunityEvent.opportunity_id).where(
        OpportunityEvent.field == "owner_id", OpportunityEvent.new_value == any_(people)
    )


def moved_between(start: dt.datetime, end: dt.datetime) -> Select[Any]:
    """Return the ids of the deals that entered a stage in ``[start, end)``.

    A deal that closed in that time is among them.
    """
    return select(OpportunityEvent.opportunity_id).where(
        OpportunityEvent.field == "stage",
        OpportunityEvent.occurred_at >= start,
        OpportunityEvent.occurred_at < end,
    )


def states(
    *,
    happened_by: dt.datetime,
    known_at: dt.datetime,
    among: Sequence[Select[Any]] = (),
    name: str = "states",
    with_category: bool = False,
) -> CTE:
    """Return one row per deal that existed: its stage, amount, close date and owner then.

    Columns: opportunity_id, name, account_id, pipeline, created_at, currency, stage, kind,
    position, amount (decimal, major units), expected_close_on, owner_id, product_id,
    stage_category (the stage's forecast category) and picked_category (the one set for the
    deal, null unless ``with_category``).

    A deal of which nothing happened or became known later stands as its current columns say;
    only the others' events are folded, so that a question about now folds next to none.
    """
    if with_category:
        return _folded(happened_by, known_at, among, fields=(*_FIELDS, "forecast_category")).cte(
            name
        )
    later = _changed_after(min(happened_by, known_at))
    folded = _folded(happened_by, known_at, [*among, later], fields=_FIELDS)
    return _standing(happened_by, known_at, among, later).union_all(folded).cte(name)


def _changed_after(instant: dt.datetime) -> Select[Any]:
    """Return the ids of the deals of which an event happened or was recorded after an instant.

    What happened after it and was recorded before it happened after it was recorded: there are
    few such events, and an index of their own finds them.
    """
    event = OpportunityEvent
    recorded = select(event.opportunity_id).where(event.recorded_at > instant)
    announced = select(event.opportunity_id).where(
        event.occurred_at > event.recorded_at, event.occurred_at > instant
    )
    found = union(recorded, announced).subquery()
    return select(found.c.opportunity_id)


def _standing(
    happened_by: dt.datetime,
    known_at: dt.datetime,
    among: Sequence[Select[Any]],
    later: Select[Any],
) -> Select[Any]:
    """Return the states of the deals that did not change later, from their current columns."""
    return (
        select(
            Opportunity.id.label("opportunity_id"),
            func.coalesce(Opportunity.name, Opportunity.id).label("name"),
            Opportunity.account_id,
            Opportunity.pipeline,
            Opportunity.created_at,
            Opportunity.currency,
            Opportunity.stage,
            Stage.kind,
            Stage.position,
            (cast(Opportunity.amount_minor, Numeric) * _per_minor()).label("amount"),
            Opportunity.expected_close_on,
            Opportunity.owner_id,
            Opportunity.product_id,
            Stage.forecast_category.label("stage_category"),
            cast(null(), Text).label("picked_category"),
        )
        .join(Stage, and_(Stage.pipeline == Opportunity.pipeline, Stage.stage == Opportunity.stage))
        .where(
            Opportunity.created_at <= happened_by,
            Opportunity.recorded_at <= known_at,
            Opportunity.id.not_in(later),
            *(Opportunity.id.in_(ids) for ids in among),
        )
    )


def _per_minor() -> ColumnElement[Any]:
    """Return what one minor unit of a deal's currency is in major units, exact."""
    by_digits: dict[int, list[str]] = {}
    for code in sorted(list_currencies()):
        by_digits.setdefault(minor_digits(code), []).append(code)
    usual = by_digits.pop(2)
    assert usual
    whens = [
        (Opportunity.currency.in_(codes), literal(Decimal(1).scaleb(-digits), Numeric))
        for digits, codes in sorted(by_digits.items())
    ]
    return case(*whens, else_=literal(Decimal("0.01"), Numeric))


def _folded(
    happened_by: dt.datetime,
    known_at: dt.datetime,
    among: Sequence[Select[Any]],
    *,
    fields: Collection[str],
) -> Select[Any]:
    """Return the states of deals as the fold of their events."""
    events = known_events(happened_by=happened_by, known_at=known_at, fields=fields, among=among)
    pivoted = _last_values(events)
    return (
        select(
            pivoted.c.opportunity_id,
            func.coalesce(Opportunity.name, Opportunity.id).label("name"),
            Opportunity.account_id,
            Opportunity.pipeline,
            Opportunity.created_at,
            Opportunity.currency,
            pivoted.c.stage,
            Stage.kind,
            Stage.position,
            pivoted.c.amount,
            pivoted.c.expected_close_on,
            pivoted.c.owner_id,
            pivoted.c.product_id,
            Stage.forecast_category.label("stage_category"),
            pivoted.c.picked_category,
        )
        .join(Opportunity, Opportunity.id == pivoted.c.opportunity_id)
        .join(Stage, and_(Stage.pipeline == Opportunity.pipeline, Stage.stage == pivoted.c.stage))
    )


def _last_values(events: Select[Any]) -> Subquery:
    """Return one row per deal with the last value of each field of a state."""
    last = (
        events.ext(distinct_on(OpportunityEvent.opportunity_id, OpportunityEvent.field))
        .order_by(
            OpportunityEvent.opportunity_id,
            OpportunityEvent.field,
            OpportunityEvent.occurred_at.desc(),
            OpportunityEvent.recorded_at.desc(),
            OpportunityEvent.sequence.desc(),
        )
        .subquery()
    )

    def value(field: str) -> Any:  # noqa: ANN401 - an aggregate expression
        return func.max(last.c.new_value).filter(last.c.field == field)

    return (
        select(
            last.c.opportunity_id,
            value("stage").label("stage"),
            cast(func.nullif(value("amount"), ""), Numeric).label("amount"),
            cast(func.nullif(value("expected_close_on"), ""), Date).label("expected_close_on"),
            value("owner_id").label("owner_id"),
            value("product_id").label("product_id"),
            value("forecast_category").label("picked_category"),
        )
        .group_by(last.c.opportunity_id)
        .subquery()
    )


def created_between(start: dt.datetime, end: dt.datetime) -> Select[Any]:
    """Return the ids of the deals created in ``[start, end)``."""
    return select(Opportunity.id).where(
        Opportunity.created_at >= start, Opportunity.created_at < end
    )


def closings(
    *,
    happened_by: dt.datetime,
    known_at: dt.datetime,
    among: Sequence[Select[Any]] = (),
    name: str = "closings",
) -> CTE:
    """Return one row per deal that stood won or lost: outcome, closed_at, owner at closing.

    The same answer as :func:`crm_core.opportunities.history.outcome`, for every deal at once.
    ``closed_at`` is when the deal last became won or lost: of several closed stages of the same
    kind in a row, the first. A deal opened again is not closed. The owner is who owned the deal
    when it closed: a later hand-over moves no past win. The amount (decimal, major units) and the
    product are the last ones known.
    """
    runs = _runs(happened_by, known_at, among)
    closed = (
        select(
            runs.c.opportunity_id,
            runs.c.last_kind.label("outcome"),
            func.min(runs.c.occurred_at).label("closed_at"),
        )
        .where(~runs.c.is_broken, runs.c.last_kind.in_(("won", "lost")))
        .group_by(runs.c.opportunity_id, runs.c.last_kind)
        .cte(f"{name}_ends")
    )
    owner = last_value(closed, "owner_id", by=closed.c.closed_at, known_at=known_at)
    by = literal(happened_by, Instant)
    amount = last_value(closed, "amount", by=by, known_at=known_at)
    product = last_value(closed, "product_id", by=by, known_at=known_at)
    return (
        select(
            closed.c.opportunity_id,
            closed.c.outcome,
            closed.c.closed_at,
            owner.c.new_value.label("owner_id"),
            cast(func.nullif(amount.c.new_value, ""), Numeric).label("amount"),
            product.c.new_value.label("product_id"),
            func.coalesce(Opportunity.name, Opportunity.id).label("name"),
            Opportunity.account_id,
            Opportunity.pipeline,
            Opportunity.created_at,
            Opportunity.currency,
            Opportunity.history,
        )
        .join(Opportunity, Opportunity.id == closed.c.opportunity_id)
        .outerjoin(owner, true())
        .outerjoin(amount, true())
        .outerjoin(product, true())
        .cte(name)
    )


def last_value(
    deals: FromClause, field: str, *, by: ColumnElement[Any], known_at: dt.datetime
) -> Any:  # noqa: ANN401 - a lateral
    """Return a field's last value by a time, looked up deal by deal through the events' index.

    A join of two derived relations is planned on guesses of their sizes; on a store of 12,000
    deals the wrong guess took minutes.
    """
    return (
        select(OpportunityEvent.new_value)
        .where(
            OpportunityEvent.opportunity_id == deals.c.opportunity_id,
            OpportunityEvent.field == field,
            OpportunityEvent.occurred_at <= by,
            OpportunityEvent.recorded_at <= known_at,
        )
        .order_by(
            OpportunityEvent.occurred_at.desc(),
            OpportunityEvent.recorded_at.desc(),
            OpportunityEvent.sequence.desc(),
        )
        .limit(1)
        .lateral(f"last_{field}")
    )


def _runs(
    happened_by: dt.datetime, known_at: dt.datetime, among: Sequence[Select[Any]]
) -> Subquery:
    """Return the stage steps with the last step's kind and whether another kind lay between."""
    events = known_events(
        happened_by=happened_by, known_at=known_at, fields=("stage",), among=among
    ).subquery()
    latest_first = [
        events.c.occurred_at.desc(),
        events.c.recorded_at.desc(),
        events.c.sequence.desc(),
    ]
    steps = (
        select(
            events.c.opportunity_id,
            events.c.occurred_at,
            events.c.recorded_at,
            events.c.sequence,
            Stage.kind,
            func.first_value(Stage.kind)
            .over(partition_by=events.c.opportunity_id, order_by=latest_first)
            .label("last_kind"),
        )
        .join(Opportunity, Opportunity.id == events.c.opportunity_id)
        .join(
            Stage,
            and_(Stage.pipeline == Opportunity.pipeline, Stage.stage == events.c.new_value),
        )
        .subquery()
    )
    is_broken = func.bool_or(steps.c.kind != steps.c.last_kind).over(
        partition_by=steps.c.opportunity_id,
        order_by=[
            steps.c.occurred_at.desc(),
            steps.c.recorded_at.desc(),
            steps.c.sequence.desc(),
        ],
    )
    return select(
        steps.c.opportunity_id, steps.c.occurred_at, steps.c.last_kind, is_broken.label("is_broken")
    ).subquery()
