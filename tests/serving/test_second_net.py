"""Under row-level security a person's own numbers are still the whole company's arithmetic."""

from __future__ import annotations

import datetime as dt

import pandas as pd

from crm_core.database import company_wide, set_scope, transaction
from crm_core.settings import Settings
from features import recent, snapshots
from features.definitions import FEATURES
from tests.serving.conftest import NOON

COLUMNS = tuple(feature.name for feature in FEATURES)
DEAL = pd.DataFrame({"entity_id": ["deal of rep"], "as_of": [pd.Timestamp(NOON)]})


def row_of(engine, tmp_path, *, scoped):
    """The features of the rep's deal, as somebody's session sees them."""
    settings = Settings(home=tmp_path)
    recent._memory = recent._Memory()  # what the other engine read must not answer for this one
    with transaction(engine) as session:
        if scoped:
            set_scope(session, user_id="rep", everyone=False, user_ids={"rep"})
        with company_wide(session, reason="a live row has the same inputs as a training row"):
            return snapshots.rows(session.connection(), DEAL, settings=settings, columns=COLUMNS)


class TestALiveRow:
    def test_is_the_row_that_training_would_see(self, app, engine, bound_engine, tmp_path):
        training = row_of(engine, tmp_path, scoped=False)
        live = row_of(bound_engine, tmp_path, scoped=True)
        pd.testing.assert_frame_equal(live, training)


class TestCreditForAFormerDeal:
    def test_stays_with_who_owned_it_then(self, signed_in, engine):
        """The deal was won by the rep and handed on: the rep's numbers keep it, the list not."""
        from crm_core.opportunities.models import Opportunity
        from tests.factories import an_event

        won, later = NOON - dt.timedelta(days=5), NOON - dt.timedelta(days=1)
        rep = signed_in("rep")
        with transaction(engine) as session:
            deal = session.get(Opportunity, "deal of rep")
            an_event(session, deal, field="stage", value="Won", at=won)
            an_event(session, deal, field="owner_id", value="stranger", at=later)
            deal.stage, deal.outcome, deal.closed_at, deal.owner_id = "Won", "won", won, "stranger"
        assert rep.get("/api/v1/opportunities?status=all").json()["total"] == 0
        rows = rep.get("/api/v1/kpis/win_rate_closed/rows").json()["rows"]
        assert [row["row_id"] for row in rows] == ["deal of rep"]
