"""Who may do what: role × reach of records × table and field × action, declared as data.

One declaration answers every question: ``allowed`` and ``fields`` for a table's columns (by the
exchange format's names), ``reach`` for whose records, ``matrix`` for the page and
``winward permissions``. What is not granted here is refused. Whose records "team" means is
decided by the one door, ``people.queries.visible_to``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from crm_core import exchange
from crm_core.errors import NotAllowed
from crm_core.people.models import ROLES
from crm_core.people.queries import HasRole, Visibility

Action = Literal["view", "edit", "approve", "export"]
Reach = Literal["none", "own", "team", "all"]
ACTIONS: tuple[Action, ...] = get_args(Action)
CUSTOM = "x_*"
"""Stands for every custom field of a table."""


class MayNot(NotAllowed):
    """The person's role may not do this to that table or field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What roles may do to the records of tables, and how far each action reaches."""

    tables: tuple[str, ...]
    roles: tuple[str, ...]
    view: Reach = "none"
    edit: Reach = "none"
    approve: Reach = "none"
    export: Reach = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Restriction:
    """Fields of a table that only some roles may view (and so export), or edit."""

    table: str
    fields: tuple[str, ...]
    action: Literal["view", "edit"]
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """One line of the exported matrix. ``roles`` × ``table`` × ``field`` × ``action``."""

    role: str
    table: str
    field: str
    action: Action
    reach: Reach


LEADS = ("manager", "leader")
OPERATES = ("sales_ops", "admin")
READS_COSTS = ("leader", "finance", "sales_ops", "data_scientist", "admin")
EVERYBODY = ROLES

REFERENCE = ("company", "org_units", "users", "assignments", "reporting_lines", "campaigns",
             "products", "stages", "fx_rates")  # fmt: skip
CUSTOMERS = ("accounts", "contacts")
SALES = ("leads", "opportunities", "opportunity_contacts", "activities")
MONEY = ("orders", "invoices", "payments", "subscriptions", "credits")
SIGNS = ("usage", "tickets")

GRANTS: tuple[Grant, ...] = (
    Grant(tables=REFERENCE, roles=EVERYBODY, view="all"),
    Grant(tables=REFERENCE, roles=OPERATES, view="all", edit="all", export="all"),
    Grant(tables=("fx_rates",), roles=("finance",), view="all", edit="all", export="all"),
    Grant(tables=(*CUSTOMERS, *SALES), roles=("rep",), view="own", edit="own", export="own"),
    Grant(tables=(*CUSTOMERS, *SALES), roles=LEADS,
          view="team", edit="team", approve="team", export="team"),
    Grant(tables=(*CUSTOMERS, *SALES), roles=OPERATES,
          view="all", edit="all", approve="all", export="all"),
    Grant(tables=(*CUSTOMERS, *SALES), roles=("finance", "data_scientist"),
          view="all", export="all"),
    Grant(tables=("opportunity_events",), roles=("rep",), view="own", export="own"),
    Grant(tables=("opportunity_events",), roles=LEADS, view="team", export="team"),
    Grant(tables=("opportunity_events",), roles=OPERATES, view="all", edit="all", export="all"),
    Grant(tables=("opportunity_events",), roles=("sales_ops", "finance", "data_scientist", "admin"),
          view="all", export="all"),
    Grant(tables=(*MONEY, *SIGNS), roles=("rep",), view="own"),
    Grant(tables=(*MONEY, *SIGNS), roles=LEADS, view="team", export="team"),
    Grant(tables=(*MONEY, *SIGNS), roles=("sales_ops", "data_scientist"),
          view="all", export="all"),
    Grant(tables=MONEY, roles=("finance", "admin"),
          view="all", edit="all", approve="all", export="all"),
    Grant(tables=SIGNS, roles=("finance",), view="all", export="all"),
    Grant(tables=SIGNS, roles=OPERATES, view="all", edit="all", export="all"),
    Grant(tables=("quotas",), roles=("rep",), view="own", export="own"),
    Grant(tables=("quotas",), roles=LEADS, view="team", export="team"),
    Grant(tables=("quotas",), roles=("data_scientist",), view="all", export="all"),
    Grant(tables=("quotas",), roles=("sales_ops", "admin", "finance"),
          view="all", edit="all", approve="all", export="all"),
    Grant(tables=("goals",), roles=("rep",), view="own"),
    Grant(tables=("goals",), roles=("manager",), view="team", edit="team"),
    Grant(tables=("goals",), roles=("leader",), view="team", edit="team", approve="team"),
    Grant(tables=("goals",), roles=("data_scientist",), view="all"),
    Grant(tables=("goals",), roles=("sales_ops", "admin", "finance"),
          view="all", edit="all", approve="all"),
    Grant(tables=("forecasts",), roles=("rep",), view="own", edit="own"),
    Grant(tables=("forecasts",), roles=LEADS, view="team", edit="team"),
    Grant(tables=("forecasts",), roles=("sales_ops", "finance", "data_scientist", "admin"),
          view="all"),
    Grant(tables=("forecast_cadences",), roles=EVERYBODY, view="all"),
    Grant(tables=("forecast_cadences",), roles=OPERATES, view="all", edit="all"),
    Grant(tables=("metrics",), roles=("rep",), view="own", export="own"),
    Grant(tables=("metrics",), roles=LEADS, view="team", export="team"),
    Grant(tables=("metrics",), roles=("sales_ops", "finance", "data_scientist", "admin"),
          view="all", export="all"),
    Grant(tables=("audit_log",), roles=("rep",), view="own"),
    Grant(tables=("audit_log",), roles=LEADS, view="team"),
    Grant(tables=("audit_log",), roles=OPERATES, view="all", export="all"),
    Grant(tables=("metric_definitions",), roles=EVERYBODY, view="all"),
    Grant(tables=("metric_definitions",), roles=OPERATES, view="all", edit="all"),
    Grant(tables=("permissions",), roles=EVERYBODY, view="all"),
    Grant(tables=("permissions",), roles=OPERATES, view="all", export="all"),
)  # fmt: skip
"""Later grants widen earlier ones; nothing narrows. What no grant names is refused."""

RESTRICTIONS: tuple[Restriction, ...] = (
    Restriction(table="products", fields=("cost",), action="view", roles=READS_COSTS),
    Restriction(table="orders", fields=("cost",), action="view", roles=READS_COSTS),
    Restriction(table="campaigns", fields=("cost",), action="view", roles=READS_COSTS),
    Restriction(table="opportunities", fields=("owner_id",), action="edit",
                roles=(*LEADS, *OPERATES)),
    Restriction(table="opportunities", fields=("created_at", "closed_at"), action="edit",
                roles=OPERATES),
    Restriction(table="leads", fields=("owner_id",), action="edit", roles=(*LEADS, *OPERATES)),
    Restriction(table="leads", fields=("created_at",), action="edit", roles=OPERATES),
    Restriction(table="accounts", fields=("owner_id",), action="edit",
                roles=(*LEADS, *OPERATES)),
    Restriction(table="accounts", fields=("created_at", "tier", "annual_revenue"), action="edit",
                roles=(*LEADS, *OPERATES)),
    Restriction(table="activities", fields=("user_id", "recorded_at"), action="edit",
                roles=OPERATES),
    Restriction(table="users", fields=("role",), action="edit", roles=("admin",)),
    Restriction(table="quotas", fields=("approved_at",), action="edit", roles=()),
    Restriction(table="orders", fields=("recorded_at",), action="edit", roles=()),
)  # fmt: skip
"""A field without a restriction follows its table."""

_ORDER: dict[Reach, int] = {"none": 0, "own": 1, "team": 2, "all": 3}
_COLUMNS: dict[str, frozenset[str]] = {
    table.name: frozenset(column.name for column in table.columns)
    | (frozenset({CUSTOM}) if table.custom_fields else frozenset())
    for table in exchange.TABLES
}
_KEYS: dict[str, frozenset[str]] = {table.name: frozenset(table.key) for table in exchange.TABLES}


def _granted() -> dict[tuple[str, str, Action], Reach]:
    found: dict[tuple[str, str, Action], Reach] = {}
    for grant in GRANTS:
        for role in grant.roles:
            for table in grant.tables:
                for action in ACTIONS:
                    given: Reach = getattr(grant, action)
                    before = found.get((role, table, action), "none")
                    found[role, table, action] = max(before, given, key=_ORDER.__getitem__)
    return found


_GRANTED = _granted()
_RESTRICTED: dict[tuple[str, str, str], frozenset[str]] = {
    (each.table, field, each.action): frozenset(each.roles)
    for each in RESTRICTIONS
    for field in each.fields
}


def reach(viewer: HasRole, action: Action, table: str) -> Reach:
    """Return whose records of a table the person may do this to."""
    return _GRANTED.get((viewer.role, table, action), "none")


def within(viewer: HasRole, action: Action, table: str, *, visibility: Visibility) -> Visibility:
    """Return the part of what the person may see to whose records they may do this.

    ``visibility`` is what the one door answered; nothing here widens it.
    """
    how_far = reach(viewer, action, table)
    if how_far == "none":
        return Visibility(everyone=False)
    if how_far == "own":
        mine = frozenset({viewer.id}) if visibility.allows(viewer.id) else frozenset()
        return Visibility(everyone=False, user_ids=mine)
    return visibility


def allowed(viewer: HasRole, action: Action, table: str, field: str | None = None) -> bool:
    """Return whether the person may do this to (a field of) some record of a table.

    ``field`` is a column of the exchange format or a custom field ``x_…``. Whether the record
    itself is within reach is a second question: :func:`within`.
    """
    if reach(viewer, action, table) == "none":
        return False
    return field is None or _field_allowed(viewer.role, action, table, field)


def fields(viewer: HasRole, table: str, action: Action) -> frozenset[str]:
    """Return the fields of a table that the person may do this to; ``x_*`` means custom fields."""
    if reach(viewer, action, table) == "none":
        return frozenset()
    return frozenset(
        field
        for field in _COLUMNS.get(table, ())
        if _field_allowed(viewer.role, action, table, field)
    )


def require(viewer: HasRole, action: Action, table: str, field: str | None = None) -> None:
    """Raise MayNot unless :func:`allowed`; the message names the field and who to ask."""
    if not allowed(viewer, action, table, field):
        what = table if field is None else f"{table}.{field}"
        raise MayNot(f"Your role ({viewer.role}) may not {action} {what}; ask an administrator.")


def _field_allowed(role: str, action: Action, table: str, field: str) -> bool:
    name = CUSTOM if field.startswith("x_") else field
    known = _COLUMNS.get(table)
    if known is not None and name not in known:
        return False
    if action in ("view", "export"):
        return _unrestricted(role, table, name, "view")
    if action == "edit" and name in _KEYS.get(table, ()):
        return False  # what identifies a record is given when it is created and never edited
    return _unrestricted(role, table, name, "view") and _unrestricted(role, table, name, action)


def _unrestricted(role: str, table: str, field: str, action: str) -> bool:
    roles = _RESTRICTED.get((table, field, action))
    return roles is None or role in roles


def tables() -> tuple[str, ...]:
    """Return every table that the declaration names, in its order."""
    return tuple(dict.fromkeys(table for grant in GRANTS for table in grant.tables))


def columns(table: str) -> frozenset[str]:
    """Return the fields of a table that may be granted or withheld."""
    return _COLUMNS.get(table, frozenset())


def matrix() -> Iterator[Cell]:
    """Yield the whole declaration, one line per role, table, field and action.

    ``*`` as field is the record as a whole.
    """
    for role in ROLES:
        for table in tables():
            for field in ("*", *sorted(_COLUMNS.get(table, ()))):
                for action in ACTIONS:
                    how_far = _GRANTED.get((role, table, action), "none")
                    if field != "*" and not _field_allowed(role, action, table, field):
                        how_far = "none"
                    yield Cell(role, table, field, action, how_far)
