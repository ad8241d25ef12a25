"""The numbers of a page: each from its one metric definition, with its formula and its rows.

Nothing is computed here. What a person may see is decided by ``visibility`` before any number
is added up, so a rep reads their own numbers and a manager the team's.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy.orm import Session

from crm_core.database import company_wide
from crm_core.errors import Invalid
from crm_core.health.catalogue import Rule
from crm_core.health.queries import failing_under
from crm_core.kpis import queries
from crm_core.kpis.arithmetic import MetricValue
from crm_core.kpis.catalogue import CATALOGUE, metric
from crm_core.kpis.queries import MetricRow
from crm_core.money import Money, from_major
from crm_core.people.queries import Visibility, calendar
from crm_core.periods import Period
from serving.explanations import Words

SUMMARY = (
    "attainment",
    "pacing",
    "bookings",
    "gap",
    "win_rate_closed",
    "cycle_days",
    "pipeline",
    "pipeline_in_period",
    "weighted_pipeline",
    "coverage",
)
"""The metrics of a person's page, in its order."""

EVERY = tuple(item.id for item in CATALOGUE)
MOST_ROWS = 500
CREDIT = "credit follows who owned a deal at the time, whoever may see it now"


class FutureQuestion(Invalid):
    """A question was asked as of a time that has not come yet."""


class NotAWindow(Invalid):
    """Rows were asked for with a negative offset or more at once than is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One metric as a page or the API shows it.

    ``value`` is in natural units (1 = 100 % for a ratio, major units for money, which stands in
    ``money`` too); None comes with ``reason``. ``excluded`` of the ``rows`` behind it have no
    value of their own. ``link`` leads to the rows. ``unsound`` names the rules of data health
    that fail under it, empty where none does or none was run yet.
    """

    metric: str
    version: int
    name: Words
    formula: Words
    value: Decimal | None
    money: Money | None
    unit: str
    currency: str | None
    direction: str
    reason: Words | None
    rows: int
    excluded: int
    link: str
    unsound: tuple[Words, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RepSummary:
    """The numbers of a person, or of everybody they may see, for a period as of a time."""

    period: Period
    as_of: dt.datetime
    tiles: tuple[Tile, ...]

    def tile(self, metric_id: str) -> Tile:
        """Return the tile of a metric. Raises KeyError."""
        for each in self.tiles:
            if each.metric == metric_id:
                return each
        raise KeyError(metric_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsBehind:
    """A metric with a window of the rows it was computed from; ``tile.rows`` counts them all."""

    period: Period
    as_of: dt.datetime
    tile: Tile
    rows: tuple[MetricRow, ...]


def not_in_the_future(as_of: dt.datetime | None, *, now: dt.datetime) -> dt.datetime:
    """Return the time a question is about: now without one. Raises FutureQuestion."""
    if as_of is not None and as_of > now:
        raise FutureQuestion("as_of lies in the future; ask about now or an earlier time.")
    return now if as_of is None else as_of


def period_named(session: Session, text: str | None, *, as_of: dt.datetime) -> Period:
    """Return the period of that name, the fiscal quarter of ``as_of`` without one.

    Raises NotAPeriod.
    """
    own = calendar(session)
    return own.quarter_of(own.day_of(as_of)) if text is None else own.parse(text)


def rep_summary(
    session: Session,
    *,
    visibility: Visibility,
    period: Period,
    as_of: dt.datetime,
    metric_ids: Sequence[str] = SUMMARY,
) -> RepSummary:
    """Return the metrics of everybody the asker may see (a rep: their own).

    By a fixed number of statements, whatever the number of deals and people.
    """
    with company_wide(session, reason=CREDIT):
        found = queries.values(session, metric_ids, scope=visibility, period=period, as_of=as_of)
    unsound = failing_under(session, metric_ids, as_of=as_of)
    tiles = tuple(_tile(found[metric_id], period, unsound[metric_id]) for metric_id in metric_ids)
    return RepSummary(period=period, as_of=as_of, tiles=tiles)


def metric_rows(
    session: Session,
    metric_id: str,
    *,
    visibility: Visibility,
    period: Period,
    as_of: dt.datetime,
    limit: int = 100,
    offset: int = 0,
) -> RowsBehind:
    """Return a metric and a window of its rows, latest day first.

    Raises UnknownMetric and NotAWindow.
    """
    if offset < 0 or not 0 < limit <= MOST_ROWS:
        raise NotAWindow(f"Ask for 1 to {MOST_ROWS} rows at a time, from offset 0 on.")
    with company_wide(session, reason=CREDIT):
        value = queries.value(session, metric_id, scope=visibility, period=period, as_of=as_of)
        rows = queries.rows(
            session,
            metric_id,
            scope=visibility,
            period=period,
            as_of=as_of,
            limit=limit,
            offset=offset,
        )
    unsound = failing_under(session, [metric_id], as_of=as_of)[metric_id]
    tile = _tile(value, period, unsound)
    return RowsBehind(period=period, as_of=as_of, tile=tile, rows=tuple(rows))


def _tile(found: MetricValue, period: Period, unsound: Sequence[Rule]) -> Tile:
    item = metric(found.metric)
    money = None
    if found.value is not None and found.currency is not None:
        money = from_major(found.value, found.currency)
    return Tile(
        metric=item.id,
        version=found.version,
        name=Words(item.names[1], item.names[0]),
        formula=Words(item.formulas[1], item.formulas[0]),
        value=found.value,
        money=money,
        unit=found.unit,
        currency=found.currency,
        direction=item.direction,
        reason=None if found.reasons is None else Words(found.reasons[1], found.reasons[0]),
        rows=found.rows,
        excluded=found.excluded,
        link=f"/kpis/{item.id}?period={period.name}",
        unsound=tuple(Words(rule.names[1], rule.names[0]) for rule in unsound),
    )
