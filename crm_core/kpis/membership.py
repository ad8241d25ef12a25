"""Who belongs to which org unit on a day, as a relation that metrics join their rows to."""

from __future__ import annotations

from typing import Any

from sqlalchemy import CTE, ColumnElement, Date, cast, exists, null, or_, select, union_all
from sqlalchemy.orm import aliased

from crm_core.people.models import Assignment, OrgUnit, User

WITHOUT_A_PLACE = "(without a place)"
"""In place of a unit's id: what is credited to nobody, or to who was in no unit on that day."""


def _tree() -> CTE:
    """Return each org unit with each unit above it and itself."""
    tree = select(OrgUnit.id.label("unit_id"), OrgUnit.id.label("ancestor_id")).cte(
        "tree", recursive=True
    )
    parent = aliased(OrgUnit)
    return tree.union(
        select(tree.c.unit_id, parent.parent_id)
        .join(parent, parent.id == tree.c.ancestor_id)
        .where(parent.parent_id.is_not(None))
    )


_TREE = _tree()
"""One relation for every metric of a statement: a statement may not name two alike."""


def units_of(user_id: ColumnElement[Any], day: ColumnElement[Any]) -> Any:  # noqa: ANN401 - a lateral
    """Return, for a row's person and day, each org unit they are in, directly or above, once.

    Who has no assignment at all is placed by ``users.org_unit_id``.
    """
    assigned = select(
        Assignment.user_id,
        Assignment.org_unit_id.label("unit_id"),
        Assignment.valid_from,
        Assignment.valid_to,
    )
    by_default = select(
        User.id,
        User.org_unit_id,
        cast(null(), Date),
        cast(null(), Date),
    ).where(User.org_unit_id.is_not(None), ~exists().where(Assignment.user_id == User.id))
    placed = union_all(assigned, by_default).subquery("placed")
    return (
        select(_TREE.c.ancestor_id.label("unit_id"))
        .distinct()
        .join(placed, placed.c.unit_id == _TREE.c.unit_id)
        .where(
            placed.c.user_id == user_id,
            or_(placed.c.valid_from.is_(None), placed.c.valid_from <= day),
            or_(placed.c.valid_to.is_(None), placed.c.valid_to > day),
        )
        .lateral("unit")
    )
