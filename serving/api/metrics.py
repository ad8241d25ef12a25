"""What the numbers mean: the catalogue, the company's own metrics, and any number in its parts."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import StringConstraints

from crm_core.errors import Invalid
from crm_core.health.queries import failing_under
from crm_core.kpis import operations, published, rights
from serving import errors, metrics, performance
from serving.addresses import ByPart
from serving.api.kpis import PeriodName, Row
from serving.api.metrics_schemas import (
    CellOfSlice,
    CellRows,
    Changes,
    DraftText,
    Figure,
    Known,
    KnownFact,
    MetricCard,
    Names,
    NewVersion,
    PreviewOfMetric,
    PublishedNumber,
    Reason,
    SlicedKpi,
    Version,
)
from serving.dependencies import May, Moment, Now, Reads, SessionOfRequest, SignedIn
from serving.security import SIGNED_IN, allow, only

PROBLEMS: dict[int | str, dict[str, Any]] = {
    **errors.PROBLEMS,
    409: {"model": errors.Problem, "description": "Conflict"},
}
router = APIRouter(prefix="/api/v1", tags=["metrics"], responses=PROBLEMS, route_class=ByPart)
DEFINES = only("sales_ops", "admin")
MetricId = Annotated[str, Path(max_length=40)]
By = Annotated[
    list[Annotated[str, StringConstraints(max_length=80)]],
    Query(min_length=1, max_length=3, description="Dimensions, such as product and region."),
]
Lang = Annotated[Literal["en", "zh"] | None, Query(description="Language of the words.")]


class NotAKey(Invalid):
    """A cell was not named by a JSON list."""


@router.get("/metrics")
@allow(SIGNED_IN)
def list_metrics(
    session: SessionOfRequest, viewer: SignedIn, asked: Moment, language: Reads,
    lang: Lang = None,  # noqa: ARG001 - read by Reads
) -> list[MetricCard]:  # fmt: skip
    """Return every metric in force, shipped and user-defined."""
    found = metrics.cards(session, viewer=viewer, as_of=asked)
    return [MetricCard.of(card, language=language.tag) for card in found]


@router.get("/metrics/names")
@allow(SIGNED_IN)
def list_names(
    session: SessionOfRequest, viewer: SignedIn, language: Reads,
    lang: Lang = None,  # noqa: ARG001 - read by Reads
) -> Names:  # fmt: skip
    """Return the facts and fields that formulas may name, and what numbers are sliced by."""
    found = metrics.vocabulary(session, viewer=viewer)
    chinese = language.tag.startswith("zh")
    return Names(
        facts=[
            KnownFact(
                id=fact.id, name=fact.names[0 if chinese else 1], event_date=fact.event_date,
                fields=[Known.of(each, language=language.tag) for each in fields],
            )
            for fact, fields in found.facts
        ],
        dimensions=[Known.of(each, language=language.tag) for each in found.dimensions],
    )  # fmt: skip


@router.post("/metrics", status_code=201)
@allow(DEFINES)
def define_metric(
    given: NewVersion, session: SessionOfRequest, viewer: SignedIn, now: Now
) -> Version:
    """Define a metric, or give one its next version; it counts from ``valid_from`` on."""
    made = operations.define(
        session, given.draft(), valid_from=given.valid_from, reason=given.reason,
        owner_id=given.owner_id, viewer=viewer, now=now,
    )  # fmt: skip
    return Version.of(made)


@router.post("/metrics/preview")
@allow(DEFINES)
def preview_metric(
    given: DraftText, session: SessionOfRequest, viewer: SignedIn, may: May, asked: Moment,
    language: Reads, period: PeriodName = None,
    lang: Lang = None,  # noqa: ARG001 - read by Reads
) -> PreviewOfMetric:  # fmt: skip
    """Return what a draft would give for a period and what it would change; nothing is kept."""
    chosen = performance.period_named(session, period, as_of=asked)
    found = metrics.preview(
        session, given.draft(), viewer=viewer, visibility=may, period=chosen, as_of=asked
    )
    current = found.current
    return PreviewOfMetric(
        period=chosen.name, as_of=asked, version=found.definition.version,
        formula=found.definition.metric().formula(language.tag),
        value=Figure.of(found.value, language=language.tag),
        current=None if current is None else Figure.of(current, language=language.tag),
        changes=None if found.rows_changed is None else Changes.model_validate(
            found.rows_changed, from_attributes=True
        ),
        lineage=list(found.lineage), dependents=list(found.dependents),
        rows=[Row.model_validate(row, from_attributes=True) for row in found.rows],
    )  # fmt: skip


@router.get("/metrics/{metric}")
@allow(SIGNED_IN)
def read_metric(
    metric: MetricId, session: SessionOfRequest, viewer: SignedIn, asked: Moment, language: Reads,
    lang: Lang = None,  # noqa: ARG001 - read by Reads
) -> MetricCard:  # fmt: skip
    """Return a metric with every version: how its numbers are produced."""
    found = metrics.card(session, metric, viewer=viewer, as_of=asked)
    return MetricCard.of(found, language=language.tag)


@router.post("/metrics/{metric}/retire")
@allow(DEFINES)
def retire_metric(
    metric: MetricId, given: Reason, session: SessionOfRequest, viewer: SignedIn, now: Now
) -> Version:
    """Let a user-defined metric be asked for no longer; what was published stays."""
    made = operations.retire(session, metric, reason=given.reason, viewer=viewer, now=now)
    return Version.of(made)


def _key(text: str) -> list[Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(
        each is None or isinstance(each, (str, bool)) for each in found
    ):
        raise NotAKey('key is a JSON list of one value per dimension, such as ["North", null].')
    return found


@router.get("/kpis/{metric}/slices")
@allow(SIGNED_IN)
def read_slices(
    metric: MetricId, session: SessionOfRequest, viewer: SignedIn, may: May, asked: Moment,
    language: Reads, by: By, period: PeriodName = None,
    lang: Lang = None,  # noqa: ARG001 - read by Reads
) -> SlicedKpi:  # fmt: skip
    """Return a number by one to three dimensions; the rows you may not see are in no cell."""
    chosen = performance.period_named(session, period, as_of=asked)
    found = metrics.sliced(
        session, metric, by=by, viewer=viewer, visibility=may, period=chosen, as_of=asked
    )
    unsound = failing_under(session, [metric], as_of=asked)[metric]
    return SlicedKpi(
        metric=metric, period=chosen.name, as_of=asked, by=by, additive=found.is_additive,
        newest_fact_at=metrics.newest_fact_at(session, [metric], as_of=asked),
        unsound=[rule.names[0 if language.tag.startswith("zh") else 1] for rule in unsound],
        whole=Figure.of(found.whole, language=language.tag),
        cells=[
            CellOfSlice(
                key=list(cell.key), labels=list(cell.labels),
                value=Figure.of(cell.value, language=language.tag),
            )
            for cell in found.cells
        ],
    )  # fmt: skip


@router.get("/kpis/{metric}/slices/rows")
@allow(SIGNED_IN)
def read_cell_rows(
    metric: MetricId, session: SessionOfRequest, viewer: SignedIn, may: May, asked: Moment, by: By,
    key: Annotated[str, Query(max_length=2000, description='Such as ["North", null].')],
    period: PeriodName = None,
    limit: Annotated[int, Query(ge=1, le=performance.MOST_ROWS)] = 100,
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
) -> CellRows:  # fmt: skip
    """Return the rows of one part of a number; their values sum to it."""
    chosen, named = performance.period_named(session, period, as_of=asked), _key(key)
    found = metrics.cell_rows(
        session, metric, by=by, key=named, viewer=viewer, visibility=may, period=chosen,
        as_of=asked, limit=limit, offset=offset,
    )  # fmt: skip
    return CellRows(
        metric=metric,
        period=chosen.name,
        as_of=asked,
        by=by,
        key=named,
        rows=[Row.model_validate(row, from_attributes=True) for row in found],
    )


@router.get("/kpis/{metric}/published")
@allow(SIGNED_IN)
def read_published(
    metric: MetricId, session: SessionOfRequest, viewer: SignedIn, asked: Moment, language: Reads,
    period: PeriodName = None,
    subject_kind: Annotated[Literal["company", "org_unit", "user"], Query()] = "company",
    subject_id: Annotated[str, Query(max_length=200)] = "company",
    lang: Lang = None,  # noqa: ARG001 - read by Reads
) -> list[PublishedNumber]:  # fmt: skip
    """Return how a period's number was written down, night after night, as far as you may see.

    The company's and units' numbers are shown to who sees everybody's records.
    """
    rights.require(session, viewer, metric, as_of=asked)
    chosen = performance.period_named(session, period, as_of=asked)
    found = published.series(
        session, metric, period=chosen.name, as_of=asked, subject_kind=subject_kind,
        subject_id=subject_id,
    )  # fmt: skip
    chinese = language.tag.startswith("zh")
    return [
        PublishedNumber(
            as_of=each.as_of, version=each.version, parts=each.parts, value=each.value,
            unit=each.unit, currency=each.currency, rows=each.rows,
            reason=each.reason_zh if chinese else each.reason_en,
        )
        for each in found
    ]  # fmt: skip
