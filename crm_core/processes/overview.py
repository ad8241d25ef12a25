"""A customer in one call: everything about an account that the asker may see, in fixed reads."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, func, or_, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session, aliased

from crm_core.accounts.models import Account, Contact, Ticket
from crm_core.activities.models import Activity
from crm_core.money import Money
from crm_core.opportunities.models import Opportunity
from crm_core.orders.models import Invoice, Order, Payment, Subscription
from crm_core.people import permissions
from crm_core.people.models import User
from crm_core.people.queries import HasRole, Visibility, company_day
from crm_core.processes import notes, subjects, tasks
from crm_core.processes.models import Note
from crm_core.processes.notes import NoteView
from crm_core.processes.subjects import NoSuchSubject
from crm_core.processes.tasks import TaskView

MOST = 25


@dataclass(frozen=True, slots=True)
class Customer:
    """The account itself."""

    id: str
    name: str
    owner_id: str | None
    owner: str | None
    parent_id: str | None
    industry: str | None
    region: str | None
    country: str | None
    tier: str | None
    employees: int | None
    created_at: dt.datetime | None


@dataclass(frozen=True, slots=True)
class Person:
    """A contact of the account."""

    id: str
    name: str
    title: str | None
    seniority: str | None
    email: str | None
    phone: str | None


@dataclass(frozen=True, slots=True)
class DealLine:
    """A deal with the account."""

    id: str
    name: str | None
    owner: str | None
    stage: str
    outcome: str | None
    amount: Money | None
    expected_close_on: dt.date | None
    closed_at: dt.datetime | None


@dataclass(frozen=True, slots=True)
class ActivityLine:
    """Something done with the account."""

    kind: str
    occurred_at: dt.datetime
    by: str | None
    opportunity_id: str | None
    outcome: str | None


@dataclass(frozen=True, slots=True)
class OrderLine:
    """An order in its newest version."""

    id: str
    ordered_on: dt.date
    amount: Money
    status: str
    owner: str | None


@dataclass(frozen=True, slots=True)
class TicketLine:
    """A service request."""

    id: str
    opened_at: dt.datetime
    closed_at: dt.datetime | None
    severity: str | None


@dataclass(frozen=True, slots=True)
class SubscriptionLine:
    """A recurring contract."""

    id: str
    started_on: dt.date
    ended_on: dt.date | None
    renews_on: dt.date | None
    monthly: Money
    is_running: bool


@dataclass(frozen=True, slots=True)
class Sums:
    """Totals over every row the asker may see, by currency; never over the shown ones only."""

    open_deals: int
    won_deals: int
    lost_deals: int
    open_tickets: int
    contacts: int
    open_amount: tuple[Money, ...]
    won_amount: tuple[Money, ...]
    ordered: tuple[Money, ...]
    invoiced: tuple[Money, ...]
    paid: tuple[Money, ...]
    monthly: tuple[Money, ...]


@dataclass(frozen=True, slots=True)
class Overview:
    """The customer and the newest rows of each kind; ``sums`` are over all of them."""

    customer: Customer
    sums: Sums
    contacts: tuple[Person, ...]
    deals: tuple[DealLine, ...]
    activities: tuple[ActivityLine, ...]
    orders: tuple[OrderLine, ...]
    tickets: tuple[TicketLine, ...]
    subscriptions: tuple[SubscriptionLine, ...]
    notes: tuple[NoteView, ...]
    tasks: tuple[TaskView, ...]


def overview(
    session: Session,
    account_id: str,
    *,
    viewer: HasRole,
    visibility: Visibility,
    as_of: dt.datetime,
) -> Overview:
    """Return the customer as the viewer may see it. Raises NoSuchSubject.

    The number of statements does not depend on how much there is.
    """
    today = company_day(session, as_of)
    customer = _customer(session, account_id, visibility)
    sees = {
        table: permissions.allowed(viewer, "view", table)
        for table in ("orders", "invoices", "payments", "subscriptions", "tickets")
    }
    deal_sums = _deal_sums(session, account_id, visibility)
    orders = _orders(account_id, visibility, as_of) if sees["orders"] else None
    contacts = _contacts(session, account_id)
    open_tickets, tickets = _tickets(session, account_id) if sees["tickets"] else (0, ())
    subscriptions = _subscriptions(session, account_id, today) if sees["subscriptions"] else ()
    return Overview(
        customer=customer,
        sums=Sums(
            **deal_sums,
            open_tickets=open_tickets,
            contacts=contacts[0],
            ordered=_order_sums(session, orders),
            invoiced=_sums(session, Invoice, account_id) if sees["invoices"] else (),
            paid=_sums(session, Payment, account_id) if sees["payments"] else (),
            monthly=_monthly(session, account_id, today) if sees["subscriptions"] else (),
        ),
        contacts=contacts[1],
        deals=_deals(session, account_id, visibility),
        activities=_activities(session, account_id, visibility, as_of),
        orders=_order_lines(session, orders),
        tickets=tickets,
        subscriptions=subscriptions,
        notes=_notes(session, account_id, visibility, as_of),
        tasks=_tasks(session, account_id, viewer, visibility, as_of),
    )


def _customer(session: Session, account_id: str, visibility: Visibility) -> Customer:
    row = session.execute(
        select(Account, User.name)
        .outerjoin(User, User.id == Account.owner_id)
        .where(Account.id == account_id, subjects.account_condition(visibility))
    ).one_or_none()
    if row is None:
        raise NoSuchSubject("There is no such customer among those you may see.")
    found, owner = row
    return Customer(
        found.id, found.name, found.owner_id, owner, found.parent_id, found.industry,
        found.region, found.country, found.tier, found.employees, found.created_at,
    )  # fmt: skip


def _by_currency(pairs: Any) -> tuple[Money, ...]:  # noqa: ANN401 - (currency, minor) pairs
    total: dict[str, int] = {}
    for currency, minor in pairs:
        if minor is not None:
            total[currency] = total.get(currency, 0) + int(minor)
    return tuple(Money(minor, currency) for currency, minor in sorted(total.items()))


def _contacts(session: Session, account_id: str) -> tuple[int, tuple[Person, ...]]:
    rows = session.execute(
        select(Contact, func.count().over())
        .where(Contact.account_id == account_id)
        .order_by(Contact.name, Contact.id)
        .limit(MOST)
    ).all()
    people = tuple(Person(c.id, c.name, c.title, c.seniority, c.email, c.phone) for c, _ in rows)
    return (rows[0][1] if rows else 0), people


def _deal_sums(session: Session, account_id: str, visibility: Visibility) -> dict[str, Any]:
    found = session.execute(
        select(
            Opportunity.outcome, Opportunity.currency, func.count(),
            func.sum(Opportunity.amount_minor),
        )
        .where(
            Opportunity.account_id == account_id, visibility.condition(Opportunity.owner_id)
        )
        .group_by(Opportunity.outcome, Opportunity.currency)
    )  # fmt: skip
    rows = [(kind or "open", currency, n, minor) for kind, currency, n, minor in found]
    counted = {kind: sum(row[2] for row in rows if row[0] == kind) for kind in _OUTCOMES}
    return {
        "open_deals": counted["open"],
        "won_deals": counted["won"],
        "lost_deals": counted["lost"],
        "open_amount": _by_currency((row[1], row[3]) for row in rows if row[0] == "open"),
        "won_amount": _by_currency((row[1], row[3]) for row in rows if row[0] == "won"),
    }


_OUTCOMES = ("open", "won", "lost")


def _deals(session: Session, account_id: str, visibility: Visibility) -> tuple[DealLine, ...]:
    rows = session.execute(
        select(Opportunity, User.name)
        .outerjoin(User, User.id == Opportunity.owner_id)
        .where(
            Opportunity.account_id == account_id, visibility.condition(Opportunity.owner_id)
        )
        .order_by(
            Opportunity.closed_at.desc().nulls_first(), Opportunity.created_at.desc(),
            Opportunity.id,
        )
        .limit(MOST)
    )  # fmt: skip
    return tuple(
        DealLine(
            deal.id, deal.name, owner, deal.stage, deal.outcome,
            None if deal.amount_minor is None else Money(deal.amount_minor, deal.currency),
            deal.expected_close_on, deal.closed_at,
        )
        for deal, owner in rows
    )  # fmt: skip


def _own_deals(account_id: str, visibility: Visibility) -> Any:  # noqa: ANN401 - a select of ids
    return select(Opportunity.id).where(
        Opportunity.account_id == account_id, visibility.condition(Opportunity.owner_id)
    )


def _activities(
    session: Session, account_id: str, visibility: Visibility, as_of: dt.datetime
) -> tuple[ActivityLine, ...]:
    deals = _own_deals(account_id, visibility)
    known = (
        select(Activity)
        .where(
            or_(Activity.account_id == account_id, Activity.opportunity_id.in_(deals)),
            Activity.recorded_at <= as_of,
        )
        .ext(distinct_on(Activity.id))
        .order_by(Activity.id, Activity.recorded_at.desc())
        .subquery()
    )
    newest = aliased(Activity, known)
    rows = session.execute(
        select(newest.kind, newest.occurred_at, User.name, newest.opportunity_id, newest.outcome)
        .outerjoin(User, User.id == newest.user_id)
        .where(
            newest.occurred_at <= as_of,
            or_(
                newest.opportunity_id.in_(deals),
                visibility.condition(newest.user_id),
                and_(newest.opportunity_id.is_(None), newest.account_id == account_id),
            ),
        )
        .order_by(newest.occurred_at.desc(), newest.id)
        .limit(MOST)
    )
    return tuple(ActivityLine(*row) for row in rows)


def _orders(account_id: str, visibility: Visibility, as_of: dt.datetime) -> Any:  # noqa: ANN401 - an alias
    newest = (
        select(Order)
        .where(Order.account_id == account_id, Order.recorded_at <= as_of)
        .ext(distinct_on(Order.id))
        .order_by(Order.id, Order.recorded_at.desc())
        .subquery()
    )
    order = aliased(Order, newest)
    deals = select(Opportunity.id).where(visibility.condition(Opportunity.owner_id))
    return order, or_(visibility.condition(order.owner_id), order.opportunity_id.in_(deals))


def _order_sums(session: Session, orders: Any) -> tuple[Money, ...]:  # noqa: ANN401 - _orders
    if orders is None:
        return ()
    order, visible = orders
    rows = session.execute(
        select(order.currency, func.sum(order.amount_minor))
        .where(visible, order.status == "signed")
        .group_by(order.currency)
    )
    return _by_currency(rows)


def _order_lines(session: Session, orders: Any) -> tuple[OrderLine, ...]:  # noqa: ANN401 - _orders
    if orders is None:
        return ()
    order, visible = orders
    rows = session.execute(
        select(order, User.name)
        .outerjoin(User, User.id == order.owner_id)
        .where(visible)
        .order_by(order.ordered_on.desc(), order.id)
        .limit(MOST)
    )
    return tuple(
        OrderLine(o.id, o.ordered_on, Money(o.amount_minor, o.currency), o.status, owner)
        for o, owner in rows
    )


def _sums(session: Session, table: type[Invoice | Payment], account_id: str) -> tuple[Money, ...]:
    rows = session.execute(
        select(table.currency, func.sum(table.amount_minor))
        .where(table.account_id == account_id)
        .group_by(table.currency)
    )
    return _by_currency(rows)


def _monthly(session: Session, account_id: str, today: dt.date) -> tuple[Money, ...]:
    rows = session.execute(
        select(Subscription.currency, func.sum(Subscription.monthly_amount_minor))
        .where(
            Subscription.account_id == account_id, Subscription.started_on <= today,
            or_(Subscription.ended_on.is_(None), Subscription.ended_on > today),
        )
        .group_by(Subscription.currency)
    )  # fmt: skip
    return _by_currency(rows)


def _tickets(session: Session, account_id: str) -> tuple[int, tuple[TicketLine, ...]]:
    rows = session.execute(
        select(Ticket, func.count().filter(Ticket.closed_at.is_(None)).over())
        .where(Ticket.account_id == account_id)
        .order_by(Ticket.closed_at.is_not(None), Ticket.opened_at.desc(), Ticket.id)
        .limit(MOST)
    ).all()
    lines = tuple(TicketLine(t.id, t.opened_at, t.closed_at, t.severity) for t, _ in rows)
    return (rows[0][1] if rows else 0), lines


def _subscriptions(
    session: Session, account_id: str, today: dt.date
) -> tuple[SubscriptionLine, ...]:
    rows = session.scalars(
        select(Subscription)
        .where(Subscription.account_id == account_id)
        .order_by(Subscription.ended_on.desc().nulls_first(), Subscription.started_on.desc())
        .limit(200)
    )
    return tuple(
        SubscriptionLine(
            s.id, s.started_on, s.ended_on, s.renews_on,
            Money(s.monthly_amount_minor, s.currency),
            s.started_on <= today and (s.ended_on is None or s.ended_on > today),
        )
        for s in rows
    )  # fmt: skip


def _notes(
    session: Session, account_id: str, visibility: Visibility, as_of: dt.datetime
) -> tuple[NoteView, ...]:
    about = or_(
        and_(Note.subject_kind == "account", Note.subject_id == account_id),
        and_(
            Note.subject_kind == "opportunity",
            Note.subject_id.in_(_own_deals(account_id, visibility)),
        ),
    )
    return notes.where(session, about, as_of=as_of, limit=MOST)


def _tasks(
    session: Session,
    account_id: str,
    viewer: HasRole,
    visibility: Visibility,
    as_of: dt.datetime,
) -> tuple[TaskView, ...]:
    return tasks.of_account(
        session, account_id, deals=_own_deals(account_id, visibility), viewer_id=viewer.id,
        visibility=visibility, as_of=as_of, limit=MOST,
    )  # fmt: skip
