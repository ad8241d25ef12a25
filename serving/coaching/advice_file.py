"""The table of ``winward advise``: one row per recommended action of every open deal."""

from __future__ import annotations

import datetime as dt

import pandas as pd
from sqlalchemy.orm import Session

from crm_core.opportunities.standings import standings
from crm_core.people.queries import Visibility
from serving.coaching import recommend

COLUMNS = (
    "opportunity_id",
    "user_id",
    "rank",
    "action",
    "propensity",
    "expected_lift",
    "expected_value",
    "currency",
    "basis",
    "reason",
)


def advice_table(
    session: Session, *, as_of: dt.datetime, now: dt.datetime, locale: str
) -> pd.DataFrame:
    """Return the advice for every deal open as of a time, deciding and logging it as shown.

    Deals of the comparison group, and deals no fact of which calls for an action, have no row.
    """
    stood = standings(session, opportunity_ids=None, as_of=as_of)
    found = recommend.next_best_actions(
        session,
        visibility=Visibility(everyone=True),
        opportunity_ids=[deal for deal, each in stood.items() if each.kind == "open"],
        as_of=as_of,
        now=now,
    )
    rows = [
        {
            "opportunity_id": item.opportunity_id,
            "user_id": item.user_id,
            "rank": place,
            "action": item.action,
            "propensity": item.propensity,
            "expected_lift": item.expected_lift,
            "expected_value": None if item.expected_value is None else item.expected_value.major,
            "currency": None if item.expected_value is None else item.expected_value.currency,
            "basis": item.basis,
            "reason": item.reason.text(locale),
        }
        for deal in found
        for place, item in enumerate(deal.items, start=1)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))
