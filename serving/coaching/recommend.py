"""What to do next on a deal: shown once a day, logged whole, answered, and never repeated idly.

The first request of a company day decides for a deal: every candidate is logged with its score,
rank and propensity. Later requests of that day read the decision back, so that a refresh shows
the same list and logs nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from crm_core.advice import operations, queries
from crm_core.advice.facts import situations
from crm_core.advice.operations import NewRecommendation, UnknownRecommendation
from crm_core.advice.queries import StoredDecision, StoredRecommendation
from crm_core.database import company_wide
from crm_core.money import Money
from crm_core.opportunities.views import deal
from crm_core.people.queries import Visibility, calendar
from serving.coaching import ranking, sentences
from serving.coaching.actions import BY_ID
from serving.coaching.deciding import decision
from serving.coaching.ranking import DealOption
from serving.explanations import Words

HELD_OUT = Words(
    "This customer is in the comparison group that gets no advice; it shows what advice is worth.",
    "该客户属于不提供建议的对照组,用于检验建议的实际价值。",
)
NOTHING = Words(
    "No fact on record calls for an action today.", "目前的记录中没有需要采取行动的事项。"
)
NOT_OPEN = Words(
    "The deal is closed, so there is nothing left to advise.", "商机已关闭,无需再提供建议。"
)
GRADE = Words(
    "Playbook: good practice, its effect is not measured here.",
    "经验做法:属于良好实践,效果未经本公司数据验证。",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """One recommended action as it is shown. ``expected_lift`` is a prior, not a measurement."""

    id: int
    opportunity_id: str
    user_id: str | None
    action: str
    title: Words
    reason: Words
    rank: int
    propensity: float
    expected_lift: float | None
    expected_value: Money | None
    effort_minutes: int
    grade: str
    basis: str
    basis_text: Words
    shown_at: dt.datetime
    response: str | None
    response_reason: str | None
    snoozed_until: dt.datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DealAdvice:
    """A deal's list for the day; ``note`` says why it is empty."""

    opportunity_id: str
    arm: str
    day: dt.date
    items: tuple[Advice, ...]
    note: Words | None


def next_best_actions(
    session: Session,
    *,
    visibility: Visibility,
    opportunity_ids: Collection[str],
    as_of: dt.datetime,
    now: dt.datetime,
    shown: int = ranking.SHOWN,
) -> list[DealAdvice]:
    """Return the day's advice for the deals the asker may see, deciding it where it is not yet.

    ``as_of`` fixes what is known and the company day, ``now`` when it was shown. The number of
    statements does not depend on the number of deals. A deal that did not exist is absent.
    """
    visible = queries.visible_deals(session, opportunity_ids, scope=visibility)
    day = calendar(session).day_of(as_of)
    decided = decide(session, visible, as_of=as_of, now=now)
    lists = {deal: _standing_list(decision)[:shown] for deal, decision in decided.items()}
    fresh = [
        _recommendation(decided[deal], item, now)
        for deal, items in lists.items()
        for item in items
        if item["carried"] is None
    ]
    operations.record_shown(session, fresh)
    stored = queries.recommendations(session, lists.keys(), until=day, as_of=max(as_of, now))
    return [_view(decided[each], lists[each], stored.get(each, [])) for each in sorted(decided)]


def for_deal(
    session: Session, opportunity_id: str, *, visibility: Visibility, now: dt.datetime
) -> DealAdvice:
    """Return today's advice for one deal. Raises NoSuchDeal, also when it may not be seen.

    A closed deal has none, and its note says so.
    """
    deal(session, opportunity_id, visibility=visibility)
    found = next_best_actions(
        session, visibility=visibility, opportunity_ids=[opportunity_id], as_of=now, now=now
    )
    if found:
        return found[0]
    return DealAdvice(
        opportunity_id=opportunity_id,
        arm="advice",
        day=calendar(session).day_of(now),
        items=(),
        note=NOT_OPEN,
    )


def decide(
    session: Session,
    opportunity_ids: Collection[str],
    *,
    as_of: dt.datetime,
    now: dt.datetime,
) -> dict[str, StoredDecision]:
    """Return the day's decision of each open deal, writing those that are missing."""
    own = calendar(session)
    day = own.day_of(as_of)
    found = queries.decisions_of_day(session, opportunity_ids, day=day)
    missing = [deal for deal in opportunity_ids if deal not in found]
    if not missing:
        return found
    with company_wide(session, reason="what is usual is judged by the whole company's deals"):
        known = situations(session, missing, as_of=as_of)
    before = queries.recommendations(session, known.keys(), until=day, as_of=as_of)
    decisions = [
        decision(situation, before.get(deal, []), calendar=own, as_of=as_of, now=now)
        for deal, situation in known.items()
        if situation.is_open
    ]
    operations.record_decisions(session, decisions)
    # read back: another request may have decided first, and then its decision holds
    return found | queries.decisions_of_day(session, missing, day=day)


def _standing_list(decided: StoredDecision) -> list[dict[str, Any]]:
    """Return what is shown of a decision, in order; nothing in the comparison group."""
    if decided.arm == "holdout":
        return []
    carried = [item for item in decided.candidates if item["carried"] is not None]
    drawn = [item for item in decided.candidates if item["rank"] is not None]
    carried.sort(key=lambda item: item["carried"])
    return [*carried, *sorted(drawn, key=lambda item: item["rank"])]


def _recommendation(
    decided: StoredDecision, item: Mapping[str, Any], now: dt.datetime
) -> NewRecommendation:
    action = BY_ID[item["action"]]
    return NewRecommendation(
        decision_id=decided.id,
        opportunity_id=decided.opportunity_id,
        user_id=decided.user_id,
        action=action.id,
        rank=item["rank"],
        propensity=item["propensity"],
        expected_lift=item["lift"],
        expected_value_minor=item["score_minor"],
        currency=item["currency"],
        basis=action.basis,
        facts={
            "variant": item["variant"],
            "slots": item["slots"],
            "anchor": item["anchor"],
            "asks_for": list(action.asks_for),
        },
        shown_at=now,
    )


def _view(
    decided: StoredDecision,
    items: Sequence[Mapping[str, Any]],
    stored: Sequence[StoredRecommendation],
) -> DealAdvice:
    by_id = {each.id: each for each in stored}
    of_today = {each.action: each for each in stored if each.decision_id == decided.id}
    shown = []
    for item in items:
        is_new = item["carried"] is None
        row = of_today.get(item["action"]) if is_new else by_id.get(item["carried"])
        if row is not None:
            shown.append(_advice(row, item))
    note = HELD_OUT if decided.arm == "holdout" else None if shown else NOTHING
    return DealAdvice(
        opportunity_id=decided.opportunity_id,
        arm=decided.arm,
        day=decided.day,
        items=tuple(shown),
        note=note,
    )


def _advice(row: StoredRecommendation, item: Mapping[str, Any]) -> Advice:
    """Return the view of one action, in words with the facts as they are today."""
    action = BY_ID[row.action]
    slots = sentences.from_json(item["slots"])
    reason = action.reasons[item["variant"]]
    value = None
    if row.expected_value_minor is not None and row.currency is not None:
        value = Money(row.expected_value_minor, row.currency)
    return Advice(
        id=row.id,
        opportunity_id=row.opportunity_id,
        user_id=row.user_id,
        action=row.action,
        title=Words(action.title.render({}, "en"), action.title.render({}, "zh")),
        reason=Words(reason.render(slots, "en"), reason.render(slots, "zh")),
        rank=row.rank,
        propensity=row.propensity,
        expected_lift=row.expected_lift,
        expected_value=value,
        effort_minutes=action.effort_minutes,
        grade=action.grade,
        basis=row.basis,
        basis_text=GRADE,
        shown_at=row.shown_at,
        response=row.response,
        response_reason=row.response_reason,
        snoozed_until=row.snoozed_until,
    )


def day_begins_with(
    session: Session,
    *,
    visibility: Visibility,
    owner_id: str | None,
    as_of: dt.datetime,
    now: dt.datetime,
) -> list[DealAdvice]:
    """Return the three deals with which a person's day begins, each with its first action.

    Of the open deals of ``owner_id``, or of all the asker may see. Every one of them is decided
    and logged with all its candidates; only what is returned is logged as shown.
    """
    ids = queries.open_deals(session, scope=visibility, owner_id=owner_id)
    decided = decide(session, ids, as_of=as_of, now=now)
    accounts = queries.accounts_of(session, decided.keys())
    options = [
        option
        for deal, each in decided.items()
        if (option := _option(each, accounts.get(deal))) is not None
    ]
    chosen = ranking.of_the_day(options)
    found = next_best_actions(
        session, visibility=visibility, opportunity_ids=chosen, as_of=as_of, now=now, shown=1
    )
    by_deal = {each.opportunity_id: each for each in found}
    return [by_deal[deal] for deal in chosen]


def _option(decided: StoredDecision, account_id: str | None) -> DealOption | None:
    """Return a deal's best action that applies, None where nothing is shown."""
    if not _standing_list(decided):
        return None
    open_to_all = [item for item in decided.candidates if item["standing"] != "blocked"]
    best = max(open_to_all, key=lambda item: (item["score_minor"] or 0, item["action"]))
    action = BY_ID[best["action"]]
    return DealOption(
        opportunity_id=decided.opportunity_id,
        account_id=account_id,
        action=action.id,
        family=action.family,
        utility=float(best["score_minor"] or 0),
    )


def respond(
    session: Session,
    recommendation_id: int,
    *,
    user_id: str,
    visibility: Visibility,
    response: str,
    reason: str | None,
    snoozed_until: dt.datetime | None,
    now: dt.datetime,
) -> StoredRecommendation:
    """Write down what a person did with a recommendation, and return it with the response.

    Raises UnknownRecommendation also when its deal is not among those the asker may see, and
    NotAResponse.
    """
    found = queries.recommendation(session, recommendation_id, as_of=now)
    visible = (
        queries.visible_deals(session, [found.opportunity_id], scope=visibility) if found else []
    )
    if not visible:
        raise UnknownRecommendation(f"There is no recommendation {recommendation_id}.")
    operations.record_response(
        session,
        recommendation_id=recommendation_id,
        user_id=user_id,
        response=response,
        reason=reason,
        snoozed_until=snoozed_until,
        responded_at=now,
    )
    after = queries.recommendation(session, recommendation_id, as_of=now)
    assert after is not None
    return after
