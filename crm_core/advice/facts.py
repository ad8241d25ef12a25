"""The situations of many deals as known at a time, by a fixed number of statements.

A file of its own beside ``queries.py``, which reads what we said; this reads what it rests on.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Date, Text, and_, any_, cast, distinct, func, literal, or_, select, union
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from crm_core.accounts.models import Contact
from crm_core.advice.norms import (
    MEETINGS,
    Norms,
    Recording,
    known_activities,
    large_from,
    norms,
    recording,
)
from crm_core.advice.signs import account_signs
from crm_core.advice.situations import (
    AccountSigns,
    Contacts,
    Situation,
    Touches,
    last_drop,
    slips,
)
from crm_core.money import Money, from_major
from crm_core.opportunities.history import Event, known, state
from crm_core.opportunities.models import Opportunity, OpportunityContact, OpportunityEvent, Stage
from crm_core.orders.conversion import Rates, rates
from crm_core.people.queries import company
from crm_core.periods import FiscalCalendar

SENIORS = ("c_level", "vp", "director")
_ANSWERS = ("call", "email", *MEETINGS, "proposal")


@dataclass(frozen=True, slots=True)
class _Company:
    """What is the same for every deal of one question."""

    currency: str
    calendar: FiscalCalendar
    as_of: dt.datetime
    day: dt.date
    stages: Mapping[tuple[str, str], tuple[str, float]]
    norms: Norms
    recording: Recording
    large: Money | None
    rates: Rates

    def day_of(self, instant: dt.datetime) -> dt.date:
        return self.calendar.day_of(instant)

    def sql_day(self, instant: Any) -> Any:  # noqa: ANN401 - SQL expressions
        return _sql_day(self.calendar, instant)


@dataclass(frozen=True, slots=True)
class _Deal:
    """A deal's unchanging columns."""

    id: str
    account_id: str | None
    pipeline: str
    created_at: dt.datetime
    currency: str


def situations(
    session: Session, opportunity_ids: Collection[str], *, as_of: dt.datetime
) -> dict[str, Situation]:
    """Return the situation of each deal that existed and was known at ``as_of``.

    What had not happened, or was recorded later, is in none of it. The number of statements does
    not depend on the number of deals.
    """
    ids = _array(opportunity_ids)
    deals = _deals(session, ids, as_of=as_of)
    if not deals:
        return {}
    around = _company(session, as_of=as_of)
    events = _events(session, ids, as_of=as_of)
    touches = _touches(session, ids, around)
    contacts = _contacts(session, ids, as_of=as_of)
    signs = account_signs(
        session,
        _array({d.account_id for d in deals if d.account_id}),
        day=around.day,
        as_of=as_of,
        day_of=around.sql_day,
    )
    found = {}
    for deal in deals:
        given = known(events.get(deal.id, []), as_of=as_of)
        made = _situation(deal, given, around)
        if made is None:
            continue
        if around.recording.activities:
            made["touches"] = touches.get(deal.id, Touches())
        if around.recording.contacts:
            made["contacts"] = contacts.get(deal.id, Contacts(people=0, seniors=None))
        made["signs"] = signs.get(deal.account_id or "", AccountSigns())
        found[deal.id] = Situation(**made)
    return found


def _array(values: Iterable[str]) -> Any:  # noqa: ANN401 - a bound array
    """Return ids as one bound value: an IN of thousands of parameters has a limit."""
    return literal(sorted(values), ARRAY(Text))


def _deals(session: Session, ids: Any, *, as_of: dt.datetime) -> list[_Deal]:  # noqa: ANN401
    rows = session.execute(
        select(
            Opportunity.id,
            Opportunity.account_id,
            Opportunity.pipeline,
            Opportunity.created_at,
            Opportunity.currency,
        )
        .where(
            Opportunity.id == any_(ids),
            Opportunity.created_at <= as_of,
            Opportunity.recorded_at <= as_of,
        )
        .order_by(Opportunity.id)
    )
    return [_Deal(*row) for row in rows]


def _company(session: Session, *, as_of: dt.datetime) -> _Company:
    own = company(session)
    calendar = FiscalCalendar(ZoneInfo(own.time_zone), own.fiscal_year_start_month)
    day = calendar.day_of(as_of)

    return _Company(
        currency=own.currency,
        calendar=calendar,
        as_of=as_of,
        day=day,
        stages=_stages(session),
        norms=norms(session, as_of=as_of),
        recording=recording(session, as_of=as_of),
        large=large_from(
            session, to=own.currency, day_of=lambda at: _sql_day(calendar, at), as_of=as_of
        ),
        rates=rates(session, to=own.currency, day=day, known_at=as_of),
    )


def _sql_day(calendar: FiscalCalendar, instant: Any) -> Any:  # noqa: ANN401 - SQL expressions
    return cast(func.timezone(calendar.time_zone.key, instant), Date)


def _stages(session: Session) -> dict[tuple[str, str], tuple[str, float]]:
    """Return each stage's kind, and its place among the pipeline's open stages (0 to 1)."""
    rows = session.execute(
        select(Stage.pipeline, Stage.stage, Stage.kind).order_by(
            Stage.pipeline, Stage.position, Stage.stage
        )
    ).all()
    ladders: dict[str, list[str]] = {}
    for row in rows:
        if row.kind == "open":
            ladders.setdefault(row.pipeline, []).append(row.stage)
    found = {}
    for row in rows:
        ladder = ladders.get(row.pipeline, [])
        place = ladder.index(row.stage) / max(1, len(ladder) - 1) if row.stage in ladder else 1.0
        found[(row.pipeline, row.stage)] = (row.kind, place)
    return found


def _events(session: Session, ids: Any, *, as_of: dt.datetime) -> dict[str, list[Event]]:  # noqa: ANN401
    rows = session.execute(
        select(
            OpportunityEvent.opportunity_id,
            OpportunityEvent.field,
            OpportunityEvent.new_value,
            OpportunityEvent.occurred_at,
            OpportunityEvent.recorded_at,
            OpportunityEvent.sequence,
        ).where(
            OpportunityEvent.opportunity_id == any_(ids),
            OpportunityEvent.occurred_at <= as_of,
            OpportunityEvent.recorded_at <= as_of,
        )
    )
    found: dict[str, list[Event]] = {}
    for deal, name, value, occurred_at, recorded_at, sequence in rows:
        found.setdefault(deal, []).append(Event(name, value, occurred_at, recorded_at, sequence))
    return found


def _situation(deal: _Deal, events: list[Event], around: _Company) -> dict[str, Any] | None:
    """Return the fields that follow from the deal's own events; None without a known stage."""
    folded = state(events, as_of=around.as_of)
    if folded.stage is None or folded.stage_since is None:
        return None
    key = (deal.pipeline, folded.stage)
    kind, place = around.stages.get(key, ("open", 0.0))
    amount = None if folded.amount is None else from_major(folded.amount, deal.currency)
    day_of = {event.occurred_at: around.day_of(event.occurred_at) for event in events}
    return {
        "opportunity_id": deal.id,
        "account_id": deal.account_id,
        "owner_id": folded.owner_id,
        "pipeline": deal.pipeline,
        "stage": folded.stage,
        "is_open": kind == "open",
        "stage_share": place,
        "day": around.day,
        "created_on": around.day_of(deal.created_at),
        "stage_since": around.day_of(folded.stage_since),
        "currency": around.currency,
        "amount": amount,
        "value": None if amount is None else around.rates.convert(amount),
        "expected_close_on": folded.expected_close_on,
        "period_end": around.calendar.quarter_of(around.day).end,
        "slips": slips(events, day_of=day_of),
        "drop": last_drop(events, currency=deal.currency, day_of=day_of),
        "custom": dict(folded.custom),
        "recorded_fields": around.recording.fields.get(deal.pipeline, frozenset()),
        "stage_norm": around.norms.stage_days.get(key),
        "contact_norm": around.norms.contact_days.get(key),
        "large_from": around.large,
    }


def _touches(session: Session, ids: Any, around: _Company) -> dict[str, Touches]:  # noqa: ANN401
    done = known_activities(around.as_of, ids=ids).subquery("done")
    latest = func.max(done.c.occurred_at)
    is_message = and_(done.c.direction == "in", done.c.kind.in_(("email", "call")))
    # a meeting, or anything we sent or did, answers; a note does not
    is_answer = and_(
        done.c.kind.in_(_ANSWERS), or_(done.c.direction.is_(None), done.c.direction != "in")
    )
    last_in = latest.filter(is_message)
    rows = session.execute(
        select(
            done.c.opportunity_id,
            func.count().label("count"),
            latest.label("last"),
            latest.filter(done.c.is_two_way).label("two_way"),
            latest.filter(done.c.kind.in_(MEETINGS)).label("meeting"),
            last_in.label("inbound"),
            latest.filter(is_answer).label("answer"),
        )
        .where(done.c.kind != "note")
        .group_by(done.c.opportunity_id)
    )
    return {row.opportunity_id: _touch(row, around.day_of) for row in rows}


def _touch(row: Any, day_of: Callable[[dt.datetime], dt.date]) -> Touches:  # noqa: ANN401 - a row
    def day(instant: dt.datetime | None) -> dt.date | None:
        return None if instant is None else day_of(instant)

    is_waiting = row.inbound is not None and (row.answer is None or row.answer <= row.inbound)
    return Touches(
        count=row.count,
        last_on=day(row.last),
        last_two_way_on=day(row.two_way),
        last_meeting_on=day(row.meeting),
        unanswered_since=day(row.inbound) if is_waiting else None,
    )


def _contacts(session: Session, ids: Any, *, as_of: dt.datetime) -> dict[str, Contacts]:  # noqa: ANN401
    """Return who takes part: named in a role, or met in an activity."""
    named = select(OpportunityContact.opportunity_id, OpportunityContact.contact_id).where(
        OpportunityContact.opportunity_id == any_(ids), OpportunityContact.added_at <= as_of
    )
    acted = known_activities(as_of, ids=ids).subquery("acted")
    met = select(acted.c.opportunity_id, acted.c.contact_id).where(acted.c.contact_id.is_not(None))
    people = union(named, met).subquery("people")
    rows = session.execute(
        select(
            people.c.opportunity_id,
            func.count(distinct(people.c.contact_id)).label("people"),
            func.count(Contact.seniority).label("ranked"),
            func.count().filter(Contact.seniority.in_(SENIORS)).label("seniors"),
        )
        .join(Contact, Contact.id == people.c.contact_id)
        .group_by(people.c.opportunity_id)
    )
    return {
        row.opportunity_id: Contacts(people=row.people, seniors=row.seniors if row.ranked else None)
        for row in rows
    }
