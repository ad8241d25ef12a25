"""What the API takes and gives about metrics, in words of JSON."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints

from crm_core.kpis.arithmetic import MetricValue
from crm_core.kpis.attributes import Attribute
from crm_core.kpis.drafts import Definition, Draft
from serving.api.kpis import Row
from serving.metrics import Card

Short = Annotated[str, StringConstraints(max_length=100)]
Text = Annotated[str, StringConstraints(max_length=1000)]


class DraftText(BaseModel):
    """What a metric means; ``value`` and ``filter`` are formulas over the fact's fields."""

    id: Annotated[str, StringConstraints(max_length=40)]
    name_zh: Short
    name_en: Short
    unit: Literal["money", "ratio", "days", "hours", "count"]
    direction: Literal["higher", "lower", "neither"] = "neither"
    way: Literal["sum", "count", "count_distinct", "mean", "median", "share", "ratio"]
    fact: Short | None = None
    value: Text | None = None
    filter: Text | None = None
    numerator: Short | None = None
    denominator: Short | None = None

    def draft(self) -> Draft:
        """Return the draft as the operations take it."""
        return Draft(**self.model_dump(include=set(DraftText.model_fields)))


class NewVersion(DraftText):
    """A version to be: from which day it counts and why."""

    valid_from: dt.date
    reason: Text
    owner_id: Annotated[str, StringConstraints(max_length=200)] | None = None


class Reason(BaseModel):
    """Why something is done."""

    reason: Text


class Version(BaseModel):
    """A version of a user-defined metric."""

    version: int
    valid_from: dt.date
    recorded_at: dt.datetime
    reason: str
    is_retired: bool
    user_id: str | None
    definition: dict[str, Any]

    @classmethod
    def of(cls, made: Definition) -> Version:
        """Return the JSON of a version."""
        return cls(
            version=made.version, valid_from=made.valid_from, recorded_at=made.recorded_at,
            reason=made.reason, is_retired=made.is_retired, user_id=made.user_id,
            definition=made.draft.as_json(),
        )  # fmt: skip


class MetricCard(BaseModel):
    """A metric and how its numbers come about."""

    id: str
    version: int
    name: str
    formula: str
    unit: str
    direction: str
    aggregation: str
    event_date: str
    credit: str
    currency_rule: str
    none_when: str
    since: list[str]
    parts: list[str]
    lineage: list[str]
    dependents: list[str]
    owner: str | None
    definition: dict[str, Any] | None = Field(description="Of a user-defined metric.")
    versions: list[Version] = []

    @classmethod
    def of(cls, card: Card, *, language: str) -> MetricCard:
        """Return the JSON of a card, its words in a language."""
        item, chinese = card.metric, language.startswith("zh")
        return cls(
            id=item.id, version=item.version, name=item.name(language),
            formula=item.formula(language), unit=item.unit, direction=item.direction,
            aggregation=item.aggregation, event_date=item.event_date, credit=item.credit,
            currency_rule=item.currency_rule, none_when=item.none_when[0 if chinese else 1],
            since=list(item.since), parts=list(item.parts), lineage=list(card.lineage),
            dependents=list(card.dependents), owner=card.owner,
            definition=None if card.draft is None else card.draft.as_json(),
            versions=[Version.of(each) for each in card.versions],
        )  # fmt: skip


class Known(BaseModel):
    """A name that formulas or slices may use."""

    name: str
    kind: str
    label: str

    @classmethod
    def of(cls, attribute: Attribute, *, language: str) -> Known:
        """Return the JSON of an attribute."""
        label = attribute.names[0 if language.startswith("zh") else 1]
        return cls(name=attribute.name, kind=attribute.kind, label=label)


class KnownFact(BaseModel):
    """A fact that metrics may be of, with the fields of its rows."""

    id: str
    name: str
    event_date: str
    fields: list[Known]


class Names(BaseModel):
    """Every name that formulas and slices may use."""

    facts: list[KnownFact]
    dimensions: list[Known]


class Figure(BaseModel):
    """A number with what it was computed from; money in the sums is in minor units."""

    version: int
    value: Decimal | None
    unit: str
    currency: str | None
    reason: str | None
    rows: int
    excluded: int
    numerator: Decimal | None
    denominator: Decimal | None

    @classmethod
    def of(cls, value: MetricValue, *, language: str) -> Figure:
        """Return the JSON of a value."""
        return cls(
            version=value.version, value=value.value, unit=value.unit, currency=value.currency,
            reason=value.reason(language), rows=value.rows, excluded=value.excluded,
            numerator=value.numerator, denominator=value.denominator,
        )  # fmt: skip


class Changes(BaseModel):
    """How the rows differ from those of the version in force."""

    entering: int
    leaving: int
    revalued: int


class PreviewOfMetric(BaseModel):
    """What a draft would give and change; nothing was written."""

    period: str
    as_of: dt.datetime
    version: int
    formula: str
    value: Figure
    current: Figure | None
    changes: Changes | None
    lineage: list[str]
    dependents: list[str]
    rows: list[Row]


class CellOfSlice(BaseModel):
    """A part of a number; ``key`` names it, null for "none"."""

    key: list[str | bool | None]
    labels: list[str | None]
    value: Figure


class SlicedKpi(BaseModel):
    """A number in its parts. Where ``additive``, they sum to the whole."""

    metric: str
    period: str
    as_of: dt.datetime
    by: list[str]
    additive: bool
    newest_fact_at: dt.datetime | None
    unsound: list[str]
    whole: Figure
    cells: list[CellOfSlice]


class CellRows(BaseModel):
    """A window of the rows of one part of a number."""

    metric: str
    period: str
    as_of: dt.datetime
    by: list[str]
    key: list[Any]
    rows: list[Row]


class PublishedNumber(BaseModel):
    """A number as it was written down at a time, with the versions it was computed by."""

    as_of: dt.datetime
    version: int
    parts: dict[str, int]
    value: Decimal | None
    unit: str
    currency: str | None
    reason: str | None
    rows: int
