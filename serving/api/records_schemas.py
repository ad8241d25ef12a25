"""The wire form of every table's records, made from the exchange format's declaration."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    create_model,
    model_validator,
)

from crm_core import exchange

_CUSTOM_NAME = r"^x_\w{1,60}$"
_CUSTOM_VALUE = StrictStr | StrictBool | StrictInt | StrictFloat | None
_CUSTOM_SCHEMA: Any = {
    "anyOf": [{"type": kind} for kind in ("string", "number", "boolean", "null")]
}
LONGEST_TEXT = 20_000
_Text = Annotated[StrictStr, Field(max_length=LONGEST_TEXT)]
_Number = Annotated[Decimal, Field(max_digits=38, decimal_places=12, allow_inf_nan=False)]
_TYPES: dict[str, Any] = {
    "id": Annotated[StrictStr, Field(max_length=1_000)],
    "text": _Text,
    "integer": Annotated[StrictInt, Field(gt=-(2**63), lt=2**63)],
    "decimal": _Number,
    "money": _Number,
    "currency": Annotated[StrictStr, Field(pattern="^[A-Z]{3}$", description="ISO 4217")],
    "boolean": StrictBool,
    "date": dt.date,
    "instant": AwareDatetime,
    "month": Annotated[StrictInt, Field(ge=1, le=12)],
}
_TOLD = {
    "money": "In major units of the record's currency, such as 1234.50.",
    "instant": "A time with its offset, ISO 8601.",
    "date": "A day, ISO 8601.",
}


class Strict(BaseModel):
    """A body in which an unknown field is refused, never ignored."""

    model_config = ConfigDict(extra="forbid")


class WithCustomFields(BaseModel):
    """A record that may carry custom fields, named ``x_…``."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "patternProperties": {_CUSTOM_NAME: _CUSTOM_SCHEMA},
            "additionalProperties": False,
        },
    )
    __pydantic_extra__: dict[str, _CUSTOM_VALUE] = Field(init=False)

    @model_validator(mode="after")
    def _only_custom_fields_beside(self) -> WithCustomFields:
        for name in self.__pydantic_extra__ or {}:
            if not re.match(_CUSTOM_NAME, name):
                raise ValueError(f"there is no field {name}; a custom field begins with x_")
        return self


def _base(table: exchange.Table) -> type[BaseModel]:
    return WithCustomFields if table.custom_fields else Strict


def _type(column: exchange.Column) -> Any:  # noqa: ANN401 - a type
    return Literal[column.choices] if column.kind == "choice" else _TYPES[column.kind]


def _field(column: exchange.Column, default: Any) -> Any:  # noqa: ANN401 - a field
    told = [f"The id of one of {column.refers_to}."] if column.refers_to else []
    told += [_TOLD[column.kind]] if column.kind in _TOLD else []
    return Field(default, description=" ".join(told) or None)


def _title(table: exchange.Table, suffix: str) -> str:
    return "".join(part.title() for part in table.name.split("_")) + suffix


def new_record(table: exchange.Table) -> type[BaseModel]:
    """Return the body of a new record: what the exchange format requires is required.

    An id may be left out; so may a beginning, which is then now.
    """
    fields: dict[str, Any] = {}
    for column in table.columns:
        kind = _type(column)
        if column.required and column.name not in ("id", "created_at"):
            fields[column.name] = (kind, _field(column, ...))
        else:
            fields[column.name] = (kind | None, _field(column, None))
    if table.name == "opportunity_events":
        fields["new_value"] = (_Text | None, Field(description="Null empties the field."))
    return create_model(_title(table, "New"), __base__=_base(table), **fields)


def changed_record(table: exchange.Table) -> type[BaseModel]:
    """Return the body of a change: every field optional, null empties it."""
    fields: dict[str, Any] = {
        column.name: (_type(column) | None, _field(column, None)) for column in table.columns
    }
    return create_model(_title(table, "Change"), __base__=_base(table), **fields)


def shown_record(table: exchange.Table) -> type[BaseModel]:
    """Return the record as it is shown: fields one may not see, or did not ask for, are absent."""
    fields: dict[str, Any] = {
        column.name: (_shown(column) | None, _field(column, None)) for column in table.columns
    }
    record = create_model(_title(table, "Record"), __base__=_base(table), **fields)
    return create_model(
        _title(table, "Found"),
        key=(str, Field(description="The record's key; percent-encode it in an address.")),
        etag=(str, Field(description="The record's version, for If-Match.")),
        record=(record, ...),
    )


def _shown(column: exchange.Column) -> Any:  # noqa: ANN401 - a type
    """Return the type a value is shown as: what was stored is never refused on its way out."""
    if column.kind in ("money", "decimal"):
        return Annotated[str, Field(json_schema_extra={"format": "decimal"})]
    plain = {"integer": int, "month": int, "boolean": bool}
    return {**plain, "date": dt.date, "instant": AwareDatetime}.get(column.kind, str)


def page_of(found: type[BaseModel], table: exchange.Table) -> type[BaseModel]:
    """Return a page of records."""
    return create_model(
        _title(table, "Page"),
        items=(list[found], ...),  # type: ignore[valid-type]
        next_cursor=(str | None, Field(description="Give it as cursor for what comes next.")),
    )


VERDICTS = ("inserted", "updated", "unchanged", "duplicate", "rejected", "withheld")


class RowVerdict(BaseModel):
    """What became of one row of many."""

    row: int = Field(description="Its place in the request, from 0.")
    key: str
    verdict: Literal["inserted", "updated", "unchanged", "duplicate", "rejected", "withheld"]
    field: str | None
    value: str | None
    reason: str | None


class Verdicts(BaseModel):
    """What became of every row; the counts sum to the number of rows."""

    inserted: int
    updated: int
    unchanged: int
    duplicate: int
    rejected: int
    withheld: int = Field(description="Sound rows that were not written because another was not.")
    rows: list[RowVerdict]


def many(table: exchange.Table, most: int) -> type[BaseModel]:
    """Return the body of many rows at once; a known record keeps the fields that are not given."""
    row = create_model(_title(table, "Row"), __base__=changed_record(table))
    rows: Any = Annotated[list[row], Field(min_length=1, max_length=most)]  # type: ignore[valid-type]
    partial = Field(False, description="Write the sound rows even if others are rejected.")
    return create_model(
        _title(table, "Rows"), __base__=Strict, rows=(rows, ...), partial=(bool, partial)
    )
