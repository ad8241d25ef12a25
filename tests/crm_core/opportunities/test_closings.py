"""The closings of all deals at once are those of each deal's own fold."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy import select

from crm_core.opportunities.history import outcome
from crm_core.opportunities.models import Opportunity
from crm_core.opportunities.queries import stage_kinds, states
from crm_core.opportunities.states import closings
from tests.oracles import companies


@pytest.mark.parametrize("seed", range(5))
def test_closings_equal_the_fold_of_each_deal(session, seed):
    companies.write(session, seed, deals=60, orders=0)
    kinds = stage_kinds(session, "default")
    ids = session.scalars(select(Opportunity.id)).all()
    for as_of in (dt.datetime(2026, 1, 1, tzinfo=dt.UTC), dt.datetime(2026, 9, 1, tzinfo=dt.UTC)):
        folded = {
            deal: found
            for deal, each in states(session, ids, as_of=as_of).items()
            if (found := outcome(each, kinds)) is not None
        }
        closed = closings(happened_by=as_of, known_at=as_of)
        rows = session.execute(
            select(closed.c.opportunity_id, closed.c.outcome, closed.c.closed_at)
        )
        assert {deal: (result, at) for deal, result, at in rows} == folded
        assert folded
