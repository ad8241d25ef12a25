"""The forecast as pages and the API show it: the roll-up, its bridge, calls and their deadlines.

Nothing is computed here. Credit follows who owned a deal when it closed, so the whole company's
facts are read; what leaves is what the viewer may see, which the queries decide by person.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy.orm import Session

from crm_core.database import company_wide
from crm_core.forecasts import (
    accuracy,
    bridges,
    frozen,
    judgement,
    operations,
    queries,
)
from crm_core.forecasts.accuracy import Score
from crm_core.forecasts.bridges import Bridge
from crm_core.forecasts.catalogue import LAYERS, Layer, RollUp
from crm_core.forecasts.judgement import Set, Submission
from crm_core.forecasts.queries import Asker, Board, Deal
from crm_core.forecasts.snapshots import take_snapshot
from crm_core.money import Money, from_major
from crm_core.people import queries as people
from crm_core.people.queries import LEADS_PEOPLE, Viewer, Visibility
from crm_core.periods import Period

COMPANY = "*"
"""Names the whole company where a subject is asked for."""

WEEK = dt.timedelta(days=7)
_NEAR = dt.timedelta(days=2)
_REASON = "a forecast counts a won deal for who owned it then; the queries decide who may see whom"


@dataclass(frozen=True, slots=True)
class Said:
    """What each baseline said last of a subject: day, amount or why it abstained."""

    by_layer: Mapping[Layer, tuple[dt.date, int | None, str | None]]
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """How near each layer was to what an ended period closed, by week."""

    period: Period
    actual: Money
    weeks: Mapping[int, Mapping[Layer, Score]]

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers that forecast in any week."""
        return tuple(
            layer for layer in LAYERS if any(layer in each for each in self.weeks.values())
        )


@contextmanager
def _counted(session: Session) -> Iterator[None]:
    with company_wide(session, reason=_REASON):
        yield


def subject_of(viewer: Viewer, subject: str | None) -> str | None:
    """Return whom a request is about: by default the viewer, or all for who sells nothing."""
    if subject is None:
        return viewer.id if viewer.role in {"rep", *LEADS_PEOPLE} else None
    return None if subject == COMPANY else subject


def board(
    session: Session,
    *,
    viewer: Viewer,
    may: Visibility,
    subject: str | None,
    period: Period,
    method: RollUp,
    as_of: dt.datetime,
) -> Board:
    """Return a roll-up. Raises NoSuchForecast."""
    with _counted(session):
        return queries.board_of(
            session, subject=subject, period=period, method=method, asker=Asker(viewer.id, may),
            as_of=as_of,
        )  # fmt: skip


def deals_behind(
    session: Session,
    *,
    viewer: Viewer,
    may: Visibility,
    subject: str | None,
    period: Period,
    method: RollUp,
    category: str,
    as_of: dt.datetime,
    only_own: bool = False,
    limit: int = 200,
    offset: int = 0,
) -> tuple[Deal, ...]:
    """Return the deals behind a cell. Raises UnknownColumn and NoSuchForecast."""
    with _counted(session):
        return queries.deals_behind(
            session, subject=subject, period=period, category=category, method=method,
            asker=Asker(viewer.id, may), as_of=as_of, only_own=only_own, limit=limit,
            offset=offset,
        )  # fmt: skip


def bridge(
    session: Session,
    *,
    viewer: Viewer,
    may: Visibility,
    subject: str | None,
    period: Period,
    method: RollUp,
    category: str,
    earlier: dt.datetime,
    later: dt.datetime,
    adjusted: bool,
) -> Bridge:
    """Return why a cell changed. Raises NotInOrder, UnknownColumn and NoSuchForecast."""
    with _counted(session):
        return bridges.bridge(
            session, subject=subject, period=period, earlier=earlier, later=later,
            asker=Asker(viewer.id, may), category=category, method=method, adjusted=adjusted,
        )  # fmt: skip


def bridge_since(
    session: Session,
    *,
    viewer: Viewer,
    may: Visibility,
    subject: str | None,
    period: Period,
    method: RollUp,
    category: str,
    since: dt.datetime | None,
    later: dt.datetime,
    adjusted: bool,
) -> Bridge:
    """Return why a cell changed since a time, by default since about a week before."""
    return bridge(
        session, viewer=viewer, may=may, subject=subject, period=period, method=method,
        category=category, later=later, adjusted=adjusted,
        earlier=week_ago(session, now=later) if since is None else since,
    )  # fmt: skip


def history(
    session: Session,
    *,
    viewer: Viewer,
    may: Visibility,
    subject: str | None,
    period: Period,
    as_of: dt.datetime,
) -> tuple[tuple[Submission, ...], tuple[Set, ...]]:
    """Return the calls and amounts set of a subject and everybody below. Raises NoSuchForecast."""
    moment = queries.moment(session, as_of=as_of)
    whole = queries.tree(session, day=queries.place_day(moment, period))
    owners = queries.entitled(whole, subject, Asker(viewer.id, may))
    ids = frozenset(whole.members) if owners is None else owners
    calls = judgement.submissions(session, authors=ids, period=period, seen=may, as_of=as_of)
    return calls, judgement.history(session, subjects=ids, period=period, seen=may, as_of=as_of)


def freeze(session: Session, *, as_of: dt.datetime, now: dt.datetime) -> dict[str, object]:
    """Take the day's snapshot, keep what baselines say, settle the period before; say what it did.

    For the nightly job: it sees everybody's.
    """
    taken = take_snapshot(session, as_of=as_of, recorded_at=now)
    moment = queries.moment(session, as_of=as_of)
    this = moment.calendar.quarter_of(moment.day)
    before = moment.calendar.quarter_of(this.start - dt.timedelta(days=1))
    kept = accuracy.keep_baselines(session, moment, [this]) if taken.is_new else 0
    return {
        "day": taken.snapshot.day,
        "is_new": taken.is_new,
        "open_deals": taken.snapshot.open_deals,
        "deals": taken.deals,
        "cells": taken.cells,
        "baselines": kept,
        "settled": accuracy.settle(session, moment, before),
    }


def snapshots(session: Session, *, until: dt.datetime) -> tuple[frozen.Snapshot, ...]:
    """Return the snapshots taken by a time, newest first."""
    return frozen.snapshots(session, until=until)


def week_ago(session: Session, *, now: dt.datetime) -> dt.datetime:
    """Return the time of the snapshot nearest to a week ago, or that very time without one."""
    taken = [each.taken_at for each in frozen.snapshots(session, until=now, limit=15)]
    wanted = now - WEEK
    nearest = min(taken, key=lambda at: abs(at - wanted), default=wanted)
    return nearest if abs(nearest - wanted) <= _NEAR else wanted


def record_of(
    session: Session,
    *,
    viewer: Viewer,
    may: Visibility,
    subject: str | None,
    period: Period,
    as_of: dt.datetime,
) -> tuple[Said, Judged | None]:
    """Return the baselines and the scores of a subject. Raises NoSuchForecast."""
    moment = queries.moment(session, as_of=as_of)
    whole = queries.tree(session, day=queries.place_day(moment, period))
    queries.entitled(whole, subject, Asker(viewer.id, may))
    until = min(moment.day, period.end)
    said = accuracy.baselines_of(session, subject=subject, period=period, until=until)
    found = judged(session, subject=subject, period=period, as_of=as_of)
    return Said(said, moment.currency), found


def judged(
    session: Session, *, subject: str | None, period: Period, as_of: dt.datetime
) -> Judged | None:
    """Return how near each layer was in a period, None where nothing of it is settled."""
    found = accuracy.scores(
        session, subjects=[subject or accuracy.COMPANY], period=period, as_of=as_of
    )
    if not found:
        return None
    weeks: dict[int, dict[Layer, Score]] = {}
    for score in found:
        weeks.setdefault(score.week, {})[score.layer] = score
    return Judged(
        period=period, actual=Money(found[-1].actual, found[-1].currency),
        weeks=dict(sorted(weeks.items())),
    )  # fmt: skip


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
    """Set or take back an amount; see :func:`operations.adjust`."""
    with _counted(session):
        return operations.adjust(
            session, viewer=viewer, may=may, subject=subject, period=period, method=method,
            category=category, amount=amount, note=note, now=now, seen_minor=seen_minor,
        )  # fmt: skip


def adjust_as_seen(
    session: Session,
    *,
    viewer: Viewer,
    may: Visibility,
    subject: str,
    period: Period,
    method: RollUp,
    category: str,
    amount: Decimal | None,
    note: str,
    now: dt.datetime,
    looked_at: dt.datetime,
) -> int:
    """Set or take back an amount unless what stands below it is no longer what was looked at.

    ``amount`` in major units of the company's currency.
    """
    seen = None
    if looked_at < now:
        then = board(
            session, viewer=viewer, may=may, subject=subject, period=period, method=method,
            as_of=looked_at,
        ).cells.get(category)  # fmt: skip
        if then is not None:
            seen = then.without_owner if subject == viewer.id else then.owner_view
    currency = people.company(session).currency
    return adjust(
        session, viewer=viewer, may=may, subject=subject, period=period, method=method,
        category=category, amount=None if amount is None else from_major(amount, currency),
        note=note, now=now, seen_minor=seen,
    )  # fmt: skip


def submit(
    session: Session,
    *,
    viewer: Viewer,
    may: Visibility,
    period: Period,
    note: str | None,
    now: dt.datetime,
) -> Submission:
    """Freeze the viewer's own forecast; see :func:`operations.submit`."""
    with _counted(session):
        return operations.submit(session, viewer=viewer, may=may, period=period, note=note, now=now)
