"""Who did what, and who may do what: what the pages and the API show of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from crm_core.audit import queries
from crm_core.audit.queries import Line
from crm_core.people import permissions
from crm_core.people import queries as people
from crm_core.people.permissions import ACTIONS, Action, Reach
from crm_core.people.queries import Viewer, Visibility
from crm_core.records import access
from crm_core.records.access import Asker
from serving import security

PAGE = 100
READS_THE_LOG = security.only("rep", "manager", "leader", "sales_ops", "admin")


@dataclass(frozen=True, slots=True)
class Trail:
    """A page of the log, newest first, with the names of who acted; ``before`` is the next one."""

    lines: tuple[Line, ...]
    names: dict[str, str]
    before: int | None


@dataclass(frozen=True, slots=True)
class Granted:
    """What one role may do with one table as a whole, and which of its fields are closed to it."""

    table: str
    reach: dict[Action, Reach]
    hidden: tuple[str, ...]
    fixed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Role:
    """A role to ask the declaration about, as if somebody had it."""

    role: str
    id: str = ""


def trail(
    session: Session,
    *,
    viewer: Viewer,
    table: str | None,
    record_id: str | None,
    actor: str | None,
    since: dt.datetime | None,
    until: dt.datetime | None,
    before: int | None,
    limit: int = PAGE,
) -> Trail:
    """Return what was done, as far as the viewer may know; the session's scope limits the rows.

    Raises MayNot.
    """
    permissions.require(viewer, "view", "audit_log")
    found = queries.lines(
        session, table=table, record_id=record_id, actor=actor, since=since, until=until,
        before_id=before, limit=limit + 1,
    )  # fmt: skip
    shown = found[:limit]
    shown = _as_seen(session, shown, viewer)
    names = people.names(session, {line.actor for line in shown if line.actor is not None})
    return Trail(shown, names, shown[-1].id if len(found) > limit else None)


def _as_seen(session: Session, lines: Sequence[Line], viewer: Viewer) -> tuple[Line, ...]:
    """Return the lines without the fields that the viewer may not view in the records."""
    asker = Asker(viewer, Visibility(everyone=False))
    tables = {line.table for line in lines}
    barred = {
        table: access.fields(session, table, "view", asker=asker).barred
        for table in sorted(tables & set(permissions.tables()))
    }

    def is_seen(table: str, field: str) -> bool:
        hidden = barred.get(table, frozenset())
        if field in hidden or (field == "custom" and hidden):
            return False
        name = field.removesuffix("_minor")
        return name not in permissions.columns(table) or permissions.allowed(
            viewer, "view", table, name
        )

    return tuple(
        replace(
            line,
            changes={f: pair for f, pair in line.changes.items() if is_seen(line.table, f)},
        )
        for line in lines
    )


def granted(role: str) -> tuple[Granted, ...]:
    """Return what a role may do, table by table."""
    who = _Role(role)
    result = []
    for table in permissions.tables():
        reach = {action: permissions.reach(who, action, table) for action in ACTIONS}
        every = permissions.columns(table)
        seen = permissions.fields(who, table, "view")
        edited = permissions.fields(who, table, "edit")
        hidden = tuple(sorted(every - seen)) if reach["view"] != "none" else ()
        fixed = tuple(sorted(seen - edited)) if reach["edit"] != "none" else ()
        result.append(Granted(table, reach, hidden, fixed))
    return tuple(result)
