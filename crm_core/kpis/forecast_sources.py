"""The rows behind the metrics of forecasts: one per person, forecast period and week.

What a person called is the commit of their last submission by the end of the week; for who leads
people it is the team's. Where what came is known better later, the score known last counts.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Date, Numeric, Select, Text, and_, case, cast, func, literal, select
from sqlalchemy.dialects.postgresql import distinct_on

from crm_core.forecasts.models import ForecastScore
from crm_core.kpis.question import Expression, Question
from crm_core.kpis.source_rows import row_columns
from crm_core.people.models import User

_DAYS = 7


def forecast_misses(question: Question) -> Select[Any]:
    """Return how far each call was from what came, in minor units."""
    return _rows(question, "misses", lambda s: func.abs(s.c.forecast_minor - s.c.actual_minor))


def forecast_leanings(question: Question) -> Select[Any]:
    """Return by how much each call was above what came, in minor units."""
    return _rows(question, "leanings", lambda s: s.c.forecast_minor - s.c.actual_minor)


def forecast_gains(question: Question) -> Select[Any]:
    """Return by how much each call was nearer to what came than the naive forecast."""

    def gain(scores: Any) -> Expression:  # noqa: ANN401 - a relation
        missed = func.abs(scores.c.forecast_minor - scores.c.actual_minor)
        return func.abs(scores.c.naive_minor - scores.c.actual_minor) - missed

    return _rows(question, "gains", gain)


def _rows(question: Question, name: str, value: Any) -> Select[Any]:  # noqa: ANN401 - a function
    row = ForecastScore
    last = (
        select(row)
        .ext(
            distinct_on(
                row.subject_id, row.period_start, row.period_end, row.week, row.layer
            )
        )
        .where(row.recorded_at <= question.as_of)
        .order_by(
            row.subject_id, row.period_start, row.period_end, row.week, row.layer,
            row.recorded_at.desc(),
        )
        .subquery(f"forecast_{name}")
    )  # fmt: skip
    day = cast(func.least(last.c.period_start + last.c.week * _DAYS, last.c.period_end) - 1, Date)
    own_layer = case((User.role == "rep", "rep"), else_="manager")
    return (
        select(
            *row_columns(
                kind="forecast",
                row_id=func.concat_ws(
                    "/", last.c.subject_id, cast(last.c.period_start, Text), last.c.week
                ),
                user_id=last.c.subject_id,
                label=func.concat("W", last.c.week),
                day=day,
                value=case((last.c.actual_minor > 0, value(last))),
                weight=cast(last.c.actual_minor, Numeric),
            )
        )
        .join(User, User.id == last.c.subject_id)
        .where(
            last.c.layer == own_layer,
            and_(day >= literal(question.period.start, Date), day < question.period.end),
        )
    )
