"""A record's facts as rules and criteria see them: plain JSON values by field name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from crm_core.accounts.models import Account
from crm_core.activities.models import Activity
from crm_core.errors import Invalid
from crm_core.leads.models import Lead
from crm_core.opportunities.changing import current
from crm_core.opportunities.models import Opportunity, Stage

_ACCOUNT = ("industry", "region", "country", "tier")
FIELDS: Mapping[str, frozenset[str]] = {
    "opportunity": frozenset({
        "id", "name", "pipeline", "stage", "stage_kind", "amount", "currency", "owner_id",
        "expected_close_on", "forecast_category", "product_id", "account_id", "source",
        "campaign_id", "outcome", "lost_reason", *(f"account.{name}" for name in _ACCOUNT),
    }),
    "lead": frozenset({"id", "owner_id", "source", "campaign_id", "status",
                       "converted_opportunity_id"}),
    "account": frozenset({"id", "name", "owner_id", "parent_id", "employees", "currency",
                          *_ACCOUNT}),
    "activity": frozenset({"id", "kind", "user_id", "account_id", "opportunity_id", "direction",
                           "outcome"}),
}  # fmt: skip

EVENT_KINDS: Mapping[str, str] = {
    "opportunity.created": "opportunity",
    "opportunity.changed": "opportunity",
    "opportunity.stage_changed": "opportunity",
    "lead.created": "lead",
    "lead.changed": "lead",
    "account.created": "account",
    "account.changed": "account",
    "activity.created": "activity",
}
"""What can happen, and to which kind of record."""


class UnknownEvent(Invalid):
    """There is no such kind of event."""


def fields_of(event_kind: str) -> frozenset[str]:
    """Return the fields that a condition on this kind of event may name. Raises UnknownEvent."""
    subject = EVENT_KINDS.get(event_kind)
    if subject is None:
        raise UnknownEvent(
            f"There is no event {event_kind!r}; the events are {', '.join(EVENT_KINDS)}."
        )
    return FIELDS[subject]


def of_deal(session: Session, deal: Opportunity) -> dict[str, Any]:
    """Return a deal's facts."""
    kind = session.scalar(
        select(Stage.kind).where(Stage.pipeline == deal.pipeline, Stage.stage == deal.stage)
    )
    account = session.get(Account, deal.account_id) if deal.account_id else None
    plain = ("id", "name", "pipeline", "currency", "account_id", "source", "campaign_id",
             "outcome", "lost_reason")  # fmt: skip
    return {
        **{name: getattr(deal, name) for name in plain},
        **current(deal),
        "stage_kind": kind,
        **{f"account.{name}": getattr(account, name) if account else None for name in _ACCOUNT},
        **deal.custom,
    }


def of(session: Session, kind: str, subject_id: str) -> dict[str, Any] | None:
    """Return a record's facts as they stand now; None when there is no such record."""
    row: Any
    if kind == "opportunity":
        deal = session.get(Opportunity, subject_id)
        return None if deal is None else of_deal(session, deal)
    if kind == "activity":
        row = session.scalars(
            select(Activity)
            .where(Activity.id == subject_id)
            .order_by(Activity.recorded_at.desc())
            .limit(1)
        ).first()
    else:
        row = session.get({"lead": Lead, "account": Account}[kind], subject_id)
    if row is None:
        return None
    return {name: getattr(row, name) for name in FIELDS[kind]} | dict(getattr(row, "custom", {}))
