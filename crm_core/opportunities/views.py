"""One deal as its page shows it: facts, what changed when, who takes part. A fixed number of reads.

These read the current columns, which models may not; every read asks the one door first.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from sqlalchemy import ColumnElement, and_, case, select
from sqlalchemy.orm import Session, aliased

from crm_core.accounts.models import Account, Contact
from crm_core.errors import NotFound
from crm_core.leads.models import Campaign
from crm_core.money import Money, from_major
from crm_core.opportunities.models import (
    Opportunity,
    OpportunityContact,
    OpportunityEvent,
    Stage,
)
from crm_core.people.models import User
from crm_core.people.queries import Visibility
from crm_core.products.models import Product

MOST_CHANGES = 500


class NoSuchDeal(NotFound):
    """No deal has this id, or the asker may not know that it does."""


@dataclass(frozen=True, slots=True)
class DealFacts:
    """A deal as it stands now. ``history`` is ``none`` when only the current row was imported."""

    id: str
    name: str | None
    account_id: str | None
    account_name: str | None
    industry: str | None
    owner_id: str | None
    owner_name: str | None
    pipeline: str
    stage: str
    stage_kind: str | None
    amount: Money | None
    currency: str
    expected_close_on: dt.date | None
    forecast_category: str | None
    product_name: str | None
    source: str | None
    campaign_name: str | None
    created_at: dt.datetime
    closed_at: dt.datetime | None
    outcome: str | None
    lost_reason: str | None
    history: str
    custom: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class StageStep:
    """A stage of the deal's pipeline, in order."""

    stage: str
    kind: str


Value = str | Money | dt.date | None


@dataclass(frozen=True, slots=True)
class Change:
    """One field's change: from what to what, when it happened and when we learned of it."""

    field: str
    old: Value
    new: Value
    occurred_at: dt.datetime
    recorded_at: dt.datetime
    by: str | None


@dataclass(frozen=True, slots=True)
class Participant:
    """A contact who takes part in the deal."""

    name: str
    title: str | None
    seniority: str | None
    role: str | None
    email: str | None
    phone: str | None
    added_at: dt.datetime


def deal(session: Session, opportunity_id: str, *, visibility: Visibility) -> DealFacts:
    """Return the deal's facts. Raises NoSuchDeal, also when the asker may not see it."""
    row = session.execute(
        select(
            Opportunity,
            Account.name.label("account_name"),
            Account.industry,
            User.name.label("owner_name"),
            Stage.kind,
            Product.name.label("product_name"),
            Campaign.name.label("campaign_name"),
        )
        .outerjoin(Account, Account.id == Opportunity.account_id)
        .outerjoin(User, User.id == Opportunity.owner_id)
        .outerjoin(Product, Product.id == Opportunity.product_id)
        .outerjoin(Campaign, Campaign.id == Opportunity.campaign_id)
        .outerjoin(
            Stage, and_(Stage.pipeline == Opportunity.pipeline, Stage.stage == Opportunity.stage)
        )
        .where(Opportunity.id == opportunity_id, visibility.condition(Opportunity.owner_id))
    ).one_or_none()
    if row is None:
        raise NoSuchDeal("There is no such deal among those you may see.")
    return _facts(row)


def _facts(row: Any) -> DealFacts:  # noqa: ANN401 - a row of the query above
    found = row.Opportunity
    return DealFacts(
        id=found.id,
        name=found.name,
        account_id=found.account_id,
        account_name=row.account_name,
        industry=row.industry,
        owner_id=found.owner_id,
        owner_name=row.owner_name,
        pipeline=found.pipeline,
        stage=found.stage,
        stage_kind=row.kind,
        amount=None if found.amount_minor is None else Money(found.amount_minor, found.currency),
        currency=found.currency,
        expected_close_on=found.expected_close_on,
        forecast_category=found.forecast_category,
        product_name=row.product_name,
        source=found.source,
        campaign_name=row.campaign_name,
        created_at=found.created_at,
        closed_at=found.closed_at,
        outcome=found.outcome,
        lost_reason=found.lost_reason,
        history=found.history,
        custom=tuple(sorted((key, _plain(value)) for key, value in found.custom.items())),
    )


def steps(session: Session, *, pipeline: str) -> tuple[StageStep, ...]:
    """Return the pipeline's stages in order."""
    found = session.execute(
        select(Stage.stage, Stage.kind).where(Stage.pipeline == pipeline).order_by(Stage.position)
    )
    return tuple(StageStep(stage, kind) for stage, kind in found)


def changes(
    session: Session,
    facts: DealFacts,
    *,
    as_of: dt.datetime,
    limit: int = MOST_CHANGES,
    hidden: Collection[str] = (),
) -> tuple[Change, ...]:
    """Return what changed and was known as of a time, newest first, with people's names.

    A missing old value is the field's value before, as the events tell it. Nothing is told of
    custom fields that are ``hidden``.
    """
    author, owner_before, owner_after = aliased(User), aliased(User), aliased(User)
    product_before, product_after = aliased(Product), aliased(Product)
    event = OpportunityEvent

    def named(value: ColumnElement[Any], owner: Any, product: Any) -> ColumnElement[Any]:  # noqa: ANN401
        return case(
            (event.field == "owner_id", owner.name), (event.field == "product_id", product.name),
            else_=value,
        )  # fmt: skip

    before, after = event.old_value.expression, event.new_value.expression
    rows = session.execute(
        select(
            event.field,
            named(before, owner_before, product_before).label("old"),
            named(after, owner_after, product_after).label("new"),
            event.occurred_at,
            event.recorded_at,
            author.name.label("by"),
        )
        .outerjoin(author, author.id == event.user_id)
        .outerjoin(owner_before, owner_before.id == event.old_value)
        .outerjoin(owner_after, owner_after.id == event.new_value)
        .outerjoin(product_before, product_before.id == event.old_value)
        .outerjoin(product_after, product_after.id == event.new_value)
        .where(
            event.opportunity_id == facts.id,
            event.occurred_at <= as_of,
            event.recorded_at <= as_of,
        )
        .order_by(event.occurred_at.desc(), event.sequence.desc())
        .limit(limit)
    ).all()
    return _told(rows, facts.currency, hidden)


def _told(rows: Sequence[Any], currency: str, hidden: Collection[str]) -> tuple[Change, ...]:
    """Return the rows (newest first) as changes, each old value filled from the one before."""
    before: dict[str, Value] = {}
    told: list[Change] = []
    for row in reversed(rows):
        new = _value(row.field, row.new, currency, hidden)
        if row.field == "custom" and new is None:
            continue  # it set hidden fields only
        old = (
            before.get(row.field)
            if row.old is None
            else _value(row.field, row.old, currency, hidden)
        )
        if row.field == "custom":
            old = None  # the event names only what it sets; the event before set other fields
        told.append(Change(row.field, old, new, row.occurred_at, row.recorded_at, row.by))
        before[row.field] = new
    return tuple(reversed(told))


def _value(field: str, text: str | None, currency: str, hidden: Collection[str]) -> Value:
    """Return an event's canonical text as what it means; text that means nothing stays text."""
    if text is None:
        return None
    try:
        if field == "amount":
            return from_major(Decimal(text), currency)
        if field == "expected_close_on":
            return dt.date.fromisoformat(text)
        if field == "custom":
            pairs = sorted(json.loads(text).items())
            shown = [f"{_readable(k)}: {_plain(value)}" for k, value in pairs if k not in hidden]
            return "; ".join(shown) or None
    except (ValueError, InvalidOperation, AttributeError):
        return None if field == "custom" and hidden else text
    return text


def participants(session: Session, opportunity_id: str) -> tuple[Participant, ...]:
    """Return who takes part in the deal, by the time they joined."""
    found = session.execute(
        select(
            Contact.name,
            Contact.title,
            Contact.seniority,
            OpportunityContact.role,
            Contact.email,
            Contact.phone,
            OpportunityContact.added_at,
        )
        .join(OpportunityContact, OpportunityContact.contact_id == Contact.id)
        .where(OpportunityContact.opportunity_id == opportunity_id)
        .order_by(OpportunityContact.added_at, Contact.name)
    )
    return tuple(Participant(*row) for row in found)


def _readable(key: str) -> str:
    return key.removeprefix("x_").replace("_", " ")


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "✓" if value else "✗"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
