"""Where a deal stood is told as it was known at the time of the question."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy.orm import Session

from crm_core.opportunities.models import Opportunity, OpportunityEvent, Stage
from crm_core.opportunities.standings import standings


def day(number: int) -> dt.datetime:
    return dt.datetime(2026, 3, number, tzinfo=dt.UTC)


@pytest.fixture
def deal(session: Session) -> str:
    """A deal of 1 March, won on the 10th, which the company learnt on the 20th."""
    session.add_all(
        Stage(pipeline="default", stage=stage, position=position, kind=kind)
        for position, (stage, kind) in enumerate((("Talk", "open"), ("Won", "won")))
    )
    session.add(
        Opportunity(
            id="d1", created_at=day(1), recorded_at=day(1), currency="EUR", stage="Won",
            closed_at=day(10), outcome="won",
        )
    )  # fmt: skip
    session.flush()
    for stage, occurred, recorded in (("Talk", 1, 1), ("Won", 10, 20)):
        session.add(
            OpportunityEvent(
                opportunity_id="d1", field="stage", new_value=stage,
                occurred_at=day(occurred), recorded_at=day(recorded),
            )
        )  # fmt: skip
    session.flush()
    return "d1"


def kind(session: Session, deal: str, moment: dt.datetime) -> str | None:
    found = standings(session, opportunity_ids=[deal], as_of=moment).get(deal)
    return None if found is None else found.kind


def test_a_deal_is_absent_before_it_exists(session: Session, deal: str) -> None:
    assert kind(session, deal, day(1) - dt.timedelta(seconds=1)) is None


def test_a_win_counts_from_when_it_was_known(session: Session, deal: str) -> None:
    assert [kind(session, deal, day(number)) for number in (5, 15, 20)] == ["open", "open", "won"]


def test_a_won_deal_tells_since_when(session: Session, deal: str) -> None:
    found = standings(session, opportunity_ids=None, as_of=day(25))[deal]
    assert (found.is_closed, found.since, found.stage) == (True, day(10), "Won")
