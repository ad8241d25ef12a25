"""Reading records of any table: a page of a list, one record, what people may see of it."""

from __future__ import annotations

from collections.abc import Collection, Container, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from crm_core.errors import NotFound
from crm_core.opportunities.models import OpportunityEvent
from crm_core.people import permissions
from crm_core.people import queries as people
from crm_core.people.queries import Visibility
from crm_core.records import access, cursors, filters, lookups, rows, scopes
from crm_core.records.access import Asker, Fields
from crm_core.records.cursors import Step
from crm_core.records.filters import Filter, FilterInvalid
from crm_core.records.models import MergedRecord
from crm_core.records.rows import Record
from crm_core.records.tables import Relation, Shape

LARGEST_PAGE = 500


class NoSuchRecord(NotFound):
    """There is no such record, or the asker may not know that there is."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a list is asked for; the defaults ask for everything in the order of the key."""

    filters: tuple[Filter, ...] = ()
    sort: str | None = None
    fields: tuple[str, ...] = ()
    cursor: str | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class Found:
    """One record: its key, its version tag, and its fields."""

    key: str
    etag: str
    record: Record = field(repr=False)


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list and where it goes on; ``next_cursor`` is None at the end."""

    items: tuple[Found, ...]
    next_cursor: str | None


def company_currency(session: Session) -> str:
    """Return the company's currency, ``XXX`` (none) before there is a company."""
    company = people.company_or_none(session)
    return company.currency if company else "XXX"


def page(session: Session, shape: Shape, question: Question, *, asker: Asker) -> Page:
    """Return a page of the records that the asker may view.

    Raises MayNot, FilterInvalid and CursorInvalid.
    """
    permissions.require(asker.viewer, "view", shape.name)
    may = asker.within("view", shape.name)
    visible = access.fields(session, shape.name, "view", asker=asker)
    currency = company_currency(session)
    relation: Relation = shape.relation()
    steps = _steps(shape, relation, question.sort, visible, currency)
    asked = cursors.digest(shape.name, question.filters, question.sort)
    if len(question.filters) > filters.MOST_FILTERS:
        raise FilterInvalid(f"A list takes at most {filters.MOST_FILTERS} filters.")
    conditions = [scopes.condition(shape.name, relation, may)]
    conditions += access.unbarred(session, shape.name, relation, asker=asker)
    conditions += [
        filters.condition(shape, relation, each, allowed=visible, currency=currency)
        for each in question.filters
    ]
    if question.cursor is not None:
        last = cursors.read(question.cursor, asked, length=len(steps))
        conditions.append(cursors.after(steps, last))
    marks = [step.column.label(f"_mark_{i}") for i, step in enumerate(steps)]
    statement = select(relation, *marks).where(*conditions)
    statement = statement.order_by(*(step.clause() for step in steps)).limit(question.limit + 1)
    found = session.execute(statement).mappings().all()
    shown = found[: question.limit]
    wanted = _wanted(shape, question.fields, visible)
    items = tuple(_found(shape, row, visible, wanted, currency) for row in shown)
    more = len(found) > question.limit
    marked = [shown[-1][f"_mark_{i}"] for i in range(len(steps))] if more else []
    return Page(items, cursors.write(asked, marked) if more else None)


def _steps(
    shape: Shape, relation: Relation, sort: str | None, visible: Fields, currency: str
) -> list[Step]:
    """Return the order: the field that was asked for, then what makes it unambiguous."""
    steps = []
    if sort:
        name = sort.removeprefix("-")
        kind = filters.kind_of(shape, name, allowed=visible)
        column = filters.expression(relation, name, kind, currency=currency)
        steps.append(Step(column, descending=sort.startswith("-")))
    return [*steps, *(Step(relation.c[name]) for name in shape.key or ("id",))]


def _wanted(shape: Shape, asked: Sequence[str], visible: Fields) -> Container[str]:
    for name in asked:
        filters.kind_of(shape, name, allowed=visible)
    return {*asked} if asked else visible


def _found(
    shape: Shape, row: Any, visible: Fields, wanted: Container[str], currency: str  # noqa: ANN401 - a row
) -> Found:  # fmt: skip
    whole = rows.record(shape, row, currency=currency)
    seen = rows.narrowed(whole, visible)
    return Found(rows.key_of(shape, row), rows.etag(seen), rows.narrowed(seen, wanted))


def one(session: Session, shape: Shape, key: str, *, asker: Asker) -> Found:
    """Return one record that the asker may view; a merged one is its survivor.

    Raises MayNot, and NoSuchRecord alike for what is missing and what is hidden.
    """
    permissions.require(asker.viewer, "view", shape.name)
    visible = access.fields(session, shape.name, "view", asker=asker)
    key = survivor(session, shape.name, key)
    may = asker.within("view", shape.name)
    relation = shape.relation()
    found = stored(
        session, shape, [key], may=may,
        only=access.unbarred(session, shape.name, relation, asker=asker), relation=relation,
    )  # fmt: skip
    if key not in found:
        raise NoSuchRecord(f"There is no record {key!r} in {shape.name}.")
    return _found(shape, found[key], visible, visible, company_currency(session))


def stored(
    session: Session,
    shape: Shape,
    wanted: Collection[str],
    *,
    may: Visibility,
    locked: bool = False,
    relation: Relation | None = None,
    only: Collection[Any] = (),
) -> dict[str, Any]:
    """Return the stored rows of these keys that are within reach, by key.

    ``only``: further conditions on the rows of ``relation``. ``locked`` keeps every other writer
    away from the rows until the transaction ends.
    """
    relation = shape.relation() if relation is None else relation
    statement = select(relation).where(
        lookups.among(shape, relation, wanted), scopes.condition(shape.name, relation, may), *only
    )
    if locked and not shape.is_versioned:
        statement = statement.with_for_update()
    return {rows.key_of(shape, row): row for row in session.execute(statement).mappings()}


def survivor(session: Session, table: str, key: str) -> str:
    """Return the record that a merged one now is, or the key itself."""
    for _ in range(20):  # a survivor may have been merged again
        found = session.scalar(
            select(MergedRecord.survivor_id).where(
                and_(MergedRecord.table_name == table, MergedRecord.loser_id == key)
            )
        )
        if found is None:
            return key
        key = found
    return key


def newest_event(session: Session, given: Record) -> str:
    """Return the key of the event of a deal's field that was written last."""
    newest = (
        select(OpportunityEvent.sequence)
        .where(
            OpportunityEvent.opportunity_id == given.get("opportunity_id"),
            OpportunityEvent.field == str(given.get("field")).lower(),
        )
        .order_by(OpportunityEvent.sequence.desc())
        .limit(1)
    )
    return str(session.scalar(newest))
