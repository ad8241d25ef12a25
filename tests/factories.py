"""Builders of facts for tests: each adds rows to a session and returns what it made.

They write what an import would write: a deal is its events, its current columns follow from
them. Ids count up per kind within a test process unless given.
"""

from __future__ import annotations

import datetime as dt
import itertools
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from crm_core.accounts.models import Account, Contact
from crm_core.activities.models import Activity
from crm_core.money import from_major
from crm_core.opportunities.models import (
    Opportunity,
    OpportunityContact,
    OpportunityEvent,
    Stage,
)
from crm_core.opportunities.projection import project_one
from crm_core.orders.models import Order
from crm_core.people.models import Company, User

START = dt.datetime(2026, 1, 5, 9, 0, tzinfo=dt.UTC)
PIPELINE = (
    ("Qualify", "open", "pipeline"),
    ("Propose", "open", "best_case"),
    ("Negotiate", "open", "commit"),
    ("Won", "won", "closed"),
    ("Lost", "lost", "omitted"),
)
_numbers = itertools.count(1)
_zones = itertools.cycle(("Pacific/Kiritimati", "Etc/GMT+12", "America/New_York"))
"""Where people's clocks stand: 26 hours apart, and never where the company's stands."""


def _id(prefix: str, given: str | None) -> str:
    return given if given is not None else f"{prefix}-{next(_numbers):06d}"


def a_company(
    session: Session,
    *,
    currency: str = "EUR",
    time_zone: str = "Europe/Berlin",
    fiscal_year_start_month: int = 1,
    stages: Sequence[tuple[str, str, str | None]] = PIPELINE,
    pipeline: str = "default",
) -> Company:
    """A company with one pipeline of (stage, kind, forecast category); made once per store."""
    company = session.get(Company, 1)
    if company is None:
        company = Company(
            id=1, name="Test company", currency=currency, time_zone=time_zone, locale="en",
            fiscal_year_start_month=fiscal_year_start_month,
        )  # fmt: skip
        session.add(company)
    if session.scalar(select(Stage).where(Stage.pipeline == pipeline).limit(1)) is None:
        session.add_all(
            Stage(pipeline=pipeline, stage=name, position=i, kind=kind, forecast_category=belief)
            for i, (name, kind, belief) in enumerate(stages)
        )
    session.flush()
    return company


def a_user(
    session: Session,
    *,
    key: str | None = None,
    role: str = "rep",
    manager_id: str | None = None,
    org_unit_id: str | None = None,
    hired_on: dt.date | None = dt.date(2024, 1, 1),
    **columns: Any,
) -> User:
    """A person who sells or leads."""
    number = _id("user", key)
    user = User(
        id=number, name=columns.pop("name", number),
        email=columns.pop("email", f"{number}@test.example"), role=role, manager_id=manager_id,
        org_unit_id=org_unit_id, hired_on=hired_on,
        time_zone=columns.pop("time_zone", next(_zones)), **columns,
    )  # fmt: skip
    session.add(user)
    session.flush()
    return user


def an_account(
    session: Session,
    *,
    key: str | None = None,
    created_at: dt.datetime | None = START,
    **columns: Any,
) -> Account:
    """A customer or prospect."""
    number = _id("account", key)
    account = Account(id=number, name=columns.pop("name", number), created_at=created_at, **columns)
    session.add(account)
    session.flush()
    return account


def a_contact(
    session: Session, *, account: Account, key: str | None = None, **columns: Any
) -> Contact:
    """A person at an account."""
    number = _id("contact", key)
    contact = Contact(id=number, account_id=account.id, name=columns.pop("name", number), **columns)
    session.add(contact)
    session.flush()
    return contact


def an_opportunity(
    session: Session,
    *,
    key: str | None = None,
    account: Account | None = None,
    owner: User | None = None,
    created_at: dt.datetime = START,
    recorded_at: dt.datetime | None = None,
    stage: str = "Qualify",
    stages: Mapping[dt.datetime, str] | None = None,
    amount: Decimal | str | None = "1000.00",
    expected_close_on: dt.date | None = None,
    custom: Mapping[str, Any] | None = None,
    **columns: Any,
) -> Opportunity:
    """A deal with its creation events, then ``stages`` (when → which) and their outcome.

    Amount, owner, expected close date and custom fields are known from creation on. Makes the
    company and its pipeline if there is none.
    """
    company = a_company(session)
    known = recorded_at if recorded_at is not None else created_at
    currency = columns.pop("currency", company.currency)
    opportunity = Opportunity(
        id=_id("deal", key), account_id=account.id if account else None, name="Test deal",
        owner_id=owner.id if owner else None, created_at=created_at, recorded_at=known,
        currency=currency, stage=stage,
        pipeline=columns.pop("pipeline", "default"), expected_close_on=expected_close_on,
        amount_minor=None if amount is None else from_major(amount, currency).minor,
        custom=dict(custom or {}), **columns,
    )  # fmt: skip
    session.add(opportunity)
    session.flush()
    opening = {
        "stage": stage,
        "owner_id": opportunity.owner_id,
        "amount": None if amount is None else str(Decimal(amount)),
        "expected_close_on": None if expected_close_on is None else expected_close_on.isoformat(),
        "custom": json.dumps(dict(custom)) if custom else None,
    }
    for field, value in opening.items():
        if value is not None:
            an_event(
                session, opportunity, field=field, value=value, at=created_at, recorded_at=known
            )
    for moment in sorted(stages or {}):
        moves(session, opportunity, to=(stages or {})[moment], at=moment)
    return opportunity


def an_event(
    session: Session,
    opportunity: Opportunity,
    *,
    field: str,
    value: str | None,
    at: dt.datetime,
    recorded_at: dt.datetime | None = None,
) -> OpportunityEvent:
    """A change of one field; recorded when it happened unless said otherwise."""
    event = OpportunityEvent(
        opportunity_id=opportunity.id, field=field, new_value=value, occurred_at=at,
        recorded_at=recorded_at if recorded_at is not None else at,
    )  # fmt: skip
    session.add(event)
    session.flush()
    project_one(session, opportunity.id, currency=opportunity.currency)
    session.refresh(opportunity)
    return event


def moves(
    session: Session,
    opportunity: Opportunity,
    *,
    to: str,
    at: dt.datetime,
    recorded_at: dt.datetime | None = None,
) -> Opportunity:
    """The deal enters a stage; its current columns follow, with the outcome if it ends it."""
    an_event(session, opportunity, field="stage", value=to, at=at, recorded_at=recorded_at)
    return opportunity


def an_activity(
    session: Session,
    *,
    opportunity: Opportunity | None = None,
    kind: str = "call",
    at: dt.datetime = START,
    recorded_at: dt.datetime | None = None,
    key: str | None = None,
    **columns: Any,
) -> Activity:
    """Something done with or for a customer."""
    activity = Activity(
        id=_id("activity", key), kind=kind, occurred_at=at,
        recorded_at=recorded_at if recorded_at is not None else at,
        opportunity_id=opportunity.id if opportunity else None,
        account_id=columns.pop("account_id", opportunity.account_id if opportunity else None),
        **columns,
    )  # fmt: skip
    session.add(activity)
    session.flush()
    return activity


def an_engagement(
    session: Session,
    *,
    opportunity: Opportunity,
    contact: Contact,
    at: dt.datetime = START,
    role: str | None = None,
) -> OpportunityContact:
    """A contact takes part in a deal from a time on."""
    link = OpportunityContact(
        opportunity_id=opportunity.id, contact_id=contact.id, role=role, added_at=at
    )
    session.add(link)
    session.flush()
    return link


def an_order(
    session: Session,
    *,
    account: Account,
    ordered_on: dt.date,
    recorded_at: dt.datetime | None = None,
    amount_minor: int = 100_000,
    key: str | None = None,
    **columns: Any,
) -> Order:
    """An order line as known from ``recorded_at`` on (the day's end by default)."""
    known = recorded_at or dt.datetime.combine(ordered_on, dt.time(20), tzinfo=dt.UTC)
    order = Order(
        id=_id("order", key), account_id=account.id, ordered_on=ordered_on, recorded_at=known,
        amount_minor=amount_minor, currency=columns.pop("currency", "EUR"), **columns,
    )  # fmt: skip
    session.add(order)
    session.flush()
    return order
