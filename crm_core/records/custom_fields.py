"""Custom fields: what each may hold and who may use it, defined once, checked on every write."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import InvalidOperation
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from crm_core import exchange
from crm_core.errors import Conflict, Invalid
from crm_core.imports import custom_rules
from crm_core.imports.models import CustomField
from crm_core.people import permissions
from crm_core.people.models import ROLES
from crm_core.records import access, rows
from crm_core.records.access import Asker
from crm_core.records.models import CustomFieldVersion
from crm_core.records.rows import Record
from crm_core.records.tables import Shape, shape

Version = CustomFieldVersion
"""One version of a custom field."""

KINDS = ("number", "date", "boolean", "category", "text")
_UNKNOWN = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_NAME = re.compile(r"x_[a-z0-9_]{1,60}")
_LONGEST_PATTERN = 200
Reject = Callable[[str | None, str], None]


class DefinitionInvalid(Invalid):
    """A custom field is defined in a way that cannot hold."""


class KindFixed(Conflict):
    """Records hold values of the field's kind already; it cannot become another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a value must be; None asks for nothing. Numbers and days are written as text."""

    minimum: str | None = None
    maximum: str | None = None
    pattern: str | None = None
    options: tuple[str, ...] | None = None
    required: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return the rules as they are stored."""
        return {
            "minimum": self.minimum, "maximum": self.maximum, "pattern": self.pattern,
            "options": list(self.options) if self.options is not None else None,
            "required": self.required,
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A custom field as somebody defines it."""

    table: str
    name: str
    kind: str
    label_en: str | None = None
    label_zh: str | None = None
    rules: Rules = Rules()
    view_roles: tuple[str, ...] | None = None
    edit_roles: tuple[str, ...] | None = None


def define(
    session: Session, wanted: Definition, *, user_id: str | None, recorded_at: dt.datetime
) -> CustomFieldVersion:
    """Define a custom field or give it a new version; return the version.

    A field's kind stays what it was once values of it may exist. Raises DefinitionInvalid and
    KindFixed.
    """
    _check_definition(wanted)
    stored = session.get(CustomField, (wanted.table, wanted.name), with_for_update=True)
    if stored is None:
        session.add(CustomField(table_name=wanted.table, name=wanted.name, kind=wanted.kind))
    elif stored.kind != wanted.kind:
        raise KindFixed(
            f"{wanted.name} of {wanted.table} holds a {stored.kind}; define another field."
        )
    latest = session.scalar(
        select(func.max(CustomFieldVersion.version)).where(
            CustomFieldVersion.table_name == wanted.table, CustomFieldVersion.name == wanted.name
        )
    )
    version = CustomFieldVersion(
        table_name=wanted.table, name=wanted.name, version=(latest or 0) + 1, kind=wanted.kind,
        label_en=wanted.label_en, label_zh=wanted.label_zh, rules=wanted.rules.as_json(),
        view_roles=list(wanted.view_roles) if wanted.view_roles is not None else None,
        edit_roles=list(wanted.edit_roles) if wanted.edit_roles is not None else None,
        recorded_at=recorded_at, user_id=user_id,
    )  # fmt: skip
    session.add(version)
    session.flush()
    return version


def versions(
    session: Session, table: Shape, *, asker: Asker, history: bool
) -> list[CustomFieldVersion]:
    """Return the custom fields of a table that the asker may view, by name, newest first.

    A field that an import brought and nobody described has version 0. Raises MayNot.
    """
    permissions.require(asker.viewer, "view", table.name)
    visible = access.fields(session, table.name, "view", asker=asker)
    described = session.scalars(
        select(CustomFieldVersion)
        .where(CustomFieldVersion.table_name == table.name)
        .order_by(CustomFieldVersion.name, CustomFieldVersion.version.desc())
    ).all()
    newest = {each.name: each for each in reversed(described)}
    plain = [
        CustomFieldVersion(
            table_name=table.name, name=each.name, version=0, kind=each.kind, rules={},
            recorded_at=_UNKNOWN,
        )
        for each in session.scalars(select(CustomField).where(CustomField.table_name == table.name))
        if each.name not in newest
    ]  # fmt: skip
    found = [*(described if history else newest.values()), *plain]
    return sorted(
        (each for each in found if each.name in visible), key=lambda v: (v.name, -v.version)
    )


def _check_definition(wanted: Definition) -> None:
    if not shape(wanted.table).table.custom_fields:
        names = ", ".join(table.name for table in exchange.TABLES if table.custom_fields)
        raise DefinitionInvalid(f"{wanted.table} takes no custom fields; {names} do.")
    if not _NAME.fullmatch(wanted.name):
        raise DefinitionInvalid(
            "A custom field's name is x_ and then small letters, digits or underscores."
        )
    if wanted.kind not in KINDS:
        raise DefinitionInvalid(f"A custom field's kind is one of {', '.join(KINDS)}.")
    for roles in (wanted.view_roles, wanted.edit_roles):
        if roles is not None and not set(roles) <= set(ROLES):
            raise DefinitionInvalid(f"Roles are some of {', '.join(ROLES)}.")
    _check_rules(wanted.kind, wanted.rules)


def _check_rules(kind: str, rules: Rules) -> None:
    bounds = [bound for bound in (rules.minimum, rules.maximum) if bound is not None]
    if bounds and kind not in ("number", "date"):
        raise DefinitionInvalid("Only a number or a date has a minimum and a maximum.")
    try:
        typed = [custom_rules.comparable(kind, bound) for bound in bounds]
    except (ValueError, InvalidOperation) as error:
        raise DefinitionInvalid(f"A bound of a {kind} must itself be a {kind}.") from error
    if len(typed) == 2 and typed[0] > typed[1]:
        raise DefinitionInvalid("The minimum is above the maximum.")
    if rules.pattern is not None:
        if kind not in ("text", "category") or len(rules.pattern) > _LONGEST_PATTERN:
            raise DefinitionInvalid(
                f"A pattern belongs to a text and has at most {_LONGEST_PATTERN} characters."
            )
        _plain_pattern(rules.pattern)
    if rules.options is not None and (kind != "category" or not rules.options):
        raise DefinitionInvalid("Options belong to a category; give at least one.")


_NESTED = re.compile(r"[*+}]\??\)+[*+{]|\\[1-9]|\(\?P?[=<!]")


def _plain_pattern(pattern: str) -> None:
    """Refuse patterns that some value would keep the server busy with."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise DefinitionInvalid(f"The pattern is no regular expression: {error}.") from error
    if _NESTED.search(pattern):
        raise DefinitionInvalid(
            "The pattern repeats a repetition or refers back; write it without."
        )


def check(session: Session, table: Shape, given: Sequence[tuple[Record, Reject]]) -> dict[str, str]:
    """Check the custom fields of rows to be written; return what kind each field holds.

    A value that breaks its field's rules is rejected by name and remedy, as is a field that
    nobody defined.
    """
    if not table.table.custom_fields:
        return {}
    known = session.scalars(select(CustomField).where(CustomField.table_name == table.name))
    kinds = {found.name: found.kind for found in known}
    rules = {name: found.rules for name, found in access.definitions(session, table.name).items()}
    for record, reject in given:
        for name, value in record.items():
            if not name.startswith("x_"):
                continue
            if name not in kinds:
                reject(name, f"{name} is not defined; define the custom field first")
            else:
                _check_value(name, kinds[name], value, rules.get(name, {}), reject)
    return kinds


def require_present(session: Session, table: Shape, record: Record, reject: Reject) -> None:
    """Reject a new record that lacks a custom field which every one must have."""
    if not table.table.custom_fields:
        return
    for name, found in access.definitions(session, table.name).items():
        if found.rules.get("required") and record.get(name) is None:
            reject(name, f"{name} is missing; every one of {table.name} must have it")


def _check_value(
    name: str, kind: str, value: Any, rules: dict[str, Any], reject: Reject  # noqa: ANN401 - JSON
) -> None:  # fmt: skip
    text = rows.cell(value)
    if text is None or text == "":
        if rules.get("required"):
            reject(name, f"{name} must not be empty")
        return
    reason = custom_rules.broken(name, kind, text, rules)
    if reason is not None:
        reject(name, reason)
