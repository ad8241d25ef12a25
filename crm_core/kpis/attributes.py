"""What a row of a metric can be told by: where, to whom, by whom and what was sold, and when.

The same names are fields of formulas and dimensions of slices. An attribute of a customer,
product or deal is the one known at the time of the question, a person's team that of the row's
own day, so that an answer asked again as of its time is the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

from sqlalchemy import column, select, table
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from crm_core.errors import Invalid
from crm_core.kpis.formulas import Kind
from crm_core.kpis.metric import Texts

Home = Literal["row", "period", "account", "product", "opportunity", "order", "activity", "lead"]
"""Which record an attribute is of; ``row`` and ``period`` need none."""
_CUSTOM_HOMES: dict[str, Home] = {
    "accounts": "account", "products": "product", "opportunities": "opportunity",
    "orders": "order", "leads": "lead",
}  # fmt: skip
_KINDS: dict[str, Kind] = {
    "number": "number", "date": "date", "boolean": "boolean", "category": "text", "text": "text",
}  # fmt: skip
_CUSTOM_FIELDS = table("custom_fields", column("table_name"), column("name"), column("kind"))
_CUSTOM_FIELD_VERSIONS = table(
    "custom_field_versions", column("table_name"), column("name"), column("version"),
    column("label_en"), column("label_zh"), column("view_roles", JSONB),
)  # fmt: skip
"""Read by name: custom fields are defined by imports and records, which stand above metrics."""


class UnknownDimension(Invalid):
    """A number cannot be sliced by that."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """A name, what it holds and whose it is. ``stored`` is the custom field's own name."""

    name: str
    kind: Kind
    home: Home
    names: Texts
    stored: str = ""
    roles: frozenset[str] | None = None
    """Who may view a custom field; None: as its table."""

    @property
    def is_dimension(self) -> bool:
        """Whether a number can be sliced by it: one value per row, not a quantity."""
        return self.kind != "number"

    @property
    def is_custom(self) -> bool:
        """Whether the company defined it itself."""
        return bool(self.stored)


def _of(home: Home, kind: Kind, **names: Texts) -> tuple[Attribute, ...]:
    return tuple(Attribute(name, kind, home, texts) for name, texts in names.items())


SHARED: tuple[Attribute, ...] = (
    *_of("row", "text", person=("人员", "Person"), team=("团队", "Team")),
    *_of(
        "account", "text", account=("客户", "Customer"), region=("区域", "Region"),
        country=("国家", "Country"), industry=("行业", "Industry"), tier=("客户等级", "Tier"),
    ),
    *_of("account", "number", employees=("员工数", "Employees")),
    *_of("product", "text", product=("产品", "Product"), product_family=("产品系列", "Family")),
    *_of(
        "opportunity", "text", opportunity=("商机", "Deal"), source=("来源", "Source"),
        pipeline=("销售流程", "Pipeline"), stage=("阶段", "Stage"),
    ),
)  # fmt: skip
"""What rows of every source have, null where a row belongs to no such record."""

LEADS: tuple[Attribute, ...] = _of(
    "lead", "text", lead_source=("线索来源", "Source of the lead"),
    lead_status=("线索状态", "Status of the lead"),
)  # fmt: skip
"""What only rows of leads have."""

PERIODS: tuple[Attribute, ...] = _of(
    "period", "text", day=("日", "Day"), week=("周", "Week"), month=("月", "Month"),
    quarter=("季度", "Quarter"), year=("年度", "Year"),
)  # fmt: skip
"""The days, weeks, months, fiscal quarters and fiscal years of the company's calendar."""


def custom_attributes(session: Session) -> tuple[Attribute, ...]:
    """Return the company's own fields: ``x_…``, with its record before it where two share it."""
    fields = _CUSTOM_FIELDS.c
    found = session.execute(
        select(fields.table_name, fields.name, fields.kind).order_by(fields.name, fields.table_name)
    ).all()
    known = [row for row in found if row.table_name in _CUSTOM_HOMES]
    times = Counter(row.name for row in known)
    versions = _versions(session) if known else {}
    return tuple(
        _custom(row, versions.get((row.table_name, row.name)), is_shared=times[row.name] > 1)
        for row in known
    )


def _versions(session: Session) -> dict[tuple[str, str], Any]:
    """Return the newest description of each custom field that was ever described."""
    fields = _CUSTOM_FIELD_VERSIONS.c
    found = session.execute(select(_CUSTOM_FIELD_VERSIONS).order_by(fields.version))
    return {(row.table_name, row.name): row for row in found}


def _custom(row: Any, version: Any, *, is_shared: bool) -> Attribute:  # noqa: ANN401 - rows
    home = _CUSTOM_HOMES[row.table_name]
    name = f"{home}_{row.name}" if is_shared else row.name
    roles = None if version is None else version.view_roles
    zh, en = (None, None) if version is None else (version.label_zh, version.label_en)
    return Attribute(
        name, _KINDS[row.kind], home, (zh or row.name, en or row.name), stored=row.name,
        roles=None if roles is None else frozenset(roles),
    )  # fmt: skip


def dimensions(session: Session) -> dict[str, Attribute]:
    """Return what numbers can be sliced by, by name."""
    every = (*PERIODS, *SHARED, *LEADS, *custom_attributes(session))
    return {each.name: each for each in every if each.is_dimension}


def chosen(known: Mapping[str, Attribute], names: Collection[str]) -> list[Attribute]:
    """Return the dimensions of these names. Raises UnknownDimension."""
    return [_one(known, name) for name in names]


def _one(known: Mapping[str, Attribute], name: str) -> Attribute:
    found = known.get(name)
    if found is None:
        near = get_close_matches(name, sorted(known), n=3, cutoff=0.6)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}."
        raise UnknownDimension(f"Numbers cannot be sliced by {name[:60]!r}; {hint}")
    return found
