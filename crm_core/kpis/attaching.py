"""Rows of a source with the attributes asked for beside them, in SQL."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from sqlalchemy import (
    CTE,
    Boolean,
    ColumnElement,
    Date,
    Integer,
    Numeric,
    Select,
    String,
    Subquery,
    Text,
    and_,
    case,
    cast,
    column,
    extract,
    func,
    literal,
    null,
    or_,
    select,
    table,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by, distinct_on

from crm_core.accounts.models import Account
from crm_core.activities.models import Activity
from crm_core.kpis.attributes import Attribute, Home
from crm_core.kpis.question import Expression, Question
from crm_core.leads.models import Lead
from crm_core.opportunities.models import Opportunity, OpportunityEvent
from crm_core.orders.models import Order
from crm_core.people.models import Assignment, User
from crm_core.products.models import Product

_NUMBER = r"^-?[0-9]{1,18}(\.[0-9]{1,12})?$"
_DAY = (
    r"^\d{4}-((0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|(0[469]|11)-(0[1-9]|[12]\d|30)"
    r"|02-(0[1-9]|1\d|2[0-8]))$|^(\d\d(0[48]|[2468][048]|[13579][26])|2000)-02-29$"
)
_RECORD_EVENTS = table(
    "record_events",
    column("table_name", Text), column("key", Text), column("sequence", Integer),
    column("occurred_at"), column("recorded_at"), column("changes", JSONB),
)  # fmt: skip
"""Read by name: the database writes it for every noun, its model stands above the metrics."""


def attached(
    rows: Subquery, wanted: Sequence[Attribute], question: Question
) -> tuple[Select[Any], dict[str, Expression]]:
    """Return a select from the rows, joined to what the wanted attributes need, and each's SQL.

    The select has no columns yet; a row stays one row.
    """
    homes = {each.home for each in wanted} - {"row", "period"}
    statement = select().select_from(rows)
    relations: dict[Home, Any] = {}
    for home in sorted(homes):
        relation = question.shared(f"attached_{home}", _RELATIONS[home])
        relations[home] = relation
        statement = statement.outerjoin(relation, _belongs(rows, home, relation))
    found = {each.name: _expression(each, rows, relations, question) for each in wanted}
    return statement, found


def _belongs(rows: Subquery, home: Home, relation: Any) -> ColumnElement[bool]:  # noqa: ANN401 - a CTE
    if home in ("account", "product", "opportunity"):
        same: ColumnElement[bool] = relation.c.id == rows.c[f"{home}_id"]
        return same
    return and_(relation.c.id == rows.c.row_id, rows.c.kind == home)


def _expression(
    wanted: Attribute, rows: Subquery, relations: dict[Home, Any], question: Question
) -> Expression:
    if wanted.home == "period":
        return period_name(rows.c.day, wanted.name, first_month=question.calendar.first_month)
    if wanted.home == "row":
        return _team(rows) if wanted.name == "team" else rows.c.user_id
    relation = relations[wanted.home]
    if wanted.is_custom:
        return _typed(relation.c.custom.op("->>", return_type=Text())(wanted.stored), wanted.kind)
    if wanted.name == wanted.home:
        return rows.c[f"{wanted.home}_id"]
    found: Expression = relation.c[wanted.name]
    if wanted.name == "stage" and "stage" in rows.c:  # the stage entered, where the row tells it
        return func.coalesce(rows.c.stage, found)
    return found * rows.c.weight if wanted.name == "quantity" else found


def _typed(text: Expression, kind: str) -> Expression:
    """Return a custom field's value, null where the text is no such value."""
    if kind == "number":
        return case((text.regexp_match(_NUMBER), cast(text, Numeric)), else_=null())
    if kind == "date":
        return case((text.regexp_match(_DAY), cast(text, Date)), else_=null())
    if kind == "boolean":
        return case((text.in_(("true", "false")), cast(text, Boolean)), else_=null())
    return func.nullif(text, "", type_=Text)


def period_name(day: Expression, unit: str, *, first_month: int) -> Expression:
    """Return the name of the period in which a day lies, as :meth:`FiscalCalendar.parse` reads."""
    if unit in ("day", "week", "month"):
        form = {"day": "YYYY-MM-DD", "week": 'IYYY-"W"IW', "month": "YYYY-MM"}[unit]
        return func.to_char(day, form, type_=Text)
    shifted = day - func.make_interval(0, first_month - 1)
    year = cast(extract("year", shifted), Integer) + (0 if first_month == 1 else 1)
    name = func.lpad(cast(year, String), 4, "0", type_=Text)
    if unit == "year":
        return name
    return name + "-Q" + cast(cast(extract("quarter", shifted), Integer), String)


def _team(rows: Subquery) -> Expression:
    """Return the one unit in which the row's person was on its day.

    Of several at once the one they came to last, so that parts sum to the whole.
    """
    placed = (
        select(Assignment.org_unit_id)
        .where(
            Assignment.user_id == rows.c.user_id,
            Assignment.valid_from <= rows.c.placed_on,
            or_(Assignment.valid_to.is_(None), Assignment.valid_to > rows.c.placed_on),
        )
        .order_by(Assignment.valid_from.desc(), Assignment.org_unit_id)
        .limit(1)
        .correlate(rows)
        .scalar_subquery()
    )
    by_default = (
        select(User.org_unit_id)
        .where(User.id == rows.c.user_id, User.id.not_in(select(Assignment.user_id)))
        .correlate(rows)
        .scalar_subquery()
    )
    return func.coalesce(placed, by_default, type_=Text)


def _folded(name: str, question: Question) -> CTE:
    """Return, of the records of a table that ever changed, what each was known to be then.

    A record's first event holds all of it; before that was known it counts all the same.
    """
    events = _RECORD_EVENTS.c
    numbered = (
        select(
            events.key, events.occurred_at, events.recorded_at, events.sequence, events.changes,
            func.row_number().over(partition_by=events.key, order_by=events.sequence).label("turn"),
        )
        .where(events.table_name == name, events.changes != cast(literal("{}"), JSONB))
        .subquery()
    )  # fmt: skip
    pair = (
        func.jsonb_each(numbered.c.changes)
        .table_valued(column("key", Text), column("value", JSONB), name="pair")
        .render_derived()
    )
    order = (
        numbered.c.turn > 1, numbered.c.occurred_at, numbered.c.recorded_at, numbered.c.sequence
    )  # fmt: skip
    return (
        select(
            numbered.c.key,
            func.jsonb_object_agg(
                pair.c.key, aggregate_order_by(pair.c.value, *order), type_=JSONB
            ).label("state"),
        )
        .join(pair, true())
        .where(
            or_(
                numbered.c.turn == 1,
                and_(
                    numbered.c.occurred_at <= question.as_of,
                    numbered.c.recorded_at <= question.as_of,
                ),
            )
        )
        .group_by(numbered.c.key)
        .cte(f"{question.prefix}{name}_then")
    )


def _as_known(model: Any, names: Collection[str], question: Question) -> CTE:  # noqa: ANN401 - a table
    """Return a table's records as known then."""
    then = _folded(model.__tablename__, question)

    def of(name: str) -> Expression:
        now = getattr(model, name)
        is_custom = name == "custom"
        kind: Any = JSONB() if is_custom else Text()
        former: Expression = then.c.state.op("->" if is_custom else "->>", return_type=kind)(name)
        former = former if is_custom else cast(former, now.type)
        return case((then.c.key.is_not(None), former), else_=now).label(name)

    return (
        select(model.id, *(of(name) for name in names))
        .outerjoin(then, then.c.key == model.id)
        .cte(f"{question.prefix}known_{model.__tablename__}")
    )


def _accounts(question: Question) -> CTE:
    names = ("region", "country", "industry", "tier", "employees", "custom")
    return _as_known(Account, names, question)


def _products(question: Question) -> CTE:
    known = _as_known(Product, ("family", "custom"), question)
    return select(known.c.id, known.c.family.label("product_family"), known.c.custom).cte(
        f"{question.prefix}products_attached"
    )


def _leads(question: Question) -> CTE:
    known = _as_known(Lead, ("source", "status", "custom"), question)
    return select(
        known.c.id, known.c.source.label("lead_source"), known.c.status.label("lead_status"),
        known.c.custom,
    ).cte(f"{question.prefix}leads_attached")  # fmt: skip


def _deals(question: Question) -> CTE:
    """Return the deals with what they have from the start, their stage and own fields then."""
    event = OpportunityEvent
    given = (
        select(event.opportunity_id, event.sequence, event.occurred_at, event.recorded_at,
               cast(event.new_value, JSONB).label("fields"))
        .where(event.field == "custom", event.new_value.is_not(None),
               event.occurred_at <= question.as_of, event.recorded_at <= question.as_of)
        .subquery()
    )  # fmt: skip
    pair = (
        func.jsonb_each(given.c.fields)
        .table_valued(column("key", Text), column("value", JSONB), name="field")
        .render_derived()
    )
    order = (given.c.occurred_at, given.c.recorded_at, given.c.sequence)
    custom = (
        select(
            given.c.opportunity_id,
            func.jsonb_object_agg(
                pair.c.key, aggregate_order_by(pair.c.value, *order), type_=JSONB
            ).label("custom"),
        )
        .join(pair, true())
        .group_by(given.c.opportunity_id)
        .subquery()
    )
    return (
        select(Opportunity.id, Opportunity.source, Opportunity.pipeline,
               question.stood.c.stage.label("stage"), custom.c.custom)
        .outerjoin(question.stood, question.stood.c.opportunity_id == Opportunity.id)
        .outerjoin(custom, custom.c.opportunity_id == Opportunity.id)
        .cte(f"{question.prefix}deals_attached")
    )  # fmt: skip


def _latest(model: Any, question: Question, *columns: Any) -> CTE:  # noqa: ANN401 - a versioned table
    return (
        select(model.id, *columns)
        .ext(distinct_on(model.id))
        .where(model.recorded_at <= question.as_of)
        .order_by(model.id, model.recorded_at.desc())
        .cte(f"{question.prefix}{model.__tablename__}_attached")
    )


def _orders(question: Question) -> CTE:
    return _latest(Order, question, Order.quantity, Order.currency, Order.custom)


def _activities(question: Question) -> CTE:
    return _latest(
        Activity, question, Activity.kind.label("activity_kind"),
        Activity.duration_minutes.label("minutes"), Activity.direction, Activity.outcome,
    )  # fmt: skip


_RELATIONS: dict[Home, Callable[[Question], CTE]] = {
    "account": _accounts,
    "product": _products,
    "opportunity": _deals,
    "order": _orders,
    "activity": _activities,
    "lead": _leads,
}
