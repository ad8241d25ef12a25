"""Deals as they stood: read from their current columns where nothing came later, else folded."""

from __future__ import annotations

import datetime as dt
import random
from decimal import Decimal

import pytest
from sqlalchemy import select, text

from crm_core.opportunities.states import states
from tests.oracles import companies

NOW = dt.datetime(2027, 6, 1, tzinfo=dt.UTC)


def rows(session, *, happened_by, known_at, folded):
    """Return the states; with the categories that were picked, every deal is folded."""
    found = states(happened_by=happened_by, known_at=known_at, with_category=folded)
    columns = [column for column in found.c if column.name != "picked_category"]
    return session.execute(select(*columns).order_by(found.c.opportunity_id)).all()


@pytest.mark.parametrize("seed", range(4))
class TestStates:
    def test_are_the_fold_of_the_events_at_any_two_times(self, session, seed):
        companies.write(session, seed)
        draw = random.Random(seed)
        last = session.scalar(text("select max(recorded_at) from opportunity_events"))
        times = [last - dt.timedelta(hours=draw.randrange(24 * 500)) for _ in range(8)]
        for pair in [(NOW, NOW), (last, last), *zip(times[:4], times[4:], strict=True)]:
            asked = {"happened_by": pair[0], "known_at": pair[1]}
            told = rows(session, **asked, folded=False)
            assert told == rows(session, **asked, folded=True)
            assert told or pair[0] < last

    def test_are_folded_for_a_deal_whose_next_event_is_announced(self, session, seed):
        companies.write(session, seed)
        session.execute(
            text(
                "insert into opportunity_events (opportunity_id, field, occurred_at, recorded_at, "
                "new_value) select id, 'amount', :later, :now, '77' from opportunities limit 3"
            ),
            {"later": NOW + dt.timedelta(days=9), "now": NOW},
        )
        session.execute(text("update opportunities set amount_minor = 1"))  # no longer right
        for_three = {row.opportunity_id for row in self.with_amount_of_one(session)}
        every = set(session.execute(text("select id from opportunities")).scalars())
        announced = set(
            session.execute(
                text("select opportunity_id from opportunity_events where new_value = '77'")
            ).scalars()
        )
        assert for_three == every - announced

    def with_amount_of_one(self, session):
        found = rows(session, happened_by=NOW, known_at=NOW, folded=False)
        return [row for row in found if row.amount in {Decimal(1).scaleb(-n) for n in (0, 2, 3)}]
