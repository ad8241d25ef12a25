"""The wire form of forecasts: amounts are decimals in major units of ``currency``."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from decimal import Decimal

from pydantic import BaseModel, Field

from crm_core.forecasts import bridges, frozen, judgement, queries
from crm_core.forecasts.arithmetic import Cell as CellOf
from crm_core.money import Money
from crm_core.periods import Period
from serving.forecasting import Judged, Said


class Cell(BaseModel):
    """One column of one person; what is set above you does not show."""

    raw: Decimal = Field(description="The deals alone.")
    without_owner: Decimal = Field(description="Without what the person set for themself.")
    owner_view: Decimal = Field(description="As the person sees it.")
    all_adjustments: Decimal = Field(description="With all that was set, as far as you may know.")
    deals: int
    without_value: int = Field(description="Deals among them without an amount or a rate.")
    stale: bool = Field(description="What was set rests on an amount that has changed since.")


class Line(BaseModel):
    """A person directly below, or one without a place in the tree."""

    subject: str
    name: str
    role: str
    has_left: bool
    reports: int
    cells: dict[str, Cell]


class Forecast(BaseModel):
    """A roll-up. ``unplaced`` stand in nobody's roll-up but the company's."""

    subject: str | None
    name: str
    period: str
    roll_up: str
    as_of: dt.datetime
    currency: str
    cells: dict[str, Cell]
    own: dict[str, Decimal] = Field(description="What the person owns; the company: nobody.")
    lines: list[Line]
    unplaced: list[Line]


class Deal(BaseModel):
    """A deal behind a cell; ``source`` of its category is ``manual`` or ``stage``."""

    opportunity_id: str
    name: str
    account_id: str | None
    owner_id: str | None
    kind: str
    stage: str | None
    category: str
    source: str
    due_on: dt.date
    amount: Decimal | None
    amount_currency: str
    value: Decimal | None


class Deals(BaseModel):
    """A window of the deals behind a cell."""

    subject: str | None
    period: str
    roll_up: str
    category: str
    currency: str
    total: Decimal
    count: int
    deals: list[Deal]


class Part(BaseModel):
    """A deal's part of a term; the id is null where you may not see the deal."""

    opportunity_id: str | None
    amount: Decimal


class Span(BaseModel):
    """One term of a bridge."""

    term: str
    amount: Decimal
    deals: list[Part]


class Bridge(BaseModel):
    """Why a cell changed; ``opening`` plus the terms is ``closing``, exactly."""

    subject: str | None
    period: str
    roll_up: str
    category: str
    earlier: dt.datetime
    later: dt.datetime
    currency: str
    opening: Decimal
    closing: Decimal
    terms: list[Span]
    from_snapshot: bool
    to_snapshot: bool


class Item(BaseModel):
    """A frozen column."""

    roll_up: str
    category: str
    raw: Decimal
    without_owner: Decimal
    amount: Decimal
    deals: int


class Submission(BaseModel):
    """A call with its author, its time and the deadline it answers."""

    id: int
    author: str
    submitted_at: dt.datetime
    due_at: dt.datetime | None
    late: bool
    currency: str
    note: str | None
    items: list[Item]


class Adjustment(BaseModel):
    """An amount that was set; null took it back. ``base`` is what stood below it."""

    id: int
    subject: str
    author: str
    roll_up: str
    category: str
    amount: Decimal | None
    base: Decimal
    currency: str
    note: str
    recorded_at: dt.datetime


class History(BaseModel):
    """What was called and set for a period, newest first."""

    period: str
    submissions: list[Submission]
    adjustments: list[Adjustment]


class Snapshot(BaseModel):
    """A day's snapshot; ask for a bridge since ``taken_at``."""

    day: dt.date
    taken_at: dt.datetime
    open_deals: int


class Baseline(BaseModel):
    """What a simple rule said last; without an amount it abstained, with the reason."""

    layer: str
    day: dt.date
    amount: Decimal | None
    reason: str | None


class Score(BaseModel):
    """A layer's forecast in a week of an ended period; shares of what the period closed."""

    week: int
    layer: str
    forecast: Decimal
    error: Decimal | None
    bias: Decimal | None
    value_added: Decimal | None = Field(description="Naive's error less this one's.")


class Accuracy(BaseModel):
    """What simple rules say, and how near each layer was once the period had ended."""

    period: str
    currency: str
    baselines: list[Baseline]
    actual: Decimal | None
    scores: list[Score]


class Numbered(BaseModel):
    """The number of what was written."""

    id: int


def _cells(cells: Mapping[str, CellOf], currency: str) -> dict[str, Cell]:
    return {
        column: Cell(
            raw=Money(cell.raw, currency).major,
            without_owner=Money(cell.without_owner, currency).major,
            owner_view=Money(cell.owner_view, currency).major,
            all_adjustments=Money(cell.all_adjustments, currency).major,
            deals=cell.deals.deals,
            without_value=cell.deals.unpriced + cell.deals.without_amount,
            stale=cell.stale,
        )
        for column, cell in cells.items()
    }


def _lines(lines: Iterable[queries.Line], currency: str) -> list[Line]:
    return [
        Line(
            subject=line.subject_id, name=line.name, role=line.role, has_left=line.has_left,
            reports=line.reports, cells=_cells(line.cells, currency),
        )
        for line in lines
    ]  # fmt: skip


def forecast(board: queries.Board) -> Forecast:
    """Return the wire form of a roll-up."""
    return Forecast(
        subject=board.subject_id, name=board.name, period=board.period.name,
        roll_up=board.roll_up, as_of=board.as_of, currency=board.currency,
        cells=_cells(board.cells, board.currency),
        own={column: board.money(cell.own.minor).major for column, cell in board.cells.items()},
        lines=_lines(board.lines, board.currency),
        unplaced=_lines(board.unplaced, board.currency),
    )  # fmt: skip


def deals(
    board: queries.Board, found: Iterable[queries.Deal], *, category: str, own: bool
) -> Deals:
    """Return the wire form of the deals behind a cell."""
    cell = board.cells[category]
    whole = cell.own if own else cell.deals
    return Deals(
        subject=board.subject_id, period=board.period.name, roll_up=board.roll_up,
        category=category, currency=board.currency, total=board.money(whole.minor).major,
        count=whole.deals,
        deals=[
            Deal(
                opportunity_id=deal.opportunity_id, name=deal.name, account_id=deal.account_id,
                owner_id=deal.owner_id, kind=deal.kind, stage=deal.stage, category=deal.category,
                source="manual" if deal.is_picked else "stage", due_on=deal.due_on,
                amount=deal.amount, amount_currency=deal.currency,
                value=None if deal.minor is None else board.money(deal.minor).major,
            )
            for deal in found
        ],
    )  # fmt: skip


def bridge(found: bridges.Bridge) -> Bridge:
    """Return the wire form of a bridge."""

    def major(minor: int) -> Decimal:
        return Money(minor, found.currency).major

    return Bridge(
        subject=found.subject_id, period=found.period.name, roll_up=found.roll_up,
        category=found.category, earlier=found.earlier, later=found.later,
        currency=found.currency, opening=major(found.opening), closing=major(found.closing),
        terms=[
            Span(
                term=span.term, amount=major(span.minor),
                deals=[
                    Part(opportunity_id=deal if deal in found.names else None, amount=major(part))
                    for deal, part in span.deals
                ],
            )
            for span in found.spans
        ],
        from_snapshot=found.is_frozen[0], to_snapshot=found.is_frozen[1],
    )  # fmt: skip


def submission(made: judgement.Submission) -> Submission:
    """Return the wire form of a call."""
    return Submission(
        id=made.id, author=made.author_id, submitted_at=made.recorded_at, due_at=made.due_at,
        late=made.is_late, currency=made.currency, note=made.note,
        items=[
            Item(
                roll_up=roll_up, category=category, raw=Money(item.raw, made.currency).major,
                without_owner=Money(item.without_owner, made.currency).major,
                amount=Money(item.amount, made.currency).major, deals=item.deals,
            )
            for (roll_up, category), item in sorted(made.items.items())
        ],
    )  # fmt: skip


def history(
    period: Period, calls: Iterable[judgement.Submission], lines: Iterable[judgement.Set]
) -> History:
    """Return the wire form of what was called and set."""
    return History(
        period=period.name,
        submissions=[submission(call) for call in calls],
        adjustments=[
            Adjustment(
                id=line.id, subject=line.subject_id, author=line.author_id, roll_up=line.roll_up,
                category=line.category, base=Money(line.base_minor, line.currency).major,
                amount=None if line.minor is None else Money(line.minor, line.currency).major,
                currency=line.currency, note=line.note, recorded_at=line.recorded_at,
            )
            for line in lines
        ],
    )  # fmt: skip


def snapshots(found: Iterable[frozen.Snapshot]) -> list[Snapshot]:
    """Return the wire form of the days' snapshots."""
    return [Snapshot(day=s.day, taken_at=s.taken_at, open_deals=s.open_deals) for s in found]


def accuracy(period: Period, said: Said, judged: Judged | None) -> Accuracy:
    """Return the wire form of baselines and scores."""
    scores = [] if judged is None else [s for by in judged.weeks.values() for s in by.values()]
    return Accuracy(
        period=period.name, currency=said.currency,
        baselines=[
            Baseline(
                layer=layer, day=day, reason=reason,
                amount=None if minor is None else Money(minor, said.currency).major,
            )
            for layer, (day, minor, reason) in said.by_layer.items()
        ],
        actual=None if judged is None else judged.actual.major,
        scores=[
            Score(
                week=s.week, layer=s.layer, forecast=Money(s.forecast, s.currency).major,
                error=s.error, bias=s.bias, value_added=s.value_added,
            )
            for s in scores
        ],
    )  # fmt: skip
