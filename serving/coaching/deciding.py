"""One deal's decision of a day: who is advised what, in which order, with which chance."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from crm_core.advice.operations import NewDecision
from crm_core.advice.queries import StoredRecommendation
from crm_core.advice.situations import Situation
from crm_core.periods import FiscalCalendar
from serving.coaching import ranking, sentences
from serving.coaching.actions import applicable
from serving.coaching.ranking import Candidate, Past
from serving.coaching.rules import Finding

POLICY = "playbook-1"


def decision(
    situation: Situation,
    before: Sequence[StoredRecommendation],
    *,
    calendar: FiscalCalendar,
    as_of: dt.datetime,
    now: dt.datetime,
) -> NewDecision:
    """Return the day's decision for a deal from its facts and what was recommended before."""
    arm = ranking.arm(situation.account_id or situation.opportunity_id)
    history = _history(before, calendar)
    candidates, carried, fresh = [], {}, []
    for action, finding in applicable(situation):
        option = ranking.candidate(
            action=action.id,
            family=action.family,
            urgency=action.urgency,
            lift=action.prior_mean,
            effort_minutes=action.effort_minutes,
            amount=situation.value,
            currency=situation.currency,
        )
        standing = ranking.standing(
            history.get(action.id, []), anchor=finding.anchor, day=situation.day, as_of=as_of
        )
        if standing == "carried":
            carried[action.id] = max(r.id for r in before if r.action == action.id)
        elif standing == "new":
            fresh.append(option)
        candidates.append(_logged(option, finding, standing, situation.currency))
    _rank(candidates, fresh, carried, arm=arm, situation=situation)
    context = json.dumps([POLICY, arm, candidates], sort_keys=True, ensure_ascii=False)
    return NewDecision(
        opportunity_id=situation.opportunity_id,
        user_id=situation.owner_id,
        day=situation.day,
        as_of=as_of,
        decided_at=now,
        policy_version=POLICY,
        model_version=None,
        arm=arm,
        candidates=candidates,
        context_hash=hashlib.sha256(context.encode()).hexdigest(),
    )


def _history(
    before: Sequence[StoredRecommendation], calendar: FiscalCalendar
) -> dict[str, list[Past]]:
    """Return what was shown before by action, responses on company days."""
    found: dict[str, list[Past]] = {}
    for each in before:
        responded_on = None if each.responded_at is None else calendar.day_of(each.responded_at)
        found.setdefault(each.action, []).append(
            Past(
                action=each.action,
                day=each.day,
                anchor=str(each.facts.get("anchor", "")),
                response=each.response,
                responded_on=responded_on,
                snoozed_until=each.snoozed_until,
            )
        )
    return found


def _logged(option: Candidate, finding: Finding, standing: str, currency: str) -> dict[str, Any]:
    """Return a candidate as the log holds it, before it is ranked."""
    return {
        "action": option.action,
        "standing": standing,
        "variant": finding.variant,
        "slots": sentences.as_json(finding.slots),
        "anchor": finding.anchor,
        "lift": option.lift,
        "value_minor": option.value,
        "cost_minor": option.cost,
        "score_minor": option.score,
        "currency": currency,
        "rank": None,
        "propensity": None,
        "propensities": [],
        "carried": None,
    }


def _rank(
    candidates: list[dict[str, Any]],
    fresh: Sequence[Candidate],
    carried: Mapping[str, int],
    *,
    arm: str,
    situation: Situation,
) -> None:
    """Write rank and propensity into the log: what still stands first, then what is drawn."""
    places = max(0, ranking.SHOWN - len(carried))
    if arm == "advice":
        draw_seed = ranking.seed(situation.opportunity_id, situation.day)
        chosen = ranking.draw(fresh, seed=draw_seed, shown=places)
        chances = ranking.propensities(fresh, shown=places)
    else:
        chosen = ranking.fixed(fresh, shown=places)
        chances = {
            picked.action: tuple(float(i == place) for i in range(len(chosen)))
            for place, picked in enumerate(chosen)
        }
    by_action = {item["action"]: item for item in candidates}
    for action, number in carried.items():
        by_action[action]["carried"] = number
    for action, values in chances.items():
        by_action[action]["propensities"] = list(values)
    for place, picked in enumerate(chosen):
        item = by_action[picked.action]
        item["rank"] = len(carried) + place + 1
        item["propensity"] = min(1.0, chances[picked.action][place])
