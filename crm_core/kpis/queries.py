"""A metric's value and the rows behind it, from one select each; many metrics, one statement.

Who may see what is applied to the rows, before anything is added up, so that a viewer's total
is the sum of the rows that viewer may see.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Literal
from zoneinfo import ZoneInfo

from sqlalchemy import Numeric, Select, Text, cast, func, literal, null, select, union_all
from sqlalchemy.orm import Session

from crm_core.kpis.arithmetic import (
    EMPTY,
    Aggregate,
    MetricValue,
    Standing,
    Texts,
    from_aggregate,
    from_standing,
)
from crm_core.kpis.catalogue import NEEDED_FACTS, Metric, metric
from crm_core.kpis.membership import WITHOUT_A_PLACE, units_of
from crm_core.kpis.question import Question
from crm_core.kpis.sources import is_recorded, rows_of
from crm_core.money import Money, minor_digits, total
from crm_core.people.queries import Visibility, company
from crm_core.periods import FiscalCalendar, Period
from crm_core.quotas.arithmetic import elapsed_share
from crm_core.quotas.queries import SubjectTarget, targets

Grouping = Literal["user", "org_unit"]
_AGAINST_QUOTA = ("bookings", "pipeline_in_period")


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
    session: Session, *, scope: Visibility, period: Period, as_of: dt.datetime
) -> Question:
    """Return what the sources are asked, in this company's calendar and currency."""
    own = company(session)
    calendar = FiscalCalendar(ZoneInfo(own.time_zone), own.fiscal_year_start_month)
    return Question(period, as_of, calendar, own.currency, scope)


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
    wanted = [metric(metric_id) for metric_id in metric_ids]
    asked = question(session, scope=scope, period=period, as_of=as_of)
    simple = _simple(wanted)
    sums = _aggregates(session, asked, simple).get(None, {})
    against_quota = [item for item in wanted if item.aggregation == "derived"]
    parts = [metric(name) for name in _AGAINST_QUOTA] if against_quota else []
    unrecorded = _unrecorded(session, asked, [*simple, *parts])
    found = _from_sums(simple, sums, asked, unrecorded)
    if against_quota:
        standing = _standing(session, asked, unrecorded)
        found |= {
            item.id: from_standing(item, standing, currency=asked.currency)
            for item in against_quota
        }
    return {item.id: found[item.id] for item in wanted}


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
    wanted = [metric(metric_id) for metric_id in metric_ids]
    asked = question(session, scope=scope, period=period, as_of=as_of)
    simple = {item.id: item for item in _simple(wanted)}
    against_quota = [item for item in wanted if item.aggregation == "derived"]
    if against_quota:
        simple |= {name: metric(name) for name in _AGAINST_QUOTA}
    sums = _aggregates(session, asked, list(simple.values()), grouping=grouping)
    unrecorded = _unrecorded(session, asked, list(simple.values()))
    nobodys = sums.pop(None, None)
    own = _targets(session, asked, kind=grouping) if against_quota else {}
    subjects = sorted({key for key in sums if key is not None} | own.keys())
    if nobodys is not None and grouping == "org_unit":
        sums[WITHOUT_A_PLACE] = nobodys
        subjects.append(WITHOUT_A_PLACE)
    result = {}
    for subject in subjects:
        found = _from_sums(simple.values(), sums.get(subject, {}), asked, unrecorded)
        if against_quota:
            target = own[subject].target.amount if subject in own else None
            standing = _standing_of(found, target, asked)
            found |= {
                item.id: from_standing(item, standing, currency=asked.currency)
                for item in against_quota
            }
        result[subject] = {item.id: found[item.id] for item in wanted}
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
    item = metric(metric_id)
    asked = question(session, scope=scope, period=period, as_of=as_of)
    if item.aggregation == "derived":
        asked = replace(asked, scope=_holders(_targets(session, asked, kind="user")))
        item = metric(item.parts[0])
    source = rows_of(item.source, asked).subquery("metric_rows")
    statement = (
        select(source)
        .where(asked.scope.condition(source.c.user_id))
        .order_by(source.c.day.desc().nulls_last(), source.c.row_id, source.c.user_id)
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


def _simple(wanted: Collection[Metric]) -> list[Metric]:
    return [item for item in wanted if item.aggregation != "derived"]


def _from_sums(
    wanted: Collection[Metric],
    sums: Mapping[str, Aggregate],
    asked: Question,
    unrecorded: Mapping[str, Texts],
) -> dict[str, MetricValue]:
    return {
        item.id: from_aggregate(
            item,
            replace(sums.get(item.id, EMPTY), unrecorded=unrecorded.get(item.source)),
            currency=asked.currency,
        )
        for item in wanted
    }


def _unrecorded(session: Session, asked: Question, wanted: Collection[Metric]) -> dict[str, Texts]:
    """Return, by source, the sentence about facts the company never recorded.

    Asked once for all subjects: a person without an order has sold nothing only where orders
    are recorded at all.
    """
    sources = {
        item.source: NEEDED_FACTS[item.source] for item in wanted if item.source in NEEDED_FACTS
    }
    facts = sorted({fact for fact, _ in sources.values()})
    if not facts:
        return {}
    row = session.execute(select(*(is_recorded(fact, asked).label(fact) for fact in facts))).one()
    return {
        source: sentence for source, (fact, sentence) in sources.items() if not row._mapping[fact]
    }


def _aggregates(
    session: Session,
    asked: Question,
    wanted: Sequence[Metric],
    *,
    grouping: Grouping | None = None,
) -> dict[str | None, dict[str, Aggregate]]:
    """Return the sums by subject and metric, by one statement.

    Subject None is the whole scope or, with a grouping, what belongs to no subject.
    """
    if not wanted:
        return {}
    parts = [_sums(item, asked, grouping=grouping) for item in wanted]
    found: dict[str | None, dict[str, Aggregate]] = {}
    for row in session.execute(union_all(*parts)):
        found.setdefault(row.subject, {})[row.metric] = Aggregate(
            rows=row.rows,
            valued=row.valued,
            value=row.value,
            weight=row.weight,
            median=row.median,
            unpriced=row.unpriced,
            unpriced_currency=row.unpriced_currency,
        )
    return found


def _sums(item: Metric, asked: Question, *, grouping: Grouping | None) -> Select[Any]:
    source = rows_of(item.source, asked).subquery(f"{item.id}_rows")
    subject: Any = cast(null(), Text)
    unit = None
    if grouping == "user":
        subject = source.c.user_id
    elif grouping == "org_unit":
        unit = units_of(source.c.user_id, source.c.placed_on)
        subject = unit.c.unit_id
    has_value = source.c.value.is_not(None)
    # the median is of whole days: exact in double precision
    median = func.percentile_cont(0.5).within_group(source.c.value)
    statement = select(
        literal(item.id, Text).label("metric"),
        subject.label("subject"),
        func.count().label("rows"),
        func.count(source.c.value).label("valued"),
        func.sum(source.c.value).label("value"),
        func.sum(source.c.weight).filter(has_value).label("weight"),
        cast(median if item.aggregation == "median" else null(), Numeric).label("median"),
        func.count(source.c.unpriced).label("unpriced"),
        func.min(source.c.unpriced).label("unpriced_currency"),
    ).where(asked.scope.condition(source.c.user_id))
    if unit is not None:
        statement = statement.join(unit, literal(True), isouter=True)
    return statement if grouping is None else statement.group_by(subject)


def _targets(session: Session, asked: Question, *, kind: Grouping) -> dict[str, SubjectTarget]:
    return targets(
        session,
        subject_kind=kind,
        metric="bookings",
        scope=asked.scope,
        period=asked.period,
        currency=asked.currency,
        as_of=asked.as_of,
    )


def _holders(own: Mapping[str, SubjectTarget]) -> Visibility:
    """Return the people whose quota counts: not who manages another quota holder.

    A manager's quota usually is the sum of the team's; counting both would halve attainment.
    """
    managers = {target.manager_id for target in own.values()}
    return Visibility(everyone=False, user_ids=frozenset(own.keys() - managers))


def _standing(session: Session, asked: Question, unrecorded: Mapping[str, Texts]) -> Standing:
    own = _targets(session, asked, kind="user")
    holders = _holders(own)
    amounts = [own[subject].target.amount for subject in sorted(holders.user_ids)]
    parts = [metric(name) for name in _AGAINST_QUOTA]
    sums = _aggregates(session, replace(asked, scope=holders), parts).get(None, {})
    target = total(amounts, currency=asked.currency) if amounts else None
    found = _from_sums(parts, sums, asked, unrecorded)
    return _standing_of(found, target, asked)


def _standing_of(
    found: Mapping[str, MetricValue], target: Money | None, asked: Question
) -> Standing:
    return Standing(
        bookings=found["bookings"],
        pipeline=found["pipeline_in_period"],
        target=target,
        elapsed=elapsed_share(asked.period, day=asked.calendar.day_of(asked.as_of)),
    )
