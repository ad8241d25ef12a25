"""Every write of forecasts: set an amount, take it back, submit, pick a deal's category.

Nothing is overwritten: an amount that is set again or taken back is one more row.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from crm_core.audit import operations as audit
from crm_core.errors import Conflict, Invalid, NotAllowed
from crm_core.forecasts import cadence, queries
from crm_core.forecasts.arithmetic import Cell
from crm_core.forecasts.catalogue import ADJUSTABLE, COLUMNS, PICKABLE, ROLL_UPS, RollUp, summed
from crm_core.forecasts.hierarchy import Tree
from crm_core.forecasts.judgement import Submission, cadence_at, submissions
from crm_core.forecasts.models import (
    ForecastAdjustment,
    ForecastCadence,
    ForecastSubmission,
    ForecastSubmissionItem,
)
from crm_core.forecasts.queries import Asker, NoSuchForecast
from crm_core.money import Money
from crm_core.opportunities import changing
from crm_core.opportunities.models import OpportunityEvent
from crm_core.opportunities.views import NoSuchDeal
from crm_core.people import permissions
from crm_core.people.queries import Viewer, Visibility
from crm_core.periods import Period

LONGEST_NOTE = 500
PICKERS = frozenset({"rep", "manager", "leader", "sales_ops", "admin"})
"""Roles that may edit deals, and so their category."""
_TABLE = "forecasts"


class NotAdjustable(Invalid):
    """The column is a fact and cannot be set."""


class SkipsALevel(NotAllowed):
    """One sets one's own forecast and that of one's direct reports, nobody else's."""


class NoNote(Invalid):
    """What is set by hand needs a note that says why."""


class PeriodIsOver(Conflict):
    """The period has ended: its forecast is history."""


class ChangedUnderneath(Conflict):
    """The cell is not what it was when the person looked at it."""


class NothingSet(Conflict):
    """There is no adjustment of this author to take back."""


class NobodysForecast(NotAllowed):
    """Who stands in nobody's roll-up has no forecast of their own to submit."""


class DealIsClosed(Conflict):
    """A closed deal's category is its outcome's."""


class NotACategory(Invalid):
    """An open deal cannot be put into this category."""


class NotACadence(Invalid):
    """A cadence is a weekday from 1 to 7 and an hour from 0 to 23."""


def adjust(
    session: Session,
    *,
    viewer: Viewer,
    may: Visibility,
    subject: str,
    period: Period,
    method: RollUp,
    category: str,
    amount: Money | None,
    note: str,
    now: dt.datetime,
    seen_minor: int | None = None,
) -> int:
    """Set the amount of one's own or a direct report's column; None takes it back.

    ``seen_minor`` is what the person saw below the adjustment: where that is no longer so,
    nothing is set. Returns the number of the new line. Raises NotAdjustable, NoNote,
    PeriodIsOver, SkipsALevel, ChangedUnderneath, NothingSet.
    """
    permissions.require(viewer, "edit", _TABLE)
    summed(method, category)
    if category not in ADJUSTABLE:
        raise NotAdjustable(f"{category} cannot be set; {', '.join(ADJUSTABLE)} can.")
    text = _checked(note)
    whole = _open_period(session, period, now=now)
    _require_direct(whole, viewer, subject, may)
    _lock(session, subject)
    found = queries.board_of(
        session, subject=subject, period=period, method=method, asker=Asker(viewer.id, may),
        as_of=now,
    )  # fmt: skip
    cell = found.cells[category]
    is_own = subject == viewer.id
    base = cell.without_owner if is_own else cell.owner_view
    standing = cell.by_owner if is_own else cell.by_superior
    if seen_minor is not None and seen_minor != base:
        raise ChangedUnderneath("The deals changed since you looked; look again and decide anew.")
    if amount is None and standing is None:
        raise NothingSet("There is no adjustment of yours to take back in this cell.")
    if amount is not None and amount.currency != found.currency:
        raise Invalid(f"A forecast is in {found.currency}, the company's currency.")
    row = {
        "subject_id": subject, "author_id": viewer.id, "period_start": period.start,
        "period_end": period.end, "roll_up": method, "category": category,
        "amount_minor": None if amount is None else amount.minor, "base_minor": base,
        "currency": found.currency, "note": text, "recorded_at": now,
    }  # fmt: skip
    return _append(session, row, before=None if standing is None else standing.minor)


def _append(session: Session, row: dict[str, Any], *, before: int | None) -> int:
    """Add a line of a cell's history and write it into the audit log."""
    number: int | None = session.scalar(
        insert(ForecastAdjustment).values(row).returning(ForecastAdjustment.id)
    )
    assert number is not None
    minor = row["amount_minor"]
    audit.record_here(
        session, action="reset" if minor is None else "adjust", table="forecast_adjustments",
        record_id=str(number),
        changes={
            row["category"]: (before, minor), "subject_id": (None, row["subject_id"]),
            "note": (None, row["note"]),
        },
    )  # fmt: skip
    return number


def _checked(note: str) -> str:
    text = note.strip()
    if not text:
        raise NoNote("Say in a note why; what is set by hand is read by others.")
    if len(text) > LONGEST_NOTE:
        raise NoNote(f"A note has at most {LONGEST_NOTE} characters.")
    return text


def _open_period(session: Session, period: Period, *, now: dt.datetime) -> Tree:
    moment = queries.moment(session, as_of=now)
    if moment.day >= period.end:
        raise PeriodIsOver(f"{period.name} has ended; its forecast is history.")
    return queries.tree(session, day=queries.place_day(moment, period))


def _require_direct(whole: Tree, viewer: Viewer, subject: str, may: Visibility) -> None:
    if subject not in whole.members or not may.allows(subject):
        raise NoSuchForecast("There is no forecast of such a person among those you may see.")
    if subject == viewer.id:
        return
    superior = whole.parents[subject]
    if superior != viewer.id:
        name = whole.members[subject].name
        direct = "nobody" if superior is None else whole.members[superior].name
        raise SkipsALevel(
            f"{name} reports to {direct}; you may set your own forecast and that of those who "
            "report to you directly."
        )


def _lock(session: Session, subject: str) -> None:
    """Let one write about a person's forecast wait for the other."""
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(subject, 4_0_3))))


def submit(
    session: Session,
    *,
    viewer: Viewer,
    may: Visibility,
    period: Period,
    note: str | None,
    now: dt.datetime,
) -> Submission:
    """Freeze every column of one's own forecast as one's call of now.

    Raises PeriodIsOver and NobodysForecast.
    """
    permissions.require(viewer, "edit", _TABLE)
    whole = _open_period(session, period, now=now)
    if not whole.is_placed(viewer.id):
        raise NobodysForecast("You stand in nobody's roll-up; ask sales operations for a place.")
    _lock(session, viewer.id)
    frozen, currency = _frozen(session, Asker(viewer.id, may), period=period, now=now)
    number = session.scalar(
        insert(ForecastSubmission)
        .values(
            author_id=viewer.id, period_start=period.start, period_end=period.end,
            currency=currency, note=(note or "").strip()[:LONGEST_NOTE] or None,
            leads=bool(whole.children[viewer.id]),
            due_at=_deadline(session, viewer.id, period, may, now), recorded_at=now,
        )
        .returning(ForecastSubmission.id)
    )  # fmt: skip
    items = [
        {
            "submission_id": number, "roll_up": method, "category": column,
            "raw_minor": cell.raw, "without_owner_minor": cell.without_owner,
            "amount_minor": cell.owner_view, "deals": cell.deals.deals,
        }
        for (method, column), cell in frozen.items()
    ]  # fmt: skip
    session.execute(insert(ForecastSubmissionItem), items)
    audit.record_here(
        session, action="submit", table="forecast_submissions", record_id=str(number),
        changes={"commit": (None, frozen["cumulative", "commit"].owner_view)},
    )  # fmt: skip
    return submissions(
        session, authors=frozenset({viewer.id}), period=period, seen=may, as_of=now, limit=1
    )[0]


def _frozen(
    session: Session, author: Asker, *, period: Period, now: dt.datetime
) -> tuple[dict[tuple[RollUp, str], Cell], str]:
    """Return every column of the author's own forecast, and the currency."""
    found: dict[tuple[RollUp, str], Cell] = {}
    currency = ""
    for method in ROLL_UPS:
        board = queries.board_of(
            session, subject=author.id, period=period, method=method, asker=author, as_of=now
        )
        currency = board.currency
        found |= {(method, column): board.cells[column] for column in COLUMNS[method]}
    return found, currency


def _deadline(
    session: Session, author: str, period: Period, may: Visibility, now: dt.datetime
) -> dt.datetime | None:
    before = submissions(session, authors=frozenset({author}), period=period, seen=may, as_of=now)
    due = cadence.deadlines(
        cadence_at(session, as_of=now),
        calendar=queries.moment(session, as_of=now).calendar,
        period=period,
    )
    return cadence.answers(
        due, answered={each.due_at for each in before if each.due_at is not None}, now=now
    )


def set_cadence(
    session: Session, *, viewer: Viewer, weekday: int, hour: int, now: dt.datetime
) -> None:
    """Say when forecasts are due from now on; what was submitted keeps its deadline.

    Raises MayNot and NotACadence.
    """
    permissions.require(viewer, "edit", "forecast_cadences")
    if not (1 <= weekday <= 7 and 0 <= hour <= 23):
        raise NotACadence("A cadence is a weekday from 1 (Monday) to 7 and an hour from 0 to 23.")
    before = cadence_at(session, as_of=now)
    session.add(ForecastCadence(recorded_at=now, weekday=weekday, hour=hour, author_id=viewer.id))
    session.flush()
    audit.record_here(
        session, action="update", table="forecast_cadences", record_id=now.isoformat(),
        changes={"weekday": (before.weekday, weekday), "hour": (before.hour, hour)},
    )  # fmt: skip


def pick_category(
    session: Session,
    opportunity_id: str,
    *,
    category: str | None,
    viewer: Viewer,
    may: Visibility,
    now: dt.datetime,
) -> None:
    """Put an open deal into a category, whatever its stage says from now on; None undoes it.

    Raises MayNot, NoSuchDeal, DealIsClosed and NotACategory.
    """
    permissions.require(viewer, "edit", "opportunities")
    if category is not None and category not in PICKABLE:
        raise NotACategory(f"{category} cannot be picked; {', '.join(PICKABLE)} can.")
    try:
        deal = changing.lock(session, opportunity_id)
    except changing.UnknownDeal:
        raise NoSuchDeal("There is no such deal among those you may see.") from None
    reach = permissions.within(viewer, "edit", "opportunities", visibility=may)
    if not reach.allows(deal.owner_id):
        raise NoSuchDeal("There is no such deal among those you may see.")
    if deal.outcome is not None:
        raise DealIsClosed("The deal is closed: its category is its outcome's.")
    if _picked(session, opportunity_id, now=now) == category:
        return
    before = deal.forecast_category
    changing.change(
        session, opportunity_id, {"forecast_category": category}, user_id=viewer.id,
        occurred_at=now, recorded_at=now, said=("forecast_category",),
    )  # fmt: skip
    audit.record_here(
        session, action="update", table="opportunities", record_id=opportunity_id,
        changes={"forecast_category": (before, category)},
    )  # fmt: skip


def _picked(session: Session, opportunity_id: str, *, now: dt.datetime) -> str | None:
    event = OpportunityEvent
    return session.scalar(
        select(event.new_value)
        .where(
            event.opportunity_id == opportunity_id,
            event.field == "forecast_category",
            event.occurred_at <= now,
            event.recorded_at <= now,
        )
        .order_by(event.occurred_at.desc(), event.recorded_at.desc(), event.sequence.desc())
        .limit(1)
    )
