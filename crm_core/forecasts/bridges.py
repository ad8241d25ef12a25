"""The bridge: why a forecast changed between two times, exactly, with the deals behind each term.

A file of its own beside ``queries.py``. Each end is a daily snapshot where one was taken at that
very time, else what the store knows of it today as of that time. The people are those of the
subject's part of the tree at each end, so a person who changes teams takes their deals out of
one roll-up and into the other.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from sqlalchemy import CTE, ColumnElement, select, true
from sqlalchemy.orm import Session

from crm_core.errors import Invalid
from crm_core.forecasts import frozen
from crm_core.forecasts.attribution import Position, View, explain
from crm_core.forecasts.catalogue import TERMS, Category, RollUp, Term, summed
from crm_core.forecasts.judgement import adjustments
from crm_core.forecasts.positions import Moment, deals, due_in, of_people, owned_by, these
from crm_core.forecasts.queries import Asker, board_of, entitled, moment, place_day, tree
from crm_core.opportunities.models import Opportunity
from crm_core.people.queries import Visibility
from crm_core.periods import Period


class NotInOrder(Invalid):
    """A bridge leads from an earlier to a later time."""


@dataclass(frozen=True, slots=True)
class Span:
    """One term: its amount in minor units, and the part of each deal, which sum to it."""

    term: Term
    minor: int
    deals: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Bridge:
    """From ``opening`` to ``closing``: the spans sum exactly to the change.

    ``names`` of deals are those the asker may see now; others are counted and not named.
    """

    subject_id: str | None
    period: Period
    roll_up: RollUp
    category: str
    earlier: dt.datetime
    later: dt.datetime
    currency: str
    opening: int
    closing: int
    spans: tuple[Span, ...]
    names: Mapping[str, str]
    is_frozen: tuple[bool, bool]

    @property
    def change(self) -> int:
        """What the spans sum to."""
        return self.closing - self.opening


@dataclass(frozen=True, slots=True)
class _End:
    now: Moment
    view: View
    is_frozen: bool


def bridge(
    session: Session,
    *,
    subject: str | None,
    period: Period,
    earlier: dt.datetime,
    later: dt.datetime,
    asker: Asker,
    category: str = "commit",
    method: RollUp = "cumulative",
    adjusted: bool = False,
) -> Bridge:
    """Return why a cell changed between two times.

    ``adjusted``: the amounts with what people set, whose change is one more term. Raises
    NotInOrder, UnknownColumn and NoSuchForecast.
    """
    if earlier > later:
        raise NotInOrder("A bridge leads from an earlier to a later time; exchange the two.")
    categories = summed(method, category)
    times = (earlier, later)
    ends = [
        _end(session, subject=subject, period=period, categories=categories, asker=asker, as_of=at)
        for at in times
    ]
    found = [_in_cell(session, end) for end in ends]
    ids = frozenset[str]().union(*found)
    for end, held in zip(ends, found, strict=True):
        held.update(_positions(session, end, ids - held.keys()))
    spans = _spans(ids, ends, found)
    levels = [
        sum(end.view.value(position) for position in held.values())
        for end, held in zip(ends, found, strict=True)
    ]
    if adjusted:
        by_hand = [
            _set_by_hand(
                session, subject=subject, period=period, method=method, category=category,
                asker=asker, as_of=at,
            )
            for at in times
        ]  # fmt: skip
        levels = [level + lift for level, lift in zip(levels, by_hand, strict=True)]
        if by_hand[0] != by_hand[1]:
            spans.append(Span("adjustments", by_hand[1] - by_hand[0], ()))
    return Bridge(
        subject_id=subject, period=period, roll_up=method, category=category, earlier=earlier,
        later=later, currency=ends[1].now.currency, opening=levels[0], closing=levels[1],
        spans=tuple(spans), is_frozen=(ends[0].is_frozen, ends[1].is_frozen),
        names=_names(session, {deal for span in spans for deal, _ in span.deals}, asker.may),
    )  # fmt: skip


def _spans(
    ids: Collection[str], ends: Sequence[_End], found: Sequence[Mapping[str, Position]]
) -> list[Span]:
    """Return each term with the part of each deal in it, the largest first."""
    before, after = found
    terms: dict[Term, dict[str, int]] = {}
    for deal in sorted(ids):
        shares = explain(before.get(deal), after.get(deal), before=ends[0].view, after=ends[1].view)
        for term, part in shares.items():
            terms.setdefault(term, {})[deal] = part
    return [
        Span(term, sum(parts.values()), tuple(sorted(parts.items(), key=_largest)))
        for term in TERMS
        if (parts := terms.get(term))
    ]


def _largest(part: tuple[str, int]) -> tuple[int, str]:
    return -abs(part[1]), part[0]


def _end(
    session: Session,
    *,
    subject: str | None,
    period: Period,
    categories: frozenset[Category],
    asker: Asker,
    as_of: dt.datetime,
) -> _End:
    now = moment(session, as_of=as_of)
    whole = tree(session, day=place_day(now, period))
    if subject is not None and subject not in whole.members:
        people: frozenset[str] | None = frozenset()  # not yet hired: nothing to open with
    else:
        people = entitled(whole, subject, asker)
    view = View(people, period, categories, now.currency)
    return _End(now, view, frozen.snapshot_at(session, taken_at=as_of) is not None)


def _in_cell(session: Session, end: _End) -> dict[str, Position]:
    """Return the deals that count for anything at one end."""
    if end.is_frozen:
        ids = frozen.due(session, day=end.now.day, period=end.view.period, owners=end.view.people)
        return _positions(session, end, ids)
    found = deals(end.now, among=owned_by(end.view.people), closed_in=end.view.period)
    return _read(
        session, end, found,
        due_in(found, end.view.period) & of_people(found.c.owner_id, end.view.people),
    )  # fmt: skip


def _positions(session: Session, end: _End, ids: Collection[str]) -> dict[str, Position]:
    """Return the deals as they stood at one end, whosever they were."""
    if not ids:
        return {}
    if end.is_frozen:
        return frozen.positions(session, day=end.now.day, ids=ids, currency=end.now.currency)
    return _read(session, end, deals(end.now, among=these(ids)), true())


def _read(
    session: Session, end: _End, found: CTE, condition: ColumnElement[bool]
) -> dict[str, Position]:
    return {
        row.opportunity_id: Position(
            row.opportunity_id, row.owner_id, row.kind, row.category, row.due_on,
            None if row.major is None else Fraction(row.major), row.currency,
            frozen.rate_of(row.rate, row.rate_is_direct, of=row.currency, to=end.now.currency),
        )
        for row in session.execute(select(found).where(condition))
    }  # fmt: skip


def _set_by_hand(
    session: Session,
    *,
    subject: str | None,
    period: Period,
    method: RollUp,
    category: str,
    asker: Asker,
    as_of: dt.datetime,
) -> int:
    """Return by how much what people set lifts a cell over its deals."""
    now = moment(session, as_of=as_of)
    if not adjustments(
        session, period=period, roll_up=method, seen=asker.may, currency=now.currency, as_of=as_of
    ):
        return 0
    board = board_of(
        session, subject=subject, period=period, method=method, asker=asker, as_of=as_of
    )
    cell = board.cells[category]
    return cell.all_adjustments - cell.raw


def _names(session: Session, ids: Collection[str], may: Visibility) -> dict[str, str]:
    rows = session.execute(
        select(Opportunity.id, Opportunity.name).where(
            Opportunity.id.in_(sorted(ids)), may.condition(Opportunity.owner_id)
        )
    )
    return {row.id: row.name or row.id for row in rows}
