"""Whose a record is: the condition that a row of a table belongs to people one may act for.

A record without an owner of its own is whose its deal or account is. An account is theirs too
who own a deal on it, so that nobody has a deal with a customer they may not open.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, and_, any_, literal, or_, select, true
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Text

from crm_core.accounts.models import Account, Contact
from crm_core.opportunities.models import Opportunity
from crm_core.orders.models import Order
from crm_core.people.queries import Visibility
from crm_core.records.tables import Relation

Condition = ColumnElement[bool]
Scope = Callable[[Relation, Visibility], Condition]


def _owned(column: str) -> Scope:
    return lambda rows, may: may.condition(rows.c[column])


def _accounts_of(may: Visibility) -> Any:  # noqa: ANN401 - a select of ids
    return select(Account.id).where(_account_is(Account.id, Account.owner_id, may))


def _account_is(account: Any, owner: Any, may: Visibility) -> Condition:  # noqa: ANN401 - columns
    deals = select(Opportunity.account_id).where(may.condition(Opportunity.owner_id))
    return or_(may.condition(owner), account.in_(deals))


def _account(rows: Relation, may: Visibility) -> Condition:
    return _account_is(rows.c.id, rows.c.owner_id, may)


def _of_account(rows: Relation, may: Visibility) -> Condition:
    return rows.c.account_id.in_(_accounts_of(may))  # type: ignore[no-any-return]


def _deals_of(may: Visibility) -> Any:  # noqa: ANN401 - a select of ids
    return select(Opportunity.id).where(may.condition(Opportunity.owner_id))


def _of_deal(rows: Relation, may: Visibility) -> Condition:
    return rows.c.opportunity_id.in_(_deals_of(may))  # type: ignore[no-any-return]


def _activity(rows: Relation, may: Visibility) -> Condition:
    """Return that the activity is one's own, or of a deal or customer of one's own."""
    of_contact = rows.c.contact_id.in_(
        select(Contact.id).where(Contact.account_id.in_(_accounts_of(may)))
    )
    without_deal = and_(
        rows.c.opportunity_id.is_(None), or_(rows.c.account_id.in_(_accounts_of(may)), of_contact)
    )
    return or_(may.condition(rows.c.user_id), _of_deal(rows, may), without_deal)


def _order(rows: Relation, may: Visibility) -> Condition:
    return or_(may.condition(rows.c.owner_id), _of_deal(rows, may))


def _quota(rows: Relation, may: Visibility) -> Condition:
    """Return that the quota is of somebody one may act for, or of a unit one leads."""
    people = literal(sorted(may.user_ids), ARRAY(Text))
    units = literal(sorted(may.unit_ids), ARRAY(Text))
    return or_(
        and_(rows.c.subject_kind == "user", rows.c.subject_id == any_(people)),
        and_(rows.c.subject_kind == "org_unit", rows.c.subject_id == any_(units)),
    )


def _credit(rows: Relation, may: Visibility) -> Condition:
    orders = select(Order.id).where(may.condition(Order.owner_id))
    return or_(may.condition(rows.c.user_id), rows.c.order_id.in_(orders))


SCOPES: dict[str, Scope] = {
    "accounts": _account,
    "contacts": _of_account,
    "leads": _owned("owner_id"),
    "opportunities": _owned("owner_id"),
    "opportunity_events": _of_deal,
    "opportunity_contacts": _of_deal,
    "activities": _activity,
    "orders": _order,
    "invoices": _of_account,
    "payments": _of_account,
    "subscriptions": _of_account,
    "usage": _of_account,
    "tickets": _of_account,
    "quotas": _quota,
    "credits": _credit,
}
"""A table that is not named here is the company's: its records belong to everybody."""


def condition(table: str, rows: Relation, may: Visibility) -> Condition:
    """Return the condition that a row is within reach."""
    scope = SCOPES.get(table)
    return true() if may.everyone or scope is None else scope(rows, may)
