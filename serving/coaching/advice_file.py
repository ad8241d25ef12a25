"""The table of ``winward advise``: one row per recommended action of every open deal."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import pandas as pd
from sqlalchemy.orm import Session

from crm_core.advice.facts import situations
from crm_core.advice.situations import Situation
from crm_core.opportunities.standings import standings
from crm_core.people.queries import Visibility
from serving.coaching import recommend
from serving.explanations import Words

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

_SILENT_WITHOUT = (
    (
        "touches",
        Words(
            "No activity on a deal is recorded: nothing can be said of contact, replies, meetings.",
            "没有任何商机活动记录:无法判断沟通、回复和会面情况。",
        ),
    ),
    (
        "contacts",
        Words(
            "No contact is recorded on a deal: nothing can be said of who takes part.",
            "没有任何商机联系人记录:无法判断有哪些人参与。",
        ),
    ),
    (
        "expected_close_on",
        Words(
            "No open deal has an expected close date: nothing can be said of overdue dates.",
            "未关闭的商机都没有预计成交日:无法判断是否逾期。",
        ),
    ),
    (
        "stage_norm",
        Words(
            "Too few won deals with a stage history: nothing can be said of stalled stages.",
            "有阶段历史的赢单商机太少:无法判断阶段是否停滞。",
        ),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdviceFile:
    """The table, and what was looked at for it.

    ``deals`` were open; of those ``advised`` have a row, ``held_out`` are in the comparison
    group, and of the rest no fact called for an action. ``unrecorded`` says which facts no open
    deal has, so that the rules about them had to keep silent.
    """

    table: pd.DataFrame
    deals: int
    advised: int
    held_out: int
    unrecorded: tuple[Words, ...]

    def as_json(self, locale: str) -> dict[str, Any]:
        """Return the counts for a script."""
        return {
            "rows": len(self.table),
            "deals": self.advised,
            "open_deals": self.deals,
            "held_out": self.held_out,
            "unrecorded": [words.text(locale) for words in self.unrecorded],
        }


def advice_file(
    session: Session, *, as_of: dt.datetime, now: dt.datetime, locale: str
) -> AdviceFile:
    """Return the advice for every deal open as of a time, deciding and logging it as shown.

    Deals of the comparison group, and deals no fact of which calls for an action, have no row.
    """
    stood = standings(session, opportunity_ids=None, as_of=as_of)
    open_deals = [deal for deal, each in stood.items() if each.kind == "open"]
    found = recommend.next_best_actions(
        session,
        visibility=Visibility(everyone=True),
        opportunity_ids=open_deals,
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
    return AdviceFile(
        table=pd.DataFrame(rows, columns=list(COLUMNS)),
        deals=len(open_deals),
        advised=sum(bool(deal.items) for deal in found),
        held_out=sum(deal.arm == "holdout" for deal in found),
        unrecorded=_unrecorded(situations(session, open_deals, as_of=as_of).values()),
    )


def _unrecorded(known: Collection[Situation]) -> tuple[Words, ...]:
    if not known:
        return ()
    return tuple(
        sentence
        for fact, sentence in _SILENT_WITHOUT
        if all(getattr(each, fact) is None for each in known)
    )
