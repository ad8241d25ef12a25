"""The list of customers: accounts within reach, each with its people and its open deals."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from crm_core.accounts.models import Account, Contact
from crm_core.money import Money
from crm_core.opportunities.models import Opportunity
from crm_core.people.models import User
from crm_core.people.queries import Visibility
from crm_core.records import access, filters, queries, scopes
from crm_core.records.access import Asker
from crm_core.records.filters import Filter
from crm_core.records.queries import Question
from crm_core.records.rows import Record
from crm_core.records.tables import Relation, shape

SORTS = ("name", "industry", "country", "tier", "employees", "created_at")
_SHOWN = ("id", "name", "industry", "region", "country", "tier", "employees")


@dataclass(frozen=True, slots=True)
class CustomerLine:
    """An account with what stands beside it; sums are over the deals the asker may see."""

    id: str
    facts: Record
    owner: str | None
    contacts: int
    open_deals: int
    open_amounts: tuple[Money, ...]


@dataclass(frozen=True, slots=True)
class Customers:
    """A page of the list, how many there are in all, and where it goes on."""

    lines: tuple[CustomerLine, ...]
    total: int
    next_cursor: str | None


def listed(
    session: Session,
    *,
    asker: Asker,
    text: str | None,
    sort: str,
    cursor: str | None,
    limit: int,
) -> Customers:
    """Return a page of the accounts that the asker may view, in a fixed number of statements.

    ``text`` is part of a name. Raises MayNot, FilterInvalid and CursorInvalid.
    """
    accounts = shape("accounts")
    narrowed = (Filter("name", "contains", text),) if text else ()
    question = Question(filters=narrowed, sort=sort, cursor=cursor, limit=limit)
    page = queries.page(session, accounts, question, asker=asker)
    keys = [item.key for item in page.items]
    owners = _owners(session, keys)
    people = _contacts(session, keys)
    deals = _open_deals(session, keys, asker.visibility)
    lines = tuple(
        CustomerLine(
            item.key,
            {name: item.record.get(name) for name in _SHOWN},
            owners.get(item.key),
            people.get(item.key, 0),
            *deals.get(item.key, (0, ())),
        )
        for item in page.items
    )
    return Customers(lines, _count(session, narrowed, asker), page.next_cursor)


def _count(session: Session, narrowed: Collection[Filter], asker: Asker) -> int:
    accounts = shape("accounts")
    rows: Relation = accounts.relation()
    visible = access.fields(session, "accounts", "view", asker=asker)
    currency = queries.company_currency(session)
    found = session.scalar(
        select(func.count())
        .select_from(rows)
        .where(
            scopes.condition("accounts", rows, asker.within("view", "accounts")),
            *(
                filters.condition(accounts, rows, each, allowed=visible, currency=currency)
                for each in narrowed
            ),
        )
    )
    return int(found or 0)


def _owners(session: Session, keys: Collection[str]) -> dict[str, str]:
    found = session.execute(
        select(Account.id, User.name)
        .join(User, User.id == Account.owner_id)
        .where(Account.id.in_(keys))
    )
    return {row.id: row.name for row in found}


def _contacts(session: Session, keys: Collection[str]) -> dict[str, int]:
    found = session.execute(
        select(Contact.account_id, func.count())
        .where(Contact.account_id.in_(keys))
        .group_by(Contact.account_id)
    )
    return {account: int(count) for account, count in found}


def _open_deals(
    session: Session, keys: Collection[str], may: Visibility
) -> dict[str, tuple[int, tuple[Money, ...]]]:
    found = session.execute(
        select(
            Opportunity.account_id, Opportunity.currency, func.count(),
            func.sum(Opportunity.amount_minor),
        )
        .where(
            Opportunity.account_id.in_(keys), Opportunity.outcome.is_(None),
            may.condition(Opportunity.owner_id),
        )
        .group_by(Opportunity.account_id, Opportunity.currency)
        .order_by(Opportunity.account_id, Opportunity.currency)
    )  # fmt: skip
    sums: dict[Any, Any] = {}
    for account, currency, count, minor in found:
        deals, amounts = sums.get(account, (0, ()))
        added = () if minor is None else (Money(int(minor), currency),)
        sums[account] = (deals + int(count), (*amounts, *added))
    return sums
