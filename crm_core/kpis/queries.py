"""A metric's value and the rows behind it, from one select each; many metrics, one statement.

Who may see what is applied to the rows, before anything is added up, so that a viewer's total
is the sum of the rows that viewer may see.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from zoneinfo import ZoneInfo

from sqlalchemy import select, true
from sqlalchemy.orm import Session

from crm_core.kpis.aggregates import Grouping, Sums, aggregates, unrecorded_facts, values_of
from crm_core.kpis.arithmetic import (
    MetricValue,
    Standing,
    from_quotient,
    from_standing,
    without_standing,
)
from crm_core.kpis.catalogue import Metric, metric
from crm_core.kpis.definitions import Resolved, resolve
from crm_core.kpis.membership import WITHOUT_A_PLACE
from crm_core.kpis.metric import Form, Goal
from crm_core.kpis.question import Question
from crm_core.kpis.slicing import Key, Slicing, is_key
from crm_core.kpis.sources import rows_of
from crm_core.kpis.standings import goal_named, holders, standings_of, targets_of
from crm_core.money import minor_digits
from crm_core.people.queries import Visibility, company
from crm_core.periods import FiscalCalendar, Period


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One row behind a metric; ``value`` as in :class:`MetricValue`, None when it has none."""

    kind: str
    row_id: str
    user_id: str | None
    label: str
    day: dt.date | None
    value: Decimal | None
    weight: Decimal
    unpriced: str | None


def question(
    session: Session,
    *,
    scope: Visibility,
    period: Period,
    as_of: dt.datetime,
    chosen: Resolved | None = None,
) -> Question:
    """Return what the sources are asked, in this company's calendar and currency."""
    own = company(session)
    calendar = FiscalCalendar(ZoneInfo(own.time_zone), own.fiscal_year_start_month)
    defined = {} if chosen is None else chosen.rows
    return Question(period, as_of, calendar, own.currency, scope, defined)


def value(
    session: Session, metric_id: str, *, scope: Visibility, period: Period, as_of: dt.datetime
) -> MetricValue:
    """Return one metric of the people in scope. Raises UnknownMetric."""
    return values(session, [metric_id], scope=scope, period=period, as_of=as_of)[metric_id]


def values(
    session: Session,
    metric_ids: Sequence[str],
    *,
    scope: Visibility,
    period: Period,
    as_of: dt.datetime,
) -> dict[str, MetricValue]:
    """Return several metrics of the people in scope, by a fixed number of statements."""
    chosen = resolve(session, metric_ids, as_of=as_of)
    asked = question(session, scope=scope, period=period, as_of=as_of, chosen=chosen)
    found = values_as_asked(session, chosen.metrics, asked)
    return {metric_id: found[metric_id] for metric_id in metric_ids}


def values_as_asked(
    session: Session, wanted: Sequence[Metric], asked: Question, *, sums: Sums | None = None
) -> dict[str, MetricValue]:
    """Return metrics of a question's whole scope; the parts of a ratio stand before it.

    ``sums`` are those of the scope where they have been added up already.
    """
    own = simple(wanted)
    if sums is None:
        sums = aggregates(session, asked, own)
    found = values_of(own, sums.get(None, {}), asked, unrecorded_facts(session, asked, own))
    for goal, against in _by_goal(wanted).items():
        standing = standings_of(session, asked, goal, grouping=None, forms=_forms(against))[None]
        found |= {item.id: from_standing(item, standing) for item in against}
    return with_quotients(wanted, found, currency=asked.currency)


def with_quotients(
    wanted: Iterable[Metric], found: dict[str, MetricValue], *, currency: str
) -> dict[str, MetricValue]:
    """Return the values with those of one metric ÷ another beside them."""
    for item in wanted:
        if item.aggregation == "quotient":
            numerator, denominator = (found[part] for part in item.parts)
            found[item.id] = from_quotient(item, numerator, denominator, currency=currency)
    return found


def standings(
    session: Session,
    *,
    metric: str,
    grouping: Grouping | None,
    scope: Visibility,
    period: Period,
    as_of: dt.datetime,
) -> dict[str | None, Standing]:
    """Return where each user or org unit stands against its quota of a metric.

    ``metric`` is what the quota is for. Without a grouping the whole scope stands under None;
    among units None is what belongs to no unit. Raises UnknownMetric.
    """
    asked = question(session, scope=scope, period=period, as_of=as_of)
    return standings_of(session, asked, goal_named(metric), grouping=grouping)


def by_subject(
    session: Session,
    metric_ids: Sequence[str],
    *,
    grouping: Grouping,
    scope: Visibility,
    period: Period,
    as_of: dt.datetime,
) -> dict[str, dict[str, MetricValue]]:
    """Return, by user or org unit, the metrics of each; a unit's rows are its members' then.

    A subject appears when it has a row or a target. The rows credited to nobody are no person's;
    among units they stand, last, under WITHOUT_A_PLACE beside those of people without a unit, so
    that it and the units at the top sum to the whole. A quota is the subject's own.
    """
    chosen = resolve(session, metric_ids, as_of=as_of)
    asked = question(session, scope=scope, period=period, as_of=as_of, chosen=chosen)
    found = by_subject_as_asked(session, chosen.metrics, asked, grouping=grouping)
    return {
        subject: {metric_id: values[metric_id] for metric_id in metric_ids}
        for subject, values in found.items()
    }


def by_subject_as_asked(
    session: Session,
    wanted: Sequence[Metric],
    asked: Question,
    *,
    grouping: Grouping,
    sums: Sums | None = None,
) -> dict[str, dict[str, MetricValue]]:
    """Return metrics by user or org unit, as :func:`by_subject`; ``sums`` as added up already."""
    own = simple(wanted)
    if sums is None:
        sums = aggregates(session, asked, own, grouping=grouping)
    unrecorded = unrecorded_facts(session, asked, own)
    by_goal = {
        goal: standings_of(session, asked, goal, grouping=grouping, forms=_forms(against))
        for goal, against in _by_goal(wanted).items()
    }
    result = {}
    for subject, name in _subjects([sums, *by_goal.values()], grouping):
        found = values_of(own, sums.get(subject, {}), asked, unrecorded)
        for goal, against in _by_goal(wanted).items():
            standing = by_goal[goal].get(subject)
            found |= {
                item.id: without_standing(item, currency=asked.currency)
                if standing is None
                else from_standing(item, standing)
                for item in against
            }
        result[name] = with_quotients(wanted, found, currency=asked.currency)
    return result


def rows(
    session: Session,
    metric_id: str,
    *,
    scope: Visibility,
    period: Period,
    as_of: dt.datetime,
    limit: int | None = None,
    offset: int = 0,
) -> list[MetricRow]:
    """Return the rows a metric is computed from, latest day first.

    Their values sum to the metric's numerator exactly. A metric against a quota shows the rows
    of its first part, of the people whose quota counts.
    """
    chosen = resolve(session, [metric_id], as_of=as_of)
    item = chosen.with_rows(metric_id)
    asked = question(session, scope=scope, period=period, as_of=as_of, chosen=chosen)
    if item.goal is not None:
        asked = replace(
            asked, scope=holders(targets_of(session, asked, item.goal, grouping="user"))
        )
        item = metric(item.parts[0])
    return rows_as_asked(session, item, asked, limit=limit, offset=offset)


def rows_as_asked(
    session: Session,
    item: Metric,
    asked: Question,
    *,
    limit: int | None,
    offset: int,
    cell: tuple[Slicing, Key] | None = None,
) -> list[MetricRow]:
    """Return the rows of a metric that has rows of its own, latest day first; of one cell only."""
    source = rows_of(item.source, asked).subquery("metric_rows")
    if cell is not None:
        source = cell[0].keyed(source, asked, name="cell_rows")
    statement = (
        select(source)
        .where(asked.scope.condition(source.c.user_id))
        .where(true() if cell is None else is_key(source.c.slice, cell[1]))
        .order_by(
            source.c.day.desc().nulls_last(),
            source.c.row_id,
            source.c.user_id,
            source.c.label,
            source.c.value,
        )
        .limit(limit)
        .offset(offset)
    )
    digits = minor_digits(asked.currency) if item.unit == "money" else 0
    return [
        MetricRow(
            kind=row.kind,
            row_id=row.row_id,
            user_id=row.user_id,
            label=row.label,
            day=row.day,
            value=None if row.value is None else row.value.scaleb(-digits),
            weight=row.weight,
            unpriced=row.unpriced,
        )
        for row in session.execute(statement)
    ]


def _subjects(
    found: Iterable[Mapping[str | None, object]], grouping: Grouping
) -> list[tuple[str | None, str]]:
    """Return the subjects with their names; what belongs to no unit comes last."""
    keys = {key for each in found for key in each}
    result: list[tuple[str | None, str]] = [(key, key) for key in sorted(filter(None, keys))]
    if None in keys and grouping == "org_unit":
        result.append((None, WITHOUT_A_PLACE))
    return result


def simple(wanted: Collection[Metric]) -> list[Metric]:
    """Return the metrics that are computed from their own rows."""
    return [item for item in wanted if item.goal is None and item.aggregation != "quotient"]


def _forms(against: Iterable[Metric]) -> set[Form]:
    return {item.form for item in against if item.form is not None}


def _by_goal(wanted: Collection[Metric]) -> dict[Goal, list[Metric]]:
    result: dict[Goal, list[Metric]] = {}
    for item in wanted:
        if item.goal is not None:
            result.setdefault(item.goal, []).append(item)
    return result
