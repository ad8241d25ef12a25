"""How good forecasts were, layer by layer and week by week, and what each layer added.

A file of its own beside ``queries.py``: what baselines say is kept each week of a period with the
first snapshot of that week; when the period has ended every layer's forecast is settled against
what it closed. Forecast value added is how much nearer a layer was than the naive forecast.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from crm_core.forecasts import baselines, queries
from crm_core.forecasts.cadence import week_of
from crm_core.forecasts.catalogue import BASELINES, Layer
from crm_core.forecasts.hierarchy import Tree
from crm_core.forecasts.judgement import Submission, submissions
from crm_core.forecasts.models import ForecastBaseline, ForecastScore
from crm_core.forecasts.positions import Moment
from crm_core.people.queries import Visibility
from crm_core.periods import Period

COMPANY = ""
"""The subject of what is everybody's."""

_EVERYONE = Visibility(everyone=True)
_SETTLED_FOR = dt.timedelta(days=45)
"""How long after a period's end what it closed may still be settled anew."""


@dataclass(frozen=True, slots=True)
class Score:
    """A layer's forecast in a week of a period, what came, and what the naive one said."""

    subject_id: str
    period_start: dt.date
    period_end: dt.date
    week: int
    layer: Layer
    forecast: int
    actual: int
    naive: int | None
    currency: str

    @property
    def error(self) -> Decimal | None:
        """How far it was off as a share of what came; None where nothing came."""
        return _share(abs(self.forecast - self.actual), self.actual)

    @property
    def bias(self) -> Decimal | None:
        """By how much it was too high (or, below zero, too low), as a share of what came."""
        return _share(self.forecast - self.actual, self.actual)

    @property
    def value_added(self) -> Decimal | None:
        """The naive forecast's error less this one's; above zero it was nearer."""
        if self.naive is None:
            return None
        nearer = abs(self.naive - self.actual) - abs(self.forecast - self.actual)
        return _share(nearer, self.actual)


def _share(part: int, whole: int) -> Decimal | None:
    return Decimal(part) / Decimal(whole) if whole > 0 else None


def keep_baselines(session: Session, now: Moment, periods: Sequence[Period]) -> int:
    """Write what the baselines say today, unless this week's were kept; return how many rows."""
    whole = queries.tree(session, day=now.day)
    rows: list[dict[str, Any]] = []
    for period in periods:
        if now.day < period.start or _is_kept(session, period, day=now.day):
            continue
        for layer, forecast in baselines.forecasts(session, now, period).items():
            sums = _sums(whole, forecast.by_owner)
            rows += [
                {
                    "subject_id": subject, "period_start": period.start,
                    "period_end": period.end, "layer": layer, "day": now.day,
                    "amount_minor": None if sums is None else sums[subject],
                    "currency": now.currency, "reason": forecast.reason,
                }
                for subject in (COMPANY, *whole.members)
            ]  # fmt: skip
    if rows:
        session.execute(insert(ForecastBaseline), rows)
    return len(rows)


def _sums(whole: Tree, owned: baselines.Owners | None) -> dict[str, int] | None:
    """Return each person's amount with that of everybody below, and the company's."""
    if owned is None:
        return None
    found = {person: owned.get(person, 0) for person in whole.members}
    for person in whole.members:
        for superior in whole.above(person):
            found[superior] += owned.get(person, 0)
    return {**found, COMPANY: sum(owned.values())}


def _is_kept(session: Session, period: Period, *, day: dt.date) -> bool:
    week = week_of(period, day=day)
    monday = period.start + dt.timedelta(days=7 * (week - 1))
    return (
        session.scalar(
            select(ForecastBaseline.day)
            .where(
                ForecastBaseline.period_start == period.start,
                ForecastBaseline.period_end == period.end,
                ForecastBaseline.day >= monday,
            )
            .limit(1)
        )
        is not None
    )


def baselines_of(
    session: Session, *, subject: str | None, period: Period, until: dt.date
) -> dict[Layer, tuple[dt.date, int | None, str | None]]:
    """Return what each baseline said last of a person or the company: day, amount or reason."""
    row = ForecastBaseline
    found = session.scalars(
        select(row)
        .ext(distinct_on(row.layer))
        .where(
            row.subject_id == (subject or COMPANY),
            row.period_start == period.start,
            row.period_end == period.end,
            row.day <= until,
        )
        .order_by(row.layer, row.day.desc())
    )
    said = {each.layer: (each.day, each.amount_minor, each.reason) for each in found}
    return {layer: said[layer] for layer in BASELINES if layer in said}


def settle(session: Session, now: Moment, period: Period) -> int:
    """Write each layer's forecasts of an ended period beside what came; return how many rows.

    What was settled before is written again only where what came is known otherwise now.
    """
    if now.day < period.end or now.day > period.end + _SETTLED_FOR:
        return 0
    whole = queries.tree(session, day=queries.place_day(now, period))
    actual = _sums(whole, baselines.closed(session, now, period)) or {}
    said = _said(session, period)
    calls = submissions(
        session, authors=frozenset(whole.members), period=period, seen=_EVERYONE, as_of=now.as_of
    )
    held: dict[tuple[str, int, Layer], tuple[int, int]] = {}
    for score in scores(session, subjects=None, period=period, as_of=now.as_of):
        held[score.subject_id, score.week, score.layer] = (score.forecast, score.actual)
        if score.layer in BASELINES:
            said.setdefault(score.week, {})[score.subject_id, score.layer] = score.forecast
    rows = []
    for week in range(1, week_of(period, day=period.end - dt.timedelta(days=1)) + 1):
        if week not in said:
            said[week] = _replayed(session, now, period, week, whole)
        end = now.calendar.midnight(period.start + dt.timedelta(days=7 * week))
        latest = _latest(calls, by=end)
        for subject in (COMPANY, *whole.members):
            for layer, forecast in _layers(whole, subject, said.get(week, {}), latest).items():
                if held.get((subject, week, layer)) == (forecast, actual[subject]):
                    continue
                rows.append(
                    {
                        "subject_id": subject, "period_start": period.start,
                        "period_end": period.end, "week": week, "layer": layer,
                        "recorded_at": now.as_of, "forecast_minor": forecast,
                        "actual_minor": actual[subject], "currency": now.currency,
                        "naive_minor": said.get(week, {}).get((subject, "naive")),
                    }
                )  # fmt: skip
    if rows:
        session.execute(insert(ForecastScore), rows)
    return len(rows)


def _said(session: Session, period: Period) -> dict[int, dict[tuple[str, str], int]]:
    """Return what baselines said, by week and (subject, layer)."""
    found: dict[int, dict[tuple[str, str], int]] = {}
    rows = session.scalars(
        select(ForecastBaseline).where(
            ForecastBaseline.period_start == period.start,
            ForecastBaseline.period_end == period.end,
            ForecastBaseline.amount_minor.is_not(None),
        )
    )
    for row in rows:
        week = week_of(period, day=row.day)
        found.setdefault(week, {})[row.subject_id, row.layer] = row.amount_minor or 0
    return found


def _replayed(
    session: Session, now: Moment, period: Period, week: int, whole: Tree
) -> dict[tuple[str, str], int]:
    """Return what baselines would have said as a week began, with what was known then.

    For weeks in which no snapshot was taken, as before Winward was there.
    """
    day = period.start + dt.timedelta(days=7 * (week - 1))
    origin = replace(now, as_of=now.calendar.midnight(day))
    return {
        (subject, layer): minor
        for layer, forecast in baselines.forecasts(session, origin, period).items()
        for subject, minor in (_sums(whole, forecast.by_owner) or {}).items()
    }


def _latest(calls: Sequence[Submission], *, by: dt.datetime) -> dict[str, Submission]:
    """Return each author's last call before a time; ``calls`` come newest first."""
    found: dict[str, Submission] = {}
    for call in calls:
        if call.recorded_at < by:
            found.setdefault(call.author_id, call)
    return found


def _layers(
    whole: Tree,
    subject: str,
    said: Mapping[tuple[str, str], int],
    calls: Mapping[str, Submission],
) -> dict[Layer, int]:
    """Return every layer's forecast of a subject in a week, those that there are."""
    found: dict[Layer, int] = {
        layer: said[subject, layer] for layer in BASELINES if (subject, layer) in said
    }
    everybody = whole.members if subject == COMPANY else whole.below(subject)
    reps = [
        each
        for each in everybody
        if not whole.children[each] and whole.members[each].role == "rep"
        and not whole.members[each].has_left
    ]  # fmt: skip
    if reps and all(each in calls for each in reps):
        found["rep"] = sum(_call(calls[each]) for each in reps)
    leaders = whole.tops if subject == COMPANY else (subject,)
    led = [each for each in leaders if whole.children[each]]
    if led and all(each in calls for each in led):
        found["manager"] = sum(_call(calls[each]) for each in led)
    return found


def _call(call: Submission) -> int:
    """Return what a call says will be closed: commit with what is closed already."""
    return call.items["cumulative", "commit"].amount


def scores(
    session: Session,
    *,
    subjects: Collection[str] | None,
    period: Period,
    as_of: dt.datetime,
) -> list[Score]:
    """Return a period's scores as known at a time, by person, week and layer."""
    row = ForecastScore
    statement = (
        select(row)
        .ext(distinct_on(row.subject_id, row.week, row.layer))
        .where(
            row.period_start == period.start,
            row.period_end == period.end,
            row.recorded_at <= as_of,
        )
        .order_by(row.subject_id, row.week, row.layer, row.recorded_at.desc())
    )
    if subjects is not None:
        statement = statement.where(row.subject_id.in_(sorted(subjects)))
    return [
        Score(
            each.subject_id, each.period_start, each.period_end, each.week, each.layer,  # type: ignore[arg-type]
            each.forecast_minor, each.actual_minor, each.naive_minor, each.currency,
        )
        for each in session.scalars(statement)
    ]  # fmt: skip
