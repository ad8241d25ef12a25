"""The numbers of a page: each from its one metric definition, with its formula and its rows.

Nothing is computed here. What a person may see is decided by ``visibility`` before any number
is added up, so a rep reads their own numbers and a manager the team's.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from urllib.parse import quote

from sqlalchemy.orm import Session

from crm_core.database import company_wide
from crm_core.errors import Invalid, NotFound
from crm_core.health.catalogue import Rule
from crm_core.health.queries import failing_under, newest
from crm_core.kpis import queries
from crm_core.kpis.arithmetic import MetricValue
from crm_core.kpis.catalogue import metric
from crm_core.kpis.definitions import Resolved, resolve
from crm_core.kpis.metric import Metric
from crm_core.kpis.queries import MetricRow
from crm_core.money import Money, from_major
from crm_core.people import queries as people
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

MOST_ROWS = 500
CREDIT = "credit follows who owned a deal at the time, whoever may see it now"


class FutureQuestion(Invalid):
    """A question was asked as of a time that has not come yet."""


class NoSuchPerson(NotFound):
    """There is no such person among those the viewer may see."""


class NotAWindow(Invalid):
    """Rows were asked for with a negative offset or more at once than is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One metric as a page or the API shows it.

    ``value`` is in natural units (1 = 100 % for a ratio, major units for money, which stands in
    ``money`` too); None comes with ``reason``. ``excluded`` of the ``rows`` behind it have no
    value of their own. ``link`` leads to the rows. ``unsound`` names the rules of data health
    that fail under it, empty where none does or none was run yet. ``denominator`` is what the
    rows' sum was divided by (a quota: in minor units for money), ``note`` what a reader must know
    of how this very number was computed.
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
    denominator: Decimal | None = None
    note: Words | None = None

    def as_money(self, major: Decimal) -> Money | None:
        """Return another amount in the currency of this number, None where it is no amount."""
        return None if self.currency is None else from_major(major, self.currency)


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
    """A metric with a window of the rows it was computed from; ``tile.rows`` counts them all.

    ``rows_of`` is the metric whose rows they are: of one against a quota, what the quota is for.
    ``currency`` is that of the rows' values, None for no amounts.
    """

    period: Period
    as_of: dt.datetime
    tile: Tile
    rows: tuple[MetricRow, ...]
    rows_of: Metric
    currency: str | None
    cell: tuple[tuple[Words, str | None], ...] = ()
    """The dimensions and values of the part it is, empty for the whole."""

    def as_money(self, row: MetricRow) -> Money | None:
        """Return a row's value as an amount, None where it is none."""
        if row.value is None or self.currency is None:
            return None
        return from_major(row.value, self.currency)


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
    person: str | None = None,
    judged: bool = True,
) -> RepSummary:
    """Return the metrics of everybody the asker may see (a rep: their own).

    By a fixed number of statements, whatever the number of deals and people. With ``person``
    the links lead to that person's rows; ``visibility`` is then theirs (see :func:`of_person`).
    ``judged`` asks which rules of data health fail under each.
    """
    with company_wide(session, reason=CREDIT):
        found = queries.values(session, metric_ids, scope=visibility, period=period, as_of=as_of)
    items = resolve(session, metric_ids, as_of=as_of).by_id
    unsound: dict[str, Sequence[Rule]] = dict.fromkeys(metric_ids, ())
    if judged:
        unsound = rules_failing(session, metric_ids, as_of=as_of)
    tiles = tuple(
        tile(items[each], found[each], period, unsound[each], person) for each in metric_ids
    )
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
    person: str | None = None,
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
    chosen = resolve(session, [metric_id], as_of=as_of)
    item, behind = chosen.by_id[metric_id], rows_metric(chosen, metric_id)
    currency = people.company(session).currency if behind.unit == "money" else None
    unsound = rules_failing(session, [metric_id], as_of=as_of)[metric_id]
    shown = tile(item, value, period, unsound, person)
    return RowsBehind(
        period=period, as_of=as_of, tile=shown, rows=tuple(rows), rows_of=behind, currency=currency
    )


def rows_metric(chosen: Resolved, metric_id: str) -> Metric:
    """Return the metric whose rows stand behind one: a ratio's numerator, what a quota is for."""
    item = chosen.with_rows(metric_id)
    return item if item.goal is None else metric(item.parts[0])


def of_person(visibility: Visibility, person: str | None) -> Visibility:
    """Return what may be seen of one person's records, of everybody's without one.

    Raises NoSuchPerson for whom the viewer may not see, whether there is such a person or not.
    """
    if person is None:
        return visibility
    if not visibility.allows(person):
        raise NoSuchPerson("There is no such person among those you may see.")
    return Visibility(everyone=False, user_ids=frozenset({person}))


def named(session: Session, person: str | None) -> tuple[str, str] | None:
    """Return a person's id and name, None without one."""
    if person is None:
        return None
    return person, people.names(session, [person]).get(person, person)


def credited(session: Session, rows: Sequence[MetricRow]) -> dict[str, str]:
    """Return the names of those to whom rows are credited, by id."""
    return people.names(session, {row.user_id for row in rows if row.user_id is not None})


def checked_at(session: Session, *, as_of: dt.datetime) -> dt.datetime | None:
    """Return when the rules of data health, freshness among them, were last run; None before."""
    found = newest(session, as_of=as_of)
    return None if found is None else found.ran_at


def rules_failing(
    session: Session, metric_ids: Sequence[str], *, as_of: dt.datetime
) -> dict[str, Sequence[Rule]]:
    """Return the failing rules under each metric, shipped or user-defined."""
    return {**failing_under(session, metric_ids, as_of=as_of)}


def tile(
    item: Metric,
    found: MetricValue,
    period: Period,
    unsound: Sequence[Rule] = (),
    person: str | None = None,
) -> Tile:
    """Return a metric's value as it is shown."""
    of_whom = "" if person is None else f"&person={quote(person, safe='')}"
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
        link=f"/kpis/{item.id}?period={period.name}{of_whom}",
        unsound=tuple(Words(rule.names[1], rule.names[0]) for rule in unsound),
        denominator=found.denominator,
        note=None if found.note is None else Words(found.note[1], found.note[0]),
    )
