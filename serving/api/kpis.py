"""The numbers of the people you may see, for programs: values, formulas and the rows behind."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from crm_core.kpis import rights
from serving import errors, performance
from serving.dependencies import May, Moment, Reads, SessionOfRequest, SignedIn
from serving.performance import Tile
from serving.security import SIGNED_IN, allow

router = APIRouter(prefix="/api/v1/kpis", tags=["kpis"], responses=errors.PROBLEMS)
PeriodName = Annotated[
    str | None,
    Query(max_length=10, description="2026, 2026-Q4, 2026-11 or 2026-W47; default: this quarter."),
]
PersonId = Annotated[
    str | None, Query(max_length=200, description="One person's; default: all you may see.")
]
Lang = Annotated[Literal["en", "zh"] | None, Query(description="Language of the words.")]


class Kpi(BaseModel):
    """One metric. ``value`` is in natural units: 1 is 100 %, money in major units."""

    metric: str
    version: int
    name: str
    formula: str
    value: Decimal | None
    unit: str
    currency: str | None
    direction: str
    reason: str | None = Field(description="Why there is no value.")
    rows: int
    excluded: int = Field(description="Rows among them that have no value of their own.")
    unsound: list[str] = Field(description="Failing rules of data health that it rests on.")

    @classmethod
    def of(cls, tile: Tile, *, language: str) -> Kpi:
        """Return the JSON of a tile, its words in a language."""
        return cls(
            metric=tile.metric, version=tile.version, name=tile.name.text(language),
            formula=tile.formula.text(language), value=tile.value, unit=tile.unit,
            currency=tile.currency, direction=tile.direction,
            reason=tile.reason.text(language) if tile.reason else None, rows=tile.rows,
            excluded=tile.excluded, unsound=[name.text(language) for name in tile.unsound],
        )  # fmt: skip


class Row(BaseModel):
    """One row behind a metric."""

    kind: str
    row_id: str
    user_id: str | None
    label: str
    day: dt.date | None
    value: Decimal | None
    weight: Decimal
    unpriced: str | None


class Summary(BaseModel):
    """The metrics of a person's page."""

    period: str
    as_of: dt.datetime
    kpis: list[Kpi]


class KpiWithRows(BaseModel):
    """A metric with a window of its rows; ``kpi.rows`` counts them all."""

    period: str
    as_of: dt.datetime
    kpi: Kpi
    rows: list[Row]


@router.get("")
@allow(SIGNED_IN)
def read_kpis(
    session: SessionOfRequest, may: May, asked: Moment, language: Reads,
    period: PeriodName = None, lang: Lang = None,  # noqa: ARG001 - read by Reads
) -> Summary:  # fmt: skip
    """Return the metrics of everybody you may see (a rep: their own)."""
    chosen = performance.period_named(session, period, as_of=asked)
    found = performance.rep_summary(session, visibility=may, period=chosen, as_of=asked)
    kpis = [Kpi.of(tile, language=language.tag) for tile in found.tiles]
    return Summary(period=chosen.name, as_of=asked, kpis=kpis)


@router.get("/{metric}/rows")
@allow(SIGNED_IN)
def read_kpi_rows(
    metric: Annotated[str, Path(max_length=40)], session: SessionOfRequest, viewer: SignedIn,
    may: May, asked: Moment, language: Reads, period: PeriodName = None, person: PersonId = None,
    limit: Annotated[int, Query(ge=1, le=performance.MOST_ROWS)] = 100,
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
    lang: Lang = None,  # noqa: ARG001 - read by Reads
) -> KpiWithRows:  # fmt: skip
    """Return a metric with the rows it was computed from, latest day first."""
    rights.require(session, viewer, metric, as_of=asked)
    found = performance.metric_rows(
        session, metric, visibility=performance.of_person(may, person), as_of=asked, limit=limit,
        offset=offset, person=person,
        period=performance.period_named(session, period, as_of=asked),
    )  # fmt: skip
    rows = [Row.model_validate(row, from_attributes=True) for row in found.rows]
    return KpiWithRows(
        period=found.period.name, as_of=asked, kpi=Kpi.of(found.tile, language=language.tag),
        rows=rows,
    )  # fmt: skip
