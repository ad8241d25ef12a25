"""Which fields of a table a person may view or edit, custom fields with rules of their own too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, not_, or_, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from crm_core.people import permissions
from crm_core.people.permissions import CUSTOM
from crm_core.people.queries import HasRole, Visibility
from crm_core.records.models import CustomFieldVersion


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, and whose records they may see, as the one door answered."""

    viewer: HasRole
    visibility: Visibility

    def within(self, action: permissions.Action, table: str) -> Visibility:
        """Return whose records of a table the asker may do this to."""
        return permissions.within(self.viewer, action, table, visibility=self.visibility)


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields that somebody may use: the table's own by name, custom ones unless barred."""

    names: frozenset[str]
    barred: frozenset[str] = frozenset()

    def __contains__(self, name: object) -> bool:
        if isinstance(name, str) and name.startswith("x_"):
            return CUSTOM in self.names and name not in self.barred
        return name in self.names

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.names - {CUSTOM}))


def definitions(session: Session, table: str) -> dict[str, CustomFieldVersion]:
    """Return the latest version of each custom field of a table that was ever described."""
    newest = (
        select(CustomFieldVersion)
        .ext(distinct_on(CustomFieldVersion.name))
        .where(CustomFieldVersion.table_name == table)
        .order_by(CustomFieldVersion.name, CustomFieldVersion.version.desc())
    )
    return {found.name: found for found in session.scalars(newest)}


def fields(session: Session, table: str, action: permissions.Action, *, asker: Asker) -> Fields:
    """Return the fields of a table that the asker may do this to.

    A custom field that one may not view cannot be edited either.
    """
    names = permissions.fields(asker.viewer, table, action)
    if CUSTOM not in names:
        return Fields(names)
    role = asker.viewer.role
    barred = set()
    for name, version in definitions(session, table).items():
        asked = (
            [version.view_roles] if action != "edit" else [version.view_roles, version.edit_roles]
        )
        if any(roles is not None and role not in roles for roles in asked):
            barred.add(name)
    return Fields(names, frozenset(barred))


def unbarred(session: Session, table: str, rows: Any, *, asker: Asker) -> list[Any]:  # noqa: ANN401 - a relation
    """Return the conditions that keep back rows telling a custom field the asker may not view.

    A deal's event of custom fields holds them as JSON: one that sets a barred field is not shown,
    found by no filter and counted in no page.
    """
    if table != "opportunity_events":
        return []
    barred = fields(session, "opportunities", "view", asker=asker).barred
    spelt = {form for name in barred for form in (f'"{name}"', json.dumps(name))}
    told = [
        func.coalesce(rows.c[column], "").contains(form, autoescape=True)
        for form in sorted(spelt)
        for column in ("old_value", "new_value")
    ]
    return [or_(rows.c.field != "custom", not_(or_(*told)))] if told else []
