"""A custom field that a role may not view is nowhere: not on pages, in changes, in reasons."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from crm_core.audit import operations as audit
from crm_core.database import transaction
from crm_core.opportunities.models import Opportunity
from crm_core.people.queries import Visibility
from serving import deals
from serving.explanations import Reason, Words
from serving.scores import ScoreView
from tests.factories import an_event
from tests.serving.conftest import NOON

API = "/api/v1"
DEAL = "deal of rep"


@pytest.fixture
def budget(engine, signed_in):
    """A budget for administrators' eyes, in the deal and in its history, beside an open field."""
    admin = signed_in("admin")
    for name, roles in (("x_budget", ["admin"]), ("x_size", None)):
        body = {"kind": "number", "view_roles": roles}
        answer = admin.put(f"{API}/custom-fields/opportunities/{name}", json=body)
        assert answer.status_code == 200, answer.text
    with transaction(engine) as session:
        deal = session.get(Opportunity, DEAL)
        deal.custom = {"x_budget": 777001, "x_size": 42}
        for days, values in ((3, {"x_budget": 777001}), (2, {"x_budget": 777001, "x_size": 42})):
            an_event(session, deal, field="custom", value=json.dumps(values),
                     at=NOON - dt.timedelta(days=days))  # fmt: skip
        audit.record(session, actor="admin", action="update", table="opportunities",
                     record_id=DEAL, occurred_at=NOON, channel="api", address=None,
                     changes={"x_budget": (None, 777001), "x_size": (None, 42)})  # fmt: skip
    return admin


PLACES = (
    f"/deals/{DEAL}", f"/deals/{DEAL}/work", f"{API}/opportunities/{DEAL}",
    f"{API}/records/opportunities/{DEAL}", f"{API}/records/opportunity_events?limit=200",
    f"{API}/audit?table=opportunities", "/audit?table=opportunities",
    f"{API}/history/opportunities/{DEAL}", f"{API}/records/opportunities?limit=200",
)  # fmt: skip


class TestAHiddenField:
    @pytest.mark.parametrize("place", PLACES)
    def test_is_shown_to_who_may_view_it_only(self, budget, signed_in, place):
        for user in ("rep", "manager", "leader"):
            answer = signed_in(user).get(place)
            assert answer.status_code == 200, (user, answer.text[:300])
            assert "777001" not in answer.text, user
            assert "budget" not in answer.text.lower(), user
        if place != f"/deals/{DEAL}/work":
            assert "777001" in budget.get(place).text
            assert "42" in signed_in("rep").get(place).text

    def test_is_no_reason_that_tells_its_value(self, budget, engine):
        def viewer(role):
            return type("Viewer", (), {"id": "x", "role": role})()

        said = Words("Budget is 777001", "预算为 777001")
        reason = Reason("custom", True, 0.5, said, {"x_budget": 777001})
        other = Reason("engagement", True, 0.1, Words("Talks", "沟通"), {})
        view = ScoreView(opportunity_id=DEAL, as_of=NOON, kind="model", model_version="1",
                         contributions={"custom": 0.5}, reasons=(reason, other))  # fmt: skip
        everyone = Visibility(everyone=True)
        with transaction(engine) as session:
            seen = {
                role: deals.as_seen(session, view, viewer=viewer(role), visibility=everyone)
                for role in ("admin", "rep")
            }
        assert seen["admin"] == view
        assert "777001" not in repr(seen["rep"])
        assert seen["rep"].contributions == view.contributions
        assert seen["rep"].reasons[1] == other
