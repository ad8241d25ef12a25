"""The list of deals as people see it: facts as they stand now, with what we last predicted.

Lists read the current columns of ``opportunities``, which models may not. A page is found by
its key (never by an offset), so that rows neither repeat nor go missing while the list changes.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import json
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from babel.core import get_global
from sqlalchemy import ColumnElement, Select, and_, case, exists, func, or_, select, true
from sqlalchemy.orm import Session, aliased

from crm_core.accounts.models import Account
from crm_core.activities.models import Activity
from crm_core.advice.models import Prediction
from crm_core.errors import Invalid
from crm_core.money import Money
from crm_core.opportunities.models import Opportunity, Stage
from crm_core.people.models import User
from crm_core.people.queries import Visibility

Status = Literal["open", "won", "lost", "all"]
LARGEST_PAGE = 200

Query = Select[*tuple[Any, ...]]


class BadCursor(Invalid):
    """The cursor is not one that this list gave out for this order."""


class UnknownSort(Invalid):
    """The list cannot be ordered by this."""


@dataclass(frozen=True, slots=True)
class DealFilter:
    """Which deals to list. ``minimum`` is in major units of the deal's own currency."""

    status: Status = "open"
    stage: str | None = None
    owner_id: str | None = None
    text: str | None = None
    minimum: Decimal | None = None
    closes_before: dt.date | None = None


@dataclass(frozen=True, slots=True)
class DealRow:
    """One deal of a list. ``touched_at`` is the last contact, None when there was none."""

    id: str
    name: str | None
    account_id: str | None
    account_name: str | None
    owner_id: str | None
    owner_name: str | None
    pipeline: str
    stage: str
    stage_kind: str | None
    amount: Money | None
    expected_close_on: dt.date | None
    created_at: dt.datetime
    closed_at: dt.datetime | None
    outcome: str | None
    touched_at: dt.datetime | None
    p_win: float | None
    low: float | None
    high: float | None
    p_kind: str | None
    p_as_of: dt.datetime | None
    model_version: str | None
    abstained: str | None


@dataclass(frozen=True, slots=True)
class DealList:
    """A page of the list, the cursor of the next one, and the count and sums of the whole."""

    rows: tuple[DealRow, ...]
    next_cursor: str | None
    total: int
    amounts: tuple[Money, ...]


@dataclass(frozen=True, slots=True)
class Choices:
    """What the list's filters may offer to this viewer: only what their own rows contain."""

    stages: tuple[str, ...]
    owners: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Sort:
    """How a sort reads its key, and how the key comes back from a cursor."""

    key: Callable[[dt.datetime], ColumnElement[Any]]
    parse: Callable[[Any], Any]


def _touched(as_of: dt.datetime) -> ColumnElement[Any]:
    """Return the time of the deal's last contact (any activity but a note) known as of a time."""
    later = aliased(Activity)
    corrected = exists().where(
        later.id == Activity.id,
        later.recorded_at > Activity.recorded_at,
        later.recorded_at <= as_of,
    )
    return (
        select(func.max(Activity.occurred_at))
        .where(
            Activity.opportunity_id == Opportunity.id,
            Activity.kind != "note",
            Activity.occurred_at <= as_of,
            Activity.recorded_at <= as_of,
            ~corrected,
        )
        .scalar_subquery()
    )


def _latest(columns: Query, as_of: dt.datetime) -> Query:
    return (
        columns.where(
            Prediction.opportunity_id == Opportunity.id,
            Prediction.model == "win_rate",
            Prediction.as_of <= as_of,
        )
        .order_by(Prediction.as_of.desc(), Prediction.id.desc())
        .limit(1)
    )


def _p_win(as_of: dt.datetime) -> ColumnElement[Any]:
    return _latest(select(Prediction.p_win), as_of).scalar_subquery()


def _major() -> ColumnElement[Any]:
    """Return the amount in major units, so that yen and dollars are not 100 apart."""
    digits: dict[int, list[str]] = {}
    for currency, (places, *_) in get_global("currency_fractions").items():
        digits.setdefault(int(places), []).append(currency)
    scales = [
        (Opportunity.currency.in_(names), 10**places)
        for places, names in digits.items()
        if places != 2
    ]
    return Opportunity.amount_minor / case(*scales, else_=100)


SORTS: dict[str, _Sort] = {
    "name": _Sort(lambda _: func.coalesce(Opportunity.name, Opportunity.id), str),
    "account": _Sort(lambda _: Account.name.expression, str),
    "owner": _Sort(lambda _: User.name.expression, str),
    "stage": _Sort(lambda _: Stage.position.expression, int),
    "amount": _Sort(lambda _: _major(), Decimal),
    "close": _Sort(lambda _: Opportunity.expected_close_on.expression, dt.date.fromisoformat),
    "created": _Sort(lambda _: Opportunity.created_at.expression, dt.datetime.fromisoformat),
    "touched": _Sort(_touched, dt.datetime.fromisoformat),
    "p_win": _Sort(_p_win, float),
}
"""What the list can be ordered by; a leading ``-`` turns the order round. Unknowns come last."""


def deals(
    session: Session,
    *,
    visibility: Visibility,
    wanted: DealFilter,
    sort: str,
    cursor: str | None,
    limit: int,
    as_of: dt.datetime,
) -> DealList:
    """Return a page of the visible deals that match, in two queries whatever its size.

    Raises UnknownSort and BadCursor.
    """
    chosen = SORTS.get(sort.removeprefix("-"))
    if chosen is None:
        raise UnknownSort(f"Deals cannot be sorted by {sort!r}; use one of {', '.join(SORTS)}.")
    conditions = _conditions(visibility, wanted)
    key = chosen.key(as_of)
    limit = max(1, min(limit, LARGEST_PAGE))
    page = (
        _joined(select(Opportunity.id, key.label("key")), *conditions)
        .order_by(_directed(key, sort), Opportunity.id)
        .limit(limit + 1)
    )
    if cursor is not None:
        page = page.where(_after(key, cursor, sort=sort, parse=chosen.parse))
    found = session.execute(_with_details(page, sort, as_of)).all()
    sums = session.execute(
        _joined(
            select(Opportunity.currency, func.count(), func.sum(Opportunity.amount_minor)),
            *conditions,
        )
        .group_by(Opportunity.currency)
        .order_by(func.count().desc(), Opportunity.currency)
    ).all()
    last = found[limit - 1] if len(found) > limit else None
    return DealList(
        rows=tuple(_row(row) for row in found[:limit]),
        next_cursor=None if last is None else _cursor(sort, last.key, last.Opportunity.id),
        total=sum(count for _, count, _ in sums),
        amounts=tuple(Money(int(s), currency) for currency, _, s in sums if s is not None),
    )


def deal_row(
    session: Session, opportunity_id: str, *, visibility: Visibility, as_of: dt.datetime
) -> DealRow:
    """Return one visible deal as the list shows it. Raises NoResultFound for any other."""
    one = select(Opportunity.id, Opportunity.id.label("key")).where(
        Opportunity.id == opportunity_id, visibility.condition(Opportunity.owner_id)
    )
    return _row(session.execute(_with_details(one, "name", as_of)).one())


def choices(session: Session, *, visibility: Visibility) -> Choices:
    """Return the stages and owners that the visible deals have."""
    seen = visibility.condition(Opportunity.owner_id)
    stages = session.execute(
        select(Opportunity.stage, func.min(Stage.position))
        .outerjoin(Stage, _its_stage())
        .where(seen)
        .group_by(Opportunity.stage)
        .order_by(func.min(Stage.position), Opportunity.stage)
    )
    owners = session.execute(
        select(User.id, User.name)
        .where(User.id.in_(select(Opportunity.owner_id).where(seen)))
        .order_by(User.name, User.id)
    )
    return Choices(
        stages=tuple(stage for stage, _ in stages),
        owners=tuple((user_id, name) for user_id, name in owners),
    )


def _its_stage() -> ColumnElement[bool]:
    return and_(Stage.pipeline == Opportunity.pipeline, Stage.stage == Opportunity.stage)


def _joined(query: Query, *conditions: ColumnElement[bool]) -> Query:
    return (
        query.select_from(Opportunity)
        .outerjoin(Account, Account.id == Opportunity.account_id)
        .outerjoin(User, User.id == Opportunity.owner_id)
        .outerjoin(Stage, _its_stage())
        .where(*conditions)
    )


def _conditions(visibility: Visibility, wanted: DealFilter) -> list[ColumnElement[bool]]:
    conditions = [visibility.condition(Opportunity.owner_id)]
    if wanted.status == "open":
        conditions.append(Opportunity.outcome.is_(None))
    elif wanted.status != "all":
        conditions.append(Opportunity.outcome == wanted.status)
    if wanted.stage is not None:
        conditions.append(Opportunity.stage == wanted.stage)
    if wanted.owner_id is not None:
        conditions.append(Opportunity.owner_id == wanted.owner_id)
    if wanted.text:
        columns = (Opportunity.name, Account.name, Opportunity.id)
        conditions.append(or_(*(c.icontains(wanted.text, autoescape=True) for c in columns)))
    if wanted.minimum is not None:
        conditions.append(_major() >= wanted.minimum)
    if wanted.closes_before is not None:
        conditions.append(Opportunity.expected_close_on < wanted.closes_before)
    return conditions


def _directed(key: ColumnElement[Any], sort: str) -> ColumnElement[Any]:
    return (key.desc() if sort.startswith("-") else key.asc()).nulls_last()


def _with_details(page: Query, sort: str, as_of: dt.datetime) -> Query:
    """Return the page's ids with everything a row shows, looked up for these rows only."""
    ids = page.subquery("page")
    latest = aliased(Prediction, _latest(select(Prediction), as_of).lateral("latest"))
    return (
        select(Opportunity, Account.name, User.name, Stage.kind, _touched(as_of), latest, ids.c.key)
        .join(ids, ids.c.id == Opportunity.id)
        .outerjoin(Account, Account.id == Opportunity.account_id)
        .outerjoin(User, User.id == Opportunity.owner_id)
        .outerjoin(Stage, _its_stage())
        .outerjoin(latest, true())
        .order_by(_directed(ids.c.key, sort), Opportunity.id)
    )


def _row(row: Any) -> DealRow:  # noqa: ANN401 - a row of the query above
    deal, account_name, owner_name, stage_kind, touched_at, latest, _ = row
    return DealRow(
        id=deal.id,
        name=deal.name,
        account_id=deal.account_id,
        account_name=account_name,
        owner_id=deal.owner_id,
        owner_name=owner_name,
        pipeline=deal.pipeline,
        stage=deal.stage,
        stage_kind=stage_kind,
        amount=None if deal.amount_minor is None else Money(deal.amount_minor, deal.currency),
        expected_close_on=deal.expected_close_on,
        created_at=deal.created_at,
        closed_at=deal.closed_at,
        outcome=deal.outcome,
        touched_at=touched_at,
        p_win=latest.p_win if latest else None,
        low=latest.low if latest else None,
        high=latest.high if latest else None,
        p_kind=latest.kind if latest else None,
        p_as_of=latest.as_of if latest else None,
        model_version=latest.model_version if latest else None,
        abstained=latest.abstained if latest else None,
    )


def _cursor(sort: str, key: object, deal_id: str) -> str:
    if isinstance(key, dt.date):
        key = key.isoformat()
    elif isinstance(key, Decimal):
        key = str(key)
    return base64.urlsafe_b64encode(json.dumps([sort, key, deal_id]).encode()).decode()


def _after(
    key: ColumnElement[Any], cursor: str, *, sort: str, parse: Callable[[Any], Any]
) -> ColumnElement[bool]:
    """Return the condition that a row comes after the cursor's; unknown keys come last."""
    try:
        given_sort, value, deal_id = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        value = None if value is None else parse(value)
        if given_sort != sort or not isinstance(deal_id, str):
            raise ValueError(given_sort)
    except (ValueError, TypeError, ArithmeticError, binascii.Error) as error:
        raise BadCursor(
            "This cursor does not belong to this list and order; start again without one."
        ) from error
    same_key_later_id = Opportunity.id > deal_id
    if value is None:
        return and_(key.is_(None), same_key_later_id)
    beyond = key < value if sort.startswith("-") else key > value
    return or_(key.is_(None), beyond, and_(key == value, same_key_later_id))
