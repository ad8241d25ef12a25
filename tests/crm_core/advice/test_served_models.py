"""Which version served from when to when is written down once, whoever sees the change first."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import select
from sqlalchemy.orm import Session

from crm_core.advice.models import ServedModel
from crm_core.advice.operations import record_serving

MORNING = dt.datetime(2026, 6, 30, 8, tzinfo=dt.UTC)
NOON = dt.datetime(2026, 6, 30, 12, tzinfo=dt.UTC)
EVENING = dt.datetime(2026, 6, 30, 20, tzinfo=dt.UTC)


def say(session: Session, version: str | None, at: dt.datetime, model: str = "win_rate") -> None:
    record_serving(session, model=model, version=version, report={}, at=at)


def served(session: Session) -> list[tuple[str, dt.datetime, dt.datetime | None]]:
    rows = session.scalars(select(ServedModel).order_by(ServedModel.id))
    return [(row.version, row.served_from, row.served_to) for row in rows]


def test_a_promotion_ends_the_version_before_it(session: Session) -> None:
    say(session, "1", MORNING)
    say(session, "2", NOON)
    assert served(session) == [("1", MORNING, NOON), ("2", NOON, None)]


def test_a_second_process_that_says_the_same_changes_nothing(session: Session) -> None:
    say(session, "1", MORNING)
    say(session, "1", NOON)
    assert served(session) == [("1", MORNING, None)]


def test_a_rollback_serves_the_old_version_anew(session: Session) -> None:
    say(session, "1", MORNING)
    say(session, "2", NOON)
    say(session, "1", EVENING)
    assert served(session)[1:] == [("2", NOON, EVENING), ("1", EVENING, None)]


def test_a_model_that_is_taken_away_ends(session: Session) -> None:
    say(session, "1", MORNING)
    say(session, None, NOON)
    assert served(session) == [("1", MORNING, NOON)]


def test_models_do_not_end_each_other(session: Session) -> None:
    say(session, "1", MORNING)
    say(session, "7", NOON, model="churn")
    assert served(session) == [("1", MORNING, None), ("7", NOON, None)]
