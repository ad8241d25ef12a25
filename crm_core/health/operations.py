"""Running the rules of data health and writing down how each came out."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Literal

from sqlalchemy import insert, text
from sqlalchemy.orm import Session

from crm_core.health.catalogue import CATALOGUE, Rule
from crm_core.health.models import HealthExample, HealthResult, HealthRun
from crm_core.people.queries import calendar, company

Cause = Literal["nightly", "import", "by_hand", "training"]
EXAMPLES = 20
"""Examples kept of each rule; the count is of all."""


def run(
    session: Session,
    *,
    as_of: dt.datetime,
    ran_at: dt.datetime,
    cause: Cause,
    rules: Sequence[Rule] = CATALOGUE,
) -> HealthRun:
    """Run every rule over what was known at a time; write down results and examples.

    Raises NoCompany before the first import.
    """
    known = {
        "as_of": as_of,
        "today": calendar(session).day_of(as_of),
        "currency": company(session).currency,
    }
    made = HealthRun(as_of=as_of, ran_at=ran_at, cause=cause)
    session.add(made)
    session.flush()
    for rule in rules:
        _apply(session, rule, made, known)
    return made


def _apply(session: Session, rule: Rule, made: HealthRun, known: dict[str, object]) -> None:
    checked = int(_ask(session, rule.checked, known)[0][0])
    counted = (
        f"select f.*, count(*) over () from ({rule.failing}) f(key, detail)"
        f" order by 1 limit {EXAMPLES}"
    )
    found = _ask(session, counted, known)
    failing = int(found[0][2]) if found else 0
    session.add(
        HealthResult(
            run_id=made.id,
            rule=rule.id,
            dimension=rule.dimension,
            checked=checked,
            failing=failing,
            status=status(rule, checked=checked, failing=failing),
        )
    )
    session.flush()
    if found:
        session.execute(
            insert(HealthExample),
            [
                {"run_id": made.id, "rule": rule.id, "key": str(key), "detail": str(detail)}
                for key, detail, _ in found
            ],
        )


def _ask(session: Session, statement: str, known: dict[str, object]) -> Sequence[tuple]:  # type: ignore[type-arg]
    return [tuple(row) for row in session.execute(text(statement), known)]


def status(rule: Rule, *, checked: int, failing: int) -> str:
    """Return how a rule came out: nothing to check, within what is tolerated, or failing."""
    if not checked and not failing:
        return "nothing"
    return "failing" if failing > rule.tolerated * max(checked, 1) else "ok"
