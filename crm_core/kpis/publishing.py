"""Writing the company's numbers down: each as of a time, with the definition that made it."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from crm_core.errors import Invalid
from crm_core.kpis import definitions, queries
from crm_core.kpis.aggregates import Grouping, Sums, aggregates
from crm_core.kpis.arithmetic import MetricValue
from crm_core.kpis.checking import DraftInvalid
from crm_core.kpis.definitions import Resolved, resolve
from crm_core.kpis.freshness import newest_fact
from crm_core.kpis.metric import Metric
from crm_core.kpis.models import DailyCell, Publication, PublishedValue
from crm_core.kpis.question import Question
from crm_core.kpis.rollups import added_up, can_be_rolled, roll_up
from crm_core.kpis.slices import MOST_CELLS, cells_by_key, dimensions_named
from crm_core.kpis.sources import SOURCES
from crm_core.people.queries import Visibility, calendar
from crm_core.periods import FiscalCalendar, Period

Cause = Literal["nightly", "by_hand"]
COMPANY = "company"
GROUPINGS: tuple[Grouping, ...] = ("org_unit", "user")
SLICED_BY = ("region", "product_family")
"""By what the company's additive numbers are written down besides the whole."""
_EVERYONE = Visibility(everyone=True)
_COLUMNS = (
    "publication_id", "as_of", "metric", "version", "parts", "subject_kind", "subject_id",
    "period", "slice", "slice_key", "value", "numerator", "denominator", "rows", "excluded",
    "unit", "currency", "reason_zh", "reason_en",
)  # fmt: skip
_COPY = f"copy {PublishedValue.__tablename__} ({', '.join(_COLUMNS)}) from stdin"
"""A thousand people make a hundred thousand values a night; row by row they took minutes."""


class NothingToPublish(Invalid):
    """No period was named."""


@dataclass(frozen=True, slots=True)
class Published:
    """What was written: the publication, how many values, and metrics that no longer hold."""

    publication: Publication
    values: int
    left_out: tuple[str, ...]


def periods_of(own: FiscalCalendar, as_of: dt.datetime) -> tuple[Period, ...]:
    """Return what is written down nightly: the month and the fiscal quarter of the day."""
    day = own.day_of(as_of)
    return own.parse(f"{day:%Y-%m}"), own.quarter_of(day)


def publish(
    session: Session,
    *,
    as_of: dt.datetime,
    published_at: dt.datetime,
    cause: Cause,
    periods: Sequence[Period] | None = None,
) -> Published:
    """Write down every metric of the company, each unit and each person, for each period.

    The sums of earlier publications' days are dropped, their values stay. A night's job that
    is run again writes nothing new. Raises NoCompany and NothingToPublish.
    """
    own = calendar(session)
    chosen_periods = tuple(periods_of(own, as_of) if periods is None else periods)
    if not chosen_periods:
        raise NothingToPublish("Name at least one period.")
    done = _night_of(session, as_of) if cause == "nightly" else None
    if done is not None:
        return Published(done, 0, ())
    chosen, left_out = sound_metrics(session, as_of=as_of)
    made = Publication(
        as_of=as_of, published_at=published_at, cause=cause,
        newest_fact_at=newest_fact(session, as_of=as_of),
    )  # fmt: skip
    session.add(made)
    session.flush()
    session.execute(delete(DailyCell))
    _roll(session, made, chosen, _span(chosen_periods), as_of)
    count = 0
    for period in chosen_periods:
        count += _write(session, made, chosen, computed(session, chosen, period, as_of, made.id))
    return Published(made, count, left_out)


def _night_of(session: Session, as_of: dt.datetime) -> Publication | None:
    wanted = (Publication.as_of == as_of, Publication.cause == "nightly")
    return session.scalar(select(Publication).where(*wanted).limit(1))


def sound_metrics(session: Session, *, as_of: dt.datetime) -> tuple[Resolved, tuple[str, ...]]:
    """Return every metric in force, and the user-defined ones that can no longer be computed."""
    every = [item.id for item in definitions.all_metrics(session, as_of=as_of)]
    try:
        return resolve(session, every, as_of=as_of), ()
    except DraftInvalid:
        broken = []
        for metric_id in every:
            try:
                resolve(session, [metric_id], as_of=as_of)
            except DraftInvalid:
                broken.append(metric_id)
    kept = [metric_id for metric_id in every if metric_id not in broken]
    return resolve(session, kept, as_of=as_of), tuple(broken)


def _span(periods: Sequence[Period]) -> Period:
    start, end = min(p.start for p in periods), max(p.end for p in periods)
    return Period(start, end, "all")


def _question(session: Session, chosen: Resolved, period: Period, as_of: dt.datetime) -> Question:
    return queries.question(session, scope=_EVERYONE, period=period, as_of=as_of, chosen=chosen)


def _roll(
    session: Session, made: Publication, chosen: Resolved, span: Period, as_of: dt.datetime
) -> None:
    rolled = [item for item in chosen.metrics if can_be_rolled(item, chosen)]
    roll_up(session, made.id, rolled, _question(session, chosen, span, as_of))


@dataclass(frozen=True, slots=True)
class Number:
    """A value with whose it is, of what period and slice."""

    subject_kind: str
    subject_id: str
    period: str
    value: MetricValue
    slice: str = ""
    slice_key: str | None = None

    @property
    def key(self) -> tuple[str, str, str, str, str, str | None]:
        """What tells it from every other number of a publication."""
        return (
            self.period, self.value.metric, self.subject_kind, self.subject_id, self.slice,
            self.slice_key,
        )  # fmt: skip


def computed(
    session: Session,
    chosen: Resolved,
    period: Period,
    as_of: dt.datetime,
    publication_id: int | None,
) -> Iterator[Number]:
    """Yield every number of a period; from the publication's days, or from the rows without one."""
    asked = _question(session, chosen, period, as_of)
    whole = _sums(session, chosen, asked, None, publication_id)
    for value in queries.values_as_asked(session, chosen.metrics, asked, sums=whole).values():
        yield Number(COMPANY, COMPANY, period.name, value)
    for grouping in GROUPINGS:
        sums = _sums(session, chosen, asked, grouping, publication_id)
        found = queries.by_subject_as_asked(
            session, chosen.metrics, asked, grouping=grouping, sums=sums
        )
        for subject, values in found.items():
            for value in values.values():
                yield Number(grouping, subject, period.name, value)
    yield from _sliced(session, chosen, asked)


def _sums(
    session: Session,
    chosen: Resolved,
    asked: Question,
    grouping: Grouping | None,
    publication_id: int | None,
) -> Sums:
    simple = queries.simple(chosen.metrics)
    rolled = [item for item in simple if can_be_rolled(item, chosen)]
    if publication_id is None:
        return _by_family(session, chosen, asked, simple, grouping)
    rest = [item for item in simple if item not in rolled]
    sums = _by_family(session, chosen, asked, rest, grouping)
    for subject, found in added_up(
        session, publication_id, rolled, asked.period, grouping=grouping
    ).items():
        sums.setdefault(subject, {}).update(found)
    return sums


def _by_family(
    session: Session,
    chosen: Resolved,
    asked: Question,
    metrics: Sequence[Metric],
    grouping: Grouping | None,
) -> Sums:
    """Return the sums, by one statement for each family."""
    sums: Sums = {}
    for family in _families(chosen, metrics):
        for subject, found in aggregates(session, asked, family, grouping=grouping).items():
            sums.setdefault(subject, {}).update(found)
    return sums


def _families(chosen: Resolved, metrics: Sequence[Metric]) -> list[list[Metric]]:
    """Return the metrics by the file of their sources.

    One statement for all of them would be 150 kB of SQL.
    """
    families: dict[str, list[Metric]] = {}
    for item in metrics:
        source = SOURCES.get(chosen.sources_of(item.id)[0])
        families.setdefault("" if source is None else source.__module__, []).append(item)
    return [families[name] for name in sorted(families)]


def _sliced(session: Session, chosen: Resolved, asked: Question) -> Iterator[Number]:
    """Yield the company's sums and counts by each dimension, by one statement a family."""
    added = [
        item
        for item in chosen.metrics
        if can_be_rolled(item, chosen) and item.aggregation in ("sum", "count")
    ]
    for dimension in SLICED_BY:
        known = dimensions_named(session, [dimension])
        for family in _families(chosen, added):
            cells = cells_by_key(session, family, asked, known)
            for key, values in cells.items() if len(cells) <= MOST_CELLS else ():
                for value in values.values():
                    yield Number(COMPANY, COMPANY, asked.period.name, value, dimension, key[0])


def _write(session: Session, made: Publication, chosen: Resolved, numbers: Iterator[Number]) -> int:
    parts = {item.id: chosen.parts_of(item.id) for item in chosen.metrics}
    rows = [_row(made, number, parts) for number in numbers]
    driver: Any = session.connection().connection
    with driver.cursor() as cursor, cursor.copy(_COPY) as copy:
        for row in rows:
            copy.write_row([row[name] for name in _COLUMNS])
    return len(rows)


def _row(made: Publication, number: Number, parts: Mapping[str, dict[str, int]]) -> dict[str, Any]:
    value = number.value
    zh, en = (None, None) if value.reasons is None else value.reasons
    return {
        "publication_id": made.id, "as_of": made.as_of, "metric": value.metric,
        "version": value.version, "parts": json.dumps(parts[value.metric]),
        "subject_kind": number.subject_kind, "subject_id": number.subject_id,
        "period": number.period, "slice": number.slice, "slice_key": number.slice_key,
        "value": value.value, "numerator": value.numerator, "denominator": value.denominator,
        "rows": value.rows, "excluded": value.excluded, "unit": value.unit,
        "currency": value.currency, "reason_zh": zh, "reason_en": en,
    }  # fmt: skip
