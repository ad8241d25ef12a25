"""Trees that must not run in circles: managers, org units, parent accounts."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.orm import Session

from crm_core.database import run
from crm_core.imports.scratch import literal, quoted
from crm_core.imports.staging import Stage, settle_references

MUST_BE_TREES = {"users": "manager_id", "org_units": "parent_id"}
"""Where a circle would leave people out of every roll-up, so its rows cannot be taken."""

_SHOWN = 6


def circles(
    session: Session, table: str, column: str, *, incoming: str | None = None
) -> list[list[str]]:
    """Return the circles among the rows of a table, as the undecided ``incoming`` rows change it.

    Each circle begins with its smallest id. Linear in the number of rows that have a parent.
    """
    name = quoted(column)
    found = session.execute(
        text(f"select id, {name} from {quoted(table)} where {name} is not null")
    )
    parents: dict[str, str] = {str(child): str(parent) for child, parent in found}
    if incoming is not None:
        staged = session.execute(text(f"select id, {name} from {incoming} where _verdict is null"))
        for child, parent in staged:
            if parent is None:
                parents.pop(child, None)
            else:
                parents[child] = parent
    return _circles_of(parents)


def _circles_of(parents: dict[str, str]) -> list[list[str]]:
    done: set[str] = set()
    found = []
    for start in parents:
        path: dict[str, int] = {}
        node: str | None = start
        while node is not None and node not in done and node not in path:
            path[node] = len(path)
            node = parents.get(node)
        if node is not None and node in path:
            circle = list(path)[path[node] :]
            least = circle.index(min(circle))
            found.append(circle[least:] + circle[:least])
        done.update(path)
    return sorted(found)


def told(circle: list[str]) -> str:
    """Return a circle in words: ``a → b → a``."""
    names = circle if len(circle) <= _SHOWN else [*circle[:_SHOWN], "…"]
    return " → ".join([*names, circle[0]])


def settle(session: Session, stage: Stage) -> None:
    """Reject the incoming rows that would close a circle, and those that then name nothing."""
    column = MUST_BE_TREES.get(stage.table.name)
    if column is None or not stage.has(column):
        return
    for circle in circles(session, stage.table.name, column, incoming=stage.name):
        reason = literal(
            f"{column} runs in a circle: {told(circle)}; name somebody above all of them, or nobody"
        )
        run(
            session,
            f"update {stage.name} s set _verdict = 'rejected', _column = {literal(column)}, "
            f"_value = s.{quoted(column)}, _reason = {reason} "
            "where s._verdict is null and s.id = any(:circle)",
            circle=circle,
        )
    settle_references(session, stage)
