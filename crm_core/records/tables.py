"""The tables of the exchange format as they are stored: key, newest version, whose rows.

Everything the API serves is derived from here and :data:`crm_core.exchange.TABLES`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import FromClause, Table, select
from sqlalchemy.dialects.postgresql import distinct_on

from crm_core import exchange
from crm_core.accounts.models import Account, Contact, Ticket, Usage
from crm_core.activities.models import Activity
from crm_core.database import Base
from crm_core.errors import NotFound
from crm_core.leads.models import Campaign, Lead
from crm_core.opportunities.models import (
    Opportunity,
    OpportunityContact,
    OpportunityEvent,
    Stage,
)
from crm_core.orders.models import Credit, FxRate, Invoice, Order, Payment, Subscription
from crm_core.people.models import Assignment, Company, OrgUnit, ReportingLine, User
from crm_core.products.models import Product
from crm_core.quotas.models import Quota

_MODELS: dict[str, type[Base]] = {
    model.__tablename__: model
    for model in (
        Company, OrgUnit, User, Assignment, ReportingLine, Account, Contact, Campaign, Lead,
        Product, Stage, Opportunity, OpportunityEvent, OpportunityContact, Activity, Order,
        Invoice, Payment, Subscription, Usage, Ticket, Quota, Credit, FxRate,
    )
}  # fmt: skip

VERSIONED = frozenset({"activities", "fx_rates", "orders", "quotas"})
"""Corrected by a row with a later ``recorded_at``; the list shows the newest of each record."""

APPEND_ONLY = frozenset({"opportunity_events"})
"""Never changed: a correction is one more row."""


class NoSuchTable(NotFound):
    """The exchange format has no table of that name."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One table of the exchange format and where its rows lie."""

    table: exchange.Table
    stored: Table = field(repr=False)
    key: tuple[str, ...]

    @property
    def name(self) -> str:
        """The table's name."""
        return self.table.name

    @property
    def is_versioned(self) -> bool:
        """Whether a change is a new version."""
        return self.name in VERSIONED

    @property
    def is_append_only(self) -> bool:
        """Whether a row can never be changed."""
        return self.name in APPEND_ONLY

    def column(self, name: str) -> exchange.Column:
        """Return the exchange column of that name. Raises KeyError."""
        return self.table.column(name)

    def stored_name(self, column: exchange.Column) -> str:
        """Return the name under which a column is stored: money lies there in minor units."""
        return f"{column.name}_minor" if column.kind == "money" else column.name

    def relation(self) -> FromClause:
        """Return the rows that count now: of a versioned table the newest version each."""
        if not self.is_versioned:
            return self.stored
        key = [self.stored.c[name] for name in self.key]
        newest = select(self.stored).ext(distinct_on(*key))
        return newest.order_by(*key, self.stored.c.recorded_at.desc()).subquery(self.name)


def _key(table: exchange.Table) -> tuple[str, ...]:
    if table.name in APPEND_ONLY:
        return ("sequence",)
    if table.name in VERSIONED:
        return tuple(name for name in table.key if name != "recorded_at")
    return table.key


SHAPES: dict[str, Shape] = {
    table.name: Shape(table, Base.metadata.tables[_MODELS[table.name].__tablename__], _key(table))
    for table in exchange.TABLES
}


def shape(name: str) -> Shape:
    """Return the shape of a table. Raises NoSuchTable."""
    if name not in SHAPES:
        raise NoSuchTable(f"There is no table {name!r}; the tables are {', '.join(SHAPES)}.")
    return SHAPES[name]


Relation = Any
"""The relation of a shape, whose columns are reached by name through ``.c``."""
