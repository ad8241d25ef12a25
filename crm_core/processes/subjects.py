"""The one place that decides who may see what hangs on a record: tasks, notes, overrides.

They inherit from the record: a deal's is seen by who sees its owner's records; what belongs to
an account also by who has a deal with it, so that nobody has a deal with a customer they may
not open.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, false, func, or_, select, true
from sqlalchemy.orm import Session

from crm_core.accounts.models import Account, Contact, Ticket
from crm_core.activities.models import Activity
from crm_core.errors import NotFound
from crm_core.leads.models import Lead
from crm_core.opportunities.models import Opportunity
from crm_core.orders.models import Order
from crm_core.people.queries import Visibility
from crm_core.processes.models import SUBJECT_KINDS

Condition = ColumnElement[bool]


class NoSuchSubject(NotFound):
    """No record has this kind and id, or the asker may not know that it does."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A record that something hangs on: what it is, what people call it, whose it is."""

    kind: str
    id: str
    title: str
    owner_id: str | None


def accounts(visibility: Visibility) -> Any:  # noqa: ANN401 - a select of ids
    """Return the select of the ids of the accounts that may be seen."""
    return select(Account.id).where(account_condition(visibility))


def account_condition(visibility: Visibility) -> Condition:
    """Return the condition that an account may be seen."""
    if visibility.everyone:
        return true()
    deals = select(Opportunity.account_id).where(
        visibility.condition(Opportunity.owner_id), Opportunity.account_id.is_not(None)
    )
    return or_(visibility.condition(Account.owner_id), Account.id.in_(deals))


def _visible(kind: str, visibility: Visibility) -> Condition:
    """Return the condition that a row of the kind's own table may be seen."""
    if kind == "opportunity":
        return visibility.condition(Opportunity.owner_id)
    if kind == "lead":
        return visibility.condition(Lead.owner_id)
    if kind == "account":
        return account_condition(visibility)
    if kind == "contact":
        return Contact.account_id.in_(accounts(visibility))
    if kind == "ticket":
        return Ticket.account_id.in_(accounts(visibility))
    deals = select(Opportunity.id).where(visibility.condition(Opportunity.owner_id))
    if kind == "order":
        return or_(visibility.condition(Order.owner_id), Order.opportunity_id.in_(deals))
    return or_(
        visibility.condition(Activity.user_id),
        Activity.opportunity_id.in_(deals),
        and_(Activity.opportunity_id.is_(None), Activity.account_id.in_(accounts(visibility))),
    )


_TABLES: dict[str, tuple[Any, Any, Any]] = {
    "opportunity": (Opportunity.id, func.coalesce(Opportunity.name, Opportunity.id),
                    Opportunity.owner_id),
    "account": (Account.id, Account.name, Account.owner_id),
    "contact": (Contact.id, Contact.name, None),
    "lead": (Lead.id, Lead.id, Lead.owner_id),
    "activity": (Activity.id, Activity.kind, Activity.user_id),
    "order": (Order.id, Order.id, Order.owner_id),
    "ticket": (Ticket.id, Ticket.id, None),
}  # fmt: skip


def find(session: Session, kind: str, subject_id: str, *, visibility: Visibility) -> Subject:
    """Return the record. Raises NoSuchSubject, also when it may not be seen."""
    if kind not in _TABLES:
        raise NoSuchSubject(f"There is no kind {kind!r}; the kinds are {', '.join(SUBJECT_KINDS)}.")
    key, title, owner = _TABLES[kind]
    columns = [key, title] if owner is None else [key, title, owner]
    row = session.execute(
        select(*columns).where(key == subject_id, _visible(kind, visibility)).limit(1)
    ).first()
    if row is None:
        raise NoSuchSubject("There is no such record among those you may see.")
    return Subject(kind, row[0], row[1], None if owner is None else row[2])


def sees(session: Session, kind: str, subject_id: str, *, visibility: Visibility) -> bool:
    """Return whether the record exists and may be seen."""
    if kind not in _TABLES:
        return False
    key = _TABLES[kind][0]
    found = select(key).where(key == subject_id, _visible(kind, visibility)).limit(1)
    return session.scalar(found) is not None


def condition(kind_column: Any, id_column: Any, visibility: Visibility) -> Condition:  # noqa: ANN401
    """Return the condition that the record which two columns name may be seen."""
    if visibility.everyone:
        return true()
    parts = [
        and_(kind_column == kind, id_column.in_(select(key).where(_visible(kind, visibility))))
        for kind, (key, _, _) in _TABLES.items()
    ]
    return or_(false(), *parts)


def titles(
    session: Session, pairs: set[tuple[str, str]], *, visibility: Visibility
) -> dict[tuple[str, str], str]:
    """Return what people call these records, of those that may be seen."""
    found: dict[tuple[str, str], str] = {}
    for kind in sorted({kind for kind, _ in pairs if kind in _TABLES}):
        key, title, _ = _TABLES[kind]
        ids = [subject_id for each, subject_id in pairs if each == kind]
        named = select(key, title).where(key.in_(ids), _visible(kind, visibility))
        for subject_id, name in session.execute(named):
            found[kind, subject_id] = name
    return found
