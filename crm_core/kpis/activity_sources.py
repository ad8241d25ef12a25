"""The rows behind the metrics of activities."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.dialects.postgresql import distinct_on

from crm_core.activities.models import Activity
from crm_core.kpis.question import Question
from crm_core.kpis.source_rows import ONE, row_columns

CUSTOMER_KINDS = ("call", "email", "meeting", "visit", "demo", "proposal")


def activities(question: Question) -> Select[Any]:
    """Return the customer activities of the period, each in the version known last."""
    last = (
        select(Activity)
        .ext(distinct_on(Activity.id))
        .where(Activity.recorded_at <= question.as_of)
        .order_by(Activity.id, Activity.recorded_at.desc())
        .subquery("last")
    )
    return select(
        *row_columns(
            kind="activity",
            row_id=last.c.id,
            user_id=last.c.user_id,
            label=last.c.kind,
            day=question.day_of(last.c.occurred_at),
            value=ONE,
            account_id=last.c.account_id,
            opportunity_id=last.c.opportunity_id,
        )
    ).where(
        last.c.kind.in_(CUSTOMER_KINDS),
        question.has(last.c.occurred_at),
        last.c.occurred_at <= question.as_of,
    )
