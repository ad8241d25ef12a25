"""When an action of the playbook applies: one pure function of a deal's situation each.

Each returns the facts that say so, or None. ``anchor`` names the situation the facts describe
(the message, the date, the stay in a stage) without what only grows with time, so that "done"
holds until the situation itself is another.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from crm_core.advice.situations import Situation
from serving.coaching.sentences import Slot, Term

SILENT_DAYS = 14
SILENT_TIMES_NORM = 2
LEAST_SILENT_DAYS = 7
FIRST_CONTACT_DAYS = 3
MEETING_DAYS = 28
SINGLE_CONTACT_DAYS = 14
LAST_DAYS_OF_PERIOD = 21
RECENT_DROP_DAYS = 30
LEAST_DROP = Decimal("0.1")


@dataclass(frozen=True, slots=True)
class Finding:
    """Which sentence applies, the facts in it, and what identifies the situation."""

    variant: str
    slots: Mapping[str, Slot]
    anchor: str


@dataclass(frozen=True, slots=True)
class Criterion:
    """A custom field that must be true (or filled) from a place in the pipeline on."""

    field: str
    from_share: float
    name: Term


CRITERIA: tuple[Criterion, ...] = (
    Criterion("x_budget_confirmed", 0.5, Term("the budget being confirmed", "预算确认")),
    Criterion(
        "x_decision_date_agreed", 0.75, Term("the decision date being agreed", "决策日期商定")
    ),
)


def unanswered(deal: Situation) -> Finding | None:
    """Find a message of the customer that nobody has answered since yesterday or longer."""
    since = deal.touches.unanswered_since if deal.touches else None
    if since is None or deal.days_since(since) < 1:
        return None
    return Finding("plain", {"date": since, "days": deal.days_since(since)}, since.isoformat())


def untouched(deal: Situation) -> Finding | None:
    """Find that nothing was ever done on the deal, some days after it was created."""
    age = deal.days_since(deal.created_on)
    if deal.touches is None or deal.touches.count or age < FIRST_CONTACT_DAYS:
        return None
    return Finding("plain", {"days": age}, "untouched")


def silence(deal: Situation) -> Finding | None:
    """Find no two-way contact for much longer than is usual in won deals at this stage."""
    if deal.touches is None or deal.touches.count == 0:
        return None
    last = deal.touches.last_two_way_on
    days = deal.days_since(last or deal.created_on)
    norm = deal.contact_norm
    limit = SILENT_DAYS if norm is None else max(LEAST_SILENT_DAYS, SILENT_TIMES_NORM * norm.days)
    if days < limit:
        return None
    if last is None:
        return Finding("never", {"days": days}, "never")
    if norm is None:
        return Finding("plain", {"days": days}, last.isoformat())
    return Finding("norm", {"days": days, "norm": norm.days}, last.isoformat())


def no_meeting(deal: Situation) -> Finding | None:
    """Find no meeting, visit or demo for four weeks on a deal that is otherwise worked on."""
    if deal.touches is None or deal.touches.count == 0:
        return None
    last = deal.touches.last_meeting_on
    days = deal.days_since(last or deal.created_on)
    if days < MEETING_DAYS:
        return None
    if last is None:
        return Finding("never", {"days": days}, "never")
    return Finding("plain", {"days": days}, last.isoformat())


def overdue(deal: Situation) -> Finding | None:
    """Find that the expected close date lies in the past."""
    day = deal.expected_close_on
    if day is None or day >= deal.day:
        return None
    return Finding("plain", {"date": day, "days": deal.days_since(day)}, day.isoformat())


def late_in_period(deal: Situation) -> Finding | None:
    """Find that the deal is to close in what little is left of the quarter."""
    day = deal.expected_close_on
    left = (deal.period_end - deal.day).days
    if day is None or not deal.day <= day < deal.period_end or left > LAST_DAYS_OF_PERIOD:
        return None
    return Finding("plain", {"date": day, "days": left}, f"{day} {deal.period_end}")


def slipped_twice(deal: Situation) -> Finding | None:
    """Find that the close date was moved to a later day twice or more."""
    if len(deal.slips) < 2:
        return None
    slots: dict[str, Slot] = {"count": len(deal.slips), "date": deal.slips[-1].day}
    return Finding("plain", slots, str(len(deal.slips)))


def single_contact(deal: Situation) -> Finding | None:
    """Find one contact or none, two weeks after the deal was created."""
    age = deal.days_since(deal.created_on)
    if deal.contacts is None or deal.contacts.people > 1 or age < SINGLE_CONTACT_DAYS:
        return None
    variant = "one" if deal.contacts.people else "none"
    return Finding(variant, {"days": age}, str(deal.contacts.people))


def no_senior(deal: Situation) -> Finding | None:
    """Find a large deal in which nobody of rank takes part, where ranks are recorded."""
    if deal.contacts is None or deal.contacts.seniors != 0:
        return None
    if deal.amount is None or deal.value is None or deal.large_from is None:
        return None
    if deal.value.minor < deal.large_from.minor:
        return None
    return Finding("plain", {"amount": deal.amount}, str(deal.contacts.people))


def stalled(deal: Situation) -> Finding | None:
    """Find a deal longer in its stage than three of four won deals were."""
    days = deal.days_since(deal.stage_since)
    if deal.stage_norm is None or days <= deal.stage_norm.days:
        return None
    slots: dict[str, Slot] = {"stage": deal.stage, "days": days, "norm": deal.stage_norm.days}
    return Finding("plain", slots, f"{deal.stage} {deal.stage_since}")


def amount_dropped(deal: Situation) -> Finding | None:
    """Find an amount that was lowered by a tenth or more within the last thirty days."""
    drop = deal.drop
    if drop is None or deal.days_since(drop.day) > RECENT_DROP_DAYS:
        return None
    if Decimal(drop.before.minor - drop.after.minor) < LEAST_DROP * drop.before.minor:
        return None
    slots: dict[str, Slot] = {"before": drop.before, "after": drop.after, "date": drop.day}
    return Finding("plain", slots, f"{drop.after.major} {drop.day}")


def missing_criterion(
    deal: Situation, criteria: tuple[Criterion, ...] = CRITERIA
) -> Finding | None:
    """Find what should be settled by this place in the pipeline and is not.

    False, empty and absent all count as not settled; a field that no deal of the pipeline ever
    had counts as not recorded, and then nothing is missing.
    """
    for criterion in criteria:
        is_due = deal.stage_share >= criterion.from_share
        is_recorded = criterion.field in deal.recorded_fields
        if is_due and is_recorded and not _is_settled(deal.custom.get(criterion.field)):
            slots: dict[str, Slot] = {"stage": deal.stage, "criterion": criterion.name}
            return Finding("plain", slots, criterion.field)
    return None


def _is_settled(value: object) -> bool:
    if isinstance(value, str):
        return value.strip().lower() not in ("", "false", "no", "0", "n")
    return value is not None and value is not False


def churn_sign(deal: Situation) -> Finding | None:
    """Find the most pressing sign at the account of those that often precede leaving."""
    signs = deal.signs
    if signs.severe_ticket_on is not None:
        return _dated("ticket", signs.severe_ticket_on)
    if signs.low_rating is not None and signs.low_rating_on is not None:
        rating = f"{signs.low_rating.normalize():f}"
        slots: dict[str, Slot] = {"date": signs.low_rating_on, "rating": rating}
        return Finding("rating", slots, f"rating {signs.low_rating_on}")
    if signs.subscription_ended_on is not None:
        return _dated("subscription", signs.subscription_ended_on)
    if signs.usage_before and signs.usage_now is not None:
        fallen = int(100 * (1 - signs.usage_now / signs.usage_before))
        return Finding("usage", {"percent": fallen}, "usage")
    return None


def _dated(variant: str, day: dt.date) -> Finding:
    return Finding(variant, {"date": day}, f"{variant} {day}")
