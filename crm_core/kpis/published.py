"""Reading what was published, and asking whether it would come out the same today."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from crm_core.errors import NotFound
from crm_core.kpis.arithmetic import MetricValue
from crm_core.kpis.models import Publication, PublishedValue
from crm_core.kpis.publishing import COMPANY, computed, sound_metrics
from crm_core.people.queries import calendar

Key = tuple[str, str, str, str, str, str | None]
_SENTENCES = {
    "value": ("数值不同。", "The value differs."),
    "version": ("该指标的定义已不是当时的版本。", "The definition is not the version of then."),
    "gone": ("现在已算不出该数值。", "It does not come out at all now."),
    "new": ("当时没有该数值。", "It was not there then."),
}


class NoPublication(NotFound):
    """There is no publication of that number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """A published number that does not come out the same at its own time."""

    metric: str
    version: int
    subject_kind: str
    subject_id: str
    period: str
    slice: str
    slice_key: str | None
    kind: str
    published: Decimal | None
    recomputed: Decimal | None

    def sentence(self, locale: str) -> str:
        """Return what is wrong, in words."""
        return _SENTENCES[self.kind][0 if locale.lower().startswith("zh") else 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """How many numbers of a publication were computed again, and which differ."""

    publication_id: int
    as_of: dt.datetime
    compared: int
    mismatches: tuple[Mismatch, ...]


def publications(
    session: Session, *, as_of: dt.datetime, limit: int = 100
) -> tuple[Publication, ...]:
    """Return the publications made by a time, newest first."""
    found = session.scalars(
        select(Publication)
        .where(Publication.published_at <= as_of)
        .order_by(Publication.published_at.desc(), Publication.id.desc())
        .limit(limit)
    )
    return tuple(found)


def series(
    session: Session,
    metric_id: str,
    *,
    period: str,
    as_of: dt.datetime,
    subject_kind: str = COMPANY,
    subject_id: str = COMPANY,
) -> tuple[PublishedValue, ...]:
    """Return how a number of a period was published, day after day, the oldest first.

    What the session's person may not see is not among them.
    """
    found = session.scalars(
        select(PublishedValue)
        .where(
            PublishedValue.metric == metric_id,
            PublishedValue.period == period,
            PublishedValue.subject_kind == subject_kind,
            PublishedValue.subject_id == subject_id,
            PublishedValue.slice == "",
            PublishedValue.as_of <= as_of,
        )
        .order_by(PublishedValue.as_of, PublishedValue.id)
    )
    return tuple(found)


def replay(session: Session, publication_id: int) -> Replay:
    """Compute every number of a publication again at its own time, from the rows.

    What was corrected since was not known then, so nothing may differ; what does is named:
    facts that are stored without a history (org placements, credits, invoices) were changed, or
    a definition was. Raises NoPublication.
    """
    made = session.get(Publication, publication_id)
    if made is None:
        raise NoPublication(f"There is no publication {publication_id}.")
    stored = {
        (row.period, row.metric, row.subject_kind, row.subject_id, row.slice, row.slice_key): row
        for row in session.scalars(
            select(PublishedValue).where(PublishedValue.publication_id == publication_id)
        )
    }
    found, versions = _recomputed(session, made, stored)
    mismatches = [
        _mismatch(key, kind, stored.get(key), found.get(key), versions)
        for key in sorted(stored.keys() | found.keys(), key=str)
        if (kind := _kind(stored.get(key), found.get(key))) is not None
    ]
    return Replay(
        publication_id=publication_id, as_of=made.as_of, compared=len(stored),
        mismatches=tuple(mismatches),
    )  # fmt: skip


def _recomputed(
    session: Session, made: Publication, stored: Mapping[Key, PublishedValue]
) -> tuple[dict[Key, MetricValue], dict[str, int]]:
    """Return the numbers as they come out now, and the versions they are of."""
    own = calendar(session)
    chosen, _ = sound_metrics(session, as_of=made.as_of)
    known = {row.metric for row in stored.values()}
    found = {}
    for name in sorted({row.period for row in stored.values()}):
        for number in computed(session, chosen, own.parse(name), made.as_of, None):
            if number.value.metric in known:
                found[number.key] = number.value
    return found, {item.id: item.version for item in chosen.metrics}


def _kind(row: PublishedValue | None, value: MetricValue | None) -> str | None:
    if row is None or value is None:
        return "new" if row is None else "gone"
    if row.version != value.version:
        return "version"
    same = (row.value, row.numerator, row.denominator, row.rows, row.excluded) == (
        value.value, value.numerator, value.denominator, value.rows, value.excluded
    )  # fmt: skip
    return None if same else "value"


def _mismatch(
    key: Key,
    kind: str,
    row: PublishedValue | None,
    value: MetricValue | None,
    versions: Mapping[str, int],
) -> Mismatch:
    period, metric_id, subject_kind, subject_id, slice_, slice_key = key
    return Mismatch(
        metric=metric_id, version=versions[metric_id] if row is None else row.version,
        subject_kind=subject_kind, subject_id=subject_id, period=period, slice=slice_,
        slice_key=slice_key, kind=kind, published=None if row is None else row.value,
        recomputed=None if value is None else value.value,
    )  # fmt: skip
